"""The operator's metrics for Prometheus: what is read at the moment of a scrape, and the server of /metrics.

The format is Prometheus' text format or OpenMetrics, as the scraper asks.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import REGISTRY, Metric, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from aletheia_operator.clients.fair_slots import FairSlots
from aletheia_operator.handlers.event_loop import LoopWatch
from aletheia_operator.session import SessionLayout
from aletheia_operator.session.volume import free_bytes, usable_bytes
from aletheia_operator.settings import Metrics
from aletheia_operator.text.flag_values import address
from aletheia_operator.version import __version__

log = logging.getLogger(__name__)

MAX_NAMESPACES = 20
"""Most namespaces that have their own value; the others are added up as OTHER."""
OTHER = "(other)"


@dataclass(frozen=True)
class State(Collector):
    """State that each scrape reads, in its own thread: only sizes and copies."""

    slots: FairSlots
    loop: LoopWatch
    layout: SessionLayout
    volume_bytes: int | None
    unnoticed: Callable[[], int]
    leads: Callable[[], bool] = lambda: True
    job_slots: FairSlots | None = None
    """Slots of captures in Jobs. None: there are no Jobs."""

    def collect(self) -> Iterable[Metric]:
        in_process, waiting = "Investigations that are captured now, in this process.", Counter(self.slots.waiting())
        yield _by_namespace("aletheia_captures_running", in_process, self.slots.taken())
        if self.job_slots is not None:
            yield _by_namespace("aletheia_captures_in_jobs", "Investigations that Jobs capture.", self.job_slots.taken())
            waiting.update(self.job_slots.waiting())
        yield _by_namespace("aletheia_captures_queued", "Investigations that wait for a slot.", waiting)
        longest = self.loop.longest
        seconds = longest.seconds if longest is not None else 0.0
        yield GaugeMetricFamily("aletheia_event_loop_longest_pause_seconds", "Longest pause of the event loop.", seconds)
        unnoticed = "Investigations that exist, and that the watch did not show: the operator restarts."
        yield GaugeMetricFamily("aletheia_investigations_unnoticed", unnoticed, self.unnoticed())
        leads = "1: this process captures. 0: it is on standby, and another one captures."
        yield GaugeMetricFamily("aletheia_leads", leads, float(self.leads()))
        yield from self._volume()
        build = GaugeMetricFamily("aletheia_build_info", "The operator's version.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build

    def _volume(self) -> Iterable[Metric]:
        """Return the volume's size and free bytes, without values if it cannot be read."""
        size = GaugeMetricFamily("aletheia_volume_size_bytes", "Size of the session volume.")
        free = GaugeMetricFamily("aletheia_volume_free_bytes", "Free bytes of the session volume's file system.")
        try:
            total, left = usable_bytes(self.layout, self.volume_bytes), free_bytes(self.layout)
        except OSError as e:
            log.warning("the session volume cannot be measured: %s", e)
        else:
            free.add_metric([], left)
            if total is not None:
                size.add_metric([], total)
        return size, free


def _by_namespace(name: str, meaning: str, numbers: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=["namespace"])
    largest = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    for namespace, number in largest[:MAX_NAMESPACES]:
        family.add_metric([namespace], number)
    family.add_metric([OTHER], sum(number for _, number in largest[MAX_NAMESPACES:]))
    return family


class MetricsServer:
    """Serves /metrics from its own threads, so that a slow scraper keeps nothing waiting."""

    def __init__(self, server: WSGIServer, thread: Thread, forget: Callable[[], None]) -> None:
        self._server = server
        self._thread = thread
        self._forget = forget

    @property
    def port(self) -> int:
        return self._server.server_port

    def close(self) -> None:
        """Stop, and wait for the thread that accepts connections."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._forget()


def serve(settings: Metrics, state: State, registry: CollectorRegistry = REGISTRY) -> MetricsServer:
    """Start the server, which shows `state` and what is in `registry`. Raises OSError if it cannot listen or read a file."""
    host, port = address(settings.address or "")
    certificate, key, clients = (str(path) if path else None for path in settings.tls)
    server, thread = start_http_server(
        port,
        host,
        registry,
        certfile=certificate,
        keyfile=key,
        client_cafile=clients,
        client_auth_required=clients is not None,
    )
    registry.register(state)
    return MetricsServer(server, thread, lambda: registry.unregister(state))
