"""The commands in README and docs: the command line accepts each as it is written there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from aletheia_operator.cli.program import root
from tests.cluster.rig import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")])
PROGRAM = re.compile(r"(?:^|\s|\()(?:kubectl (?:investigation|inv) |aletheia (?=[a-z]))")


def commands(page: Path) -> Iterator[list[str]]:
    """Return the arguments of each command in the page's blocks of code, up to a pipe or a redirection."""
    for block in re.findall(r"^```(?:sh|console)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            code = line.removeprefix("$ ").partition(" #")[0]
            found = PROGRAM.search(code)
            if found is None or code.startswith(("helm ", "#")):
                continue
            lexer = shlex.shlex(code[found.end() :], posix=True, punctuation_chars=True)
            lexer.wordchars += ":,{}$[]@%"
            words = []
            for word in lexer:
                if set(word) <= set("|<>&;()"):
                    break
                words.append(word)
            yield words


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
