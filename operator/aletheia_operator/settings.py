"""Every setting of the operator, in groups: its unit, its default and its meaning, in a docstring under each field.

All defaults are here. Tests compare the command line (`__main__`) and the chart's values with them.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CLUSTER_CA = Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
TLS_CERTIFICATE, TLS_KEY = "tls.crt", "tls.key"
"""Keys of a Secret of type kubernetes.io/tls, and names of the files with their values."""
FRONT_PROXY_FILE = "front-proxy.json"
"""File in `ArtifactsApi.certificates` that the operator writes for the artifacts API:
`{"ca": PEM, "allowedNames": [...], "usernameHeaders": [...]}`, as the API server publishes it."""


@dataclass(frozen=True)
class Scope:
    """Which Investigations are handled, and with which access."""

    namespaces: tuple[str, ...] = ()
    """Namespaces in which Investigations are handled. Empty: the whole cluster."""
    kubeconfig: Path | None = None
    """File that says how to reach the API server. None: the pod's own service account."""
    operator_namespace: str | None = None
    """Namespace of the Secrets that DataSources refer to. None: DataSources can have no Secrets."""
    identity: str | None = None
    """Name that this operator writes into `status.operator` of what it captures. It must be unique.
    None: the id of the session volume."""


@dataclass(frozen=True)
class LeaderElection:
    """How one of several operators is chosen, which alone captures and applies retention."""

    lease: str | None = None
    """Name of a Lease in the operator's namespace that the leader holds. None: there is no election."""
    lease_seconds: int = 15
    """Seconds without a renewal until another operator leads. The leader ends after 2/3 of them without a renewal."""


@dataclass(frozen=True)
class Rights:
    """The identities that read the Kubernetes API."""

    default_service_account: str | None = None
    """ServiceAccount of the Investigation's namespace to read with if the spec names none. None: the operator's own."""
    creator_policy: str | None = None
    """ValidatingAdmissionPolicy, with a binding of the same name, that refuses creators who have no right to read what
    the Investigation would read. Investigations that are older than the policy are not captured. None: no policy is
    required, and no Investigation may name a ServiceAccount."""
    trust_creators: bool = False
    """Capture every Investigation although no policy has checked the creator: everyone who may create Investigations can then
    read with the operator's rights, and as any ServiceAccount that the operator may impersonate."""


@dataclass(frozen=True)
class Privacy:
    """What is shown to users who may read Investigations, but perhaps not logs."""

    log_text_in_status: bool = True
    """Quote logs in status and Events. False: show only counts and levels, and for gaps the general text of their reason. The
    session's manifest has the full text."""


@dataclass(frozen=True)
class Redaction:
    """What is removed from captured data before it is written. docs/redaction.md describes it."""

    level: str = "secrets"
    """Least level: `off`, `secrets` or `strict`. An Investigation may ask for a stricter one."""
    allow_off: bool = False
    """Let an Investigation ask for a laxer level than `level`, `off` included."""
    rules: tuple[tuple[str, str], ...] = ()
    """Rules for all Investigations: names, each with a pattern for RE2."""


@dataclass(frozen=True)
class Limits:
    """What captures may use."""

    max_investigations: int = 20
    """Investigations that are captured at the same time; the others are Queued."""
    max_namespace_investigations: int | None = None
    """The same for one namespace. None: three quarters of `max_investigations`, so that one namespace cannot take all."""
    max_namespace_queued: int = 200
    """Investigations of one namespace that wait in memory for a slot. Others stay Pending, and are taken up later."""
    namespace_weights: tuple[tuple[str, int], ...] = ()
    """How many times as often as others a namespace's Investigations are started while others wait, by its name. Default: 1."""
    max_timeout_seconds: int = 3600
    """Seconds that a capture, or an upload, may take at most, whatever spec.timeout says."""
    max_fetches: int = 8
    """Questions of one Investigation that are asked at the same time."""
    max_artifact_bytes: int = 1024**3
    """Bytes of one artifact. A larger one is cut, with a gap."""
    max_session_bytes: int | None = None
    """Bytes of one Investigation's artifacts. What exceeds them becomes a gap. None: no limit."""
    max_namespace_bytes: int | None = None
    """Bytes of all artifacts of one namespace. What exceeds them becomes a gap. None: the namespace's share of the volume."""

    max_namespace_bytes_in_flight: int = 4 * 1024**3
    """Bytes of one namespace's questions that are in memory and scratch files, before they are artifacts: from this number on,
    further questions wait. 0: no limit."""
    max_bytes_in_flight: int = 16 * 1024**3
    """The same for all namespaces together. 0: no limit."""

    @property
    def namespace_investigations(self) -> int:
        """Investigations of one namespace that are captured at the same time."""
        return min(self.max_investigations, self.max_namespace_investigations or max(1, self.max_investigations * 3 // 4))


@dataclass(frozen=True)
class RequestRates:
    """Requests per second that captures send. Further ones wait; repeated tries are not counted. 0: no limit."""

    namespace_api_requests: int = 200
    """To the API server, of one namespace."""
    api_requests: int = 400
    """To the API server, of all namespaces. Statuses, Events and watches of the operator are not counted."""
    namespace_source_requests: int = 50
    """To one DataSource, of one namespace."""
    source_requests: int = 200
    """To one DataSource, of all namespaces."""


@dataclass(frozen=True)
class Runner:
    """The place of captures: the operator's process, or a Kubernetes Job for each."""

    mode: str = "inline"
    """`inline`: in the operator's process. `job`: in Jobs. `auto`: in Jobs if they are large, or would wait long."""
    job_template: str | None = None
    """PodTemplate in the operator's namespace, from which Jobs are made. Required unless `mode` is `inline`."""
    max_jobs: int = 10
    """Jobs at the same time."""
    max_namespace_jobs: int | None = None
    """Jobs at the same time for Investigations of one namespace. None: three quarters of `max_jobs`."""
    auto_questions: int = 100
    """With `auto`, a capture with more questions than this goes on in a Job."""
    auto_bytes: int = 1024**3
    """With `auto`, a capture that may keep more bytes of logs than this goes on in a Job: its questions times
    spec.logs.limits.bytesPerContainer, at most bytesPerInvestigation."""
    auto_wait_seconds: int = 30
    """With `auto`, an Investigation that has waited this long in the queue gets a Job if one may start."""

    @property
    def namespace_jobs(self) -> int:
        """Jobs at the same time for Investigations of one namespace."""
        return min(self.max_jobs, self.max_namespace_jobs or max(1, self.max_jobs * 3 // 4))


@dataclass(frozen=True)
class Retention:
    """How long evidence stays on the volume."""

    namespace_bytes: int | None = None
    """Bytes of evidence of one namespace; the oldest expires first. None: no cap."""
    total_bytes: int | None = None
    """Bytes of all evidence; the oldest of the largest namespace expires first. None: a share of the volume."""
    history_limit: int | None = None
    """Finished Investigations of one namespace; the oldest above it are deleted, with their sessions unless these are kept.
    None: no limit."""
    grace_seconds: int = 3600
    """Seconds after the end of a capture during which the caps and the history limit do not remove it."""
    orphan_grace_seconds: int = 3600
    """Seconds until a session without an Investigation is removed, if the deletion was not observed."""
    sweep_seconds: int = 60
    """Seconds between two passes over all sessions."""


@dataclass(frozen=True)
class VolumeShares:
    """How the session volume is shared, so that no namespace fills it. Data that is kept or on hold counts too."""

    volume_bytes: int | None = None
    """Bytes of the volume. None, or more than its file system has: the size of the file system."""
    namespace_share: int = 25
    """Percent of the volume that the artifacts of one namespace may take. What exceeds them becomes a gap. 0: no limit. If only
    one namespace is handled, it may use the whole volume."""
    total_share: int = 80
    """Percent of the volume from which evidence expires, the oldest of the largest namespace first. 0: no cap."""


@dataclass(frozen=True)
class NodeLogs:
    """Log files that are read from the nodes' kubelets."""

    enabled: bool = False
    """Read log files from nodes. Needs the right `get nodes/log`."""
    certificate_authority: Path | None = CLUSTER_CA
    """PEM file with the CA that signs the kubelets' serving certificates. None: they are not verified."""


@dataclass(frozen=True)
class ArtifactsApi:
    """What the operator does for the artifacts API, which serves sessions through the API server."""

    certificates: Path | None = None
    """Directory that the operator writes the API's certificates to, for the process that serves. None: there is no API."""
    service: str | None = None
    """Service of the operator's namespace that leads to the API: the name in its serving certificate."""
    secret: str | None = None
    """Existing Secret of the operator's namespace that keeps the serving certificate. None: an admin creates it, and mounts it
    into the process that serves."""


@dataclass(frozen=True)
class ArtifactsProcess:
    """The process that serves the artifacts API (`serve/`), which has its own command line."""

    listen: str = "0.0.0.0:8443"
    """HOST:PORT of the API."""
    probe_listen: str = "0.0.0.0:8081"
    """HOST:PORT of its /healthz and /readyz."""


@dataclass(frozen=True)
class Metrics:
    """The operator's own metrics, for Prometheus."""

    address: str | None = None
    """HOST:PORT of /metrics. None: it is not served."""
    certificate: Path | None = None
    """PEM file with the server's certificate chain. None: plain HTTP."""
    key: Path | None = None
    """PEM file with the key of `certificate`."""
    client_authority: Path | None = None
    """PEM file with the CAs that sign scrapers' certificates. None: everyone who reaches the port may scrape."""

    @property
    def tls(self) -> tuple[Path | None, Path | None, Path | None]:
        """Certificate, key and clients' CAs."""
        return self.certificate, self.key, self.client_authority


@dataclass(frozen=True)
class Process:
    """The operator's process."""

    listen: str = "0.0.0.0:8080"
    """HOST:PORT of /healthz."""
    log_format: str = "plain"
    """Format of the process's own log: `plain` or `json`."""
    log_level: str = "info"
    """Lowest level of the process's own log: `debug`, `info` or `warning`."""


def add_log_options(parser: Any) -> None:
    """Add the options for the log of a process: `log_format` and `log_level` of `Process`."""
    parser.add_argument("--log-format", choices=["plain", "json"], default=Process.log_format, help="format of the log")
    levels = ["debug", "info", "warning"]
    parser.add_argument("--log-level", choices=levels, default=Process.log_level, help="lowest level that is logged")


@dataclass(frozen=True)
class Proxy:
    """The HTTP proxy of DataSources that name none."""

    url: str | None = None
    """http://HOST:PORT. None: they are connected to directly."""
    no_proxy: tuple[str, ...] = ()
    """Host names, domains, addresses and ranges of addresses that are connected to directly."""


@dataclass(frozen=True)
class Settings:
    """How the operator was started."""

    session_root: Path
    """Directory of the session volume."""
    metric_templates: Path | None = None
    """YAML file with an admin's own templates for metrics. None: the built-in ones alone."""
    finding_rules: Path | None = None
    """YAML file with an admin's own rules for findings. None: there are none."""
    ca_bundle: Path | None = None
    """PEM file with CAs that DataSources are verified with, in addition to the public ones. None: the public ones alone."""
    proxy: Proxy = field(default_factory=Proxy)
    """How DataSources are reached."""
    scope: Scope = field(default_factory=Scope)
    """Which Investigations are handled."""
    leader_election: LeaderElection = field(default_factory=LeaderElection)
    """How one of several operators is chosen."""
    rights: Rights = field(default_factory=Rights)
    """The identities that read the Kubernetes API, and who may name them."""
    privacy: Privacy = field(default_factory=Privacy)
    """What is shown of logs."""
    redaction: Redaction = field(default_factory=Redaction)
    """What is removed from captured data."""
    limits: Limits = field(default_factory=Limits)
    """What captures may use."""
    rates: RequestRates = field(default_factory=RequestRates)
    """How fast captures ask."""
    runner: Runner = field(default_factory=Runner)
    """The place of captures."""
    retention: Retention = field(default_factory=Retention)
    """How long evidence stays."""
    volume: VolumeShares = field(default_factory=VolumeShares)
    """How the session volume is shared."""
    node_logs: NodeLogs = field(default_factory=NodeLogs)
    """Log files from nodes."""
    artifacts_api: ArtifactsApi = field(default_factory=ArtifactsApi)
    """How people reach sessions."""
    metrics: Metrics = field(default_factory=Metrics)
    """The operator's own metrics."""
    process: Process = field(default_factory=Process)
    """The process itself."""
