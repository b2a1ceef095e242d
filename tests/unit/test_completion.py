"""Completion of commands, options and names, by shells and by kubectl."""

import os
import sys
from pathlib import Path

import pytest

from aletheia_operator.cli import completing
from aletheia_operator.cli.__main__ import main
from aletheia_operator.cli.completing import kubectl_complete, suggestions

KUBECTL = """#!{python}
import sys
if "--context=slow" in sys.argv:
    sys.exit(1)
print("payments-500s\\nINC-7F3A\\nother-one\\n\\n\\x1b[31mred\\n$(reboot)\\n`id`\\n--all\\na b")
if "--namespace=bank" in sys.argv:
    print("till")
"""


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kubectl that knows two Investigations, and one more in namespace bank."""
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


def values(words: list[str], incomplete: str) -> list[str]:
    return [str(item.value) for item in suggestions(words, incomplete)]


def test_commands_and_options() -> None:
    """Those that begin with the word."""
    assert values([], "des") == ["describe"]
    assert values(["session"], "rese") == ["reseal"]
    assert "--trace-service" in values(["start"], "--trace")
    assert values(["report", "x", "--format"], "m") == ["markdown"]


def test_names(kubectl: None) -> None:
    """Names and session ids of the given namespace, none that a shell interprets. There are none if kubectl fails."""
    assert values(["describe"], "") == ["payments-500s", "INC-7F3A", "other-one"]
    assert values(["wait"], "pay") == ["payments-500s"]
    assert values(["describe", "-n", "bank"], "t") == ["till"]
    assert values(["delete", "bank/till"], "bank/t") == ["bank/till"]
    assert values(["--context", "slow", "describe"], "") == []


def test_kubectl_asks(kubectl: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One suggestion a line, then a directive for the shell: complete file names only for an option that takes a file."""
    for words, last in ((["describe", "pay"], ":4"), (["report", "x", "--file", ""], ":0")):
        monkeypatch.setattr(sys, "argv", ["kubectl_complete-investigation", *words])
        assert kubectl_complete() == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1] == last
    assert completing.SHELLS == ("bash", "zsh", "fish")


@pytest.mark.parametrize("shell", completing.SHELLS)
def test_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each shell gets its own."""
    assert main(["completion", shell]) == 0
    assert "_ALETHEIA_COMPLETE" in capsys.readouterr().out
