"""The DataSource: one server that admins allow Investigations to use. Cluster-scoped, so that tenants cannot create their own.

Most types are queried for evidence; type s3 takes finished sessions.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import AwareDatetime, Field, create_model, model_validator
from pydantic.alias_generators import to_camel

from aletheia_operator.api.addresses import is_refused
from aletheia_operator.api.conditions import Condition
from aletheia_operator.api.connection import TLS, Auth, Proxy, Tenant
from aletheia_operator.api.source_types import SOURCE_TYPES, SourceTypeName
from aletheia_operator.api.source_types.jaeger import JaegerApi
from aletheia_operator.api.types import NAME_PATTERN, Duration, LabelName, Model, require, rules

PLAIN_URL = re.compile(r"https?://[\w.~:\[\]-]+(/([\w.~!$&'()*+,;=:/-]|%[0-9a-f]{2})*)?", re.IGNORECASE)
# checks the endpoint as written; the addresses of a host name are checked for each connection
_METADATA = (
    r"^https?://(169[.]254[.]|168[.]63[.]129[.]16([:/]|$)|100[.]100[.]100[.]200([:/]|$)|192[.]0[.]0[.]192([:/]|$)"
    r"|metadata[.]google[.]internal|\[fe[89ab][0-9a-f]:|\[fd00:ec2:|\[fd20:ce::254\]|\[fd00:42::42\]|\[2002:a9fe:"
    r"|\[(::|::ffff:|::ffff:0:|64:ff9b::|64:ff9b:1::)(169[.]254[.]|a9fe:))"
)


ALL_NAMESPACES = "*"
AllowedNamespace = Annotated[str, Field(min_length=1, max_length=253, pattern=rf"^[*]$|{NAME_PATTERN}")]


class _Connection(Model):
    """How to reach the server, and how to authenticate."""

    type: SourceTypeName = Field(description="API that the endpoint speaks.")
    endpoint: Annotated[str, Field(min_length=1, max_length=2048)] = Field(
        description="Base URL of the server, for example http://prometheus.monitoring:9090. It may have a path prefix."
    )
    auth: Auth | None = Field(None, description="How the operator authenticates. Unset: without credentials.")
    tls: TLS | None = Field(
        None, description="CAs to trust, and a client certificate. Unset: public CAs and the chart's caBundle, no certificate."
    )
    proxy: Proxy | None = Field(
        None, description="HTTP proxy to the endpoint. Unset: that of the chart's value proxy, unless it exempts the endpoint."
    )
    tenant: Tenant | None = Field(None, description="Tenant to query on a multi-tenant server. Unset: no tenant is sent.")


if TYPE_CHECKING:
    _WithOptions = _Connection
else:  # one field for each type's options
    _WithOptions = create_model(
        "_WithOptions",
        __base__=_Connection,
        **{known.name: (known.options | None, None) for known in SOURCE_TYPES if known.options is not None},
    )

_DEPRECATED = {"namespace_label": "prometheus", "api": "jaeger"}
"""Options that used to be fields of the spec, with their types. Stored resources may have them."""


def _needed(name: str) -> str:
    return f"{name} has the options of type {name}: it is required for that type, and not allowed for others"


def _belongs(name: str, field: str) -> str:
    return f"{field} belongs to type {name}"


def _differs(name: str, field: str) -> str:
    return f"{field} is deprecated, and differs from {name}.{field}: remove it"


def _option_rules() -> Iterator[tuple[str, str]]:
    """Yield the rules for the options of all types, with their messages. `_check_options` checks the same in Python."""
    for source_type in SOURCE_TYPES:
        name = source_type.name
        if source_type.needs_options:
            yield f"has(self.{name}) == (self.type == '{name}')", _needed(name)
        elif source_type.options is not None:
            yield f"!has(self.{name}) || self.type == '{name}'", _belongs(name, name)
    for attribute, name in _DEPRECATED.items():
        field = to_camel(attribute)
        yield f"!has(self.{field}) || self.type == '{name}'", _belongs(name, field)
        both = f"has(self.{field}) && has(self.{name}) && has(self.{name}.{field})"
        yield f"!({both}) || self.{field} == self.{name}.{field}", _differs(name, field)


class DataSourceSpec(_WithOptions):
    """A server of metrics, traces or logs that Investigations may query, or object storage that takes their sessions."""

    PLAIN: ClassVar[str] = "endpoint must be a plain http or https URL with a host, without user, query or fragment"
    METADATA: ClassVar[str] = "endpoint is link-local or a cloud's metadata service, which would expose credentials of the node"
    TLS_NEEDS_HTTPS: ClassVar[str] = "tls needs an https endpoint"
    S3_AUTH: ClassVar[str] = "auth.accessKey or auth.cloudIdentity is required for type s3, and not allowed for others"
    S3_ENDPOINT: ClassVar[str] = "the endpoint of type s3 must have no path: set s3.bucket and s3.prefix"
    S3_TENANT: ClassVar[str] = "tenant is not allowed for type s3"
    TENANT_OR_AUTH: ClassVar[str] = "tenant.header and auth.header.name are the same header: use different ones"
    model_config = rules(
        (
            "isURL(self.endpoint) && url(self.endpoint).getScheme() in ['http', 'https'] && url(self.endpoint).getHost() != ''"
            " && !self.endpoint.contains('@') && !self.endpoint.contains('?') && !self.endpoint.contains('#')",
            PLAIN,
        ),
        (f"!self.endpoint.matches(r'(?i){_METADATA}')", METADATA),
        ("!has(self.tls) || self.endpoint.startsWith('https:')", TLS_NEEDS_HTTPS),
        *_option_rules(),
        (
            "(has(self.auth) && (has(self.auth.accessKey) || has(self.auth.cloudIdentity))) == (self.type == 's3')",
            S3_AUTH,
        ),
        ("self.type != 's3' || !isURL(self.endpoint) || url(self.endpoint).getEscapedPath() in ['', '/']", S3_ENDPOINT),
        ("!has(self.tenant) || self.type != 's3'", S3_TENANT),
        (
            "!has(self.tenant) || !has(self.auth) || !has(self.auth.header)"
            " || (has(self.tenant.header) ? self.tenant.header : 'X-Scope-OrgID').lowerAscii()"
            " != self.auth.header.name.lowerAscii()",
            TENANT_OR_AUTH,
        ),
    )

    namespace_label: LabelName | None = Field(None, description="Deprecated: set prometheus.namespaceLabel.")
    api: JaegerApi | None = Field(None, description="Deprecated: set jaeger.api.")
    default: bool = Field(False, description="True: requests of this type without dataSourceRef use this DataSource.")
    timeout: Duration = Field(
        "30s", description="Longest wait for one answer, retries included. Type s3: for one request, of at most 8 MiB."
    )
    max_response_bytes: Annotated[int, Field(ge=1024, le=1073741824)] = Field(
        32 * 1024 * 1024,
        description="Most bytes of all answers to one question (jaeger and loki: of each answer), decompressed. The rest is"
        " missing, with a gap.",
    )
    max_series: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10_000, description="Most series of one answer. Further series are missing, with a gap."
    )
    allowed_namespaces: list[AllowedNamespace] | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="Namespaces with Investigations that may use this DataSource; '*' for all. Unset: all if each reads its"
        " own data alone (namespaceLabel of the type's options, tenant.fromNamespace or tenant.template) or nothing (type s3);"
        " otherwise none.",
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
        require((self.auth is not None and self.auth.is_of_s3) == is_s3, self.S3_AUTH)
        require(not is_s3 or urlsplit(self.endpoint).path in ("", "/"), self.S3_ENDPOINT)
        require(not is_s3 or self.tenant is None, self.S3_TENANT)
        if self.tenant is not None and self.auth is not None and self.auth.header is not None:
            require(self.tenant.header.lower() != self.auth.header.name.lower(), self.TENANT_OR_AUTH)
        return self

    def _check_options(self) -> None:
        for source_type in SOURCE_TYPES:
            name = source_type.name
            given, is_own = getattr(self, name, None) is not None, self.type == name
            if source_type.needs_options:
                require(given == is_own, _needed(name))
            else:
                require(is_own or not given, _belongs(name, name))
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
        (source_type,) = [known for known in SOURCE_TYPES if known.name == self.type]
        assert source_type.options is not None
        return (own or source_type.options()).model_copy(update=moved)

    @property
    def is_read(self) -> bool:
        """Return whether Investigations read data of it; False: it only takes sessions."""
        (source_type,) = [known for known in SOURCE_TYPES if known.name == self.type]
        return source_type.has_fetcher

    @property
    def confining_label(self) -> str | None:
        """Return the label that limits queries to the Investigation's namespace; None without one."""
        return getattr(self.options, "namespace_label", None)

    @property
    def is_confined(self) -> bool:
        """Return whether an Investigation reads data of its own namespace alone."""
        return self.confining_label is not None or (self.tenant is not None and self.tenant.is_of_namespace)

    def is_open_to(self, namespace: str) -> bool:
        """Return whether Investigations of the namespace may use the DataSource."""
        if self.allowed_namespaces is None:
            return self.is_confined or not self.is_read
        return namespace in self.allowed_namespaces or ALL_NAMESPACES in self.allowed_namespaces


def _is_refused(host: str) -> bool:
    try:
        return is_refused(host)
    except ValueError:  # a name: its address is checked for each connection
        return False


class DataSourceStatus(Model):
    """Result of the last check of the endpoint."""

    observed_generation: int | None = Field(None, description="The metadata.generation that this status describes.")
    version: str | None = Field(None, description="Version that the server reports. Unset: it reports none.")
    last_check: AwareDatetime | None = Field(None, description="Time of the last check.")
    last_error: str | None = Field(None, description="Why the last check failed. Unset: it succeeded.")
    conditions: list[Condition] | None = Field(
        None,
        description="Reachable: whether the endpoint answered the last check. Confined: whether Investigations read data of"
        " their own namespace alone.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
