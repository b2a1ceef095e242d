"""aletheia session reseal | decrypt: changes the key of a sealed session, or writes its files decrypted."""

import click

from aletheia_operator.cli.command import folder_command, manifest_of, print_result
from aletheia_operator.cli.errors import Refused
from aletheia_operator.cli.keys import read_password, session_key
from aletheia_operator.cli.options import FILE, SESSION_HELP, Exclusive, Options, key_options, session_argument
from aletheia_operator.session import SessionLayout, age
from aletheia_operator.session.seal import reseal
from aletheia_operator.session.unseal import decrypt_session, replace_encryption
from aletheia_operator.text.sizes import counted


def reseal_one(options: Options) -> int:
    if options.new_password_file is None and not options.recipient:
        raise click.UsageError("one of the options --new-password-file --recipient is required")
    manifest = manifest_of(options)
    key = session_key(manifest, options)
    password = read_password(options.new_password_file) if options.new_password_file else None
    assert manifest.encryption is not None
    encryption = reseal(manifest.encryption, key, password=password, recipients=options.recipient)
    replace_encryption(SessionLayout(options.root), manifest, encryption)
    locked_by = encryption.locked_by
    message = f"{manifest.session_id} resealed: by {'a password' if locked_by == 'password' else 'recipients'}"
    return print_result(options, message, {"session": manifest.session_id, "sealedBy": locked_by})


def decrypt(options: Options) -> int:
    manifest = manifest_of(options)
    key = session_key(manifest, options)
    if options.to.exists():
        raise Refused(f"{options.to} exists: name a folder that does not")
    decrypt_session(SessionLayout(options.root).session(manifest.session_id), manifest, key, options.to)
    message = f"{counted(len(manifest.artifacts), 'artifact')} of {manifest.session_id} decrypted to {options.to}"
    return print_result(options, message, {"session": manifest.session_id, "path": str(options.to)})


def _public_keys(context: click.Context, parameter: click.Parameter, keys: tuple[str, ...]) -> tuple[str, ...]:
    for key in keys:
        try:
            age.check_recipient(key)
        except ValueError as e:
            raise click.BadParameter(str(e)) from e
    return keys


reseal_command = folder_command(
    "reseal",
    reseal_one,
    "seal a session with another password or to other recipients; its files stay as they are",
    session_argument(),
    *key_options(),
    Exclusive(["--new-password-file"], type=FILE, metavar="FILE", excludes=("recipient",), help="The new password."),
    Exclusive(
        ["--recipient"],
        multiple=True,
        metavar="KEY",
        callback=_public_keys,
        excludes=("new_password_file",),
        help="age or SSH public key (repeatable).",
    ),
    notes=SESSION_HELP,
)
decrypt_command = folder_command(
    "decrypt",
    decrypt,
    "write a sealed session as plain files into a new folder",
    session_argument(),
    click.Option(
        ["--to"],
        type=FILE,
        required=True,
        metavar="FOLDER",
        help="New folder, readable by you alone; it must not exist.",
    ),
    *key_options(),
    notes=SESSION_HELP,
)
