"""What `aletheia session` takes: each command's arguments, whether they must be named, and what they are otherwise."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.cli.__main__ import _parser

COMMON = {"--root": Path("/var/lib/aletheia"), "-o --output": "text"}
KEYS = {"-i --identity": None, "--password-file": None}
SESSION = {"session": ...}
COMMANDS: dict[str, dict[str, Any]] = {
    "list": {},
    "show": SESSION,
    "report": {**SESSION, **KEYS, "--format": "html", "-f --file": None},
    "fetch": {**SESSION, "-n --namespace": None, "--context": None, "--kubeconfig": None, "--as": None},
    "verify": {"session": None, **KEYS},
    "export": {**SESSION, **KEYS, "-f --file": None, "--format": "tar", "--archive-password-file": None},
    "import": {"file": ..., "--max-bytes": None},
    "delete": {**SESSION, "--yes": False, "--unasked": False},
    "hold": {**SESSION, "--reason": ...},
    "release": {**SESSION, "--gone": False},
    "reseal": {**SESSION, **KEYS, "--new-password-file": None, "--recipient": []},
    "decrypt": {**SESSION, **KEYS, "--to": ...},
    "redact": {**SESSION, **KEYS, "--level": "secrets", "--rule": []},
}
"""By command: the options with their defaults. `...`: it must be named."""
PATHS = {"root", "identity", "password_file", "archive_password_file", "new_password_file", "to"}


def parsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command's parser, by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, one in action.choices.items():
                yield name, one
                yield from parsers(one)


def of_session() -> dict[str, argparse.ArgumentParser]:
    """The parsers of the commands on sessions, by name."""
    return dict(parsers(dict(parsers(_parser()))["session"]))


def options_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    yield from (one for one in parser._actions if not isinstance(one, argparse._HelpAction | argparse._SubParsersAction))


@pytest.fixture(autouse=True)
def no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defaults are those of an empty environment."""
    monkeypatch.delenv("ALETHEIA_ROOT", raising=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_command_takes(command: str) -> None:
    """Nothing else, and nothing else must be named."""
    parser = of_session()[command]
    takes = {
        " ".join(one.option_strings) or one.dest: ... if one.required and one.nargs != "*" else one.default
        for one in options_of(parser)
    }
    assert takes == COMMON | COMMANDS[command]


def test_every_command_is_tried_above() -> None:
    """One that is added has its row; `aletheia redact` takes only a level."""
    assert of_session().keys() == COMMANDS.keys()
    nouns = next(one for one in _parser()._actions if isinstance(one, argparse._SubParsersAction)).choices
    assert nouns.keys() == {"session", "redact"}
    (level,) = options_of(nouns["redact"])
    assert (level.option_strings, level.default, level.choices) == (["--level"], "secrets", ["off", "secrets", "strict"])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_says_what_it_means(command: str) -> None:
    """`--help` has words for the command and for each of its arguments; a file is a path."""
    parser = of_session()[command]
    assert parser.description
    for one in options_of(parser):
        assert (one.help or "").strip(), one.dest
        assert (one.type is Path) == (one.dest in PATHS or one.option_strings == ["-f", "--file"] or one.dest == "file")


def test_a_list_of_commands_says_what_each_does() -> None:
    """As `aletheia session --help` shows it."""
    session = dict(parsers(_parser()))["session"]
    (commands,) = [one for one in session._actions if isinstance(one, argparse._SubParsersAction)]
    assert {one.dest: bool(one.help) for one in commands._get_subactions()} == dict.fromkeys(COMMANDS, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "NOUN"),
        ("session", "COMMAND"),
        ("session explode", "invalid choice: 'explode'"),
        ("session show", "SESSION"),
        ("session hold INC-0001", "--reason"),
        ("session list -o xml", "invalid choice: 'xml'"),
        ("session export INC-0001 --format zip", "invalid choice: 'zip'"),
        ("session decrypt INC-0001", "--to"),
        ("session decrypt INC-0001 --to x -i a --password-file b", "not allowed with"),
        ("session reseal INC-0001", "--new-password-file --recipient is required"),
        ("session reseal INC-0001 --new-password-file a --recipient b", "--recipient"),
        ("session reseal INC-0001 --recipient age1x", "is not an age public key"),
        ("session redact INC-0001 --level off", "invalid choice: 'off'"),
        ("session redact INC-0001 --rule nameless", "NAME=PATTERN"),
        ("session import a --max-bytes 0", "'0' is not a number of bytes of at least 1"),
        ("session import a --max-bytes -5", "--max-bytes"),
        ("session import a --max-bytes ٣", "is not a number of bytes"),
        ("session import a --max-bytes 1k", "is not a number of bytes"),
    ],
)
def test_wrong_arguments(arguments: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Are refused with exit code 2, and the message names what is wrong."""
    with pytest.raises(SystemExit) as caught:
        _parser().parse_args(arguments.split())
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_an_archive_may_hold_a_single_byte() -> None:
    """The least number that --max-bytes takes is 1."""
    assert _parser().parse_args(["session", "import", "a", "--max-bytes", "1"]).max_bytes == 1


def test_the_root_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """$ALETHEIA_ROOT where --root is not named; an empty one counts for nothing."""
    for value, root in (("/volume", "/volume"), ("", "/var/lib/aletheia")):
        monkeypatch.setenv("ALETHEIA_ROOT", value)
        assert _parser().parse_args(["session", "list"]).root == Path(root)
        assert _parser().parse_args(["session", "list", "--root=/other"]).root == Path("/other")
