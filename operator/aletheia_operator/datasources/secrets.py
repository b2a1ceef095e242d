"""Reads the credentials of a DataSource from Secrets in the operator's namespace, again for each question."""

import base64
import binascii
import re
from typing import Any

from aletheia_operator.api import DataSourceSpec
from aletheia_operator.api.connection import TLS, Auth, Tenant
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Credentials
from aletheia_operator.clients.errors import Rejected
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.clients.quoting import MIN_SECRET_CHARACTERS
from aletheia_operator.settings import TLS_CERTIFICATE, TLS_KEY

USERNAME, PASSWORD = "username", "password"
"""Keys of a Secret of type kubernetes.io/basic-auth."""
_HEADER_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")


class Secrets:
    """The Secrets of one namespace, each read once. Error messages contain no value."""

    def __init__(self, kubernetes: Kubernetes, namespace: str | None, data_source: str) -> None:
        self._kubernetes = kubernetes
        self._namespace = namespace
        self._data_source = data_source
        self._read: dict[str, dict[str, Any]] = {}
        self.values: set[str] = set()
        """Secret values that were returned: no message may contain them."""

    def unread(self) -> "Secrets":
        """Return the same Secrets with none of them read yet."""
        return Secrets(self._kubernetes, self._namespace, self._data_source)

    async def value(self, name: str, key: str, *, public: bool = False) -> str:
        """Return one value, stripped of white space. Raises Rejected (NoDataSource) if it cannot be read.

        `public`: the value is not secret, for example a certificate, and messages may contain it.
        """
        encoded = (await self._secret(name)).get(key)
        if not isinstance(encoded, str):
            raise self.refused(f"Secret {name} has no key {key}")
        try:
            value = base64.b64decode(encoded, validate=True).decode().strip()
        except (binascii.Error, UnicodeDecodeError):
            raise self.refused(f"key {key} of Secret {name} is not text") from None
        if not public:
            self.values.add(value)
        return value

    async def user_name(self, name: str) -> str:
        """Return a user name, as `value` does. A long name is kept out of messages; a short one (`admin`) is no secret."""
        user = await self.value(name, USERNAME, public=True)
        if len(user) >= MIN_SECRET_CHARACTERS:
            self.values.add(user)
        return user

    async def has(self, name: str, key: str) -> bool:
        """Return whether the Secret has this key."""
        return key in await self._secret(name)

    async def _secret(self, name: str) -> dict[str, Any]:
        if name not in self._read:
            self._read[name] = await self._get(name)
        return self._read[name]

    async def _get(self, name: str) -> dict[str, Any]:
        if self._namespace is None:
            raise self.refused("the operator was started without --operator-namespace, where Secrets are")
        try:
            secret = await self._kubernetes.get(f"/api/v1/namespaces/{self._namespace}/secrets/{name}")
        except Rejected as e:
            why = "does not exist" if e.reason is GapReason.NOT_FOUND else "may not be read: add it to dataSourceSecrets"
            raise self.refused(f"Secret {name} of namespace {self._namespace} {why}") from None
        return secret.get("data") or {}

    def refused(self, why: str) -> Rejected:
        """Return the error for a DataSource that cannot be used."""
        return Rejected(f"DataSource {self._data_source}: {why}", GapReason.NO_DATA_SOURCE)


async def credentials_of(spec: DataSourceSpec, secrets: Secrets, namespace: str) -> Credentials:
    """Read the credentials. `namespace`: namespace of the Investigation; empty: no tenant of a namespace is sent.

    Raises Rejected (NoDataSource) if a Secret or key is missing, or not valid in a header.
    """
    access_key = None
    headers = []
    if spec.auth is not None and spec.auth.access_key is not None:
        access_key = await _access_key(spec.auth.access_key.name, secrets)
    elif spec.auth is not None and spec.auth.cloud_identity is None:
        headers.append(await _authorization(spec.auth, secrets))
    unrepeatable = {word for _, value in headers for word in (value, value.split(" ")[-1])}
    if spec.tenant is not None:
        headers += _tenant(spec.tenant, secrets, namespace)
    ca, client = await _certificates(spec.tls, secrets) if spec.tls is not None else (None, None)
    proxy = None
    if spec.proxy is not None and spec.proxy.basic is not None:
        name = spec.proxy.basic.name
        proxy = await secrets.user_name(name), await secrets.value(name, PASSWORD)
    return Credentials(tuple(headers), ca, client, proxy, access_key, tuple(sorted(unrepeatable | secrets.values)))


def _tenant(tenant: Tenant, secrets: Secrets, namespace: str) -> list[tuple[str, str]]:
    """Return the header of the tenant; none if each namespace has its own and `namespace` is empty."""
    if tenant.is_of_namespace and not namespace:
        return []
    try:
        return [(tenant.header, tenant.of(namespace))]
    except ValueError as e:
        raise secrets.refused(str(e)) from e


async def _certificates(tls: TLS, secrets: Secrets) -> tuple[str | None, str | None]:
    """Return the PEM of the CA, and of the client's certificate with its key; None for each that `tls` does not name."""
    ca = client = None
    if tls.ca_secret_ref is not None:
        ca = await secrets.value(tls.ca_secret_ref.name, tls.ca_secret_ref.key, public=True)
    if tls.client_secret_ref is not None:
        name = tls.client_secret_ref.name
        certificate = await secrets.value(name, TLS_CERTIFICATE, public=True)
        client = "\n".join([certificate, await secrets.value(name, TLS_KEY), ""])
    return ca, client


async def _header(secrets: Secrets, name: str, key: str) -> str:
    value = await secrets.value(name, key)
    if not _HEADER_VALUE.fullmatch(value):
        raise secrets.refused(f"key {key} of Secret {name} cannot be a header: one line of ASCII is expected")
    return value


async def _access_key(name: str, secrets: Secrets) -> tuple[str, str, str | None]:
    """Return key id, secret and session token (None without), by the keys that bucket claims (Rook, NooBaa) and AWS use."""
    key_id, secret = [await _header(secrets, name, key) for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    temporary = await secrets.has(name, "AWS_SESSION_TOKEN")
    return key_id, secret, await _header(secrets, name, "AWS_SESSION_TOKEN") if temporary else None


async def _authorization(auth: Auth, secrets: Secrets) -> tuple[str, str]:
    if auth.basic is not None:
        user = await secrets.user_name(auth.basic.name)
        password = await secrets.value(auth.basic.name, PASSWORD)
        return "Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    if auth.bearer is not None:
        return "Authorization", "Bearer " + await _header(secrets, auth.bearer.name, auth.bearer.key)
    assert auth.header is not None
    return auth.header.name, await _header(secrets, auth.header.secret_ref.name, auth.header.secret_ref.key)
