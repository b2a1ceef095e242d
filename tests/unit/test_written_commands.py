"""The commands in README and docs: the command line accepts each as it is written there."""

from pathlib import Path

import click
import pytest

from aletheia_operator.cli.program import root
from tests.support.pages import PAGES, commands

CASES = [(page, words) for page in PAGES for words in commands(page)]


def test_there_are_commands() -> None:
    """README and the page about evidence have some, so that the test below is not empty."""
    assert {page.name for page, _ in CASES} >= {"README.md", "evidence.md", "sessions.md"}
    assert len(CASES) > 30


@pytest.mark.parametrize(("page", "words"), CASES, ids=[f"{page.name}: {' '.join(words)[:80]}" for page, words in CASES])
def test_a_command_is_taken(page: Path, words: list[str]) -> None:
    """The command line accepts its options and arguments."""
    command: click.Command = root
    name: str | None = "aletheia"
    parent: click.Context | None = None
    while isinstance(command, click.Group):
        parent = command.make_context(name, list(words), parent=parent)
        name, found, words = command.resolve_command(parent, [*parent._protected_args, *parent.args])
        assert found is not None
        command = found
    command.make_context(name, list(words), parent=parent)
