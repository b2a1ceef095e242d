"""Models of what an Investigation can request: logs, events, objects, metrics, traces, and queries for other DataSources."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from aletheia_operator.api.expressions import is_expression
from aletheia_operator.api.source_types import SOURCE_TYPES, QueryTypeName
from aletheia_operator.api.types import (
    ByteQuantity,
    Duration,
    Model,
    Name,
    parse_bytes,
    require,
    rules,
)

_QUERIES = " ".join(f"{source_type.name}: query is {source_type.query}." for source_type in SOURCE_TYPES if source_type.query)
ContainerExpression = Annotated[str, Field(min_length=1, max_length=256)]


class LogLimits(Model):
    """Limits for logs, in bytes of entries in the artifact.

    Above a limit, ERROR and FATAL lines and the lines around them are kept first, then an even sample of the rest.
    """

    LINE_BYTES: ClassVar[str] = "lineBytes is at most 16Mi"
    model_config = rules(("!has(self.lineBytes) || quantity(self.lineBytes).compareTo(quantity('16Mi')) <= 0", LINE_BYTES))

    bytes_per_container: ByteQuantity = Field("50Mi", description="Most bytes for one run of one container.")
    bytes_per_investigation: ByteQuantity = Field(
        "2Gi",
        description="Most bytes for all pods together. Each pod gets an equal share; within a pod, containers with short logs"
        " leave their part to the others.",
    )
    line_bytes: ByteQuantity = Field("1Mi", description="Longer lines are cut to this many bytes. At most 16Mi.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(parse_bytes(self.line_bytes) <= 16 * 1024**2, self.LINE_BYTES)
        return self


class LogsRequest(Model):
    """Logs of the targets' containers over the window. One artifact per pod."""

    previous: bool = Field(True, description="Also read the log before the last restart of each restarted container.")
    container: ContainerExpression | None = Field(
        None,
        description="Read only containers whose name contains a match of this regular expression (RE2). Unset: all containers.",
    )
    exclude_container: list[ContainerExpression] | None = Field(
        None,
        max_length=20,
        description="Skip containers whose name contains a match of any of these regular expressions (RE2).",
    )
    container_states: list[Literal["running", "waiting", "terminated"]] | None = Field(
        None, min_length=1, max_length=3, description="Read only containers in one of these states. Unset: in any state."
    )
    init_containers: bool = Field(True, description="Also read init containers and sidecars.")
    ephemeral_containers: bool = Field(True, description="Also read ephemeral containers.")
    limits: LogLimits = Field(LogLimits(), description="Limits in bytes. Each has its own default.")
    sample_percent: Annotated[int, Field(ge=0, le=100)] = Field(
        100, description="Percentage of lines to keep, evenly spread, of those that are not errors and not close to one."
    )
    via: Literal["auto", "api", "node"] = Field(
        "auto",
        description="How to read logs. api: through the pods/log API. node: as files from the kubelet, which is faster and"
        " includes rotated files, if an admin allows it. auto: node where allowed, else api. If a read from the node fails, the"
        " API is used instead.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for expression in filter(None, (self.container, *(self.exclude_container or ()))):
            require(is_expression(expression), f"{expression!r} is not a regular expression (RE2)")
        return self


class EventsRequest(Model):
    """Kubernetes events about the targets over the window. One artifact."""

    nodes: bool = Field(
        True,
        description="Also capture events about the pods' nodes and bound volumes. They are in namespace default, so the"
        " identity that reads needs the verb list on events there.",
    )


class ObjectsRequest(Model):
    """Current Kubernetes objects of the targets: pods, owners, revisions, services and more. One artifact per workload."""

    nodes: bool = Field(
        True,
        description="Also capture the pods' nodes with their conditions. The identity that reads needs the verb get on nodes.",
    )


class DataSourceReference(Model):
    """A reference to a DataSource."""

    name: Name = Field(description="Name of the DataSource.")


TemplateName = Annotated[str, Field(max_length=63, pattern=r"^[a-z][a-z0-9_]*$")]


class Baseline(Model):
    """The same query over an earlier window, for comparison."""

    offset: Duration = Field(description="How much earlier the window lies, for example 24h or 1w.")


class MetricsRequest(Model):
    """One Prometheus query over the window: one artifact, and one more each for a baseline and for exemplars."""

    ONE_OF: ClassVar[str] = "set exactly one of query or template"
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

    query: Annotated[str, Field(min_length=1, max_length=8192)] | None = Field(None, description="PromQL expression to run.")
    template: TemplateName | None = Field(
        None,
        description="Predefined query to run, limited to the Investigation's namespace: error_rate, latency_p95, latency_p99,"
        " request_rate, cpu_usage, memory_usage, cpu_throttling, memory_limit, restarts, oom_kills, pvc_usage,"
        " network_errors, hpa_at_maximum, or one that an admin has added (chart value metricTemplates).",
    )
    parameters: dict[str, Annotated[str, Field(max_length=253)]] | None = Field(
        None,
        max_length=10,
        description="Values for the template. service: name of a Service, for templates about requests. pod: prefix of pod"
        " names, for templates about pods. rate_window: a duration, default 5m. Values are escaped.",
    )
    step: Duration | None = Field(
        None, description="Time between samples, for example 30s. Unset: chosen from the length of the window."
    )
    instant: bool | None = Field(
        None, description="True: run an instant query at the end of the window. Default: false, a range query."
    )
    baseline: Baseline | None = Field(
        None, description="Also run the query over an earlier window and compare the results. Unset: no comparison."
    )
    exemplars: bool | None = Field(
        None, description="True: also capture exemplars, which are samples with the id of a trace. Default: false."
    )
    data_source_ref: DataSourceReference | None = Field(
        None, description="Prometheus to query. Unset: the DataSource of type prometheus that is marked as default."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require((self.query is None) != (self.template is None), self.ONE_OF)
        require(self.parameters is None or self.template is not None, self.PARAMETERS)
        ranged = any(field is not None for field in (self.step, self.baseline, self.exemplars))
        require(not (self.instant and ranged), self.INSTANT)
        return self


class FromLogs(Model):
    """Traces with ids that occur in the logs that this Investigation captures."""

    limit: Annotated[int, Field(ge=1, le=500)] = Field(
        20, description="Most traces to capture: first those in ERROR and FATAL lines, then in the order of the lines."
    )


class TracesRequest(Model):
    """Jaeger traces: a search over the window, one trace by id, or the traces that the logs mention. One artifact."""

    ONE_OF: ClassVar[str] = "set exactly one of service, traceID or fromLogs"
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
        None, description="Search for traces of this service, by its name in Jaeger."
    )
    trace_id: Annotated[str, Field(max_length=32, pattern=r"^[0-9a-fA-F]{1,32}$")] | None = Field(
        None, alias="traceID", description="Capture the trace with this id, 1 to 32 hex digits."
    )
    from_logs: FromLogs | None = Field(
        None,
        description="Capture the traces whose ids occur in the captured logs (traceparent, trace_id and similar fields), even"
        " if they lie outside the window.",
    )
    operation: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        None, description="Only traces with this operation. Unset: any operation."
    )
    tags: dict[str, Annotated[str, Field(max_length=1024)]] | None = Field(
        None, max_length=20, description="Only traces with a span that has all these tags."
    )
    min_duration: Annotated[str, Field(max_length=20, pattern=r"^[0-9]+(\.[0-9]+)?(us|ms|s|m|h)$")] | None = Field(
        None, description="Only traces of at least this duration, for example 500ms."
    )
    max_duration: Annotated[str, Field(max_length=20, pattern=r"^[0-9]+(\.[0-9]+)?(us|ms|s|m|h)$")] | None = Field(
        None, description="Only traces of at most this duration, for example 10s."
    )
    limit: Annotated[int, Field(ge=1, le=1500)] | None = Field(None, description="Most traces to capture. Default: 20.")
    data_source_ref: DataSourceReference | None = Field(
        None, description="Jaeger to query. Unset: the DataSource of type jaeger that is marked as default."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(sum(x is not None for x in (self.service, self.trace_id, self.from_logs)) == 1, self.ONE_OF)
        search = (self.operation, self.tags, self.min_duration, self.max_duration, self.limit)
        require(self.service is not None or all(field is None for field in search), self.SEARCH_ONLY)
        return self


class QueryRequest(Model):
    """A query over the window in the language of a DataSource. One artifact."""

    type: QueryTypeName = Field(description=f"Type of the DataSource. {_QUERIES}")
    query: Annotated[str, Field(min_length=1, max_length=8192)] = Field(
        description="Query to run, in the language of the DataSource."
    )
    limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None, description="Most entries to capture, the earliest first. Default: 10000."
    )
    data_source_ref: DataSourceReference | None = Field(
        None, description="DataSource to query. Unset: the DataSource of this type that is marked as default."
    )
