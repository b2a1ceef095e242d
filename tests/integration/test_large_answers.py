"""Answers of half a gigabyte: the operator's memory stays flat, and the evidence is whole."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.http import threads_serving
from tests.support.large import END

LARGE_BYTES = 500 * 10**6
MOST_MB = 150
ELEMENTS = 900
LOKI_MOMENT = (END - 1) * 10**9

TEXT = "x" * 500
SPAN = json.dumps(
    {
        "traceID": "NUMBER",
        "spanID": "1",
        "operationName": "GET /",
        "duration": 5,
        "startTime": END * 10**6,
        "processID": "p1",
        "tags": [{"key": "text", "type": "string", "value": TEXT}],
    }
)
OTLP = json.dumps(
    {
        "traceId": "NUMBER",
        "name": "GET /",
        "startTimeUnixNano": str(END * 10**9),
        "endTimeUnixNano": str(END * 10**9 + 1),
        "attributes": [{"key": "text", "value": {"stringValue": TEXT}}],
    }
)
SAMPLE = f'[{END},"0.12345678901234567"]'
SHOP = '{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]}'
# start of the answer; start, repeated part and end of an element; end of the answer
SHAPES = {
    "prometheus": (
        '{"status":"success","data":{"resultType":"matrix","result":[',
        '{"metric":{"n":"NUMBER"},"values":[',
        SAMPLE,
        "]}",
        "]}}",
    ),
    "jaeger-v1": (
        '{"data":[',
        '{"traceID":"NUMBER","spans":[',
        SPAN,
        '],"processes":{"p1":{"serviceName":"shop"}}}',
        '],"errors":null}',
    ),
    "jaeger-v3": (
        '{"result":{"resourceSpans":[',
        f'{{"resource":{SHOP},"scopeSpans":[{{"spans":[',
        OTLP,
        "]}]}",
        "]}}",
    ),
    "loki": (
        '{"status":"success","data":{"resultType":"streams","result":[',
        '{"stream":{"pod":"web-NUMBER"},"values":[',
        json.dumps([str(LOKI_MOMENT), "INFO " + "x" * (LARGE_BYTES // ELEMENTS)]),
        "]}",
        "]}}",
    ),
}


@contextmanager
def serving(kind: str) -> Iterator[str]:
    """A server with answers of LARGE_BYTES."""
    head, begin, part, end, tail = SHAPES[kind]
    times = max(1, LARGE_BYTES // ELEMENTS // len(part))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            if self.path.endswith("/services"):
                self.wfile.write(b'{"data":["shop"],"services":["shop"]}')
                return
            self.wfile.write(head.encode())
            start = parse_qs(urlsplit(self.path).query).get("start", ["0"])[0]
            behind = kind == "loki" and int(start) > LOKI_MOMENT
            for number in range(0 if behind else ELEMENTS):
                element = begin + ",".join([part] * times) + end
                self.wfile.write(("," * bool(number) + element.replace("NUMBER", f"{number:x}")).encode())
            self.wfile.write(tail.encode())

        def log_message(self, *_: object) -> None:
            pass

    with threads_serving(Handler) as address:
        yield f"http://{address}"


@pytest.mark.parametrize("kind", SHAPES)
def test_memory_stays_flat(tmp_path: Path, kind: str) -> None:
    """At most 150 MB of memory for an answer of 500 MB, which is completely in the artifact."""
    with serving(kind) as url:
        command = [sys.executable, "-m", "tests.support.large", kind, url, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (artifact,) = tmp_path.iterdir()
    size_bytes = artifact.stat().st_size
    artifact.unlink()
    assert size_bytes > 0.9 * LARGE_BYTES
    assert float(done.stdout) <= MOST_MB
