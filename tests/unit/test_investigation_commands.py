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
from tests.unit.proxies import FORBIDDEN, FakeApi, connect

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


@pytest.mark.parametrize("written", [["-n", "bank"], ["-n=bank"], ["-nbank"], ["--namespace=bank"]])
def test_a_namespace_as_for_kubectl(written: list[str], api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    """Every way to write it for kubectl works."""
    assert main(["list", *written]) == 0
    assert "in namespace bank" in capsys.readouterr().err


class Terminal(io.StringIO):
    """A terminal that keeps what is printed."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("command", [["list"], ["describe", "evening"]])
def test_a_pager_that_is_quit(api: FakeApi, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command ends at once, without an error."""
    for number in range(1000):
        api.objects[f"{SHOP}/evening-{number}"] = investigation(f"evening-{number}", "Completed", headline="x" * 100)
    findings = [{"rule": "CrashLoop", "message": "x" * 500}] * 500
    api.objects[f"{SHOP}/evening"] = investigation("evening", "Completed", findings=findings)
    monkeypatch.setenv("PAGER", "true")
    for stream in ("stdout", "stdin"):
        monkeypatch.setattr(sys, stream, Terminal())
    assert main(["-n", "shop", *command]) == ExitCode.OK


@pytest.mark.parametrize("pager", ["cat", sys.executable + " -c 'import sys; sys.stdout.write(sys.stdin.read())'"])
@pytest.mark.parametrize(
    ("environment", "has_styles"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
    ids=["styles", "no-color", "forced", "dumb"],
)
@pytest.mark.parametrize("command", ["list", "describe"])
def test_styles_on_a_terminal(
    command: str,
    environment: dict[str, str],
    has_styles: bool,
    pager: str,
    api: FakeApi,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """$NO_COLOR and TERM=dumb mean plain text: no colour, and nothing bold or underlined either."""
    api.objects[f"{SHOP}/hunt"] = ended("hunt", "Failed", headline="oom", gaps=[{"reason": "NotFound", "target": "web"}])
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in {"TERM": "xterm-256color", "PAGER": pager, **environment}.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    for stream in ("stdout", "stdin"):
        monkeypatch.setattr(sys, stream, terminal)
    assert main(["-n", "shop", command, *(["hunt"] if command == "describe" else [])]) == ExitCode.OK
    text = terminal.getvalue() + capfd.readouterr().out
    assert "hunt" in text
    assert ("\x1b" in text) == has_styles


def test_a_narrow_terminal(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells of a table are not cut, and errors are wrapped between words: names can be read and copied."""
    for name in ("payments-500s", "payments-501s", "payments-502s"):
        api.objects[f"{SHOP}/{name}"] = ended(name, "PartiallyCompleted", artifactCount=14)
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("PAGER", "cat")
    terminal = Terminal()
    for stream in ("stdout", "stdin", "stderr"):
        monkeypatch.setattr(sys, stream, terminal)
    assert main(["-n", "shop", "list", "-o", "wide"]) == ExitCode.OK
    assert terminal.getvalue().count("1Ki") == 3
    assert "…" not in terminal.getvalue()
    terminal.truncate(0)
    assert main(["-n", "shop", "describe", "payments-50s"]) == ExitCode.ERROR
    words = terminal.getvalue().replace("\0", "")
    assert all(len(line) <= 50 for line in words.splitlines())
    assert words.splitlines()[-1].endswith("payments-500s")


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
        ("web --recipient AGE-SECRET-KEY-1", "spec.session.encryption.recipients[0]: is no public key of age"),
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


@pytest.mark.parametrize(
    ("refusal", "has_remedy"),
    [
        ("", True),
        ("denied request: tess may not get pods/log; a RoleBinding there to ClusterRole view would allow it", False),
        ('"web" is forbidden: exceeded quota: investigations, requested: 1, used: 9, limited: 9', False),
        ('users "bob" is forbidden: User "tess" cannot impersonate resource "users" in API group ""', False),
    ],
)
def test_start_without_the_right(refusal: str, has_remedy: bool, run: Callable[..., str], api: FakeApi) -> None:
    """RBAC names only the missing right, so the remedy is added. Admission policies name theirs, and a quota is no right."""
    api.objects[SHOP], api.refusal = 403, refusal
    text = run("start", "web", code=1)
    assert (refusal or FORBIDDEN) in text
    assert ("An admin gives the right in namespace shop" in text) == has_remedy


def test_list(run: Callable[..., str], api: FakeApi) -> None:
    """A table of what broke, which is cut only for a terminal, and has no hidden character."""
    api.objects[f"{SHOP}/first"] = investigation(
        "first", "Completed", headline="web: \x1b[31mpanic", session={"id": "INC-0001"}
    )
    api.objects[f"{SHOP}/second"] = investigation("second", "Running", progress={"done": 1, "total": 3, "text": "1/3"})
    gaps = [{"target": "deployment/ledgr", "message": "the nearest names: ledger"}]
    api.objects[f"{SHOP}/third"] = investigation("third", "Failed", gaps=gaps)
    text = run("list")
    assert "INC-0001" in text
    assert "\\x1b[31mpanic" in text
    assert "deployment/ledgr: the nearest names: ledger" in text
    assert "Running 1/3" in text
    assert "\x1b" not in text
    assert "there are no Investigations in namespace empty" in run("list", "-n", "empty")


def ended(name: str, phase: str, **status: Any) -> dict[str, Any]:
    return investigation(name, phase, session={"id": "INC-0001", "size": "1Ki"}, **status)


def test_an_investigation_that_no_operator_sees() -> None:
    """Only after a while is it reported: a new one is seen within a second."""
    unseen = Investigation(investigation("hunt"))
    assert following.words(unseen, 1) == "shop/hunt Pending"
    assert (
        following.words(unseen, 60, with_time=True) == "shop/hunt Pending, no operator has seen it yet: `doctor` says why, 60s"
    )


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
    assert "shop/hunt Pending\n" in text
    assert "shop/hunt Running, 2 of 5 questions answered" in text
    assert f"shop/hunt {phase}, session INC-0001" in text
    assert "oom" in text


def test_wait_on_a_simple_terminal(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no line can be changed, each step is a line of its own."""
    api.objects[f"{SHOP}/hunt"] = investigation("hunt")
    api.events = [[{"type": "MODIFIED", "object": ended("hunt", "Completed")}]]
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["-n", "shop", "wait", "hunt"]) == ExitCode.OK
    assert terminal.getvalue().startswith("shop/hunt Pending\nread on: ")


def test_wait_says_why_nothing_was_found(run: Callable[..., str], api: FakeApi) -> None:
    """Of an Investigation without findings the gaps are shown: a misspelt target has the nearest names."""
    api.objects[f"{SHOP}/hunt"] = investigation("hunt")
    missing = {"target": "deployment/ledgr", "reason": "NotFound", "message": "the nearest names: ledger"}
    gaps = [missing, *({"target": f"pod/web-{number}", "message": "gone"} for number in range(9))]
    api.events = [[{"type": "MODIFIED", "object": ended("hunt", "Failed", gaps=gaps)}]]
    text = run("wait", "hunt", code=ExitCode.FAILED)
    assert "deployment/ledgr: the nearest names: ledger\n" in text
    assert "pod/web-1: gone" in text and "pod/web-2" not in text


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
    finding["firstSeen"] = "2026-11-22T14:28:00.092503000Z"
    gap = {"fetcher": "KubernetesLogs", "target": "web-1", "reason": "Forbidden", "message": "may not get pods/log"}
    artifact = {"path": "data/logs/a.json", "summary": "3 lines", "sizeBytes": 2048, "complete": False}
    found = {"path": "data/findings.json", "count": 7}
    api.objects[f"{SHOP}/hunt"] = ended(
        "hunt",
        "PartiallyCompleted",
        headline="web-0: killed",
        findings=[finding, {"severity": "info", "message": "rolled out"}],
        gaps=[gap],
        artifacts=[artifact, found],
    )
    for name in ("hunt", "shop/hunt", "INC-0001", "inc-0001"):
        text = run("describe", name)
        assert text.startswith("web-0: killed")
        for words in (
            "Findings (the first 2 of 7)",
            "1. critical",
            "2. info rolled out",
            "Pod/web-0",
            "\\x1b]0;owned\\x07killed",
            "may not get pods/log",
            "lacks a right",
        ):
            assert words in text, name
        assert "data/logs/a.json\n    2Ki, incomplete: 3 lines" in text
        assert "since 2026-11-22T14:28:00Z" in text
        assert "\x1b" not in text
        assert max(map(len, text.splitlines())) < 200  # in a pipe nothing is padded to the width, which has no limit


@pytest.mark.parametrize("recipients", [[], ["age1..."]])
@pytest.mark.parametrize("flags", [[], ["--context", "the prod"]])
def test_commands_to_read_on(recipients: list[str], flags: list[str], run: Callable[..., str], api: FakeApi) -> None:
    """They work as printed: with the cluster's options, and with a key if the session is sealed to recipients."""
    api.objects[f"{SHOP}/hunt"] = ended("hunt", "Completed")
    if recipients:
        api.objects[f"{SHOP}/hunt"]["spec"] = {"session": {"encryption": {"recipients": recipients}}}
    more = (" --identity FILE" if recipients else "") + (" '--context=the prod'" if flags else "")
    assert f"aletheia findings shop/hunt{more}\n" in run(*flags, "describe", "hunt")
    text = run(*flags, "wait", "hunt")
    assert f"read on: aletheia open shop/hunt{more}\n" in text
    assert f"read on: aletheia describe shop/hunt{more.removeprefix(' --identity FILE')}\n" in text


def test_a_description_says_why_nothing_happens(run: Callable[..., str], api: FakeApi) -> None:
    """For example that no operator runs, or that the Investigation is suspended."""
    api.objects[f"{SHOP}/hunt"] = investigation("hunt")
    assert "no operator has seen it yet: `doctor` says why" in run("describe", "hunt")
    api.objects[f"{SHOP}/hunt"]["spec"] = {"suspend": True}
    assert "suspended: it starts when spec.suspend is false" in run("describe", "hunt")


def test_an_investigation_that_expired(run: Callable[..., str], api: FakeApi) -> None:
    """Its description says so, and names no command that would read the removed data."""
    message = "the data of session INC-0001 was removed at 2026-11-29T12:00:00Z"
    expired = {"type": "ArtifactsExpired", "status": "True", "message": message}
    api.objects[f"{SHOP}/hunt"] = ended("hunt", "Completed", conditions=[expired])
    text = run("describe", "hunt")
    assert f"ArtifactsExpired:  {message}" in text
    assert "Read on" not in text


@pytest.mark.parametrize("command", ["list", "describe hunt", "findings hunt", "start web"])
def test_a_namespace_that_is_not_there(command: str, run: Callable[..., str], api: FakeApi) -> None:
    """The message says so, with the nearest names. Who may not list namespaces reads that nothing was found."""
    missing = command.replace("hunt", "shp/hunt") if "hunt" in command else f"{command} -n shp"
    api.objects[f"{API}/namespaces/shp/investigations"] = {"items": []} if "start" not in command else 404
    api.objects["/api/v1/namespaces"] = {"items": [{"metadata": {"name": name}} for name in ("shop", "bank")]}
    assert "there is no namespace shp; the nearest names: shop" in run(*missing.split(), code=1)
    api.objects["/api/v1/namespaces"] = 403
    assert "there is no namespace" not in run(*missing.split(), code=0 if command == "list" else 1)


def test_an_id_that_is_not_in_the_namespace(run: Callable[..., str], api: FakeApi) -> None:
    """If this user may list only one namespace, the message names it: the session may be in another."""
    api.objects[f"{API}/investigations"] = 403
    assert "no Investigation in namespace shop has the session INC-0002" in run("describe", "INC-0002", code=1)


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
    keep = {"spec": {"retention": {"keep": True}}, "metadata": {"uid": "uid-two"}}
    assert ("PATCH", f"{SHOP}/two?fieldManager=aletheia", keep) in api.asked
    assert api.objects.keys() == {f"{SHOP}/held"}


def test_hold_and_release(run: Callable[..., str], api: FakeApi) -> None:
    """The annotation has the reason, and is taken off again. Flux leaves it: its field manager is not one of kubectl's."""
    api.objects[f"{SHOP}/hunt"] = ended("hunt", "Completed")
    assert "is on hold" in run("hold", "hunt", "--reason", "case 7")
    assert api.objects[f"{SHOP}/hunt"]["metadata"]["annotations"] == {HOLD: "case 7"}
    assert "On hold:" in run("describe", "hunt")
    assert "is released" in run("release", "hunt")
    assert api.objects[f"{SHOP}/hunt"]["metadata"]["annotations"] == {}
    assert "was not on hold" in run("release", "hunt")
    assert [path for method, path, _ in api.asked if method == "PATCH"] == [f"{SHOP}/hunt?fieldManager=aletheia"] * 2
