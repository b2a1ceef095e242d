"""What an Investigation asks of each kind of source: logs, events, objects, metrics, traces, and queries of its own."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from aletheia_operator.api.expressions import is_expression
from aletheia_operator.api.types import (
    QUERY_TYPES,
    ByteQuantity,
    Duration,
    Model,
    Name,
    parse_bytes,
    require,
    rules,
)

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
