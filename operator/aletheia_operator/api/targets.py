"""Models that select the pods of an Investigation: by name, by labels or by workload."""

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

    key: LabelKey = Field(description="Key of the label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How the label is compared with values.")
    values: list[LabelValue] | None = Field(
        None, max_length=50, description="Values to compare with: required for In and NotIn, not allowed for the others."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require((self.operator in ("In", "NotIn")) == bool(self.values), self.VALUES)
        return self


class LabelSelector(Model):
    """A Kubernetes label selector. All its conditions must hold."""

    NOT_EMPTY: ClassVar[str] = "a selector needs matchLabels or matchExpressions; an empty one would select every pod"
    model_config = rules(
        (
            "(has(self.matchLabels) && size(self.matchLabels) > 0)"
            " || (has(self.matchExpressions) && size(self.matchExpressions) > 0)",
            NOT_EMPTY,
        )
    )

    match_labels: dict[str, LabelValue] | None = Field(
        None, max_length=50, description="Labels with the value that each must have."
    )
    match_expressions: list[LabelSelectorRequirement] | None = Field(None, max_length=50, description="Conditions on labels.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(bool(self.match_labels) or bool(self.match_expressions), self.NOT_EMPTY)
        return self


class WorkloadReference(Model):
    """A workload in the Investigation's namespace. Its pods are found through owner references."""

    kind: Literal["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"] = Field(
        description="Kind of the workload."
    )
    name: Name = Field(description="Name of the workload.")


class Target(Model):
    """Pods to capture, by name, by labels or by workload."""

    ONE_OF: ClassVar[str] = "set exactly one of pod, selector or workload"
    model_config = rules(
        ("(has(self.pod) ? 1 : 0) + (has(self.selector) ? 1 : 0) + (has(self.workload) ? 1 : 0) == 1", ONE_OF),
    )

    pod: Name | None = Field(None, description="Capture the pod of this name.")
    selector: LabelSelector | None = Field(None, description="Capture all pods that match this label selector.")
    workload: WorkloadReference | None = Field(None, description="Capture all pods of this workload.")
    containers: list[ContainerName] | None = Field(
        None,
        min_length=1,
        max_length=50,
        description="Capture the logs of these containers only. Unset: all, including init and ephemeral containers.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(sum(x is not None for x in (self.pod, self.selector, self.workload)) == 1, self.ONE_OF)
        return self
