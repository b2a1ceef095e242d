"""Range queries compared with curl and promtool, and memory for a very large answer: `python -m tests.benchmarks.metrics`.

curl and promtool download the same chunks into a file; we parse, join and write the artifact. Ratios are of one run on one
machine.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlencode

from aletheia_operator.fetchers.base import Window
from aletheia_operator.fetchers.prometheus import PrometheusFetcher
from aletheia_operator.fetchers.prometheus.grid import Grid
from tests.benchmarks.capturing import capture, peak_mb
from tests.cluster import programs, servers
from tests.support.fetching import endpoint, window

END = 1_763_000_010
STEP = 15
ROUNDS = 3
LARGE_BYTES = 500 * 10**6
MOST_RATIO = 1.3
MOST_MB = 150


@dataclass(frozen=True)
class Case:
    """A number of points of two series, and the number of copies of each."""

    name: str
    points: int
    copies: int

    @property
    def query(self) -> str:
        return " or ".join(f'label_replace(level, "copy", "{number}", "", "")' for number in range(self.copies))

    @property
    def span(self) -> Window:
        return window(END - (self.points - 1) * STEP, END)


CASES = (Case("50 hours at 15 s", 12_000, 12), Case("30 days at 15 s", 172_800, 1))


def main(arguments: Sequence[str]) -> int:
    if arguments:  # a separate process, so that its peak can be measured
        return _capture_large(arguments[0])
    good = True
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        first = END - max(case.points for case in CASES) * STEP
        lines = [f'level{{series="{name}"}} {moment % 977} {moment}' for name in "ab" for moment in range(first, END + 1, STEP)]
        text = "\n".join(["# TYPE level gauge", *lines, "# EOF", ""])
        with servers.prometheus(directory / "prometheus", openmetrics=text) as server:
            for case in CASES:
                rows = [_round(case, server.url, directory) for _ in range(ROUNDS + 1)][1:]
                ours, curl, promtool = (sorted(column)[len(column) // 2] for column in zip(*rows, strict=True))
                print(f"{case.name}, {2 * case.copies} series: ours {ours:.2f} s, curl {curl:.2f} s, promtool {promtool:.2f} s")
                ratios = f"ratio to curl {ours / curl:.2f}, to promtool {ours / promtool:.2f} (at most {MOST_RATIO})"
                print(f"  {ratios}; load average {os.getloadavg()[0]:.1f}", flush=True)
                good = good and ours <= MOST_RATIO * curl
    peak = _peak_of_large()
    print(f"an answer of {LARGE_BYTES // 10**6} MB: peak {peak:.0f} MB RSS (at most {MOST_MB})")
    return 0 if good and peak <= MOST_MB else 1


def _round(case: Case, url: str, directory: Path) -> tuple[float, float, float]:
    """Return the seconds of our fetcher, curl and promtool."""
    grid = Grid.of(case.span, STEP)
    began = time.perf_counter()
    metrics = [{"query": case.query, "step": f"{STEP}s"}]
    fetched = capture(PrometheusFetcher(), endpoint(url), case.span, directory, metrics=metrics)
    ours = time.perf_counter() - began
    assert fetched.missing == []
    assert fetched.documents[0].metadata["samples"] == 2 * case.copies * case.points
    _, tool = programs.prometheus()
    commands: dict[str, list[list[str]]] = {"curl": [], "promtool": []}
    for chunk in grid.chunks():
        query = urlencode({"query": case.query, "start": chunk.start, "end": chunk.end, "step": STEP})
        commands["curl"].append(["curl", "-sf", f"{url}/api/v1/query_range?{query}"])
        bounds = [f"--start={chunk.start}", f"--end={chunk.end}", f"--step={STEP}s"]
        commands["promtool"].append([str(tool), "query", "range", "--format=json", *bounds, url, case.query])
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
    print(peak_mb())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
