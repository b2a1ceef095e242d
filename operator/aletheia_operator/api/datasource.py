"""The DataSource: one endpoint, an admin's word. Cluster-scoped, so that namespaces cannot bring their own.

Most are asked; one of type s3 takes finished sessions.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import AwareDatetime, Field, create_model, model_validator
from pydantic.alias_generators import to_camel

from aletheia_operator.api.addresses import is_refused
from aletheia_operator.api.conditions import Condition
from aletheia_operator.api.source_types import SOURCE_TYPES, SourceTypeName
from aletheia_operator.api.source_types.jaeger import JaegerApi
from aletheia_operator.api.types import Duration, LabelName, Model, Name, require, rules

PLAIN_URL = re.compile(r"https?://[\w.~:\[\]-]+(/([\w.~!$&'()*+,;=:/-]|%[0-9a-f]{2})*)?", re.IGNORECASE)
# as written; what a name resolves to is checked when it is connected to
_METADATA = (
    r"^https?://(169[.]254[.]|168[.]63[.]129[.]16([:/]|$)|100[.]100[.]100[.]200([:/]|$)|192[.]0[.]0[.]192([:/]|$)"
    r"|metadata[.]google[.]internal|\[fe[89ab][0-9a-f]:|\[fd00:ec2:|\[fd20:ce::254\]|\[fd00:42::42\]|\[2002:a9fe:"
    r"|\[(::|::ffff:|::ffff:0:|64:ff9b::|64:ff9b:1::)(169[.]254[.]|a9fe:))"
)
SecretKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
HeaderName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][-A-Za-z0-9]*$")]
NAMES_OF_HTTP = (
    "^(host|content-.*|transfer-encoding|connection|keep-alive|te|trailers?|upgrade|expect|max-forwards|http2-settings"
    "|accept(-.*)?|cookie|set-cookie|user-agent|range|if-.*|via|date|proxy-.*|sec-.*|impersonate-.*|x-remote-.*|x-http-method.*)$"
)
"""Headers that HTTP itself, this client, or the Kubernetes API (if it were the endpoint) gives a meaning; in small letters."""
NOT_OF_TENANTS = NAMES_OF_HTTP[:-2] + "|authorization|(x-)?api-?key|.*-token|x-amz-.*|forwarded|x-forwarded-.*|x-real-ip)$"
"""Headers that cannot name a tenant: those above, and those of credentials and of proxies; in small letters."""


class SecretReference(Model):
    """A Secret in the operator's namespace."""

    name: Name = Field(
        description="The Secret's name. The operator must have the right to get it: chart value dataSourceSecrets."
    )


class SecretKeyReference(SecretReference):
    """One value of a Secret in the operator's namespace."""

    key: SecretKey = Field(description="The key in the Secret's data.")


class HeaderAuth(Model):
    """A header of the endpoint's own, such as X-Api-Key."""

    NAME: ClassVar[str] = "a header of HTTP itself carries no credential"
    model_config = rules((f"!self.name.lowerAscii().matches(r'{NAMES_OF_HTTP}')", NAME))

    name: HeaderName = Field(description="The header's name.")
    secret_ref: SecretKeyReference = Field(description="Its value.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(not re.match(NAMES_OF_HTTP, self.name.lower()), self.NAME)
        return self


class Auth(Model):
    """How the operator proves who it is. Secrets are read anew for each question, so a rotated one counts at once."""

    ONE_OF: ClassVar[str] = "name exactly one of basic, bearer, header or accessKey"
    model_config = rules(
        (
            "(has(self.basic) ? 1 : 0) + (has(self.bearer) ? 1 : 0) + (has(self.header) ? 1 : 0)"
            " + (has(self.accessKey) ? 1 : 0) == 1",
            ONE_OF,
        ),
    )

    basic: SecretReference | None = Field(None, description="HTTP basic: a Secret with username and password.")
    bearer: SecretKeyReference | None = Field(None, description="Authorization: Bearer, with this value.")
    header: HeaderAuth | None = Field(None, description="A header of the endpoint's own.")
    access_key: SecretReference | None = Field(
        None,
        description="S3: a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN where the key is"
        " temporary. No other credentials are looked for.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(sum(x is not None for x in (self.basic, self.bearer, self.header, self.access_key)) == 1, self.ONE_OF)
        return self


class TLS(Model):
    """Certificates; the endpoint must be https."""

    ca_secret_ref: SecretKeyReference | None = Field(
        None, description="PEM certificates that sign the endpoint's. Default: the system's."
    )
    client_secret_ref: SecretReference | None = Field(
        None, description="A Secret with tls.crt and tls.key (type kubernetes.io/tls) that the operator shows."
    )


class Tenant(Model):
    """The tenant of a server for many (Mimir, Loki, Thanos)."""

    HEADER: ClassVar[str] = (
        "tenant.header is the server's own header for tenants, such as X-Scope-OrgID, THANOS-TENANT or AccountID:"
        " not one of HTTP itself, of credentials or of proxies"
    )
    model_config = rules((f"!self.header.lowerAscii().matches(r'{NOT_OF_TENANTS}')", HEADER))

    header: HeaderName = Field("X-Scope-OrgID", description="The header that names it.")
    value: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[!-~]+$")] = Field(description="The tenant.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(not re.match(NOT_OF_TENANTS, self.header.lower()), self.HEADER)
        return self


class _Connection(Model):
    """Where the endpoint is, and how it is asked."""

    type: SourceTypeName = Field(description="Which API the endpoint speaks.")
    endpoint: Annotated[str, Field(min_length=1, max_length=2048)] = Field(
        description="Base URL, such as http://prometheus.monitoring:9090; a path prefix is kept."
    )
    auth: Auth | None = Field(None, description="How the operator proves who it is. Default: it does not.")
    tls: TLS | None = Field(None, description="Certificates in place of the system's.")
    tenant: Tenant | None = Field(None, description="The tenant to ask for, at servers for many.")


if TYPE_CHECKING:
    _WithOptions = _Connection
else:  # one field for each type's options
    _WithOptions = create_model(
        "_WithOptions",
        __base__=_Connection,
        **{one.name: (one.options | None, None) for one in SOURCE_TYPES if one.options is not None},
    )

_DEPRECATED = {"namespace_label": "prometheus", "api": "jaeger"}
"""Options that were fields of the spec once, with their types. Stored resources have them."""


def _needed(name: str) -> str:
    return f"{name} holds the options of type {name}: that type needs it, and no other may have it"


def _belongs(name: str, field: str) -> str:
    return f"{field} belongs to type {name}"


def _differs(name: str, field: str) -> str:
    return f"{field} is deprecated, and differs from {name}.{field}: remove it"


def _option_rules() -> Iterator[tuple[str, str]]:
    """Yield the rules for the options of all types, with their messages. `_check_options` is the same in Python."""
    for one in SOURCE_TYPES:
        if one.needs_options:
            yield f"has(self.{one.name}) == (self.type == '{one.name}')", _needed(one.name)
        elif one.options is not None:
            yield f"!has(self.{one.name}) || self.type == '{one.name}'", _belongs(one.name, one.name)
    for attribute, name in _DEPRECATED.items():
        field = to_camel(attribute)
        yield f"!has(self.{field}) || self.type == '{name}'", _belongs(name, field)
        both = f"has(self.{field}) && has(self.{name}) && has(self.{name}.{field})"
        yield f"!({both}) || self.{field} == self.{name}.{field}", _differs(name, field)


class DataSourceSpec(_WithOptions):
    """One endpoint of metrics, traces or logs that Investigations may name, or of the object storage that takes sessions."""

    PLAIN: ClassVar[str] = "endpoint must be a plain http or https URL with a host: no user, query or fragment"
    METADATA: ClassVar[str] = "endpoint is link-local or a cloud's metadata service, which hold credentials of the node"
    TLS_NEEDS_HTTPS: ClassVar[str] = "tls needs an https endpoint"
    S3_ACCESS_KEY: ClassVar[str] = "auth.accessKey is how type s3 proves who it is, and no other type"
    S3_ENDPOINT: ClassVar[str] = "the endpoint of type s3 has no path: buckets and prefixes belong to s3"
    S3_TENANT: ClassVar[str] = "tenant does not belong to type s3"
    TENANT_OR_AUTH: ClassVar[str] = "tenant.header and auth.header.name are the same header: one would replace the other"
    model_config = rules(
        (
            "isURL(self.endpoint) && url(self.endpoint).getScheme() in ['http', 'https'] && url(self.endpoint).getHost() != ''"
            " && !self.endpoint.contains('@') && !self.endpoint.contains('?') && !self.endpoint.contains('#')",
            PLAIN,
        ),
        (f"!self.endpoint.matches(r'(?i){_METADATA}')", METADATA),
        ("!has(self.tls) || self.endpoint.startsWith('https:')", TLS_NEEDS_HTTPS),
        *_option_rules(),
        ("(has(self.auth) && has(self.auth.accessKey)) == (self.type == 's3')", S3_ACCESS_KEY),
        ("self.type != 's3' || !isURL(self.endpoint) || url(self.endpoint).getEscapedPath() in ['', '/']", S3_ENDPOINT),
        ("!has(self.tenant) || self.type != 's3'", S3_TENANT),
        (
            "!has(self.tenant) || !has(self.auth) || !has(self.auth.header)"
            " || self.tenant.header.lowerAscii() != self.auth.header.name.lowerAscii()",
            TENANT_OR_AUTH,
        ),
    )

    namespace_label: LabelName | None = Field(None, description="Deprecated: set prometheus.namespaceLabel.")
    api: JaegerApi | None = Field(None, description="Deprecated: set jaeger.api.")
    default: bool = Field(False, description="Used by requests of this type that name no DataSource.")
    timeout: Duration = Field("30s", description="Longest wait for one answer; of S3, for one part of 8 MiB.")
    max_response_bytes: Annotated[int, Field(ge=1024, le=1073741824)] = Field(
        32 * 1024 * 1024, description="Largest answer to one question in bytes; what is beyond is a gap."
    )
    max_series: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10_000, description="Most series of one answer; what is beyond is a gap."
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
        require(not re.match(_METADATA, self.endpoint, re.IGNORECASE) and not _is_refused(url.hostname or ""), self.METADATA)
        require(self.tls is None or self.endpoint.startswith("https:"), self.TLS_NEEDS_HTTPS)
        self._check_options()
        is_s3 = self.type == "s3"
        require((self.auth is not None and self.auth.access_key is not None) == is_s3, self.S3_ACCESS_KEY)
        require(not is_s3 or urlsplit(self.endpoint).path in ("", "/"), self.S3_ENDPOINT)
        require(not is_s3 or self.tenant is None, self.S3_TENANT)
        if self.tenant is not None and self.auth is not None and self.auth.header is not None:
            require(self.tenant.header.lower() != self.auth.header.name.lower(), self.TENANT_OR_AUTH)
        return self

    def _check_options(self) -> None:
        for one in SOURCE_TYPES:
            given, is_own = getattr(self, one.name, None) is not None, self.type == one.name
            if one.needs_options:
                require(given == is_own, _needed(one.name))
            else:
                require(is_own or not given, _belongs(one.name, one.name))
        for attribute, name in _DEPRECATED.items():
            value = getattr(self, attribute)
            if value is not None:
                require(self.type == name, _belongs(name, to_camel(attribute)))
                own = getattr(getattr(self, name), attribute, None)
                require(own is None or own == value, _differs(name, to_camel(attribute)))

    @property
    def options(self) -> Model | None:
        """Return the options of the spec's type; None if there are none. Deprecated fields count as options."""
        own: Model | None = getattr(self, self.type, None)
        moved = {attribute: getattr(self, attribute) for attribute, name in _DEPRECATED.items() if name == self.type}
        moved = {attribute: value for attribute, value in moved.items() if value is not None}
        if not moved:
            return own
        (source_type,) = [one for one in SOURCE_TYPES if one.name == self.type]
        assert source_type.options is not None
        return (own or source_type.options()).model_copy(update=moved)


def _is_refused(host: str) -> bool:
    try:
        return is_refused(host)
    except ValueError:  # a name: where it leads is checked when it is connected to
        return False


class DataSourceStatus(Model):
    """How the endpoint answered when it was last looked at."""

    observed_generation: int | None = Field(None, description="The generation that this status speaks of.")
    version: str | None = Field(None, description="The server's version, where it tells.")
    last_check: AwareDatetime | None = Field(None, description="When it was last looked at.")
    last_error: str | None = Field(None, description="Why it did not answer, when it last did not.")
    conditions: list[Condition] | None = Field(
        None,
        description="Reachable: whether the endpoint answers.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
