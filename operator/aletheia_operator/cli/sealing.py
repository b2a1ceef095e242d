"""aletheia session reseal | decrypt: changes what opens a sealed session, or writes its files decrypted."""

import argparse
from pathlib import Path
from typing import Any

from aletheia_operator.cli.command import add_command, add_session, manifest_of, report
from aletheia_operator.cli.keys import Refused, add_key_options, read_password, session_key
from aletheia_operator.session import SessionLayout, age
from aletheia_operator.session.seal import reseal
from aletheia_operator.session.unseal import decrypt_session, replace_encryption


def add_commands(commands: Any) -> None:
    reseal_parser = add_command(
        commands,
        "reseal",
        reseal_one,
        "seal a session with another password or to other recipients; its files stay as they are",
    )
    add_session(reseal_parser)
    add_key_options(reseal_parser)
    new_lock = reseal_parser.add_mutually_exclusive_group(required=True)
    new_lock.add_argument("--new-password-file", type=Path, metavar="FILE", help="the new password")
    new_lock.add_argument(
        "--recipient", action="append", type=_public_key, default=[], metavar="KEY", help="age or SSH public key (repeatable)"
    )
    decrypt_parser = add_command(commands, "decrypt", decrypt, "write a sealed session as plain files into a new folder")
    add_session(decrypt_parser)
    decrypt_parser.add_argument(
        "--to", type=Path, required=True, metavar="FOLDER", help="new folder, readable by you alone; it must not exist"
    )
    add_key_options(decrypt_parser)


def reseal_one(options: argparse.Namespace) -> int:
    manifest = manifest_of(options)
    key = session_key(manifest, options)
    password = read_password(options.new_password_file) if options.new_password_file else None
    assert manifest.encryption is not None
    encryption = reseal(manifest.encryption, key, password=password, recipients=options.recipient)
    replace_encryption(SessionLayout(options.root), manifest, encryption)
    locked_by = encryption.locked_by
    message = f"{manifest.session_id} sealed anew: by {'a password' if locked_by == 'password' else 'recipients'}"
    return report(options, message, {"session": manifest.session_id, "sealedBy": locked_by})


def decrypt(options: argparse.Namespace) -> int:
    manifest = manifest_of(options)
    key = session_key(manifest, options)
    if options.to.exists():
        raise Refused(f"{options.to} exists: name a folder that does not")
    decrypt_session(SessionLayout(options.root).session(manifest.session_id), manifest, key, options.to)
    message = f"{len(manifest.artifacts)} artifacts of {manifest.session_id} decrypted to {options.to}"
    return report(options, message, {"session": manifest.session_id, "path": str(options.to)})


def _public_key(text: str) -> str:
    try:
        age.check_recipient(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(str(e)) from e
    return text
