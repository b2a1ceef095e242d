"""Models of own rules for findings: an admin's (chart value `findings.rules`), an Investigation's (`spec.findings.rules`)."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from aletheia_operator.api.expressions import TEXTS_MEMORY, is_expression
from aletheia_operator.api.types import Model, require, rules

MAX_RULES = 20
Expression = Annotated[str, Field(min_length=1, max_length=200)]
_EXPRESSION = "{!r} is not a regular expression (RE2, ASCII), or needs too much memory"


class LogMatch(Model):
    """Lines of the targets' logs."""

    pattern: Expression = Field(description="Regular expression (RE2) that a line contains a match of.")
    at_least: Annotated[int, Field(ge=1, le=1_000_000)] = Field(1, description="Fewest such lines of one workload.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(is_expression(self.pattern, TEXTS_MEMORY), _EXPRESSION.format(self.pattern))
        return self


class EventMatch(Model):
    """Kubernetes events about the targets."""

    reason: Annotated[str, Field(min_length=1, max_length=128)] = Field(description="Reason of the event, as it is.")
    message: Expression | None = Field(
        None, description="Regular expression (RE2) that the event's message contains a match of. Unset: any message."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(self.message is None or is_expression(self.message, TEXTS_MEMORY), _EXPRESSION.format(self.message))
        return self


class ConditionMatch(Model):
    """A condition in the status of a captured object."""

    kind: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Z][A-Za-z0-9]*$")] = Field(
        description="Kind of the object, for example Deployment."
    )
    type: Annotated[str, Field(min_length=1, max_length=316)] = Field(description="Type of the condition.")
    status: Literal["True", "False", "Unknown"] = Field(description="Status of the condition.")


class MetricMatch(Model):
    """A level of a series that the Investigation asks for."""

    ONE_OF: ClassVar[str] = "set exactly one of above and below"
    model_config = rules(("has(self.above) != has(self.below)", ONE_OF))

    metric: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        description="The template, or the query as it stands in spec.metrics (its first 200 characters)."
    )
    above: float | None = Field(None, description="The highest sample is above this number.")
    below: float | None = Field(None, description="The median of the last quarter of the window is below this number.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require((self.above is None) != (self.below is None), self.ONE_OF)
        return self


class FindingRule(Model):
    """A rule of your own: what it looks for, and what it says."""

    ONE_OF: ClassVar[str] = "set exactly one of log, event, condition and metric"
    model_config = rules(
        (
            "(has(self.log) ? 1 : 0) + (has(self.event) ? 1 : 0) + (has(self.condition) ? 1 : 0)"
            " + (has(self.metric) ? 1 : 0) == 1",
            ONE_OF,
        )
    )

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Z][A-Za-z0-9]*$")] = Field(
        description="Name of the rule in findings: one CamelCase word."
    )
    log: LogMatch | None = Field(None, description="Look for lines of logs.")
    event: EventMatch | None = Field(None, description="Look for events.")
    condition: ConditionMatch | None = Field(None, description="Look for a condition of an object.")
    metric: MetricMatch | None = Field(None, description="Look for a level of a metric.")
    message: Annotated[str, Field(min_length=1, max_length=200)] = Field(description="What is wrong, for people.")
    severity: Literal["critical", "error", "warning", "info"] = Field("warning", description="How bad it is.")
    runbook_url: Annotated[str, Field(max_length=500, pattern=r"^https?://[^\s<>\"'`]+$")] | None = Field(
        None, description="Where to read what to do: an http or https URL."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(
            sum(condition is not None for condition in (self.log, self.event, self.condition, self.metric)) == 1, self.ONE_OF
        )
        return self


class FindingsSpec(Model):
    """How the evidence is judged."""

    rules: list[FindingRule] = Field(
        max_length=MAX_RULES, description="Rules of your own, in addition to those of the operator and its admin."
    )
