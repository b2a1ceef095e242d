"""Range queries beside curl and promtool, and memory of a very large answer: `python -m tests.benchmarks.metrics`.

curl and promtool download the same chunks into a file; we parse, glue and write the artifact. Ratios of one run on one machine.
"""

import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlencode

from aletheia_operator.fetchers.prometheus import PrometheusFetcher
from aletheia_operator.fetchers.prometheus.grid import Grid
from tests.benchmarks.capturing import capture
from tests.cluster import programs, servers
from tests.support.fetching import endpoint, window

END = 1_763_000_010
STEP = 15
POINTS = 12_000
COPIES = 12
ROUNDS = 2
LARGE_BYTES = 500 * 10**6
MOST_RATIO = 1.3
MOST_MB = 150
QUERY = " or ".join(f'label_replace(level, "copy", "{number}", "", "")' for number in range(COPIES))


def main(arguments: Sequence[str]) -> int:
    if arguments:  # a process of its own, whose peak is measured
        return _capture_large(arguments[0])
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        lines = [
            f'level{{series="{one}"}} {moment % 977} {moment}'
            for one in "ab"
            for moment in range(END - POINTS * STEP, END, STEP)
        ]
        text = "\n".join(["# TYPE level gauge", *lines, "# EOF", ""])
        with servers.prometheus(directory / "prometheus", openmetrics=text) as server:
            rows = [_round(server.url, directory) for _ in range(ROUNDS + 1)][1:]
    ours, curl, promtool = (sorted(column)[len(column) // 2] for column in zip(*rows, strict=True))
    print(f"{2 * COPIES} series x {POINTS} points: ours {ours:.2f} s, curl {curl:.2f} s, promtool {promtool:.2f} s")
    print(f"ratio to curl {ours / curl:.2f}, to promtool {ours / promtool:.2f} (at most {MOST_RATIO})", flush=True)
    peak = _peak_of_large()
    print(f"an answer of {LARGE_BYTES // 10**6} MB: peak {peak:.0f} MB RSS (at most {MOST_MB})")
    return 0 if ours <= MOST_RATIO * curl and peak <= MOST_MB else 1


def _round(url: str, directory: Path) -> tuple[float, float, float]:
    span = window(END - (POINTS - 1) * STEP, END)
    grid = Grid.of(span, STEP)
    began = time.perf_counter()
    capture(PrometheusFetcher(), endpoint(url), span, directory, metrics=[{"query": QUERY, "step": f"{STEP}s"}])
    ours = time.perf_counter() - began
    _, tool = programs.prometheus()
    commands: dict[str, list[list[str]]] = {"curl": [], "promtool": []}
    for chunk in grid.chunks():
        query = urlencode({"query": QUERY, "start": chunk.start, "end": chunk.end, "step": STEP})
        commands["curl"].append(["curl", "-sf", f"{url}/api/v1/query_range?{query}"])
        bounds = [f"--start={chunk.start}", f"--end={chunk.end}", f"--step={STEP}s"]
        commands["promtool"].append([str(tool), "query", "range", "--format=json", *bounds, url, QUERY])
    times = []
    for name in ("curl", "promtool"):
        began = time.perf_counter()
        for command in commands[name]:
            with (directory / "by-hand").open("wb") as file:
                subprocess.run(command, stdout=file, check=True, timeout=300)
        times.append(time.perf_counter() - began)
    return ours, times[0], times[1]


class _Large(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        values = ",".join(f'[{END + 15 * number},"{number}.25"]' for number in range(11_000))
        self.wfile.write(b'{"status":"success","data":{"resultType":"matrix","result":[')
        size, number = 0, 0
        while size < LARGE_BYTES:
            series = f'{"," if number else ""}{{"metric":{{"n":"{number}"}},"values":[{values}]}}'.encode()
            self.wfile.write(series)
            size, number = size + len(series), number + 1
        self.wfile.write(b"]}}")

    def log_message(self, *_: object) -> None:
        pass


def _peak_of_large() -> float:
    server = HTTPServer(("127.0.0.1", 0), _Large)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    command = [sys.executable, "-m", "tests.benchmarks.metrics", f"http://127.0.0.1:{server.server_port}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    server.shutdown()
    return float(done.stdout)


def _capture_large(url: str) -> int:
    with tempfile.TemporaryDirectory() as name:
        span = window(END, END + 10_999 * STEP)
        fetched = capture(
            PrometheusFetcher(), endpoint(url, timeout_seconds=600), span, Path(name), metrics=[{"query": "x", "step": "15s"}]
        )
    assert fetched.missing == []
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
