"""A hostile server: its answers as Prometheus and Jaeger hang, are huge or are wrong. Runs in a pod with nothing but Python.

The first part of the path selects the answer, so that one server serves several DataSources: /hang, /large, /spans.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGE_SERIES = 4000
SAMPLES = 240
SPANS = 28_000


class Liar(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        lie, _, path = self.path.partition("?")[0].lstrip("/").partition("/")
        if lie == "hang":
            threading.Event().wait(600)
        elif lie == "large" and path.endswith("query_range"):
            self._answer(large_matrix())
        elif lie == "spans" and "traces" in path:
            self._answer(large_trace(path.rpartition("/")[2]))
        else:
            self._answer([b'{"status":"success","data":[]}'])

    do_POST = do_GET

    def _answer(self, pieces: list[bytes]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(sum(map(len, pieces))))
        self.end_headers()
        for piece in pieces:
            self.wfile.write(piece)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def large_matrix() -> list[bytes]:
    """Return about 20 MB of a range query's answer."""
    end = int(time.time())
    values = ",".join(f'[{end - 15 * number},"{number}.25"]' for number in range(SAMPLES, 0, -1))
    series = [f'{{"metric":{{"series":"{number}"}},"values":[{values}]}}' for number in range(LARGE_SERIES)]
    head, tail = b'{"status":"success","data":{"resultType":"matrix","result":[', b"]}}"
    return [head, *(f"{',' if number else ''}{item}".encode() for number, item in enumerate(series)), tail]


def large_trace(trace_id: str) -> list[bytes]:
    """Return one trace of many spans, as in the API of Jaeger's UI."""
    now = int(time.time() * 1e6)
    spans = [
        {
            "traceID": trace_id,
            "spanID": f"{number:016x}",
            "operationName": "GET /" + "x" * 40,
            "references": [],
            "startTime": now - 60_000_000 + number,
            "duration": 10,
            "tags": [{"key": f"tag-{tag}", "type": "string", "value": "v" * 40} for tag in range(4)],
            "logs": [],
            "processID": "p1",
        }
        for number in range(SPANS)
    ]
    trace = {"traceID": trace_id, "spans": spans, "processes": {"p1": {"serviceName": "liar", "tags": []}}}
    return [json.dumps({"data": [trace], "total": 0, "limit": 0, "offset": 0, "errors": None}).encode()]


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", 8080), Liar).serve_forever()
