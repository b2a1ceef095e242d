"""`kubectl investigation start`, `list`, `describe`, `wait`, `cancel`, `delete`, `hold`, `release`, on an API in memory."""

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest
import yaml

from aletheia_operator.api.investigation import InvestigationSpec
from aletheia_operator.api.paths import API
from aletheia_operator.cli import following, starting
from aletheia_operator.cli.__main__ import main
from aletheia_operator.cli.errors import ExitCode
from aletheia_operator.cli.investigations import Investigation
from tests.unit.proxies import FakeApi, connect

SHOP = f"{API}/namespaces/shop/investigations"
HOLD = "aletheia.dev/legal-hold"


def investigation(name: str, phase: str = "", namespace: str = "shop", **status: Any) -> dict[str, Any]:
    """An Investigation; without a phase no operator has seen it."""
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": "1"}
    metadata["creationTimestamp"] = "2026-11-22T12:00:00Z"
    found = {**status, "phase": phase, "observedGeneration": 1} if phase else {"observedGeneration": -1}
    return {"metadata": metadata, "spec": {}, "status": found}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    fake = FakeApi()
    connect(monkeypatch, fake)
    return fake


@pytest.fixture
def run(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command in namespace shop, and returns what it prints to both streams."""

    def command(*arguments: str, code: int = 0) -> str:
        found = main(["-n", "shop", *arguments])
        printed = capsys.readouterr()
        assert found == code, printed
        return printed.out + printed.err

    return command


def manifest(*arguments: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["start", *arguments, "--dry-run=client", "-o", "yaml"]) == 0
    found = yaml.safe_load(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


STARTS: list[tuple[str, dict[str, Any]]] = [
    ("deploy/web", {"targets": [{"workload": {"kind": "Deployment", "name": "web"}}]}),
    ("statefulsets.apps/db", {"targets": [{"workload": {"kind": "StatefulSet", "name": "db"}}]}),
    ("web-0 pod/web-1", {"targets": [{"pod": "web-0"}, {"pod": "web-1"}]}),
    ("-l app=web,tier!=cache", {"targets": [
        {"selector": {
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["cache"]}],
        }},
    ]}),
    ("web --lookback 2h", {"window": {"lookback": "2h"}}),
    ("web --start 2026-11-22T14:00:00Z --end 2026-11-22T15:00:00Z",
     {"window": {"start": "2026-11-22T14:00:00Z", "end": "2026-11-22T15:00:00Z"}}),
    ("--metric error_rate,service=web --metric up{}",
     {"metrics": [{"template": "error_rate", "parameters": {"service": "web"}}, {"query": "up{}"}]}),
    ("deploy/web --traces", {"traces": [{"fromLogs": {}}, {"service": "web"}]}),
    ("--trace-service a --trace-id abc", {"traces": [{"service": "a"}, {"traceID": "abc"}]}),
    ("--query loki={app=\"web\"}", {"queries": [{"type": "loki", "query": "{app=\"web\"}"}]}),
    ("web --events", {"events": {}}),
    ("web -c app", {"logs": {"container": "app"}}),
    ("web --keep --timeout 5m --service-account reader --redaction strict",
     {"retention": {"keep": True}, "timeout": "5m", "serviceAccountName": "reader", "redaction": {"level": "strict"}}),
    ("web --password-secret pw", {"session": {"encryption": {"passwordSecretRef": {"name": "pw"}}}}),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "wanted"), STARTS, ids=[arguments for arguments, _ in STARTS])
def test_a_manifest_from_flags(arguments: str, wanted: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """--dry-run=client prints a valid manifest for Git, with the fields that were given and no others."""
    found = manifest(*(part.replace("§", " ") for part in arguments.split()), capsys=capsys)
    assert (found["apiVersion"], found["kind"]) == ("aletheia.dev/v1alpha1", "Investigation")
    InvestigationSpec.model_validate(found["spec"])
    assert {name: found["spec"][name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "nothing to capture"),
        ("depoly/web", "nearest names: deploy"),
        ("web --since 2", "not a duration"),
        ("web --since 2h --start 2026-11-22T14:00:00Z", "exclude each other"),
        ("web --end 2026-11-22T14:00:00Z", "needs --start"),
        ("web --start yesterday", "RFC 3339"),
        ("-l ,", "would select every pod"),
        ("web --query nonsense", "TYPE=QUERY"),
        ("--logs --metric up", "logs need targets"),
    ],
)
def test_what_cannot_be_asked(arguments: str, words: str, run: Callable[..., str], api: FakeApi) -> None:
    """Is refused before the cluster is asked."""
    assert words in run("start", *arguments.split(), code=1)
    assert api.asked == []


def test_start(run: Callable[..., str], api: FakeApi) -> None:
    """The Investigation is created in the namespace. An existing one of the same name is not replaced."""
    assert "Investigation shop/hunt created" in run("start", "deploy/web", "--name", "hunt")
    assert api.objects[f"{SHOP}/hunt"]["spec"]["targets"] == [{"workload": {"kind": "Deployment", "name": "web"}}]
    assert "already: choose another --name" in run("start", "deploy/web", "--name", "hunt", code=1)
    assert run("start", "web", "--name", "dry", "--dry-run=server", "-o", "name").startswith("investigation.aletheia.dev/dry")
    assert f"{SHOP}/dry" not in api.objects
    assert json.loads(run("start", "web", "--name", "json", "-o", "json").partition("}\nfollow")[0] + "}")["kind"]


def test_the_help_gives_the_default_of_the_spec() -> None:
    """If no timeout is named, the spec has none, and its own default holds."""
    (timeout,) = [option for option in starting.command.params if option.name == "timeout"]
    assert isinstance(timeout, click.Option)
    assert timeout.help == f"Longest duration of the capture; default: {InvestigationSpec.model_fields['timeout'].default}."


def test_start_without_the_right(run: Callable[..., str], api: FakeApi) -> None:
    """The message has the remedy."""
    api.objects[SHOP] = 403
    assert "An admin gives the right in namespace shop" in run("start", "web", code=1)


def test_list(run: Callable[..., str], api: FakeApi) -> None:
    """A table of what broke, which is cut only for a terminal, and has no hidden character."""
    api.objects[f"{SHOP}/first"] = investigation(
        "first", "Completed", headline="web: \x1b[31mpanic", session={"id": "INC-0001"}
    )
    api.objects[f"{SHOP}/second"] = investigation("second", "Running", progress={"done": 1, "total": 3, "text": "1/3"})
    text = run("list")
    assert "INC-0001" in text
    assert "\\x1b[31mpanic" in text
    assert "Running 1/3" in text
    assert "\x1b" not in text
    assert "there are no Investigations in namespace empty" in run("list", "-n", "empty")


def ended(name: str, phase: str, **status: Any) -> dict[str, Any]:
    return investigation(name, phase, session={"id": "INC-0001", "size": "1Ki"}, **status)


@pytest.mark.parametrize(
    ("phase", "code"),
    [
        ("Completed", ExitCode.OK),
        ("PartiallyCompleted", ExitCode.PARTIAL),
        ("Failed", ExitCode.FAILED),
        ("Cancelled", ExitCode.FAILED),
        ("TimedOut", ExitCode.TIMEOUT),
    ],
)
def test_wait(phase: str, code: ExitCode, run: Callable[..., str], api: FakeApi) -> None:
    """Each step is one plain line, and the exit code says how it ended."""
    api.objects[f"{SHOP}/hunt"] = investigation("hunt")
    running = investigation("hunt", "Running", progress={"done": 2, "total": 5, "text": "2/5"})
    api.events = [
        [{"type": "MODIFIED", "object": running}],
        [{"type": "MODIFIED", "object": ended("hunt", phase, headline="oom")}],
    ]
    text = run("wait", "hunt", code=code)
    assert "no operator has seen it yet" in text
    assert "shop/hunt Running, 2 of 5 questions answered" in text
    assert f"shop/hunt {phase}, session INC-0001" in text
    assert "oom" in text


def test_wait_gives_up(run: Callable[..., str], api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """After --timeout, with the exit code for that; the capture goes on."""
    api.objects[f"{SHOP}/hunt"] = investigation("hunt", "Running")
    times = iter(range(0, 1000, 4))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(times)))
    monkeypatch.setattr(following, "PAUSE_SECONDS", 0)
    api.events = [[] for _ in range(9)]
    assert "the capture goes on" in run("wait", "hunt", "--timeout", "10s", code=ExitCode.TIMEOUT)


def test_wait_is_interrupted(run: Callable[..., str], api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """The capture continues, and the output says how to follow it again."""
    api.objects[f"{SHOP}/hunt"] = investigation("hunt", "Running")

    def interrupted(*arguments: Any) -> Iterator[Any]:
        yield Investigation(api.objects[f"{SHOP}/hunt"])
        raise KeyboardInterrupt

    monkeypatch.setattr(following, "states", interrupted)
    assert "wait shop/hunt follows it again" in run("wait", "hunt", code=1)
    assert not [asked for asked in api.asked if asked[0] != "GET"]


def test_wait_goes_on_through_an_outage(run: Callable[..., str], api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API server that restarts does not end it; one that stays away does."""
    monkeypatch.setattr(following, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(following, "MAX_FAILURES", 3)
    api.objects[f"{SHOP}/hunt"] = investigation("hunt", "Running")
    answer, outages = api._answer, [503, 500, 429]

    def failing(method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, bytes]:
        if outages and len(api.asked) > 1:
            return outages.pop(), b"{}"
        return answer(method, path, query, body)

    monkeypatch.setattr(api, "_answer", failing)
    api.events = [[{"type": "MODIFIED", "object": ended("hunt", "Completed")}]]
    assert "shop/hunt Completed" in run("wait", "hunt")
    api.objects[f"{SHOP}/hunt"] = investigation("hunt", "Running")
    outages += [503] * 99
    api.asked.clear()
    assert "answers 503" in run("wait", "hunt", code=1)


def test_wait_sees_it_deleted(run: Callable[..., str], api: FakeApi) -> None:
    """It is an error, and not an end of the capture."""
    api.objects[f"{SHOP}/hunt"] = investigation("hunt", "Running")
    api.events = [[{"type": "DELETED", "object": investigation("hunt", "Running")}]]
    assert "shop/hunt was deleted" in run("wait", "hunt", code=1)


def test_describe(run: Callable[..., str], api: FakeApi) -> None:
    """What broke comes first; each gap has its message and what its reason means; nothing steers the terminal."""
    finding = {"rule": "Oom", "severity": "critical", "confidence": "certain", "message": "\x1b]0;owned\x07killed"}
    finding["object"] = {"kind": "Pod", "name": "web-0"}  # type: ignore[assignment]
    gap = {"fetcher": "KubernetesLogs", "target": "web-1", "reason": "Forbidden", "message": "may not get pods/log"}
    artifact = {"path": "data/logs/a.json", "summary": "3 lines", "sizeBytes": 2048, "complete": False}
    api.objects[f"{SHOP}/hunt"] = ended(
        "hunt", "PartiallyCompleted", headline="web-0: killed", findings=[finding], gaps=[gap], artifacts=[artifact]
    )
    for name in ("hunt", "shop/hunt", "INC-0001", "inc-0001"):
        text = run("describe", name)
        assert text.startswith("web-0: killed")
        for words in ("1. critical", "Pod/web-0", "\\x1b]0;owned\\x07killed", "may not get pods/log", "lacks a right"):
            assert words in text, name
        assert "data/logs/a.json" in text
        assert "2Ki, incomplete" in text
        assert "\x1b" not in text


def test_names_that_are_not_there(run: Callable[..., str], api: FakeApi) -> None:
    """The message has the nearest names."""
    api.objects[f"{SHOP}/payments-500s"] = ended("payments-500s", "Completed")
    assert "nearest names: payments-500s" in run("describe", "payment-500s", code=1)
    assert "nearest names: INC-0001" in run("describe", "INC-0002", code=1)


def test_cancel(run: Callable[..., str], api: FakeApi) -> None:
    """A capture is asked to stop; one that has ended is left alone."""
    api.objects[f"{SHOP}/hunt"] = investigation("hunt", "Running")
    assert "being cancelled" in run("cancel", "hunt")
    assert api.objects[f"{SHOP}/hunt"]["spec"] == {"cancel": True}
    api.objects[f"{SHOP}/done"] = ended("done", "Completed")
    assert "has ended already" in run("cancel", "done")
    assert api.objects[f"{SHOP}/done"]["spec"] == {}


def test_delete(run: Callable[..., str], api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only after a yes; what is on hold stays; the session may be kept."""
    for name in ("one", "two", "held"):
        api.objects[f"{SHOP}/{name}"] = ended(name, "Completed")
    api.objects[f"{SHOP}/held"]["metadata"]["annotations"] = {HOLD: "case 7"}
    assert "nothing was deleted" in run("delete", "one", code=1)
    assert "is on hold (case 7)" in run("delete", "one", "held", "--yes", code=1)
    assert f"{SHOP}/one" in api.objects
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert "shop/one deleted" in run("delete", "one")
    assert "its session is kept" in run("delete", "two", "--yes", "--keep-session")
    assert ("PATCH", f"{SHOP}/two", {"spec": {"retention": {"keep": True}}, "metadata": {"uid": "uid-two"}}) in api.asked
    assert api.objects.keys() == {f"{SHOP}/held"}


def test_hold_and_release(run: Callable[..., str], api: FakeApi) -> None:
    """The annotation has the reason, and is taken off again."""
    api.objects[f"{SHOP}/hunt"] = ended("hunt", "Completed")
    assert "is on hold" in run("hold", "hunt", "--reason", "case 7")
    assert api.objects[f"{SHOP}/hunt"]["metadata"]["annotations"] == {HOLD: "case 7"}
    assert "On hold:" in run("describe", "hunt")
    assert "is released" in run("release", "hunt")
    assert api.objects[f"{SHOP}/hunt"]["metadata"]["annotations"] == {}
    assert "was not on hold" in run("release", "hunt")
