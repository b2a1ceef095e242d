"""Options of DataSources of type jaeger."""

from typing import Literal

from pydantic import Field

from aletheia_operator.api.types import Model

JaegerApi = Literal["v1", "v3"]


class JaegerOptions(Model):
    """Jaeger alone: how it is asked."""

    api: JaegerApi | None = Field(
        None,
        description="v1 is /api/traces, as its UI uses it; v3 is /api/v3/traces, which answers in OTLP."
        " Default: v1 where it answers, else v3.",
    )
