"""Exit codes of the command line, and the line that explains each error."""

import os
import sys
from contextlib import suppress
from enum import IntEnum

import click


class ExitCode(IntEnum):
    """Exit codes. FAILED to TIMEOUT are results of an Investigation, ERROR of the command itself."""

    OK = 0
    ERROR = 1
    USAGE = 2
    FAILED = 3
    PARTIAL = 4
    TIMEOUT = 5


EXTRAS = {"cryptography": "sealing", "kubernetes": "operator", "aiohttp": "operator"}
"""Modules that a basic installation lacks, each with the extra of this package that installs it."""


class Refused(Exception):
    """The command cannot be executed. The message says why, and what to do."""


def explained(error: BaseException) -> str:
    """Return the line that explains an error to a person. Re-raises an error that is not expected."""
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, BrokenPipeError):
        with suppress(OSError, ValueError):  # else the interpreter reports it at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return "the program that reads the output has ended"
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return "interrupted"
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.split(".")[0] in EXTRAS:
        extra = EXTRAS[error.name.split(".")[0]]
        return f"this needs the package {error.name}: install it by `pipx install 'aletheia-operator[{extra}]' --force`"
    if isinstance(error, PermissionError):
        return str(error) if error.errno is None else f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and not _is_of_sessions(error):
        return f"{error.filename or 'the session volume'}: {error.strerror or error}"
    return _explained_of_sessions(error)


def _is_of_sessions(error: BaseException) -> bool:
    return type(error).__module__.startswith("aletheia_operator.")


def _explained_of_sessions(error: BaseException) -> str:
    from aletheia_operator.session.age import AgeError
    from aletheia_operator.session.lock import SessionBusy
    from aletheia_operator.session.manifest_file import Unreadable
    from aletheia_operator.session.staging import StagingBusy
    from aletheia_operator.session.tar_stream import ArchiveError

    if isinstance(error, ArchiveError | Unreadable | AgeError):
        return str(error)
    if isinstance(error, SessionBusy | StagingBusy):
        return f"{error} is in use by another process: try again when it has ended"
    raise error
