"""Conditions, as every Kubernetes API has them."""

from typing import Literal

from pydantic import AwareDatetime, Field

from aletheia_operator.api.types import Model


class Condition(Model):
    """A Kubernetes condition (metav1.Condition)."""

    type: str = Field(max_length=316, description="The condition, in one CamelCase word.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(max_length=1024, description="Why, in one CamelCase word.")
    message: str = Field("", max_length=32768, description="Why, for people.")
    last_transition_time: AwareDatetime = Field(description="When status last changed.")
    observed_generation: int | None = Field(None, description="The generation this was said of.")
