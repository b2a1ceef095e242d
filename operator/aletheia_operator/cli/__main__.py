"""`aletheia`, also `python -m aletheia_operator.cli`. Exit codes: 0 done, 1 refused or not intact, 2 wrong arguments."""

import argparse
import os
import sys

from aletheia_operator.cli.keys import Refused
from aletheia_operator.cli.output import say
from aletheia_operator.cli.redact import add_redact
from aletheia_operator.cli.sessions import add_commands
from aletheia_operator.session.age import AgeError
from aletheia_operator.session.lock import SessionBusy
from aletheia_operator.session.manifest_file import Unreadable
from aletheia_operator.session.staging import StagingBusy
from aletheia_operator.session.tar_stream import ArchiveError
from aletheia_operator.version import __version__


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ArchiveError as e:
        return _failed(f"the archive is refused: {e}" if options.command == "import" else str(e))
    except (Refused, Unreadable, AgeError) as e:
        return _failed(str(e))
    except (SessionBusy, StagingBusy) as e:
        return _failed(f"{e} is in use by another process: try again when it has ended")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter reports it at exit
        return _failed("the program that reads the output has ended")
    except PermissionError as e:
        return _failed(str(e) if e.errno is None else f"{e.filename}: {e.strerror}")
    except OSError as e:
        return _failed(f"{e.filename or 'the session volume'}: {e.strerror or e}")
    except KeyboardInterrupt:
        return _failed("interrupted")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aletheia", description="Reads and moves the sessions of Investigations, and redacts secrets in logs."
    )
    parser.add_argument("--version", action="version", version=__version__)
    nouns = parser.add_subparsers(dest="noun", required=True, metavar="NOUN")
    session = nouns.add_parser("session", help="sessions on the volume or in a folder")
    add_commands(session.add_subparsers(dest="command", required=True, metavar="COMMAND"))
    add_redact(nouns)
    return parser


def _failed(message: str) -> int:
    say(f"error: {message}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
