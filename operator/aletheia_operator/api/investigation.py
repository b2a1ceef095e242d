"""The Investigation: what an engineer asks (spec) and what became of it (status).

CEL rules and Python validators say the same thing twice on purpose: the API server refuses first, and a spec that reaches
us another way (an older CRD, the command line) is refused in the same words. `tests/invalid_specs.py` holds them together.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AwareDatetime, BeforeValidator, Field, model_validator

from aletheia_operator.api.conditions import Condition
from aletheia_operator.api.expressions import is_expression
from aletheia_operator.api.types import (
    QUERY_TYPES,
    ByteQuantity,
    ContainerName,
    Duration,
    Model,
    Name,
    parse_bytes,
    require,
    rules,
)

IMMUTABLE = (
    "is immutable but for suspend, cancel, retention and ttlSecondsAfterFinished: to ask again, create another Investigation"
)
RFC3339 = r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)"
MUTABLE_FIELDS = frozenset({"suspend", "cancel", "retention", "ttlSecondsAfterFinished"})
MAX_TEXTS = 65_536
"""Characters of the texts of a spec that may be long: with its status and annotations it must fit into etcd."""
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
"""Between these a window may lie: sources count from 1970, and a zone moves no time beyond the calendar."""

LabelValue = Annotated[str, Field(max_length=63, pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")]
LabelKey = Annotated[
    str, Field(min_length=1, max_length=317, pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
]


def _rfc3339(value: Any) -> Any:
    """The API server's date-time: pydantic alone would take a blank for the T, and times without seconds."""
    if isinstance(value, str):
        require(re.fullmatch(RFC3339, value) is not None, f"{value!r} is not an RFC 3339 time such as 2026-11-22T14:00:00Z")
        return datetime.fromisoformat(value.upper())
    return value


Time = Annotated[AwareDatetime, BeforeValidator(_rfc3339)]


class WindowSpec(Model):
    """The closed span of time that is looked at, fixed once: a retry asks the same question."""

    ONE_OF: ClassVar[str] = "name either lookback or start (with an optional end)"
    END_NEEDS_START: ClassVar[str] = "end needs start; for a span that ends at creation use lookback"
    ORDER: ClassVar[str] = "start must lie before end"
    YEARS: ClassVar[str] = "start and end must lie between the years 1970 and 2999"
    model_config = rules(
        (
            " && ".join(
                f"(!has(self.{end}) || self.{end} >= timestamp('1970-01-01T00:00:00Z')"
                f" && self.{end} < timestamp('3000-01-01T00:00:00Z'))"
                for end in ("start", "end")
            ),
            YEARS,
        ),
        ("has(self.lookback) != has(self.start)", ONE_OF),
        ("!has(self.end) || has(self.start)", END_NEEDS_START),
        ("!has(self.start) || !has(self.end) || self.start < self.end", ORDER),
    )

    lookback: Duration | None = Field(
        None,
        description="How far back from the resource's creation, such as 15m, 2h or 1d12h. The window ends at creation.",
    )
    start: Time | None = Field(None, description="First moment of the window, RFC 3339 with a zone.")
    end: Time | None = Field(
        None, description="Last moment of the window, RFC 3339 with a zone. Default: the resource's creation."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(all(one is None or EARLIEST <= one < LATEST for one in (self.start, self.end)), self.YEARS)
        require(self.end is None or self.start is not None, self.END_NEEDS_START)
        require((self.lookback is None) != (self.start is None), self.ONE_OF)
        require(self.start is None or self.end is None or self.start < self.end, self.ORDER)
        return self


class LabelSelectorRequirement(Model):
    """One condition on a label."""

    VALUES: ClassVar[str] = "In and NotIn need values; Exists and DoesNotExist take none"
    model_config = rules(
        ("(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)", VALUES),
    )

    key: LabelKey = Field(description="The label's key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How the label's value is compared.")
    values: list[LabelValue] | None = Field(None, max_length=50, description="The values to compare with.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require((self.operator in ("In", "NotIn")) == bool(self.values), self.VALUES)
        return self


class LabelSelector(Model):
    """Kubernetes' label selector; all conditions must hold."""

    NOT_EMPTY: ClassVar[str] = "a selector needs matchLabels or matchExpressions; an empty one would select every pod"
    model_config = rules(
        (
            "(has(self.matchLabels) && size(self.matchLabels) > 0)"
            " || (has(self.matchExpressions) && size(self.matchExpressions) > 0)",
            NOT_EMPTY,
        )
    )

    match_labels: dict[str, LabelValue] | None = Field(
        None, max_length=50, description="Labels that must have exactly these values."
    )
    match_expressions: list[LabelSelectorRequirement] | None = Field(None, max_length=50, description="Conditions on labels.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(bool(self.match_labels) or bool(self.match_expressions), self.NOT_EMPTY)
        return self


class WorkloadReference(Model):
    """A workload in the Investigation's namespace; its pods are found through owner references."""

    kind: Literal["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"] = Field(
        description="The workload's kind."
    )
    name: Name = Field(description="The workload's name.")


class Target(Model):
    """Pods to look at: by name, by labels or by workload."""

    ONE_OF: ClassVar[str] = "name exactly one of pod, selector or workload"
    model_config = rules(
        ("(has(self.pod) ? 1 : 0) + (has(self.selector) ? 1 : 0) + (has(self.workload) ? 1 : 0) == 1", ONE_OF),
    )

    pod: Name | None = Field(None, description="One pod by name.")
    selector: LabelSelector | None = Field(None, description="Every pod with these labels.")
    workload: WorkloadReference | None = Field(None, description="Every pod of this workload.")
    containers: list[ContainerName] | None = Field(
        None,
        min_length=1,
        max_length=50,
        description="Only these containers. Default: all, init and ephemeral ones included.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(sum(x is not None for x in (self.pod, self.selector, self.workload)) == 1, self.ONE_OF)
        return self


ContainerExpression = Annotated[str, Field(min_length=1, max_length=256)]


class LogLimits(Model):
    """Budgets of logs, as bytes of their entries in the artifact.

    Over budget, errors and fatals are kept first with the lines around them, then an even sample of the rest.
    """

    LINE_BYTES: ClassVar[str] = "lineBytes is at most 16Mi"
    model_config = rules(("!has(self.lineBytes) || quantity(self.lineBytes).compareTo(quantity('16Mi')) <= 0", LINE_BYTES))

    bytes_per_container: ByteQuantity = Field("50Mi", description="Of one run of one container.")
    bytes_per_investigation: ByteQuantity = Field(
        "2Gi",
        description="Of all pods together. Each pod is assured an equal share, within which a quiet container leaves more.",
    )
    line_bytes: ByteQuantity = Field("1Mi", description="A longer line is cut there. At most 16Mi.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(parse_bytes(self.line_bytes) <= 16 * 1024**2, self.LINE_BYTES)
        return self


class LogsRequest(Model):
    """Logs of the targets' containers over the window, one artifact a pod."""

    previous: bool = Field(True, description="Also read the run before the last restart of each container that restarted.")
    container: ContainerExpression | None = Field(
        None, description="Only containers whose name matches this regular expression (RE2, anywhere in the name)."
    )
    exclude_container: list[ContainerExpression] | None = Field(
        None, max_length=20, description="Not the containers whose name matches one of these regular expressions (RE2)."
    )
    container_states: list[Literal["running", "waiting", "terminated"]] | None = Field(
        None, min_length=1, max_length=3, description="Only containers in one of these states. Default: all."
    )
    init_containers: bool = Field(True, description="Also init containers and sidecars.")
    ephemeral_containers: bool = Field(True, description="Also ephemeral containers.")
    limits: LogLimits = Field(LogLimits(), description="How much is kept.")
    sample_percent: Annotated[int, Field(ge=0, le=100)] = Field(
        100, description="Of the lines that are no errors, nor near one, keep this share, evenly."
    )
    via: Literal["auto", "api", "node"] = Field(
        "auto",
        description="How logs are read: by the pods/log API, or as files from the node, which is faster and has rotated files"
        " too, where an admin allows it. auto takes the node where it can. A read that fails on the node is done by the API.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for expression in filter(None, (self.container, *(self.exclude_container or ()))):
            require(is_expression(expression), f"{expression!r} is not a regular expression (RE2)")
        return self


class EventsRequest(Model):
    """Events of the targets over the window, one artifact."""

    nodes: bool = Field(
        True,
        description="Also the events of the nodes that the pods run on and of bound volumes. They lie in namespace default,"
        " so the identity that reads needs list on events there.",
    )


class ObjectsRequest(Model):
    """The targets and what belongs to them, as they are now; one artifact a workload."""

    nodes: bool = Field(
        True,
        description="Also the conditions of the nodes that the pods run on; the identity that reads needs get on nodes.",
    )


class DataSourceReference(Model):
    """A DataSource by name."""

    name: Name = Field(description="The DataSource's name.")


TemplateName = Annotated[str, Field(max_length=63, pattern=r"^[a-z][a-z0-9_]*$")]


class Baseline(Model):
    """The same question about an earlier time, to compare with."""

    offset: Duration = Field(description="How much earlier, such as 24h or 1w.")


class MetricsRequest(Model):
    """One Prometheus query over the window: one artifact, and one each for its baseline and its exemplars."""

    ONE_OF: ClassVar[str] = "name exactly one of query or template"
    PARAMETERS: ClassVar[str] = "parameters belong to a template; write values into the query itself"
    INSTANT: ClassVar[str] = "step, baseline and exemplars belong to a range query, not to an instant one"
    model_config = rules(
        ("has(self.query) != has(self.template)", ONE_OF),
        ("!has(self.parameters) || has(self.template)", PARAMETERS),
        (
            "!has(self.instant) || !self.instant || !(has(self.step) || has(self.baseline) || has(self.exemplars))",
            INSTANT,
        ),
    )

    query: Annotated[str, Field(min_length=1, max_length=8192)] | None = Field(None, description="A PromQL expression.")
    template: TemplateName | None = Field(
        None,
        description="A ready-made question, narrowed to the Investigation's namespace: error_rate, latency_p95, latency_p99,"
        " request_rate, cpu_usage, memory_usage, cpu_throttling, memory_limit, restarts, oom_kills, pvc_usage,"
        " network_errors, hpa_at_maximum, or one of the admin's own.",
    )
    parameters: dict[str, Annotated[str, Field(max_length=253)]] | None = Field(
        None,
        max_length=10,
        description="Values for the template: service (a Service's name) for the request templates, pod (a prefix of pod"
        " names) for those about pods, rate_window (a duration, default 5m). Values are escaped.",
    )
    step: Duration | None = Field(None, description="Distance between samples, such as 30s. Default: adapts to the window.")
    instant: bool | None = Field(None, description="Ask for the values at the window's end alone.")
    baseline: Baseline | None = Field(None, description="Ask the same of an earlier time too, and say what changed.")
    exemplars: bool | None = Field(None, description="Ask for exemplars too: samples with the trace that caused them.")
    data_source_ref: DataSourceReference | None = Field(
        None, description="The Prometheus to ask. Default: the DataSource of this type that is marked as default."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require((self.query is None) != (self.template is None), self.ONE_OF)
        require(self.parameters is None or self.template is not None, self.PARAMETERS)
        ranged = any(field is not None for field in (self.step, self.baseline, self.exemplars))
        require(not (self.instant and ranged), self.INSTANT)
        return self


class FromLogs(Model):
    """Trace ids out of the logs that this Investigation captures."""

    limit: Annotated[int, Field(ge=1, le=500)] = Field(
        20, description="At most so many traces: those of error and fatal lines first, then in the order of the lines."
    )


class TracesRequest(Model):
    """One Jaeger question: a search over the window, a trace by its id, or the traces that the logs name. One artifact."""

    ONE_OF: ClassVar[str] = "name exactly one of service, traceID or fromLogs"
    SEARCH_ONLY: ClassVar[str] = "operation, tags, minDuration, maxDuration and limit belong to a search by service"
    model_config = rules(
        ("(has(self.service) ? 1 : 0) + (has(self.traceID) ? 1 : 0) + (has(self.fromLogs) ? 1 : 0) == 1", ONE_OF),
        (
            "has(self.service) || !(has(self.operation) || has(self.tags) || has(self.minDuration)"
            " || has(self.maxDuration) || has(self.limit))",
            SEARCH_ONLY,
        ),
    )

    service: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        None, description="Search the traces of this service, by the name it gives itself."
    )
    trace_id: Annotated[str, Field(max_length=32, pattern=r"^[0-9a-fA-F]{1,32}$")] | None = Field(
        None, alias="traceID", description="One trace by its id, 1 to 32 hex digits."
    )
    from_logs: FromLogs | None = Field(
        None,
        description="The traces whose ids stand in the captured logs (traceparent, trace_id and the like), whenever they were.",
    )
    operation: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        None, description="Only traces with this operation."
    )
    tags: dict[str, Annotated[str, Field(max_length=1024)]] | None = Field(
        None, max_length=20, description="Only traces with a span that carries all these tags."
    )
    min_duration: Annotated[str, Field(max_length=20, pattern=r"^[0-9]+(\.[0-9]+)?(us|ms|s|m|h)$")] | None = Field(
        None, description="Only traces at least this long, such as 500ms."
    )
    max_duration: Annotated[str, Field(max_length=20, pattern=r"^[0-9]+(\.[0-9]+)?(us|ms|s|m|h)$")] | None = Field(
        None, description="Only traces at most this long, such as 10s."
    )
    limit: Annotated[int, Field(ge=1, le=1500)] | None = Field(None, description="At most so many traces. Default: 20.")
    data_source_ref: DataSourceReference | None = Field(
        None, description="The Jaeger to ask. Default: the DataSource of this type that is marked as default."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(sum(x is not None for x in (self.service, self.trace_id, self.from_logs)) == 1, self.ONE_OF)
        search = (self.operation, self.tags, self.min_duration, self.max_duration, self.limit)
        require(self.service is not None or all(field is None for field in search), self.SEARCH_ONLY)
        return self


class SecretKeyReference(Model):
    """One value of a Secret in the Investigation's namespace."""

    name: Name = Field(description="The Secret's name.")
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")] = Field(
        "password", description="The key of its data."
    )


Recipient = Annotated[
    str,
    Field(
        max_length=2048,
        pattern=r"^(age1[02-9ac-hj-np-z]{58}|ssh-(ed25519|rsa) [A-Za-z0-9+/]{40,}={0,2}( [^\x00-\x1f]*)?)$",
    ),
]


class EncryptionSpec(Model):
    """Seals the session: evidence is encrypted (age format) before it touches the disk."""

    ONE_OF: ClassVar[str] = "name exactly one of recipients or passwordSecretRef"
    model_config = rules(("has(self.recipients) != has(self.passwordSecretRef)", ONE_OF))

    recipients: list[Recipient] | None = Field(
        None,
        min_length=1,
        max_length=20,
        description="Public keys, age (age1...) or SSH (ssh-ed25519, ssh-rsa): whoever has a private one opens the session."
        " The operator cannot.",
    )
    password_secret_ref: SecretKeyReference | None = Field(
        None,
        description="The password that opens the session, read once, at its start, with the rights of serviceAccountName.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require((self.recipients is None) != (self.password_secret_ref is None), self.ONE_OF)
        return self


class UploadSpec(Model):
    """Copies the session to object storage at its end. Where that fails the session stays, and the failure is a gap."""

    data_source_ref: DataSourceReference | None = Field(
        None, description="The DataSource of type s3. Default: the one of this type that is marked as default."
    )
    timeout: Duration = Field(
        "5m", description="So long after the end of the capture, or a restart of the operator, it is tried."
    )


class SessionSpec(Model):
    """How the evidence is kept."""

    encryption: EncryptionSpec | None = Field(None, description="Seals the session. Default: files are plain JSON.")
    upload: UploadSpec | None = Field(None, description="Copies the session to object storage. Default: it is not copied.")


class RetentionSpec(Model):
    """How long the evidence is kept. The annotation aletheia.dev/legal-hold holds it whatever is said here."""

    artifacts_seconds: Annotated[int, Field(ge=1, le=3153600000)] | None = Field(
        None, description="So long after the end of the capture the data is removed; the resource stays. Default: no limit."
    )
    keep: bool = Field(False, description="Leave the session in place when the resource is deleted.")


class QueryRequest(Model):
    """A question in a DataSource's own language over the window, one artifact."""

    type: QUERY_TYPES = Field(description="The type of the DataSource: loki takes a LogQL query for log lines.")
    query: Annotated[str, Field(min_length=1, max_length=8192)] = Field(description="The query, in the source's language.")
    limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None, description="At most so many entries, the earliest. Default: 10000."
    )
    data_source_ref: DataSourceReference | None = Field(
        None, description="The DataSource to ask. Default: the DataSource of this type that is marked as default."
    )


def _pairs(where: str) -> str:
    """CEL: characters of the keys and values of a map."""
    return f"(has({where}) ? {where}.map(key, size(key) + size({where}[key])).sum() : 0)"


_EXPRESSIONS = (
    "(has(target.selector.matchExpressions) ? target.selector.matchExpressions.map(expression, size(expression.key)"
    " + (has(expression.values) ? expression.values.map(value, size(value)).sum() : 0)).sum() : 0)"
)
TEXTS_RULE = (
    " + ".join(
        (
            "(has(self.targets) ? self.targets.map(target, has(target.selector) ?"
            f" {_pairs('target.selector.matchLabels')} + {_EXPRESSIONS} : 0).sum() : 0)",
            "(has(self.metrics) ? self.metrics.map(metric, (has(metric.query) ? size(metric.query) : 0)"
            f" + {_pairs('metric.parameters')}).sum() : 0)",
            "(has(self.traces) ? self.traces.map(trace, (has(trace.operation) ? size(trace.operation) : 0)"
            f" + {_pairs('trace.tags')}).sum() : 0)",
            "(has(self.queries) ? self.queries.map(one, size(one.query)).sum() : 0)",
        )
    )
    + f" <= {MAX_TEXTS}"
)


class InvestigationSpec(Model):
    """What to capture. Immutable but for suspend, cancel and retention: to ask again, create another Investigation."""

    ASKS: ClassVar[str] = "nothing is asked: name at least one of targets, metrics, traces or queries"
    LOGS_NEED_TARGETS: ClassVar[str] = "logs need targets"
    EVENTS_NEED_TARGETS: ClassVar[str] = "events need targets"
    OBJECTS_NEED_TARGETS: ClassVar[str] = "objects need targets"
    TEXTS: ClassVar[str] = f"selectors, queries, parameters and tags are together longer than {MAX_TEXTS} characters"
    TRACES_NEED_LOGS: ClassVar[str] = "traces fromLogs need logs: those of targets, or queries to Loki"
    model_config = rules(
        ("has(self.targets) || has(self.metrics) || has(self.traces) || has(self.queries)", ASKS),
        ("!has(self.logs) || has(self.targets)", LOGS_NEED_TARGETS),
        ("!has(self.events) || has(self.targets)", EVENTS_NEED_TARGETS),
        ("!has(self.objects) || has(self.targets)", OBJECTS_NEED_TARGETS),
        (
            "!has(self.traces) || !self.traces.exists(trace, has(trace.fromLogs)) || has(self.queries)"
            " || (has(self.targets) && (has(self.logs) || !(has(self.events) || has(self.objects))))",
            TRACES_NEED_LOGS,
        ),
        (TEXTS_RULE, TEXTS),
    )

    window: WindowSpec = Field(WindowSpec(lookback="1h"), description="The span of time to look at. Default: lookback 1h.")
    targets: list[Target] | None = Field(
        None,
        min_length=1,
        max_length=50,
        description="Pods to look at, in this namespace. Their logs, events and objects are captured where one of these is"
        " named; where none is, all three.",
    )
    logs: LogsRequest | None = Field(None, description="Capture the targets' logs.")
    events: EventsRequest | None = Field(None, description="Capture the targets' events.")
    objects: ObjectsRequest | None = Field(None, description="Capture the targets and what belongs to them, as they are now.")
    metrics: list[MetricsRequest] | None = Field(None, min_length=1, max_length=50, description="Metrics to capture.")
    traces: list[TracesRequest] | None = Field(None, min_length=1, max_length=50, description="Traces to capture.")
    queries: list[QueryRequest] | None = Field(
        None, min_length=1, max_length=50, description="Questions to other kinds of DataSources."
    )
    service_account_name: Name | None = Field(
        None,
        description="A ServiceAccount of this namespace whose rights the Kubernetes reads use."
        " Default: the operator's, for this namespace alone.",
    )
    session: SessionSpec | None = Field(None, description="How the evidence is kept.")
    retention: RetentionSpec | None = Field(None, description="How long the evidence is kept. May be changed at any time.")
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=3153600000)] | None = Field(
        None,
        description="So long after its end the Investigation itself is deleted, as Jobs are, and its session with it unless"
        " retention.keep. Not under a legal hold. Default: it stays. Leave it out in Git: a GitOps tool would create it again.",
    )
    timeout: Duration = Field("10m", description="What is not captured after this time becomes a gap. An admin may allow less.")
    suspend: bool = Field(False, description="While true the capture does not start.")
    cancel: bool = Field(False, description="Set to true to stop the capture; what was captured is kept.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(any(x is not None for x in (self.targets, self.metrics, self.traces, self.queries)), self.ASKS)
        require(self.logs is None or self.targets is not None, self.LOGS_NEED_TARGETS)
        require(self.events is None or self.targets is not None, self.EVENTS_NEED_TARGETS)
        require(self.objects is None or self.targets is not None, self.OBJECTS_NEED_TARGETS)
        require(sum(map(len, self._texts())) <= MAX_TEXTS, self.TEXTS)
        from_logs = any(request.from_logs is not None for request in self.traces or ())
        require(not from_logs or self.queries is not None or self.of_targets("logs"), self.TRACES_NEED_LOGS)
        return self

    def _texts(self) -> Iterator[str]:
        """The texts that may be long; TEXTS_RULE adds up the same."""
        for target in self.targets or ():
            if target.selector is not None:
                yield from chain.from_iterable((target.selector.match_labels or {}).items())
                for expression in target.selector.match_expressions or ():
                    yield from (expression.key, *(expression.values or ()))
        for metric in self.metrics or ():
            yield from (metric.query or "", *chain.from_iterable((metric.parameters or {}).items()))
        for trace in self.traces or ():
            yield from (trace.operation or "", *chain.from_iterable((trace.tags or {}).items()))
        for query in self.queries or ():
            yield query.query

    def of_targets(self, field: Literal["logs", "events", "objects"]) -> bool:
        """Whether this of the targets is asked for: it is named, or there are targets and none of the three is."""
        named = [name for name in ("logs", "events", "objects") if getattr(self, name) is not None]
        return self.targets is not None and (field in named or not named)


Phase = Literal["Pending", "Queued", "Running", "Completed", "PartiallyCompleted", "Failed", "TimedOut", "Cancelled"]
TERMINAL_PHASES: frozenset[str] = frozenset({"Completed", "PartiallyCompleted", "Failed", "TimedOut", "Cancelled"})


class Progress(Model):
    """How far the capture is."""

    done: int = Field(description="Questions answered, or given up with a gap.")
    total: int = Field(description="Questions asked.")
    text: str = Field(description="The same as `done/total`.")


class UploadStatus(Model):
    """Where a copy of the session lies, whole and held against its digests."""

    data_source: str = Field(description="The DataSource that took it.")
    url: str = Field(description="`s3://{bucket}/{key of the session}/`; manifest.json and data/ lie below it.")


class SessionStatus(Model):
    """Where the evidence lies."""

    id: str = Field(description="The session's id.")
    path: str = Field(description="The session's directory on the session volume, as the operator sees it.")
    size_bytes: int | None = Field(None, description="Bytes of all artifacts.")
    size: str | None = Field(None, description="The same for people.")
    manifest_sha256: str | None = Field(None, alias="manifestSha256", description="SHA-256 of manifest.json, in hex.")
    uploaded: UploadStatus | None = Field(None, description="Where a copy lies, once it was uploaded.")


class ArtifactStatus(Model):
    """One file of evidence."""

    path: str = Field(description="Path below the session's directory.")
    fetcher: str = Field(description="Which fetcher wrote it.")
    target: str = Field(description="What it was asked about.")
    count: int = Field(description="Entries in the file.")
    summary: str = Field(description="One line for people.")
    time_range: Annotated[list[str], Field(min_length=2, max_length=2)] = Field(
        description="Start and end of the window, RFC 3339."
    )
    size_bytes: int = Field(description="Size of the file.")
    sha256: str = Field(description="SHA-256 of the file, in hex.")
    complete: bool = Field(description="False where something asked for is missing from it; the gaps say what.")


class GapStatus(Model):
    """Something asked for that could not be had."""

    fetcher: str = Field(description="Which fetcher asked.")
    target: str = Field(description="What was asked for.")
    reason: str = Field(description="Why it could not be had, in one CamelCase word.")
    message: str = Field(description="Why, and what would help, for people.")
    severity: Literal["gap", "note"] = Field(
        "gap",
        description="`gap`: evidence is missing. `note`: nobody could have had it, or it was optional; the phase stays.",
    )


class InvestigationStatus(Model):
    """What became of the Investigation. A projection of the session's manifest."""

    observed_generation: int | None = Field(None, description="The generation that this status speaks of; -1 before the first.")
    phase: Phase | None = Field(None, description="Where the Investigation stands.")
    operator: str | None = Field(None, description="Identity of the operator that captures it; another one leaves it alone.")
    conditions: list[Condition] | None = Field(
        None,
        description="Ready, Reconciling, Stalled (kstatus) and Succeeded.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    progress: Progress | None = Field(None, description="How far the capture is.")
    window: Annotated[list[str], Field(min_length=2, max_length=2)] | None = Field(
        None, description="Start and end of the window as it was fixed, RFC 3339."
    )
    session: SessionStatus | None = Field(None, description="Where the evidence lies.")
    artifacts: list[ArtifactStatus] | None = Field(
        None, description="The first artifacts, in the order of the spec; the session's manifest.json has all."
    )
    artifact_count: int | None = Field(None, description="How many artifacts there are.")
    gaps: list[GapStatus] | None = Field(None, description="The first gaps; the session's manifest.json has all.")
    gap_count: int | None = Field(None, description="How many gaps there are.")
    start_time: AwareDatetime | None = Field(None, description="When the capture began.")
    completion_time: AwareDatetime | None = Field(None, description="When the capture ended.")


def immutability_rules(schema: dict[str, Any]) -> list[dict[str, str]]:
    """CEL transition rules that freeze every field of the spec's `schema` but the mutable ones.

    Optional fields are compared by hand: with CEL's optional types the API server's cost estimate has no bound.
    """
    return [
        {
            "rule": f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})",
            "message": f"spec.{name} {IMMUTABLE}",
        }
        for name in schema["properties"]
        if name not in MUTABLE_FIELDS
    ]
