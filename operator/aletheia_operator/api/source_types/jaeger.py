"""Options of DataSources of type jaeger."""

from typing import Literal

from pydantic import Field

from aletheia_operator.api.types import Model

JaegerApi = Literal["v1", "v3"]


class JaegerOptions(Model):
    """Options of type jaeger."""

    api: JaegerApi | None = Field(
        None,
        description="API to use. v1: /api/traces, as Jaeger's UI does. v3: /api/v3/traces, which answers in OTLP."
        " Unset: v1 if it answers, else v3.",
    )
