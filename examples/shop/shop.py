"""A small shop that really misbehaves: `shop.py ledger|payments|checkout`.

checkout takes orders (and places them itself, RATE a second), payments charges them, ledger books them in a journal.
Record 40 of the journal is torn in writing. The ledger finds it and panics, and panics again whenever it restarts and
replays the journal. From then on payments is refused the connection, retries, gets slow and answers 503, and checkout
fails its orders.

All three serve GET /metrics (Prometheus text format) and send their spans to Jaeger (OTLP over HTTP, as JSON). The
calls between them are real; what is played is the torn record alone. Standard library only, Python 3.11.
"""

import itertools
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

# ruff: noqa: S104, S310  (a container serves on all of its addresses; every URL is of the shop's own making)

RATE = 5.0  # orders a second
RUSH_SECONDS = 600.0  # after that customers come once a minute, so that a forgotten shop fills no disk
TORN_RECORD = 40  # eight seconds after the first order
REPLAY_SECONDS = 1.0  # a record; the ledger does not listen meanwhile
RETRY_PAUSES_SECONDS = (0.0, 0.2, 0.6)
LEDGER_TIMEOUT_SECONDS = 1.0
PAYMENTS_TIMEOUT_SECONDS = 5.0  # longer than three attempts at the ledger
EXPORT_TIMEOUT_SECONDS = 2.0
TRACEBACK_EVERY = 5  # failures; each of them would drown the log
START_SECONDS = 30.0
BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
MAX_WAITING_SPANS = 20_000  # until Jaeger answers

ITEMS = ("Käsekuchen", "Jalapeño-Dip", "抹茶ラテ", "Crème brûlée", "Борщ", "Smørrebrød 🐟")
CUSTOMERS = ("Zoë Müller", "李雷", "Ana-María Núñez", "Олена Коваль", "Jean-Luc d'Été")

log = logging.getLogger("shop")


class Failed(Exception):
    """A call did not do its work; becomes an answer with this status."""

    def __init__(self, message: str, status: int = 503) -> None:
        super().__init__(message)
        self.status = status


class JournalCorrupt(Exception):
    """The journal cannot be read back."""


# --- metrics


class Metrics:
    """Requests by route and status, as a counter and a histogram."""

    def __init__(self, service: str, routes: dict[tuple[str, str], Any]) -> None:
        self._service = service
        self._lock = threading.Lock()
        # every series exists from the start: a rate needs a zero to rise from
        self._requests = {(*route, status): 0 for route in routes for status in (200, 503)}
        self._buckets = {route: [0] * (len(BUCKETS_SECONDS) + 1) for route in routes}
        self._seconds = dict.fromkeys(routes, 0.0)

    def observe(self, route: tuple[str, str], status: int, seconds: float) -> None:
        with self._lock:
            self._requests[*route, status] = self._requests.get((*route, status), 0) + 1
            self._seconds[route] += seconds
            self._buckets[route][sum(seconds > bound for bound in BUCKETS_SECONDS)] += 1

    def text(self) -> str:
        lines = ["# HELP http_requests_total Requests answered.", "# TYPE http_requests_total counter"]
        with self._lock:
            for (method, path, status), count in self._requests.items():
                lines.append(f'http_requests_total{{{self._labels(method, path)},status="{status}"}} {count}')
            name = "http_request_duration_seconds"
            lines += [f"# HELP {name} Time to answer.", f"# TYPE {name} histogram"]
            for route, counts in self._buckets.items():
                labels = self._labels(*route)
                for bound, count in zip((*BUCKETS_SECONDS, "+Inf"), itertools.accumulate(counts), strict=True):
                    lines.append(f'{name}_bucket{{{labels},le="{bound}"}} {count}')
                lines.append(f"{name}_sum{{{labels}}} {self._seconds[route]:.6f}")
                lines.append(f"{name}_count{{{labels}}} {sum(counts)}")
        return "\n".join(lines) + "\n"

    def _labels(self, method: str, path: str) -> str:
        return f'service="{self._service}",method="{method}",path="{path}"'


# --- traces


@dataclass
class Span:
    """One step of a trace, in the words of OTLP."""

    SERVER: ClassVar[int] = 2
    CLIENT: ClassVar[int] = 3

    name: str
    kind: int
    trace_id: str
    parent_id: str = ""
    span_id: str = field(default_factory=lambda: os.urandom(8).hex())
    start_ns: int = field(default_factory=time.time_ns)
    end_ns: int = 0
    attributes: dict[str, str | int] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""

    @property
    def traceparent(self) -> str:
        """The W3C header that a call carries on."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    def fail(self, error: BaseException) -> None:
        self.error = str(error)
        exception: dict[str, str | int] = {
            "exception.type": type(error).__name__,
            "exception.message": str(error),
            "exception.stacktrace": "".join(traceback.format_exception(error)),
        }
        event = {"name": "exception", "timeUnixNano": str(time.time_ns()), "attributes": _attributes(exception)}
        self.events.append(event)

    def otlp(self) -> dict[str, Any]:
        return {
            "traceId": self.trace_id,
            "spanId": self.span_id,
            "parentSpanId": self.parent_id,
            "name": self.name,
            "kind": self.kind,
            "startTimeUnixNano": str(self.start_ns),
            "endTimeUnixNano": str(self.end_ns),
            "attributes": _attributes(self.attributes),
            "events": self.events,
            "status": {"code": 2, "message": self.error} if self.error else {"code": 1},
        }


def _attributes(values: dict[str, str | int]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for key, value in values.items()
    ]


class Tracer:
    """Collects spans and sends them; keeps them while Jaeger does not answer."""

    def __init__(self, service: str, endpoint: str) -> None:
        self._resource = {"attributes": _attributes({"service.name": service, "host.name": os.uname().nodename})}
        self._url = f"{endpoint}/v1/traces"
        self._waiting: deque[Span] = deque(maxlen=MAX_WAITING_SPANS)
        threading.Thread(target=self._send_forever, daemon=True).start()

    @contextmanager
    def span(self, name: str, kind: int, traceparent: str = "") -> Iterator[Span]:
        """A span around the block; an exception marks it as failed and goes on."""
        parts = traceparent.split("-")
        trace_id, parent_id = (parts[1], parts[2]) if len(parts) == 4 else (os.urandom(16).hex(), "")
        span = Span(name, kind, trace_id, parent_id)
        try:
            yield span
        except BaseException as error:
            span.fail(error)
            raise
        finally:
            span.end_ns = time.time_ns()
            self._waiting.append(span)

    def _send_forever(self) -> None:
        while True:
            time.sleep(0.5)
            batch = [self._waiting.popleft() for _ in range(min(500, len(self._waiting)))]
            if not batch:
                continue
            spans = {"scope": {"name": "shop"}, "spans": [span.otlp() for span in batch]}
            body = {"resourceSpans": [{"resource": self._resource, "scopeSpans": [spans]}]}
            request = urllib.request.Request(self._url, json.dumps(body).encode(), {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=EXPORT_TIMEOUT_SECONDS):
                    pass
            except (OSError, HTTPException):
                self._waiting.extendleft(reversed(batch))


# --- HTTP

Route = Callable[[dict[str, Any], Span], dict[str, Any]]


class Service:
    """An HTTP server over a few POST routes, with /metrics, /healthz, spans and counting."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tracer = Tracer(name, os.environ.get("OTLP_ENDPOINT", "http://127.0.0.1:4318"))
        self.dead: queue.Queue[BaseException] = queue.Queue()
        self._routes: dict[tuple[str, str], Route] = {}

    def call(self, url: str, body: dict[str, Any], parent: Span, timeout: float) -> dict[str, Any]:
        """POST to another service. Raises Failed for its 5xx, OSError or HTTPException when it cannot be reached."""
        peer = url.split("/")[2].split(":")[0]
        with self.tracer.span(f"POST {peer}", Span.CLIENT, parent.traceparent) as span:
            span.attributes |= {"http.request.method": "POST", "url.full": url, "peer.service": peer}
            headers = {"Content-Type": "application/json", "traceparent": span.traceparent}
            request = urllib.request.Request(url, json.dumps(body).encode(), headers)
            try:
                with urllib.request.urlopen(request, timeout=timeout) as response:
                    answer: dict[str, Any] = json.load(response)
                    return answer
            except urllib.error.HTTPError as error:
                with error:
                    message = json.load(error)["error"]
                span.attributes["http.response.status_code"] = error.code
                raise Failed(f"{peer} answered {error.code}: {message}") from None
            except urllib.error.URLError as error:
                if isinstance(error.reason, OSError):
                    raise error.reason from None
                raise

    def serve(self, routes: dict[str, Route]) -> None:
        """Serve in the background on PORT (8080)."""
        self._routes = {("POST", path): route for path, route in routes.items()}
        metrics = Metrics(self.name, self._routes)
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/metrics":
                    self.answer(200, metrics.text().encode(), "text/plain; version=0.0.4")
                else:
                    self.answer(200 if self.path == "/healthz" else 404, b"", "text/plain")

            def do_POST(self) -> None:
                route = service._routes.get(("POST", self.path))
                if route is None:
                    self.answer(404, b"", "text/plain")
                    return
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                began = time.perf_counter()
                status, answer = service._run(self.path, route, body, self.headers.get("traceparent", ""))
                metrics.observe(("POST", self.path), status, time.perf_counter() - began)
                self.answer(status, json.dumps(answer).encode(), "application/json")

            def answer(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass  # the routes log what they do

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: Any, client_address: Any) -> None:
                log.warning("a caller went away: %s", sys.exc_info()[1])

        server = Server(("0.0.0.0", int(os.environ.get("PORT", "8080"))), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def _run(self, path: str, route: Route, body: dict[str, Any], traceparent: str) -> tuple[int, dict[str, Any]]:
        try:
            with self.tracer.span(f"POST {path}", Span.SERVER, traceparent) as span:
                span.attributes |= {"http.request.method": "POST", "http.route": path, "order": str(body.get("order"))}
                try:
                    answer = route(body, span)
                except Failed as error:
                    span.attributes["http.response.status_code"] = error.status
                    raise
                span.attributes["http.response.status_code"] = 200
                return 200, answer
        except Failed as error:
            return error.status, {"error": str(error)}

    def run_until_dead(self) -> None:
        """Wait until a thread puts an exception into `dead`, and die of it."""
        raise self.dead.get()


# --- workloads


def ledger() -> None:
    """Books payments in a journal; logs in logfmt. Exits 1 with a traceback when the journal is corrupt."""
    service = Service("ledger")
    journal = Path(os.environ.get("JOURNAL", "/journal/journal.ndjson"))
    lock = threading.Lock()
    log.info("ledger is starting", extra={"fields": {"version": "2.3.0", "journal": str(journal)}})
    booked = 0
    if journal.exists():
        log.info("replaying the journal", extra={"fields": {"bytes": journal.stat().st_size}})
        try:
            for booked in read_journal(journal):
                log.info("replayed", extra={"fields": {"entry": booked}})
                time.sleep(REPLAY_SECONDS)
        except JournalCorrupt as error:
            log.critical("panic: %s", error)
            raise

    def book(body: dict[str, Any], span: Span) -> dict[str, Any]:
        nonlocal booked
        with lock:
            record = json.dumps({"entry": booked + 1, "order": body["order"], "cents": body["cents"]})
            line = f"{zlib.crc32(record.encode()):08x} {record}\n"
            with journal.open("a") as file:
                file.write(line if booked + 1 != TORN_RECORD else line[: len(line) // 2] + "\n")
            try:
                *_, booked = read_journal(journal)
            except JournalCorrupt as error:
                log.critical("panic: %s", error, extra={"fields": {"order": body["order"]}})
                service.dead.put(error)
                threading.Event().wait()  # the caller sees the connection drop
        span.attributes["ledger.entry"] = booked
        log.info("booked", extra={"fields": {"entry": booked, "order": body["order"], "cents": body["cents"]}})
        return {"entry": booked}

    service.serve({"/entries": book})
    log.info("listening", extra={"fields": {"port": os.environ.get("PORT", "8080"), "entries": booked}})
    service.run_until_dead()


def read_journal(journal: Path) -> Iterator[int]:
    """The number of each record in the journal. Raises JournalCorrupt at the first whose checksum is wrong."""
    offset = 0
    for number, line in enumerate(journal.read_bytes().splitlines(keepends=True), 1):
        checksum, _, record = line.rstrip(b"\n").partition(b" ")
        found = f"{zlib.crc32(record):08x}"
        if found.encode() != checksum:
            expected = checksum.decode()
            raise JournalCorrupt(f"record {number} at byte {offset} has checksum {found}, not {expected}: torn write?")
        yield number
        offset += len(line)


def payments() -> None:
    """Charges cards and books them in the ledger; logs JSON. Retries, then answers 503."""
    service = Service("payments")
    url = os.environ.get("LEDGER_URL", "http://ledger:8080") + "/entries"
    log.info("payments is starting", extra={"fields": {"version": "1.9.2", "ledger": url}})
    wait_until_healthy(url)
    failures = itertools.count()

    def pay(body: dict[str, Any], span: Span) -> dict[str, Any]:
        fields = {"order": body["order"], "trace_id": span.trace_id}
        time.sleep(0.012 + body["cents"] % 5 * 0.004)  # the card network
        for attempt, pause in enumerate(RETRY_PAUSES_SECONDS, 1):
            time.sleep(pause)
            try:
                booking = {"order": body["order"], "cents": body["cents"]}
                entry = service.call(url, booking, span, LEDGER_TIMEOUT_SECONDS)["entry"]
                log.info("payment booked", extra={"fields": {**fields, "entry": entry, "cents": body["cents"]}})
                return {"entry": entry}
            except (OSError, HTTPException) as error:
                last = error
                log.warning("ledger attempt %d failed: %s", attempt, error, extra={"fields": fields})
        attempts = len(RETRY_PAUSES_SECONDS)
        log.error(
            "payment failed: the ledger cannot be reached after %d attempts: %s",
            attempts,
            last,
            exc_info=last if next(failures) % TRACEBACK_EVERY == 0 else None,
            extra={"fields": {**fields, "url": url, "attempts": attempts}},
        )
        raise Failed(f"ledger: {last}") from last

    service.serve({"/pay": pay})
    log.info("listening", extra={"fields": {"port": os.environ.get("PORT", "8080")}})
    service.run_until_dead()


def checkout() -> None:
    """Takes orders and has them paid; logs plain text. Also the shop's customers: places RATE orders a second."""
    service = Service("checkout")
    url = os.environ.get("PAYMENTS_URL", "http://payments:8080") + "/pay"
    own = f"http://127.0.0.1:{os.environ.get('PORT', '8080')}/orders"
    failures = itertools.count()
    print("☕ checkout 4.1.0 – guten Appetit!\n", flush=True)  # with an empty line

    def order(body: dict[str, Any], span: Span) -> dict[str, Any]:
        name = body["order"]
        log.info("order %s: %s for %s, %.2f €", name, body["item"], body["customer"], body["cents"] / 100)
        try:
            paid = service.call(url, {"order": name, "cents": body["cents"]}, span, PAYMENTS_TIMEOUT_SECONDS)
        except (Failed, OSError, HTTPException) as error:
            log.error("order %s failed: %s", name, error, exc_info=next(failures) % TRACEBACK_EVERY == 0)
            raise Failed(f"payment of {name}: {error}") from error
        log.info("order %s is paid, entry %d", name, paid["entry"])
        return {"order": name}

    def place(number: int) -> None:
        customer, item = CUSTOMERS[number % len(CUSTOMERS)], ITEMS[number % len(ITEMS)]
        body = {"order": f"A-{1000 + number}", "customer": customer, "item": item, "cents": 450 + number * 35 % 1900}
        request = urllib.request.Request(own, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except urllib.error.HTTPError as error:
            error.close()  # already logged where it happened
        except OSError as error:
            log.warning("order %s could not be placed: %s", body["order"], error)

    service.serve({"/orders": order})
    wait_until_healthy(url)
    with ThreadPoolExecutor(32) as customers:
        began = time.monotonic()
        for number in itertools.count(1):
            rush = number / RATE < RUSH_SECONDS
            time.sleep(max(0.0, began + number / RATE - time.monotonic()) if rush else 60.0)
            customers.submit(place, number)


def wait_until_healthy(url: str) -> None:
    """Wait until the service behind `url` answers (START_SECONDS at most): the shop should not open with errors."""
    health = url.rsplit("/", 1)[0] + "/healthz"
    log.info("waiting for %s", health)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(health, timeout=0.5).close()
            return
        except (OSError, HTTPException):
            time.sleep(0.25)


# --- logs


class JsonLines(logging.Formatter):
    """One JSON object a record."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry: dict[str, Any] = {"level": record.levelname, "message": record.getMessage()}
        entry |= {"time": f"{stamp}.{int(record.msecs):03d}Z", **getattr(record, "fields", {})}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class Logfmt(logging.Formatter):
    """key=value pairs."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {"level": record.levelname.lower(), "msg": record.getMessage(), **getattr(record, "fields", {})}
        return " ".join(f"{key}={json.dumps(v) if ' ' in (v := str(value)) else v}" for key, value in fields.items())


def end_on_sigterm() -> None:
    """End at once when Kubernetes asks; the first process of a container has no default handler that would."""
    signal.sigwait({signal.SIGTERM})
    os._exit(0)


def main() -> None:
    workloads = {
        "ledger": (ledger, Logfmt()),
        "payments": (payments, JsonLines()),
        "checkout": (checkout, logging.Formatter("%(asctime)s %(levelname)-7s %(message)s")),
    }
    if len(sys.argv) != 2 or sys.argv[1] not in workloads:
        sys.exit(f"usage: shop.py {'|'.join(workloads)}")
    run, formatter = workloads[sys.argv[1]]
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.Formatter.converter = time.gmtime
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # in every thread, so that one may wait for it
    threading.Thread(target=end_on_sigterm, daemon=True).start()
    try:
        run()
    except Exception:
        traceback.print_exc()
        os._exit(1)  # at once: the interpreter's own end would meet threads that still work


if __name__ == "__main__":
    main()
