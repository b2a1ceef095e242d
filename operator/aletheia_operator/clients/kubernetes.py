"""The Kubernetes API, read as one identity. Raw JSON: the typed models cost more memory and time than the answers.

Speaks the core, apps, batch and aletheia.dev APIs through the official client's transport. An `Identity` other than the
operator's own is impersonated (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation).
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import aiohttp_retry
import orjson
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.incluster_config import load_incluster_config
from kubernetes.aio.config.kube_config import load_kube_config

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable

PAGE_SIZE = 250
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
METADATA_ONLY_OBJECT = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
MAX_BODY_BYTES = 64 * 1024 * 1024
CONNECT_TIMEOUT_SECONDS = 10
READ_TIMEOUT_SECONDS = 30  # between two chunks of an answer
_RETRY = aiohttp_retry.ExponentialRetry(attempts=3, start_timeout=0.2, max_timeout=2.0, statuses={429, 500, 502, 503, 504})


async def connect(kubeconfig: Path | None = None) -> "Kubernetes":
    """A client with the pod's own service account, or with the kubeconfig that is named."""
    configuration = Configuration()
    if kubeconfig is None:
        load_incluster_config(client_configuration=configuration)
    else:
        await load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_refuse_redirect)
    configuration.retries = _RETRY
    configuration.connection_pool_maxsize = 100
    configuration.client_session_kwargs = {"trace_configs": [trace], "trust_env": False, "read_bufsize": 2**18}
    return Kubernetes(ApiClient(configuration))


async def _refuse_redirect(
    session: aiohttp.ClientSession, context: SimpleNamespace, parameters: aiohttp.TraceRequestRedirectParams
) -> None:
    raise Rejected("the Kubernetes API answered with a redirect, which is not followed", GapReason.INVALID_RESPONSE)


@dataclass(frozen=True)
class Kubernetes:
    """The API as one identity: the operator's own, or that of `user` (`system:serviceaccount:NAMESPACE:NAME`)."""

    client: ApiClient
    user: str | None = None

    def as_service_account(self, namespace: str, name: str) -> "Kubernetes":
        """The same API with the rights of a service account. Check that it exists: the API server does not."""
        return replace(self, user=f"system:serviceaccount:{namespace}:{name}")

    async def close(self) -> None:
        await self.client.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None, accept: str = "application/json") -> dict[str, Any]:
        """One object. Raises Rejected (Forbidden, NotFound, ...) or Unavailable."""
        async with self.stream(path, query, accept=accept) as response:
            return _parse(await _read_capped(response))

    async def list(
        self, path: str, query: Mapping[str, str] | None = None, *, metadata_only: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        """The items of a collection, page by page, in the API's order."""
        page = {"limit": str(PAGE_SIZE), **(query or {})}
        accept = METADATA_ONLY if metadata_only else "application/json"
        while True:
            answer = await self.get(path, page, accept)
            for item in answer.get("items") or []:
                yield item
            token = (answer.get("metadata") or {}).get("continue")
            if not token:
                return
            page["continue"] = token

    async def patch_status(self, path: str, status: Mapping[str, Any], uid: str) -> None:
        """JSON merge patch (RFC 7386) of the status of the object with this uid. Raises Rejected where another has its name."""
        body = {"metadata": {"uid": uid}, "status": status}
        merge_patch = "application/merge-patch+json"
        async with self.stream(f"{path}/status", method="PATCH", body=body, content_type=merge_patch) as response:
            await _read_capped(response)

    async def may(self, attributes: Mapping[str, str]) -> bool:
        """Whether this identity may do what the resource attributes say (authorization.k8s.io/v1, SelfSubjectAccessReview)."""
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        review = body | {"spec": {"resourceAttributes": dict(attributes)}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        async with self.stream(path, method="POST", body=review) as response:
            answer = _parse(await _read_capped(response))
        return (answer.get("status") or {}).get("allowed") is True

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        accept: str = "*/*",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An open answer, its body unread. Raises as `get` does, also for faults while the body is read."""
        headers = {"Content-Type": content_type, "Accept": accept}
        if self.user is not None:
            headers["Impersonate-User"] = self.user
        with connection_errors("the Kubernetes API"):
            _, url, header_params, data, _ = await self.client.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_SECONDS, sock_read=READ_TIMEOUT_SECONDS)
            answer = await self.client.call_api(method, url, header_params, data, _request_timeout=timeout)
            response = answer.response
            try:
                if response.status >= 300:
                    raise _error(response.status, await _read_capped(response), self.user, rule_for(method, path))
                yield response
            finally:
                response.close() if not response.content.at_eof() else response.release()


@contextmanager
def connection_errors(peer: str) -> Iterator[None]:
    """Raises Unavailable for what aiohttp and the system raise while a peer is asked, or its answer read."""
    try:
        yield
    except TimeoutError as e:
        raise Unavailable(f"{peer} did not answer in time", GapReason.TIMED_OUT) from e
    except (aiohttp.ClientError, OSError) as e:
        raise Unavailable(f"{peer} cannot be reached: {type(e).__name__}") from e


async def _read_capped(response: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise Rejected(f"the Kubernetes API's answer is larger than {MAX_BODY_BYTES} bytes", GapReason.TOO_LARGE)
        parts.append(chunk)
    return b"".join(parts)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as e:
        raise Unavailable("the Kubernetes API's answer is not JSON", GapReason.INVALID_RESPONSE) from e
    if not isinstance(value, dict):
        raise Unavailable("the Kubernetes API's answer is not an object", GapReason.INVALID_RESPONSE)
    return value


def rule_for(method: str, path: str) -> str:
    """The RBAC rule that allows a request, as YAML to paste, and where it belongs."""
    prefix, *rest = path.strip("/").split("/")
    group, rest = ("", rest[1:]) if prefix == "api" else (rest[0], rest[2:])
    namespace = None
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    resource = "/".join(rest[::2])
    verb = {"GET": "get" if len(rest) > 1 else "list", "PATCH": "patch"}.get(method, method.lower())
    groups = group or '""'
    place = f"a Role of namespace {namespace}" if namespace else "a ClusterRole"
    return f"{{apiGroups: [{groups}], resources: [{resource}], verbs: [{verb}]}} in {place}"


def _error(status: int, body: bytes, user: str | None, rule: str) -> SourceError:
    """The API's Status object (metav1.Status) as one of our errors."""
    try:
        said = str(orjson.loads(body).get("message") or "")[:1000]
    except (orjson.JSONDecodeError, AttributeError):
        said = body[:200].decode("utf-8", "replace")
    message = f"the Kubernetes API answered {status}: {said}"
    if status == 403 and user is not None and "impersonate" in said:
        message += f". The operator may not act as {user}: grant it the verb impersonate on that service account"
    elif status == 403:
        message += f". The rule {rule}, bound to that user, would allow it"
    match status:
        case 401 | 403:
            return Rejected(message, GapReason.FORBIDDEN)
        case 404:
            return Rejected(message, GapReason.NOT_FOUND)
        case 408 | 410 | 429 | 500 | 502 | 503 | 504:
            return Unavailable(message)
        case _:
            return Rejected(message)
