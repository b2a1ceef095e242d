"""Secrets of each kind, in every place of every source: a capture leaves none of them anywhere.

The capture is whole: fetchers, the parser, timeline, findings, manifest, status, Events, report, export and upload. Sources
answer on the loopback interface, Kubernetes from tables.
"""

import asyncio
import contextlib
import io
import json
import logging
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from aletheia_operator.cli.__main__ import main
from aletheia_operator.fetchers import FETCHERS
from aletheia_operator.handlers import status
from aletheia_operator.handlers.events import event_of
from aletheia_operator.handlers.run import post_end
from aletheia_operator.investigate import Snapshot
from aletheia_operator.report import PlainFiles, Source, markdown_report
from aletheia_operator.serve import resource
from aletheia_operator.serve.catalog import Catalog
from aletheia_operator.session import SessionLayout
from aletheia_operator.session.archive import export_session
from aletheia_operator.text.timestamps import to_nanoseconds
from tests.invalid_specs import RECIPIENT
from tests.support.secrets import stored
from tests.unit.capturing import run, watched_writes
from tests.unit.fakes import NOW, RUNNING, FakeKubernetes, make_order, make_pod, make_tools, make_window
from tests.unit.kubernetes_api import an_event
from tests.unit.loopback import Loopback, Request, reply, reply_json
from tests.unit.s3_server import S3
from tests.unit.uploads import SECRET, secret

SHORTEST = 8  # characters: a shorter secret is in other texts by chance
START = to_nanoseconds(make_window().start) + 60 * 10**9
BY_NAME = "Mz7-kvT2q.Lw9x"  # only its name shows that it is a secret
CORE = "/api/v1/namespaces/shop"


def corpus() -> list[tuple[str, list[str]]]:
    """A text of each kind with its secrets."""
    by_kind: dict[str, tuple[str, list[str]]] = {}
    for kind, text, secrets in stored.read("first"):
        by_kind.setdefault(kind, (text, secrets))
    return list(by_kind.values())


TEXTS = [text for text, _ in corpus()]
CANARIES = [secret for _, secrets in corpus() for secret in secrets if len(secret) >= SHORTEST]
LINES = [line for text in TEXTS for line in text.split("\n")]


def log() -> bytes:
    """The corpus as a container writes it, every line an error."""
    stamps = (f"2026-11-22T11:30:{number // 20 % 60:02d}.{number:09d}Z" for number in range(len(LINES)))
    return b"".join(f"{stamp} {line}\n".encode() for stamp, line in zip(stamps, LINES, strict=True))


def kubernetes(url: str) -> FakeKubernetes:
    pod = make_pod(app=RUNNING)
    pod["spec"]["containers"][0]["env"] = [
        {"name": "DB_PASSWORD", "value": BY_NAME},
        *({"name": f"TEXT_{number}", "value": text} for number, text in enumerate(TEXTS)),
    ]
    pod["spec"]["containers"][0]["command"] = ["app", "--password", BY_NAME, *TEXTS]
    pod["metadata"]["annotations"] = {
        "example.com/api-token": BY_NAME,
        **{f"example.com/{number}": text for number, text in enumerate(TEXTS)},
    }
    pod["status"]["containerStatuses"][0]["lastState"] = {"terminated": {"exitCode": 1, "reason": "Error", "message": TEXTS[0]}}
    events = [
        an_event("web-0", "Failed", at=f"11:{number // 60}0:{number % 60:02d}") | {"message": text}
        for number, text in enumerate(TEXTS)
    ]
    sources = {}
    for name in ("prometheus", "loki", "jaeger", "s3"):
        endpoint = url if name == "s3" else f"{url}/{name}"
        spec: dict[str, Any] = {"type": name, "endpoint": endpoint, "allowedNamespaces": ["shop"]}
        if name == "s3":
            spec |= {"auth": {"accessKey": {"name": "login"}}, "s3": {"bucket": "incidents"}}
        sources[f"/apis/aletheia.dev/v1alpha1/datasources/{name}"] = {"metadata": {"name": name}, "spec": spec}
    return FakeKubernetes(
        objects={f"{CORE}/pods/web-0": pod, SECRET: secret(), **sources},
        lists={f"{CORE}/pods": [pod], f"{CORE}/events": events},
        logs=[[log()]] * 9,
        log_head=log()[:200],
    )


def span(number: int, text: str) -> dict[str, Any]:
    tags = [{"key": "db.password", "type": "string", "value": BY_NAME}, {"key": "http.url", "type": "string", "value": text}]
    start = START // 1000
    fields = {"traceID": "ab12", "spanID": str(number), "processID": "p1", "operationName": text, "startTime": start}
    return fields | {"duration": 5, "tags": tags, "logs": [{"timestamp": start, "fields": [{"key": "event", "value": text}]}]}


class Sources:
    """Prometheus, Loki, Jaeger and S3 at one address."""

    def __init__(self) -> None:
        self.s3 = S3()

    def __call__(self, request: Request) -> None:
        path = urlsplit(request.path).path
        if path.startswith("/incidents"):
            return self.s3(request)
        if path.startswith("/loki/loki/api/v1/query_range"):
            lines = [[str(START + number), line] for number, line in enumerate(LINES)]
            streams = [{"stream": {"app": "shop", "token": BY_NAME}, "values": lines}]
            return reply_json({"status": "success", "data": {"resultType": "streams", "result": streams}})(request)
        if path.startswith("/prometheus") and "refused" in request.path:
            return reply_json({"status": "error", "error": TEXTS[0]}, 400)(request)
        if path.startswith("/prometheus"):
            values = [[START // 10**9, "1"]]
            labels = [{"__name__": "up", "password": BY_NAME, "text": text} for text in TEXTS]
            result: list[Any] = [{"metric": label, "values": values} for label in labels]
            answer = {"status": "success", "data": {"resultType": "matrix", "result": result}, "warnings": TEXTS[:5]}
            return reply_json(answer)(request)
        if path.endswith("/services"):
            return reply_json({"data": ["shop"]})(request)
        if path.startswith("/jaeger"):
            processes = {"p1": {"serviceName": "shop", "tags": [{"key": "api_key", "type": "string", "value": BY_NAME}]}}
            spans = [span(number, text) for number, text in enumerate(TEXTS)]
            return reply_json({"data": [{"traceID": "ab12", "spans": spans, "processes": processes}]})(request)
        return reply(500, TEXTS[1].encode())(request)


SPEC: dict[str, Any] = {
    "logs": {},
    "events": {},
    "objects": {},
    "metrics": [{"query": query, "dataSourceRef": {"name": "prometheus"}} for query in ("up", "refused")],
    "traces": [{"service": "shop", "dataSourceRef": {"name": "jaeger"}}],
    "queries": [{"type": "loki", "query": '{app="shop"}', "dataSourceRef": {"name": "loki"}}],
    "session": {"upload": {"dataSourceRef": {"name": "s3"}}},
}


def left_behind(snapshot: Snapshot, s3: S3, written: list[bytes], logged: str) -> dict[str, bytes]:
    """All that a capture leaves, by place."""
    session = Path(snapshot.path)
    left = {str(path.relative_to(session)): path.read_bytes() for path in session.rglob("*") if path.is_file()}
    archive = BytesIO()
    export_session(session, archive.write)
    left |= {f"s3: {key}": content for key, content in s3.objects.items()}
    left["archive"] = archive.getvalue()
    left["written: journal, scratch, artifacts"] = b"\n".join(written)
    root, page = SessionLayout(session.parent.parent), io.StringIO()
    left["tables of the artifacts API"] = orjson.dumps(resource.table(Catalog(root).list(None), "", NOW, "Object"))
    if snapshot.manifest.encryption is None:
        left["Markdown"] = markdown_report(Source(snapshot.manifest, PlainFiles(session))).encode()
    with contextlib.redirect_stdout(page):
        assert main(["session", "show", snapshot.manifest.session_id, f"--root={root.root}"]) == 0
    left["the command line"] = page.getvalue().encode()
    left["status"] = orjson.dumps(status.of_snapshot(snapshot, 1, {}, NOW))
    posted: list[tuple[str, str, str]] = []
    post_end(snapshot, lambda *event: posted.append(event))
    body = {"metadata": {"name": "incident", "namespace": "shop", "uid": "u"}}
    left["Events"] = orjson.dumps([event_of(body, *event, NOW, 1) for event in posted])
    left["the operator's log"] = logged.encode()
    return left


def found_in(content: bytes) -> list[str]:
    """The canaries that are in a text, also escaped as JSON, once and twice."""
    found = []
    for canary in {*CANARIES, BY_NAME}:
        once = json.dumps(canary)[1:-1]
        if any(form.encode() in content for form in (canary, once, json.dumps(once)[1:-1])):
            found.append(canary)
    return found


def all_found(left: dict[str, bytes]) -> dict[str, list[str]]:
    """The canaries that are left, by place."""
    return {where: found for where, content in left.items() if (found := found_in(content))}


async def test_no_secret_of_the_spec_is_left_behind(
    tmp_path: Path, loopback: Loopback, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets in queries are in no file, name, journal, manifest, report, status, archive or upload."""
    monkeypatch.setattr("aletheia_operator.clients.safe_session.BACKOFF_SECONDS", 0.001)
    for name in ("TEXTS", "LINES"):  # short answers: this test is about the queries
        monkeypatch.setitem(globals(), name, globals()[name][:5])
    sources = Sources()
    loopback.answers = [sources]
    tools = make_tools(tmp_path, *FETCHERS, kubernetes=kubernetes(loopback.url), operator_namespace="aletheia-system")
    asked = [text for text in TEXTS if "\n" not in text and len(text) < 200][:3]
    queries = [f"up{{text={json.dumps(text)}}}" for text in asked] + [f'up{{password="{BY_NAME}"}}']
    lines = [
        {"type": "loki", "query": f'{{app="shop"}} |= {json.dumps(text)}', "dataSourceRef": {"name": "loki"}} for text in asked
    ]
    metrics = [{"query": query, "dataSourceRef": {"name": "prometheus"}} for query in queries]
    traces = [{"service": "shop", "tags": {"password": BY_NAME}, "dataSourceRef": {"name": "jaeger"}}]
    upload = {"upload": {"dataSourceRef": {"name": "s3"}}}
    with watched_writes() as written:
        snapshot = await run(make_order(metrics=metrics, queries=lines, traces=traces, session=upload), tools)
    left = await asyncio.to_thread(left_behind, snapshot, sources.s3, written, caplog.text)
    left["names"] = "\n".join(left).encode()
    assert await asyncio.to_thread(all_found, left) == {}
    assert snapshot.manifest.spec["metrics"][0]["query"].startswith("up{")
    assert len(snapshot.manifest.artifacts) > len(queries)


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "sealed"])
async def test_no_secret_is_left_behind(
    tmp_path: Path, loopback: Loopback, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, sealed: bool
) -> None:
    """In artifacts, scratch files, the journal, manifest, reports, status, the log, archive, upload, API and commands."""
    monkeypatch.setattr("aletheia_operator.clients.safe_session.BACKOFF_SECONDS", 0.001)
    caplog.set_level(logging.DEBUG)
    sources = Sources()
    loopback.answers = [sources]
    tools = make_tools(tmp_path, *FETCHERS, kubernetes=kubernetes(loopback.url), operator_namespace="aletheia-system")
    encryption = {"encryption": {"recipients": [RECIPIENT]}} if sealed else {}
    with watched_writes() as written:
        snapshot = await run(make_order(**{**SPEC, "session": {**SPEC["session"], **encryption}}), tools)
    left = await asyncio.to_thread(left_behind, snapshot, sources.s3, written, caplog.text)
    assert await asyncio.to_thread(all_found, left) == {}
    kinds = {artifact.path.split("/")[-2:][0] for artifact in snapshot.manifest.artifacts}
    assert {"logs", "events", "objects", "metrics", "traces"} <= kinds, [gap.message for gap in snapshot.manifest.gaps]
    assert sources.s3.objects
    assert "Rejected" in {gap.reason for gap in snapshot.manifest.gaps}
    counted = [artifact for artifact in snapshot.manifest.artifacts if artifact.redactions]
    assert len(counted) == 6, "pod's log, Loki's, events, objects, metrics and traces"
    assert snapshot.manifest.redactions > 6 * len(CANARIES) // 2
