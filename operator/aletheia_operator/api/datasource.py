"""The DataSource: one endpoint, an admin's word. Cluster-scoped, so that namespaces cannot bring their own."""

import re
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from aletheia_operator.api.types import Duration, Model, Name, require, rules

PLAIN_URL = re.compile(r"https?://[\w.~:\[\]-]+(/([\w.~!$&'()*+,;=:/-]|%[0-9a-f]{2})*)?", re.IGNORECASE)


class DataSourceSpec(Model):
    """One Prometheus or Jaeger endpoint that Investigations may name."""

    PLAIN: ClassVar[str] = "endpoint must be a plain http or https URL with a host: no user, query or fragment"
    model_config = rules(
        (
            "isURL(self.endpoint) && url(self.endpoint).getScheme() in ['http', 'https'] && url(self.endpoint).getHost() != ''"
            " && !self.endpoint.contains('@') && !self.endpoint.contains('?') && !self.endpoint.contains('#')",
            PLAIN,
        ),
    )

    type: Literal["prometheus", "jaeger"] = Field(description="Which API the endpoint speaks.")
    endpoint: Annotated[str, Field(min_length=1, max_length=2048)] = Field(
        description="Base URL, such as http://prometheus.monitoring:9090; a path prefix is kept."
    )
    default: bool = Field(False, description="Used by requests of this type that name no DataSource.")
    timeout: Duration = Field("30s", description="Longest wait for one answer.")
    max_response_bytes: Annotated[int, Field(ge=1024, le=1073741824)] = Field(
        32 * 1024 * 1024, description="Largest answer in bytes; a larger one is a gap."
    )
    allowed_namespaces: list[Name] | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="Only Investigations in these namespaces may use it. Default: all.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            url = urlsplit(self.endpoint)
            plain = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
        except ValueError:
            plain = False
        require(plain and PLAIN_URL.fullmatch(self.endpoint) is not None, self.PLAIN)
        return self
