"""aletheia session VERB: the list of commands, each in a module of its own."""

from typing import Any

from aletheia_operator.cli import fetching, listing, moving, redacting, report, retaining, sealing, verifying


def add_commands(commands: Any) -> None:
    """Add every command on sessions, with its function as `run`."""
    for verbs in (listing, report, verifying, fetching, moving, retaining, sealing, redacting):
        verbs.add_commands(commands)
