"""Large traces: the spans come one by one, so eight questions at once stay far below the pod's limit, and no pause is long."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import image_environment
from tests.unit.loopback import Answer, Loopback, Request, reply_json

SPANS = 28_000
QUESTIONS = 8
MOST_BYTES = 256 * 1024 * 1024
"""Half of the memory of a pod. It takes 177 to 187 MiB, as the threads come."""
TOP = Path(__file__).resolve().parents[2]

CHILD = """
import asyncio, json, sys
from pathlib import Path
from typing import Any
from aletheia_operator.api.source_types.jaeger import JaegerOptions
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.http import Http
from aletheia_operator.fetchers.jaeger import JaegerFetcher
from aletheia_operator.handlers.event_loop import LoopWatch
from aletheia_operator.api import InvestigationSpec
from aletheia_operator.session.artifact import EntryBuffer
from tests.unit.fakes import make_scratch, make_sources

class One:
    async def find(self, kind, name):
        return Endpoint("main", sys.argv[1], 120, 2**30, options=JaegerOptions(api=sys.argv[2]))

async def capture(sources, writing):
    spec = InvestigationSpec.model_validate({"traces": [{"traceID": "ab12"}]})
    (question,) = (await JaegerFetcher().plan(spec, sources)).questions
    entries = EntryBuffer(make_scratch)
    async for document in JaegerFetcher().fetch(question, sources):
        async for batch in document.batches:
            await asyncio.to_thread(entries.add, batch)
    async with writing:
        size = await asyncio.to_thread(lambda: sum(map(len, entries.blocks())))
    entries.close()
    return size, document.outcome.summary

async def main():
    pauses = []
    watch = LoopWatch(lambda pause: pauses.append(pause.own_seconds)).start()
    writing = asyncio.Semaphore(2)  # as in investigate.saving
    sources = make_sources(http=Http(), data_sources=One())
    found = await asyncio.gather(*(capture(sources, writing) for _ in range(int(sys.argv[3]))))
    watch.stop()
    status = Path("/proc/self/status").read_text()  # getrusage counts what the parent had before exec
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024
    print(json.dumps({"found": found, "peak": peak, "pause": max(pauses, default=0)}))

asyncio.run(main())
"""


def in_v1(request: Request) -> None:
    """A trace as /api/traces has it, its processes last."""
    tags = [{"key": f"http.header.{number}", "type": "string", "value": "x" * 40} for number in range(6)]
    request.head(200)
    request.wfile.write(b'{"data": [{"traceID": "ab12", "spans": [')
    for number in range(SPANS):
        references = [{"refType": "CHILD_OF", "traceID": "ab12", "spanID": "1"}]
        span: dict[str, Any] = {"traceID": "ab12", "spanID": f"{number:x}", "operationName": "GET /", "references": references}
        span |= {"startTime": number, "duration": number, "tags": tags, "logs": [], "processID": f"p{number % 7}"}
        request.wfile.write((b"," if number else b"") + json.dumps(span).encode())
    processes = {f"p{number}": {"serviceName": f"service-{number}", "tags": []} for number in range(7)}
    request.wfile.write(b'], "processes": ' + json.dumps(processes).encode() + b', "warnings": null}], "errors": null}')


def in_v3(request: Request) -> None:
    """The same as OTLP, in one resource."""
    attributes = [{"key": f"http.header.{number}", "value": {"stringValue": "x" * 40}} for number in range(6)]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "service-0"}}]}
    request.head(200)
    head = b'{"result": {"resourceSpans": [{"resource": ' + json.dumps(resource).encode()
    request.wfile.write(head + b', "scopeSpans": [{"scope": {}, "spans": [')
    for number in range(SPANS):
        span: dict[str, Any] = {"traceId": "ab12", "spanId": f"{number:x}", "name": "GET /", "attributes": attributes}
        span |= {"startTimeUnixNano": "0", "endTimeUnixNano": str(number * 1000), "status": {}}
        request.wfile.write((b"," if number else b"") + json.dumps(span).encode())
    request.wfile.write(b"]}]}]}}")


@pytest.mark.parametrize(
    ("api", "names", "answer"),
    [("v1", {"data": ["shop"]}, in_v1), ("v3", {"services": ["shop"]}, in_v3)],
    ids=["v1", "v3"],
)
def test_eight_questions_for_one_large_trace(loopback: Loopback, api: str, names: object, answer: Answer) -> None:
    """Each has every span; together they take a few times what one of them takes as text, imports included."""

    def either(request: Request) -> None:
        (reply_json(names) if request.path.endswith("services") else answer)(request)

    loopback.answers = [either]
    command = [sys.executable, "-c", CHILD, loopback.url, api, str(QUESTIONS)]
    environment = {"PYTHONPATH": f"{TOP}/operator:{TOP}", **image_environment()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=True)
    result = json.loads(done.stdout)
    assert len(result["found"]) == QUESTIONS
    for size, summary in result["found"]:
        assert size > SPANS * 400
        assert summary.startswith("1 trace, slowest 28.0 ms: service-")
    assert result["peak"] < MOST_BYTES, result["peak"]
    assert result["pause"] < 0.25
