"""Settings: each is documented, has its flag, and the flag's default is that of the setting."""

import ast
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator import __main__ as command_line
from aletheia_operator import settings as module
from aletheia_operator.settings import Settings

GROUPS = [value for value in vars(module).values() if isinstance(value, type) and dataclasses.is_dataclass(value)]
REQUIRED = ["--session-root=/sessions"]


def documented(name: str) -> set[str]:
    """The fields of a class of the module that have a docstring under them."""
    tree = ast.parse(Path(module.__file__).read_text())
    (group,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    pairs = zip(group.body, group.body[1:], strict=False)
    return {
        field.target.id
        for field, text in pairs
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and str(text.value.value).strip().endswith(".")
    }


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_every_setting_says_what_it_means(group: Any) -> None:
    """A docstring stands under each field, and settings never change once made."""
    assert documented(group.__name__) == {field.name for field in dataclasses.fields(group)}
    assert group.__dataclass_params__.frozen


def test_without_flags_every_setting_has_its_default() -> None:
    """No default is said a second time on the command line."""
    parsed = command_line.settings_of(command_line.parser().parse_args(REQUIRED))
    assert parsed == Settings(session_root=Path("/sessions"))


def test_every_flag_is_a_setting_and_every_setting_has_a_flag() -> None:
    """Flags that change nothing, and settings that nobody can change, are found here."""
    flags = {action.dest for action in command_line.parser()._actions} - {"help", "version"}
    groups = {field.name for field in dataclasses.fields(Settings) if dataclasses.is_dataclass(field.default_factory)}
    fields = [field.name for group in GROUPS for field in dataclasses.fields(group) if field.name not in groups]
    assert sorted(fields) == sorted(flags)


@pytest.mark.parametrize(
    ("arguments", "path", "value"),
    [
        (["--namespace=a", "--namespace=b"], "scope.namespaces", ("a", "b")),
        (["--kubelet-insecure-tls"], "node_logs.certificate_authority", None),
        (["--kubelet-certificate-authority=/ca"], "node_logs.certificate_authority", Path("/ca")),
        (["--node-logs"], "node_logs.enabled", True),
        (["--retain-total-bytes=7"], "retention.total_bytes", 7),
        (["--orphan-grace-seconds=0"], "retention.orphan_grace_seconds", 0),
        (["--max-fetches=3"], "limits.max_fetches", 3),
        (["--log-format=json"], "process.log_format", "json"),
    ],
)
def test_a_flag_reaches_its_setting(arguments: list[str], path: str, value: object) -> None:
    """Each kind of flag: repeated, without a value, a number, a path."""
    found: Any = command_line.settings_of(command_line.parser().parse_args([*REQUIRED, *arguments]))
    for name in path.split("."):
        found = getattr(found, name)
    assert found == value


@pytest.mark.parametrize(
    "flag", ["--max-investigations=0", "--sweep-seconds=0", "--orphan-grace-seconds=-1", "--log-level=loud"]
)
def test_a_value_that_makes_no_sense_is_refused(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything starts, with the flag's name."""
    with pytest.raises(SystemExit):
        command_line.parser().parse_args([*REQUIRED, flag])
    assert flag.split("=")[0] in capsys.readouterr().err
