"""The Investigation: what an engineer asks. `targets`, `requests`, `keeping` and `times` have its parts, `status` the answer.

CEL rules and Python validators say the same thing twice on purpose: the API server refuses first, and a spec that reaches
us another way (an older CRD, the command line) is refused in the same words. `tests/invalid_specs.py` holds them together.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from aletheia_operator.api.keeping import RetentionSpec, SessionSpec
from aletheia_operator.api.requests import (
    EventsRequest,
    LogsRequest,
    MetricsRequest,
    ObjectsRequest,
    QueryRequest,
    TracesRequest,
)
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
"""Characters of the texts of a spec that may be long: with its status and annotations it must fit into etcd."""


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
