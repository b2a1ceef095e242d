"""Makes what captures need from the settings: the same in the operator and in the process of a Job."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from aletheia_operator import metrics
from aletheia_operator.api.findings import FindingRule
from aletheia_operator.clients.http import Http
from aletheia_operator.clients.kubelet import Kubelets
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.clients.pace import Pace
from aletheia_operator.fetchers import Fetcher, with_templates
from aletheia_operator.findings import read_rules
from aletheia_operator.investigate import Budget, Tools
from aletheia_operator.investigate.in_flight import InFlight
from aletheia_operator.investigate.redaction import check_settings
from aletheia_operator.session import SessionLayout
from aletheia_operator.session.index import SessionIndex
from aletheia_operator.settings import Settings

IO_THREADS = 64  # a source that hangs holds a thread until its timeout; saving must not wait for it

T = TypeVar("T")
V = TypeVar("V")


class WrongSetting(Exception):
    """A flag's value, or the file that it names, cannot be used. The message begins with the flag."""


class Threads(ThreadPoolExecutor):
    """Threads that are not awaited at the end: those that save were awaited before, others wait for sources that hang."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=True)


def read_flag(flag: str, read: Callable[[V], T], value: V) -> T:
    """Read the file of a flag, or check its value. Raises WrongSetting if that fails."""
    try:
        return read(value)
    except (OSError, ValueError) as e:
        raise WrongSetting(f"{flag}: {e}") from e


@dataclass(frozen=True)
class Setup:
    """The settings of a process, what their files say, and the index of its session volume."""

    settings: Settings
    index: SessionIndex
    fetchers: Sequence[Fetcher]
    finding_rules: Sequence[FindingRule]

    @classmethod
    def of(cls, settings: Settings) -> "Setup":
        """Read the files of the settings. Raises WrongSetting."""
        fetchers = read_flag("--metric-templates", with_templates, settings.metric_templates)
        finding_rules = read_flag("--finding-rules", read_rules, settings.finding_rules)
        read_flag("--redaction-rule", check_settings, settings.redaction)
        return cls(settings, SessionIndex(SessionLayout(settings.session_root)), fetchers, finding_rules)

    def tools(self, kubernetes: Kubernetes, kubelets: Kubelets | None) -> Tools:
        """Return what captures share."""
        settings, rates = self.settings, self.settings.rates
        return Tools(
            layout=self.index.layout,
            kubernetes=kubernetes,
            http=Http(),
            fetchers=self.fetchers,
            default_service_account=settings.rights.default_service_account,
            kubelets=kubelets,
            redaction=settings.redaction,
            max_fetches=settings.limits.max_fetches,
            max_artifact_bytes=settings.limits.max_artifact_bytes,
            budget=self._budget(),
            operator_namespace=settings.scope.operator_namespace,
            ca_bundle=settings.ca_bundle,
            proxy=settings.proxy,
            source_pace=Pace(rates.namespace_source_requests, rates.source_requests, metrics.DATA_SOURCE),
            finding_rules=self.finding_rules,
        )

    def kubelets(self, kubernetes: Kubernetes) -> Kubelets | None:
        """Return the client of the nodes' kubelets; None if log files of nodes are not read."""
        node_logs = self.settings.node_logs
        return Kubelets(kubernetes, node_logs.certificate_authority) if node_logs.enabled else None

    @property
    def api_pace(self) -> Pace:
        """Limits of this process' requests to the API server."""
        rates = self.settings.rates
        return Pace(rates.namespace_api_requests, rates.api_requests, metrics.KUBERNETES)

    def _budget(self) -> Budget:
        limits, volume = self.settings.limits, self.settings.volume
        share = 0 if len(self.settings.scope.namespaces) == 1 else volume.namespace_share
        in_flight = InFlight(limits.max_namespace_bytes_in_flight, limits.max_bytes_in_flight)
        session, namespace = limits.max_session_bytes, limits.max_namespace_bytes
        return Budget(session, namespace, share, volume.volume_bytes, in_flight, self.index)


def use_threads() -> None:
    """Let blocking calls of the running event loop use threads that nothing awaits at the end."""
    asyncio.get_running_loop().set_default_executor(Threads(IO_THREADS, thread_name_prefix="io"))
