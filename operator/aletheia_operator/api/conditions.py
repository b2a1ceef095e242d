"""The model of a Kubernetes condition."""

from typing import Literal

from pydantic import AwareDatetime, Field

from aletheia_operator.api.types import Model


class Condition(Model):
    """A Kubernetes condition (metav1.Condition)."""

    type: str = Field(max_length=316, description="Name of the condition, in CamelCase.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether the condition holds.")
    reason: str = Field(max_length=1024, description="Why it holds or not, as one CamelCase word.")
    message: str = Field("", max_length=32768, description="Why it holds or not, for people.")
    last_transition_time: AwareDatetime = Field(description="Time of the last change of status.")
    observed_generation: int | None = Field(None, description="The metadata.generation that this condition describes.")
