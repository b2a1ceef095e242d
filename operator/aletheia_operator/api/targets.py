"""Which pods an Investigation means: by name, by labels, or by workload."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from aletheia_operator.api.types import (
    ContainerName,
    Model,
    Name,
    require,
    rules,
)

LabelValue = Annotated[str, Field(max_length=63, pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")]


LabelKey = Annotated[
    str, Field(min_length=1, max_length=317, pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
]


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
