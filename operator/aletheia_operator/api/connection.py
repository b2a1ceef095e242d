"""How a DataSource is connected to: credentials, certificates, and the tenant on a multi-tenant server."""

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from aletheia_operator.api.types import Model, Name, require, rules

NAMESPACE_PATTERN = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
NAMESPACE_PLACEHOLDER = "{namespace}"
SecretKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
HeaderName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][-A-Za-z0-9]*$")]
NAMES_OF_HTTP = (
    "^(host|content-.*|transfer-encoding|connection|keep-alive|te|trailers?|upgrade|expect|max-forwards|http2-settings"
    "|accept(-.*)?|cookie|set-cookie|user-agent|range|if-.*|via|date|proxy-.*|sec-.*|impersonate-.*|x-remote-.*|x-http-method.*)$"
)
"""Headers with a meaning in HTTP, for this client, or in the Kubernetes API, which may be the endpoint. In lower case."""
NOT_OF_TENANTS = NAMES_OF_HTTP[:-2] + "|authorization|(x-)?api-?key|.*-token|x-amz-.*|forwarded|x-forwarded-.*|x-real-ip)$"
"""Headers that may not carry a tenant: those above, and headers of credentials and proxies. In lower case."""


class SecretReference(Model):
    """A Secret in the operator's namespace."""

    name: Name = Field(
        description="Name of the Secret. The operator needs the right to get it: add it to the chart value dataSourceSecrets."
    )


class SecretKeyReference(SecretReference):
    """One value of a Secret in the operator's namespace."""

    key: SecretKey = Field(description="Key in the Secret's data.")


class HeaderAuth(Model):
    """Authentication by a header of the server, for example X-Api-Key."""

    NAME: ClassVar[str] = "auth.header.name has a meaning in HTTP: use a header that the server reads credentials from"
    model_config = rules((f"!self.name.lowerAscii().matches(r'{NAMES_OF_HTTP}')", NAME))

    name: HeaderName = Field(description="Name of the header.")
    secret_ref: SecretKeyReference = Field(description="Secret with the value of the header.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(not re.match(NAMES_OF_HTTP, self.name.lower()), self.NAME)
        return self


class Auth(Model):
    """How the operator authenticates. Secrets are read for each question, so a rotated Secret takes effect at once."""

    ONE_OF: ClassVar[str] = "set exactly one of basic, bearer, header, accessKey or cloudIdentity"
    model_config = rules(
        (
            "(has(self.basic) ? 1 : 0) + (has(self.bearer) ? 1 : 0) + (has(self.header) ? 1 : 0)"
            " + (has(self.accessKey) ? 1 : 0) + (has(self.cloudIdentity) ? 1 : 0) == 1",
            ONE_OF,
        ),
    )

    basic: SecretReference | None = Field(
        None, description="HTTP basic authentication, with a Secret that has the keys username and password."
    )
    bearer: SecretKeyReference | None = Field(None, description="Bearer token in the header Authorization.")
    header: HeaderAuth | None = Field(None, description="Another header with a credential.")
    access_key: SecretReference | None = Field(
        None,
        description="Type s3: Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN for a"
        " temporary key. The operator uses no other credentials.",
    )
    cloud_identity: Literal["aws"] | None = Field(
        None,
        description="Type s3, instead of accessKey: the AWS identity of the operator's pod. aws: temporary keys from STS for"
        " the pod's web identity token (IRSA), or from EKS Pod Identity. The pod's environment names server, role and token.",
    )

    @property
    def is_of_s3(self) -> bool:
        """Return whether these credentials sign requests to S3."""
        return self.access_key is not None or self.cloud_identity is not None

    @model_validator(mode="after")
    def _check(self) -> Self:
        ways = (self.basic, self.bearer, self.header, self.access_key, self.cloud_identity)
        require(sum(way is not None for way in ways) == 1, self.ONE_OF)
        return self


class TLS(Model):
    """TLS settings. The endpoint must be https."""

    ca_secret_ref: SecretKeyReference | None = Field(
        None,
        description="Secret with PEM certificates of the CAs to trust for the endpoint, and no other CA. Unset: public CAs and"
        " the chart's caBundle.",
    )
    client_secret_ref: SecretReference | None = Field(
        None,
        description="Secret with tls.crt and tls.key (type kubernetes.io/tls): the operator's client certificate."
        " Unset: none is sent.",
    )


PROXY_URL = r"^http://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?/?$"
"""Allows no user: credentials are in a Secret."""


class Proxy(Model):
    """An HTTP proxy. An https endpoint is reached by CONNECT: the proxy sees the host name, but no content."""

    url: Annotated[str, Field(min_length=8, max_length=512, pattern=PROXY_URL)] = Field(
        description="URL of the proxy, for example http://proxy.example:3128. An http endpoint's content is visible to it."
    )
    basic: SecretReference | None = Field(
        None, description="Secret with the keys username and password for the proxy. Unset: without credentials."
    )


TENANT_TEMPLATE = r"^[-A-Za-z0-9!_.'()]*[{]namespace[}][-A-Za-z0-9!_.'()]*$"
"""Allows the characters that Mimir and Loki accept in a tenant's id, except `*`, which some servers treat as all tenants, and
`|`, which joins tenants. There is exactly one placeholder, so no two namespaces have the same tenant."""


class Tenant(Model):
    """The tenant to query on a multi-tenant server (Mimir, Loki, Cortex, Thanos)."""

    ONE_OF: ClassVar[str] = "set exactly one of tenant.value, tenant.fromNamespace: true or tenant.template"
    HEADER: ClassVar[str] = (
        "tenant.header must be the server's header for tenants, for example X-Scope-OrgID, THANOS-TENANT or AccountID:"
        " not a header of HTTP, of credentials or of proxies"
    )
    model_config = rules(
        (f"!has(self.header) || !self.header.lowerAscii().matches(r'{NOT_OF_TENANTS}')", HEADER),
        (
            "(has(self.value) ? 1 : 0) + (has(self.fromNamespace) && self.fromNamespace ? 1 : 0)"
            " + (has(self.template) ? 1 : 0) == 1",
            ONE_OF,
        ),
    )

    header: HeaderName = Field("X-Scope-OrgID", description="Name of the header that carries the tenant.")
    value: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[!-~]+$")] | None = Field(
        None, description="The tenant's id: one for all namespaces that may use the DataSource."
    )
    from_namespace: bool | None = Field(
        None,
        description="True: the tenant is the Investigation's namespace. The server must enforce tenants (Loki: auth_enabled,"
        " Mimir: multitenancy_enabled): one that ignores the header shows everything.",
    )
    template: Annotated[str, Field(min_length=11, max_length=98, pattern=TENANT_TEMPLATE)] | None = Field(
        None, description="The tenant's id, with {namespace} for the Investigation's namespace, for example team-{namespace}."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(not re.match(NOT_OF_TENANTS, self.header.lower()), self.HEADER)
        require((self.value is not None) + bool(self.from_namespace) + (self.template is not None) == 1, self.ONE_OF)
        return self

    @property
    def is_of_namespace(self) -> bool:
        """Return whether each namespace has a tenant of its own."""
        return self.value is None

    def of(self, namespace: str) -> str:
        """Return the tenant for Investigations of the namespace. Raises ValueError for an invalid namespace name."""
        if self.value is not None:
            return self.value
        require(re.fullmatch(NAMESPACE_PATTERN, namespace) is not None, "the namespace's name cannot be a tenant")
        return (self.template or NAMESPACE_PLACEHOLDER).replace(NAMESPACE_PLACEHOLDER, namespace)
