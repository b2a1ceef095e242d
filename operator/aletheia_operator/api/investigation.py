"""The spec of an Investigation. `targets`, `requests`, `session` and `times` define its parts, `status` the answer.

Each rule exists twice on purpose. The API server checks the CEL rule. The Python validator checks a spec that arrives in
another way (under an older CRD, from the command line) and gives the same message. `tests/invalid_specs.py` compares both.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from aletheia_operator.api.findings import FindingsSpec
from aletheia_operator.api.redaction import RedactionSpec
from aletheia_operator.api.requests import (
    EventsRequest,
    LogsRequest,
    MetricsRequest,
    ObjectsRequest,
    QueryRequest,
    TracesRequest,
)
from aletheia_operator.api.session import RetentionSpec, SessionSpec
from aletheia_operator.api.targets import Target
from aletheia_operator.api.times import WindowSpec
from aletheia_operator.api.types import (
    Duration,
    Model,
    Name,
    require,
    rules,
)

IMMUTABLE = (
    "is immutable but for suspend, cancel, retention and ttlSecondsAfterFinished: to ask again, create another Investigation"
)


MUTABLE_FIELDS = frozenset({"suspend", "cancel", "retention", "ttlSecondsAfterFinished"})


MAX_TEXTS = 65_536
"""Most characters in all long texts of a spec together, so that the resource with status and annotations fits into etcd."""


def _pairs(where: str) -> str:
    """Return CEL that counts the characters of all keys and values of the map at the path `where`."""
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
            "(has(self.queries) ? self.queries.map(request, size(request.query)).sum() : 0)",
            "(has(self.redaction) && has(self.redaction.rules) ? self.redaction.rules.map(rule, size(rule.pattern)).sum() : 0)",
        )
    )
    + f" <= {MAX_TEXTS}"
)


class InvestigationSpec(Model):
    """What to capture. Immutable except suspend, cancel, retention and ttlSecondsAfterFinished."""

    ASKS: ClassVar[str] = "nothing to capture: set at least one of targets, metrics, traces or queries"
    LOGS_NEED_TARGETS: ClassVar[str] = "logs need targets"
    EVENTS_NEED_TARGETS: ClassVar[str] = "events need targets"
    OBJECTS_NEED_TARGETS: ClassVar[str] = "objects need targets"
    TEXTS: ClassVar[str] = f"selectors, queries, parameters, tags and patterns are together longer than {MAX_TEXTS} characters"
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

    window: WindowSpec = Field(
        WindowSpec(lookback="1h"), description="The time span to capture. Default: the hour before the resource's creation."
    )
    targets: list[Target] | None = Field(
        None,
        min_length=1,
        max_length=50,
        description="Pods of this namespace to capture. If none of logs, events and objects is set, all three are captured;"
        " otherwise only those that are set.",
    )
    logs: LogsRequest | None = Field(None, description="Capture the logs of the targets' containers.")
    events: EventsRequest | None = Field(None, description="Capture the Kubernetes events about the targets.")
    objects: ObjectsRequest | None = Field(
        None, description="Capture the targets' current Kubernetes objects and those that they depend on."
    )
    metrics: list[MetricsRequest] | None = Field(None, min_length=1, max_length=50, description="Prometheus queries to run.")
    traces: list[TracesRequest] | None = Field(None, min_length=1, max_length=50, description="Jaeger traces to capture.")
    queries: list[QueryRequest] | None = Field(
        None, min_length=1, max_length=50, description="Queries for other types of DataSource, for example LogQL for Loki."
    )
    findings: FindingsSpec | None = Field(None, description="How the evidence is judged: rules of your own.")
    service_account_name: Name | None = Field(
        None,
        description="ServiceAccount of this namespace whose rights are used to read from Kubernetes. Default: the rights of the"
        " operator, limited to this namespace, or the account that an admin has set.",
    )
    redaction: RedactionSpec | None = Field(
        None, description="What is removed from the captured data before it is written. Unset: what an admin has set."
    )
    session: SessionSpec | None = Field(None, description="Encryption and upload of the session.")
    retention: RetentionSpec | None = Field(None, description="How long the session is kept. Can be changed at any time.")
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=3153600000)] | None = Field(
        None,
        description="Seconds after its end until the Investigation is deleted, as for Jobs, together with its session unless"
        " retention.keep is true. A legal hold prevents it. Unset: it is not deleted. If Flux, Argo CD or Helm has applied the"
        " Investigation, only its artifacts are removed: a deleted one would be created and captured again.",
    )
    timeout: Duration = Field(
        "10m",
        description="Longest duration of the capture. What is not captured by then becomes a gap. The operator may set a lower"
        " limit.",
    )
    suspend: bool = Field(False, description="True: the capture does not start until this is false.")
    cancel: bool = Field(False, description="Set to true to stop the capture. What was captured is kept.")

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
        """Yield the texts that may be long: the ones that TEXTS_RULE adds up."""
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
        for rule in (self.redaction.rules if self.redaction else None) or ():
            yield rule.pattern

    def of_targets(self, field: Literal["logs", "events", "objects"]) -> bool:
        """Return whether `field` of the targets is captured: it is set, or there are targets and none of the three is set."""
        named = [name for name in ("logs", "events", "objects") if getattr(self, name) is not None]
        return self.targets is not None and (field in named or not named)


def immutability_rules(schema: dict[str, Any]) -> list[dict[str, str]]:
    """Return CEL transition rules that make every field of the spec's `schema` immutable except MUTABLE_FIELDS.

    They compare presence and value of optional fields separately: with CEL's optional types the API server's cost estimate
    is unbounded.
    """
    return [
        {
            "rule": f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})",
            "message": f"spec.{name} {IMMUTABLE}",
        }
        for name in schema["properties"]
        if name not in MUTABLE_FIELDS
    ]
