"""Which endpoint an Investigation may use: DataSources as an admin wrote them, by name or by default."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from aletheia_operator.api import DataSourceSpec, parse_duration, paths
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.datasources.secrets import Secrets, credentials_of

LONGEST_TIMEOUT_SECONDS = 3600  # more than that is a slip, and too much for a socket


@dataclass(frozen=True)
class KubernetesDataSources:
    """DataSources as an admin wrote them, for one namespace."""

    operator: Kubernetes
    namespace: str
    operator_namespace: str | None = None
    """Where their Secrets are."""

    async def find(self, kind: str, name: str | None) -> Endpoint:
        """As `fetchers.base.DataSources` says. Of several defaults the first by name that is open to the namespace."""
        if name is None:
            found = [item async for item in self.operator.list(paths.DATA_SOURCES)]
            candidates = [item for item in found if item["spec"].get("type") == kind and item["spec"].get("default")]
            candidates.sort(key=lambda item: str(item["metadata"]["name"]))
            if not candidates:
                message = f"no DataSource of type {kind} is the default: name one, or ask an admin to create it"
                raise Rejected(message, GapReason.NO_DATA_SOURCE)
        else:
            try:
                candidates = [await self.operator.get(paths.data_source(name))]
            except Rejected as e:
                if e.reason != GapReason.NOT_FOUND:
                    raise
                raise Rejected(f"DataSource {name} does not exist", GapReason.NO_DATA_SOURCE) from e
        for number, item in enumerate(candidates, start=1):
            try:
                return await self._endpoint(item, kind)
            except Rejected:
                if number == len(candidates):
                    raise
        raise AssertionError("there is at least one candidate")

    async def _endpoint(self, item: dict[str, Any], kind: str) -> Endpoint:
        name, spec = item["metadata"]["name"], parse_spec(item)
        if spec.type != kind:
            raise Rejected(f"DataSource {name} is a {spec.type}, not a {kind}", GapReason.NO_DATA_SOURCE)
        if spec.allowed_namespaces is not None and self.namespace not in spec.allowed_namespaces:
            message = f"DataSource {name} is not open to namespace {self.namespace}: an admin may add it to allowedNamespaces"
            raise Rejected(message, GapReason.NOT_ALLOWED)
        return await endpoint_of(name, spec, Secrets(self.operator, self.operator_namespace, name))


async def endpoint_of(name: str, spec: DataSourceSpec, secrets: Secrets) -> Endpoint:
    """The endpoint with its credentials. Raises Rejected (NoDataSource) where these are not to be had."""
    return Endpoint(
        name=name,
        url=spec.endpoint,
        timeout_seconds=min(parse_duration(spec.timeout), LONGEST_TIMEOUT_SECONDS),
        max_response_bytes=spec.max_response_bytes,
        max_series=spec.max_series,
        namespace_label=spec.namespace_label,
        api=spec.api,
        bucket=spec.s3,
        credentials=await credentials_of(spec, secrets),
    )


def parse_spec(item: dict[str, Any]) -> DataSourceSpec:
    """The spec of a DataSource. Raises Rejected (NoDataSource) where it is invalid."""
    try:
        return DataSourceSpec.from_json(item["spec"])
    except ValidationError as e:
        faults = "; ".join(error["msg"] for error in e.errors(include_input=False, include_url=False))
        raise Rejected(f"DataSource {item['metadata']['name']} is invalid: {faults}", GapReason.NO_DATA_SOURCE) from e
