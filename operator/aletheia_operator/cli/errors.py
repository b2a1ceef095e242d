"""Exit codes of the command line, and the line that explains each error."""

import os
import re
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


NO_RESOURCE = ("the server could not find the requested resource", "page not found")
"""Words of the API server's 404 if it has no such API; it answers for an unknown group in plain text."""


RBAC_REFUSAL = re.compile(r" cannot (?!impersonate)[a-z]+ (?:resource|path) ")
"""Words of the API server if nothing grants a right: `User "tess" cannot list resource "pods" ...`."""


class Refused(Exception):
    """The command cannot be executed. The message says why, and what to do."""


def with_remedy(message: str, where: str) -> str:
    """Return the message of a 403 with a remedy, if a right is missing and the message does not say how to get it.

    `where`: for example `in namespace shop`. RBAC names the right alone. Admission policies name their own remedy, and other
    refusals, for example a ResourceQuota's, have nothing to do with rights.
    """
    return f"{message}. An admin gives the right {where}: see `doctor`" if RBAC_REFUSAL.search(message) else message


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
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
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
