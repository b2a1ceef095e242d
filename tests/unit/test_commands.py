"""What the commands take: each command's arguments, which of them are required, and their defaults."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from aletheia_operator.cli.__main__ import main
from aletheia_operator.cli.manual import manual
from aletheia_operator.cli.options import default_root
from aletheia_operator.cli.program import COMMANDS, SESSION_COMMANDS, LazyGroup, root
from tests.cluster.rig import ROOT

FOLDER = {"--root": default_root, "-o --output": "text"}
KEYS = {"-i --identity": None, "--password-file": None}
SESSION = {"session": ...}
OF_SESSION: dict[str, dict[str, Any]] = {
    "list": {},
    "show": SESSION,
    "report": {**SESSION, **KEYS, "--format": "html", "-f --file": None},
    "fetch": {
        **SESSION,
        **KEYS,
        "-n --namespace": None,
        "--context": None,
        "--kubeconfig": None,
        "--as": None,
        "--unseal": None,
    },
    "cat": {**SESSION, "path": ..., "--offset": 0},
    "verify": {"session": None, **KEYS},
    "export": {**SESSION, **KEYS, "-f --file": None, "--format": "tar", "--archive-password-file": None},
    "import": {"file": ..., "--max-bytes": None},
    "delete": {**SESSION, "--yes": False, "--skip-hold-check": False},
    "hold": {**SESSION, "--reason": ...},
    "release": {**SESSION, "--gone": False},
    "reseal": {**SESSION, **KEYS, "--new-password-file": None, "--recipient": None},
    "decrypt": {**SESSION, **KEYS, "--to": ...},
    "redact": {**SESSION, **KEYS, "--level": "secrets", "--rule": None},
}
"""By command of `aletheia session`: the options with their defaults. `...`: required."""
PATHS = {"root", "identity", "password_file", "archive_password_file", "new_password_file", "to", "file", "unseal"}


def all_commands(group: LazyGroup = root, path: str = "") -> Iterator[tuple[str, click.Command, str]]:
    """Every command with its path, and its text in the list of commands."""
    context = click.Context(group)
    for name, entry in group.entries.items():
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path}{name}", command, entry.about
        if isinstance(command, LazyGroup):
            yield from all_commands(command, f"{path}{name} ")


ALL = {path: (command, about) for path, command, about in all_commands()}


def default(parameter: click.Parameter) -> Any:
    """Return the default of a parameter; `...` if it is required."""
    if parameter.required:
        return ...
    value = parameter.to_info_dict()["default"]
    return False if value is None and getattr(parameter, "is_flag", False) else value


@pytest.mark.parametrize("name", OF_SESSION)
def test_what_a_command_takes(name: str) -> None:
    """It has exactly these arguments, with these defaults."""
    command, _ = ALL[f"session {name}"]
    takes = {
        " ".join(param.opts) if isinstance(param, click.Option) else param.name: default(param) for param in command.params
    }
    assert takes == FOLDER | OF_SESSION[name]


def test_every_command_of_a_folder_is_tried_above() -> None:
    """A new command needs a row. `aletheia redact` takes only a level."""
    assert SESSION_COMMANDS.keys() == OF_SESSION.keys()
    (level,) = ALL["redact"][0].params
    assert (level.opts, level.to_info_dict()["default"]) == (["--level"], "secrets")
    assert isinstance(level.type, click.Choice)
    assert list(level.type.choices) == ["off", "secrets", "strict"]


@pytest.mark.parametrize("path", ALL)
def test_every_argument_says_what_it_means(path: str) -> None:
    """A command has the same text in the list and its own help. Every option has a text, and a file is a path."""
    command, about = ALL[path]
    assert command.help
    assert command.short_help == about
    for param in command.params:
        if isinstance(param, click.Option):
            assert (param.help or "").strip(), param.name
        assert (param.type == click.Path(path_type=Path) or isinstance(param.type, click.Path)) == (param.name in PATHS), (
            param.name
        )


def test_a_list_of_commands_says_what_each_does(capsys: pytest.CaptureFixture[str]) -> None:
    """As `--help` shows it; both groups."""
    for arguments, entries in ((["--help"], COMMANDS), (["session", "--help"], SESSION_COMMANDS)):
        assert main(arguments) == 0
        output = " ".join(capsys.readouterr().out.split())
        for name, entry in entries.items():
            assert not entry.section or f" {name} {entry.about}" in output, name


WRONG = [
    ("", "Usage: aletheia"),
    ("session", "COMMAND"),
    ("session explode", "there is no command 'explode'"),
    ("session verifi", "there is no command 'verifi'; the nearest names: verify"),
    ("session show", "SESSION"),
    ("session hold INC-0001", "--reason"),
    ("session list -o xml", "'xml' is not one of"),
    ("session export INC-0001 --format zip", "'zip' is not one of"),
    ("session decrypt INC-0001", "--to"),
    ("session decrypt INC-0001 --to x -i a --password-file b", "--identity is not allowed with --password-file"),
    ("session reseal INC-0001", "--new-password-file --recipient is required"),
    ("session reseal INC-0001 --new-password-file a --recipient b", "--recipient"),
    ("session reseal INC-0001 --recipient age1x", "is not an age public key"),
    ("session redact INC-0001 --level off", "'off' is not one of"),
    ("session redact INC-0001 --rule nameless", "NAME=PATTERN"),
    ("session import a --max-bytes 0", "'0' is not a number of bytes of at least 1"),
    ("session import a --max-bytes -5", "--max-bytes"),
    ("session import a --max-bytes ٣", "is not a number of bytes"),
    ("session import a --max-bytes 1k", "is not a number of bytes"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_wrong_arguments(arguments: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Are refused with exit code 2, and the message names what is wrong."""
    assert main(arguments.split()) == 2
    assert words in capsys.readouterr().err


def values(arguments: str) -> dict[str, Any]:
    """The parameters that a command on sessions gets."""
    name, *rest = arguments.split()
    command, _ = ALL[f"session {name}"]
    return command.make_context(name, rest).params


def test_an_archive_may_hold_a_single_byte() -> None:
    """The least number that --max-bytes takes is 1."""
    assert values("import a --max-bytes 1")["max_bytes"] == 1


def test_the_root_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """$ALETHEIA_ROOT is used without --root. It is ignored if empty."""
    for value, folder in (("/volume", "/volume"), ("", "/mine/aletheia")):
        monkeypatch.setenv("XDG_DATA_HOME", "/mine")
        monkeypatch.setenv("ALETHEIA_ROOT", value)
        assert values("list")["root"] == Path(folder)
        assert values("list --root=/other")["root"] == Path("/other")


def test_the_reference_is_the_commands_own() -> None:
    """docs/commands.md is what `make generate` writes, and names every option."""
    page = (ROOT / "docs" / "commands.md").read_text()
    assert page == manual()
    for path, (command, _) in ALL.items():
        assert f"`{path}`" in page or path == "session"
        for one in command.params:
            assert not isinstance(one, click.Option) or one.opts[-1] in page
