"""aletheia session VERB: the verbs, each with its module."""

from typing import Any

from aletheia_operator.cli import listing, moving, retaining, sealing, verifying


def add_commands(commands: Any) -> None:
    """Every command on sessions, each with its function as `run`."""
    for verbs in (listing, verifying, moving, retaining, sealing):
        verbs.add_commands(commands)
