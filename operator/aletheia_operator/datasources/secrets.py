"""What a DataSource is shown: values of Secrets in the operator's own namespace, read for each question anew."""

import base64
import binascii
import re
from typing import Any

from aletheia_operator.api import DataSourceSpec
from aletheia_operator.api.datasource import Auth
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Credentials
from aletheia_operator.clients.errors import Rejected
from aletheia_operator.clients.kubernetes import Kubernetes

_HEADER_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")


class Secrets:
    """The Secrets of one namespace, each read once. What goes wrong is said without any value."""

    def __init__(self, kubernetes: Kubernetes, namespace: str | None, data_source: str) -> None:
        self._kubernetes = kubernetes
        self._namespace = namespace
        self._data_source = data_source
        self._read: dict[str, dict[str, Any]] = {}
        self.values: set[str] = set()
        """All that were given out."""

    async def value(self, name: str, key: str) -> str:
        """One value, without white space at its ends. Raises Rejected (NoDataSource) where it is not to be had."""
        if name not in self._read:
            self._read[name] = await self._get(name)
        encoded = self._read[name].get(key)
        if not isinstance(encoded, str):
            raise self.refused(f"Secret {name} has no key {key}")
        try:
            value = base64.b64decode(encoded, validate=True).decode().strip()
        except (binascii.Error, UnicodeDecodeError):
            raise self.refused(f"key {key} of Secret {name} is not text") from None
        self.values.add(value)
        return value

    async def has(self, name: str, key: str) -> bool:
        """Whether there is such a value."""
        if name not in self._read:
            self._read[name] = await self._get(name)
        return key in self._read[name]

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
        """The error that the DataSource cannot be used."""
        return Rejected(f"DataSource {self._data_source}: {why}", GapReason.NO_DATA_SOURCE)


async def credentials_of(spec: DataSourceSpec, secrets: Secrets) -> Credentials:
    """Raises Rejected (NoDataSource) where a Secret or a value is missing, or is no header value."""
    access_key = None
    if spec.auth is not None and spec.auth.access_key is not None:
        access_key = await _access_key(spec.auth.access_key.name, secrets)
    headers = [] if spec.auth is None or access_key else [await _authorization(spec.auth, secrets)]
    unrepeatable = {word for _, value in headers for word in (value, value.split(" ")[-1])}
    if spec.tenant is not None:
        headers.append((spec.tenant.header, spec.tenant.value))
    ca = client = None
    if spec.tls is not None and spec.tls.ca_secret_ref is not None:
        ca = await secrets.value(spec.tls.ca_secret_ref.name, spec.tls.ca_secret_ref.key)
    if spec.tls is not None and spec.tls.client_secret_ref is not None:
        name = spec.tls.client_secret_ref.name
        client = "\n".join([await secrets.value(name, "tls.crt"), await secrets.value(name, "tls.key"), ""])
    unrepeatable |= secrets.values
    return Credentials(tuple(headers), ca, client, access_key, tuple(sorted(unrepeatable, key=len, reverse=True)))


async def _header(secrets: Secrets, name: str, key: str) -> str:
    value = await secrets.value(name, key)
    if not _HEADER_VALUE.fullmatch(value):
        raise secrets.refused(f"key {key} of Secret {name} cannot be a header: one line of ASCII is expected")
    return value


async def _access_key(name: str, secrets: Secrets) -> tuple[str, str, str | None]:
    """By the keys that bucket claims (Rook, NooBaa) and AWS's own tools use."""
    key_id, secret = [await _header(secrets, name, key) for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    temporary = await secrets.has(name, "AWS_SESSION_TOKEN")
    return key_id, secret, await _header(secrets, name, "AWS_SESSION_TOKEN") if temporary else None


async def _authorization(auth: Auth, secrets: Secrets) -> tuple[str, str]:
    if auth.basic is not None:
        user, password = [await secrets.value(auth.basic.name, key) for key in ("username", "password")]
        return "Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    if auth.bearer is not None:
        return "Authorization", "Bearer " + await _header(secrets, auth.bearer.name, auth.bearer.key)
    assert auth.header is not None
    return auth.header.name, await _header(secrets, auth.header.secret_ref.name, auth.header.secret_ref.key)
