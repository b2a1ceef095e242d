"""Counters and histograms of the operator's process, in prometheus-client's default registry.

The code that does the work changes them. Values that are read at a scrape, for example the length of the queue, are in
`handlers/metrics.py`. Every label has few values: no pod, Investigation or text of a tenant.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)

CAPTURES = Counter("aletheia_captures_total", "Investigations that ended, by their last phase.", ["phase"])
CAPTURE_SECONDS = Histogram("aletheia_capture_duration_seconds", "Time of a capture, without the queue.", buckets=SECONDS)
QUEUE_SECONDS = Histogram("aletheia_queue_wait_seconds", "Time that an Investigation waited for a slot.", buckets=SECONDS)
FETCH_SECONDS = Histogram("aletheia_fetch_duration_seconds", "Time of one question to a source.", ["fetcher"], buckets=SECONDS)
CAPTURED_BYTES = Counter("aletheia_captured_bytes_total", "Bytes of artifacts that were written.", ["fetcher"])
GAPS = Counter("aletheia_gaps_total", "Gaps of captures that ended, notes not counted.", ["reason"])
REQUESTS = Counter("aletheia_requests_total", "Requests, each try counted.", ["server", "outcome"])
REQUEST_SECONDS = Histogram("aletheia_request_duration_seconds", "Time until an answer begins.", ["server"], buckets=SECONDS)
RETRIES = Counter("aletheia_request_retries_total", "Tries after the first.", ["server"])
DELAYED = Counter("aletheia_requests_delayed_total", "Requests that waited for a limit of requests per second.", ["server"])
LOOP_PAUSES = Counter("aletheia_event_loop_pauses_total", "Pauses of the event loop of 0.25 s and more.")
SWEEPS = Counter("aletheia_sweeps_total", "Passes over all sessions of the volume.", ["outcome"])
EXPIRED = Counter("aletheia_sessions_expired_total", "Sessions that lost their artifacts to retention.")
REACHABLE = Gauge("aletheia_datasource_reachable", "1 if the DataSource answered at the last check, else 0.", ["datasource"])

KUBERNETES = "kubernetes"
"""Value of the label `server` for the Kubernetes API."""
DATA_SOURCE = "datasource"
"""Value of the label `server` for any DataSource."""


def forget_other_data_sources(names: set[str]) -> None:
    """Drop the values of DataSources that are gone. `names`: those that exist."""
    for family in REACHABLE.collect():
        for sample in family.samples:
            if sample.labels["datasource"] not in names:
                REACHABLE.remove(sample.labels["datasource"])


class RequestOutcome:
    """The outcome of one request. `code`: the answer's HTTP status; None until there is an answer."""

    code: int | None = None


@contextmanager
def request(server: str) -> Iterator[RequestOutcome]:
    """Count one try of a request. Callers set `code` of the yielded RequestOutcome to the answer's status."""
    outcome = RequestOutcome()
    with REQUEST_SECONDS.labels(server).time():
        try:
            yield outcome
        finally:
            REQUESTS.labels(server, "no answer" if outcome.code is None else f"{outcome.code // 100}xx").inc()
