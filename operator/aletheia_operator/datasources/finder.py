"""Finds the endpoint that an Investigation may use: a DataSource by name, or the default of a type."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aletheia_operator.api import DataSourceSpec, parse_duration
from aletheia_operator.api.datasource import ALL_NAMESPACES
from aletheia_operator.api.paths import DATA_SOURCES
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Credentials, Endpoint
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.clients.pace import Pace
from aletheia_operator.datasources.cloud_identity import identity_of
from aletheia_operator.datasources.proxies import proxy_of
from aletheia_operator.datasources.secrets import Secrets, credentials_of
from aletheia_operator.settings import Proxy

LONGEST_TIMEOUT_SECONDS = 3600  # a longer one is a mistake, and too long for a socket
CONFINE = "namespaceLabel of its type, tenant.fromNamespace or tenant.template"
"""What an admin can set to confine a DataSource, for messages."""
RENEWAL_SECONDS = 30
"""Longest wait for credentials that are read again during a question."""


@dataclass(frozen=True)
class KubernetesDataSources:
    """DataSources for the Investigations of one namespace."""

    operator: Kubernetes
    namespace: str
    operator_namespace: str | None = None
    """Namespace of their Secrets. None: no Secret can be read."""
    ca_bundle: Path | None = None
    """PEM file with CAs to trust besides the public ones. None: the public ones alone."""
    proxy: Proxy = field(default_factory=Proxy)
    """The proxy of DataSources that name none."""
    pace: Pace = field(default_factory=Pace, compare=False)
    """Limits the requests per second to DataSources that are read."""

    @property
    def _counted(self) -> Kubernetes:
        """The operator's client, with the namespace's limits."""
        return self.operator.counted(self.namespace)

    async def find(self, kind: str, name: str | None) -> Endpoint:
        """Implement `fetchers.base.DataSources.find`.

        `name` None: the first default of that type, by name, that is open to the namespace. If that DataSource is invalid or
        its Secret is missing, raises Rejected: evidence must not come from another server unnoticed.
        """
        item = await self._default(kind) if name is None else await self._named(name)
        name, spec = item["metadata"]["name"], parse_spec(item)
        if spec.type != kind:
            raise Rejected(f"DataSource {name} is a {spec.type}, not a {kind}", GapReason.NO_DATA_SOURCE)
        if not spec.is_open_to(self.namespace):
            raise Rejected(_closed(name, spec, self.namespace), GapReason.NOT_ALLOWED)
        endpoint = await endpoint_of(name, spec, Secrets(self._counted, self.operator_namespace, name), self.namespace)
        turn = partial(self.pace.turn_in_thread, self.namespace, name) if spec.is_read else None
        return replace(reached(endpoint, self.ca_bundle, self.proxy), turn=turn)

    async def _named(self, name: str) -> dict[str, Any]:
        try:
            return await self._counted.get(f"{DATA_SOURCES}/{name}")
        except Rejected as e:
            if e.reason != GapReason.NOT_FOUND:
                raise
            raise Rejected(f"DataSource {name} does not exist", GapReason.NO_DATA_SOURCE) from e

    async def _default(self, kind: str) -> dict[str, Any]:
        """Return the first default of the type that is open to the namespace; if none is open, the first default."""
        found = [item async for item in self._counted.list(DATA_SOURCES)]
        defaults = [item for item in found if item["spec"].get("type") == kind and item["spec"].get("default")]
        defaults.sort(key=lambda item: str(item["metadata"]["name"]))
        if not defaults:
            message = f"no DataSource of type {kind} is the default: set dataSourceRef, or ask an admin to mark one as default"
            raise Rejected(message, GapReason.NO_DATA_SOURCE)
        return next(filter(self._is_open, defaults), defaults[0])

    def _is_open(self, item: dict[str, Any]) -> bool:
        """Return whether the namespace may use the DataSource. If the spec is invalid, only allowedNamespaces counts."""
        try:
            return parse_spec(item).is_open_to(self.namespace)
        except Rejected:
            allowed = item["spec"].get("allowedNamespaces")
            return not isinstance(allowed, list) or bool({self.namespace, ALL_NAMESPACES}.intersection(map(str, allowed)))


def _closed(name: str, spec: DataSourceSpec, namespace: str) -> str:
    text = f"DataSource {name} does not allow namespace {namespace}: ask an admin to add it to allowedNamespaces"
    if spec.allowed_namespaces is None:
        text += f", or to confine the DataSource ({CONFINE}). It would show data of all namespaces, so none may use it"
    return text


async def endpoint_of(name: str, spec: DataSourceSpec, secrets: Secrets, namespace: str) -> Endpoint:
    """Return the endpoint with its credentials. Raises Rejected (NoDataSource) if a Secret cannot be read.

    `namespace`: namespace of the Investigation; empty: the operator's own check, without any namespace's tenant.
    """
    endpoint = Endpoint(
        name=name,
        url=spec.endpoint,
        timeout_seconds=min(parse_duration(spec.timeout), LONGEST_TIMEOUT_SECONDS),
        max_response_bytes=spec.max_response_bytes,
        max_series=spec.max_series,
        options=spec.options,
        namespace=namespace,
        proxy=spec.proxy.url if spec.proxy is not None else None,
        credentials=await credentials_of(spec, secrets, namespace),
        renew=_renewal(spec, secrets, namespace) if spec.auth is not None else None,
    )
    if spec.auth is None or spec.auth.cloud_identity is None:
        return endpoint
    return replace(endpoint, identity=identity_of(endpoint, os.environ))


def reached(endpoint: Endpoint, ca_bundle: Path | None, proxy: Proxy) -> Endpoint:
    """Return the endpoint, and the server of its identity, with the admin's CAs and the proxy that leads to them.

    `ca_bundle`: see `KubernetesDataSources`. `proxy`: that of DataSources that name none.
    """
    identity = endpoint.identity
    if identity is not None:
        identity = reached(identity, ca_bundle, proxy)
    leads = None if endpoint.is_on_node else proxy_of(endpoint.url, endpoint.proxy, proxy)
    return replace(endpoint, identity=identity, ca_bundle=ca_bundle, proxy=leads)


def _renewal(spec: DataSourceSpec, secrets: Secrets, namespace: str) -> Callable[[], Credentials]:
    """Return a function that reads the credentials again, from a thread: they may expire during a question."""
    loop = asyncio.get_running_loop()

    def renew() -> Credentials:
        reading = asyncio.run_coroutine_threadsafe(credentials_of(spec, secrets.unread(), namespace), loop)
        try:
            return reading.result(RENEWAL_SECONDS)
        except FutureTimeoutError as e:
            reading.cancel()
            raise Unavailable("the credentials could not be read again in time", GapReason.TIMED_OUT) from e

    return renew


def parse_spec(item: dict[str, Any]) -> DataSourceSpec:
    """Parse the spec of a DataSource. Raises Rejected (NoDataSource) if it is invalid."""
    try:
        return DataSourceSpec.from_json(item["spec"])
    except ValidationError as e:
        faults = "; ".join(error["msg"] for error in e.errors(include_input=False, include_url=False))
        raise Rejected(f"DataSource {item['metadata']['name']} is invalid: {faults}", GapReason.NO_DATA_SOURCE) from e
