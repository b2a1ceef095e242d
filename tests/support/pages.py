"""The commands that README and docs show."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.rig import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")])
PROGRAM = re.compile(r"(?:^|\s|\()(?:kubectl (?:investigation|inv) |aletheia (?=[a-z]))")


def blocks(page: Path) -> list[str]:
    """Return the blocks of shell commands of a page, with continued lines joined."""
    found = re.findall(r"^```(?:sh|console)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [block.replace("\\\n", " ") for block in found]


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the arguments of each command of ours in the page's blocks, up to a pipe or a redirection."""
    for block in blocks(page):
        for line in block.splitlines():
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
