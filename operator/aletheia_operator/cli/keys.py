"""Reads keys and passwords from files or the terminal, never from the command line, which all processes can read."""

import getpass
import sys
from pathlib import Path

from aletheia_operator.cli.errors import Refused
from aletheia_operator.cli.options import Options
from aletheia_operator.session import age
from aletheia_operator.session.manifest import Manifest
from aletheia_operator.session.unseal import open_key

MAX_KEY_FILE_BYTES = 64 * 1024


def session_key(manifest: Manifest, options: Options) -> str:
    """Return the secret key of a sealed session. Raises Refused, AgeError."""
    if manifest.encryption is None:
        raise Refused(f"{manifest.session_id} is not sealed: its files can be read as they are")
    if options.identity is not None:
        try:
            identities = age.parse_identities(read_small(options.identity).decode())
        except ValueError as e:
            raise Refused(f"{options.identity}: {e}") from e
        return open_key(manifest.encryption, password=None, identities=identities)
    if options.password_file is not None:
        return open_key(manifest.encryption, password=read_password(options.password_file), identities=())
    if manifest.encryption.locked_by == "recipients":
        raise Refused(f"{manifest.session_id} is sealed to recipients: name your private key with --identity FILE")
    if not sys.stdin.isatty():
        raise Refused(f"{manifest.session_id} is sealed by a password: name a file that has it with --password-file FILE")
    return open_key(manifest.encryption, password=getpass.getpass(f"Password of {manifest.session_id}: "), identities=())


def read_password(path: Path) -> str:
    """Return the password in a file, without the newline at its end. Raises Refused."""
    try:
        password = read_small(path).decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as e:
        raise Refused(f"{path}: the password is not UTF-8") from e
    if not password:
        raise Refused(f"{path}: the password is empty")
    return password


def read_small(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_KEY_FILE_BYTES + 1)
    except OSError as e:
        raise Refused(f"{path}: {e.strerror}") from e
    if len(content) > MAX_KEY_FILE_BYTES:
        raise Refused(f"{path}: larger than {MAX_KEY_FILE_BYTES} bytes, no key or password")
    return content
