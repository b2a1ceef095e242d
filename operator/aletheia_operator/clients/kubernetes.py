"""The Kubernetes API, read as one identity. Raw JSON: the typed models cost more memory and time than the answers.

Speaks the core, apps, batch and aletheia.dev APIs through the official client's transport. An `Identity` other than the
operator's own is impersonated (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation).
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.incluster_config import load_incluster_config
from kubernetes.aio.config.kube_config import load_kube_config

from aletheia_operator import metrics
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import (
    OVERLOADED,
    PASSING,
    Rejected,
    SourceError,
    Unavailable,
    is_success,
)
from aletheia_operator.clients.fair_slots import FairSlots, Release
from aletheia_operator.clients.faults import fault_of
from aletheia_operator.clients.kubernetes_bodies import Bodies, is_empty_list, parse, read_capped
from aletheia_operator.clients.kubernetes_errors import error_from, rule_for
from aletheia_operator.clients.kubernetes_pages import Pages
from aletheia_operator.clients.pace import Pace
from aletheia_operator.clients.retries import retry_after
from aletheia_operator.clients.shared_reads import SharedReads
from aletheia_operator.version import __version__

METADATA_ONLY = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
METADATA_ONLY_OBJECT = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
MERGE_PATCH = "application/merge-patch+json"
CONNECT_TIMEOUT_SECONDS = 10
READ_TIMEOUT_SECONDS = 30  # between two chunks of an answer
USER_AGENT = f"aletheia-operator/{__version__}"
"""The API server takes the part before the slash as the field manager of changes."""
MAX_CONNECTIONS = 100
"""Limit of connections of one client, all identities together. A request waits for one without a time limit."""
MAX_LOG_STREAMS = 60
"""Logs that are read at the same time. Some take an hour, and other requests need connections, too."""
MAX_LOG_STREAMS_OF_ONE = 40
"""Most of these that one namespace may have."""
_LOG = re.compile(r"/api/v1/namespaces/([^/]+)/pods/[^/]+/log")
_NAMESPACE = re.compile(r"/namespaces/([^/]+)")
PATIENCE_SECONDS = 60
"""Limit for one request, including retries and waits that the server asks for. A caller with less time cancels it."""
RETRY_DELAYS_SECONDS = (0.2, 0.4, 0.8, 1.6)
"""Waits before each further try, unless Retry-After says otherwise."""

Object = dict[str, Any]
T = TypeVar("T")


async def connect(kubeconfig: Path | None = None, pace: Pace | None = None) -> "Kubernetes":
    """Return a client. `kubeconfig` None: it uses the pod's own service account. `pace` None: without limits."""
    configuration = Configuration()
    if kubeconfig is None:
        load_incluster_config(client_configuration=configuration)
    else:
        await load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_refuse_redirect)
    configuration.retries = None  # `_open` retries: it knows Retry-After and the time that is left
    configuration.connection_pool_maxsize = MAX_CONNECTIONS
    configuration.client_session_kwargs = {"trace_configs": [trace], "trust_env": False, "read_bufsize": 2**16}
    client = ApiClient(configuration)
    client.user_agent = USER_AGENT
    return Kubernetes(client, pace=pace or Pace())


async def _refuse_redirect(
    session: aiohttp.ClientSession, context: SimpleNamespace, parameters: aiohttp.TraceRequestRedirectParams
) -> None:
    raise Rejected("the Kubernetes API answered with a redirect, which is not followed", GapReason.INVALID_RESPONSE)


@dataclass(frozen=True)
class Kubernetes:
    """The API as one identity: the operator's own, or that of `user` (`system:serviceaccount:NAMESPACE:NAME`)."""

    client: ApiClient
    user: str | None = None
    log_streams: FairSlots = field(default_factory=lambda: FairSlots(MAX_LOG_STREAMS, MAX_LOG_STREAMS_OF_ONE))
    """Limits concurrent log reads. All identities of the client share it."""
    bodies: Bodies = field(default_factory=Bodies)
    """Limits the large bodies in memory; shared by all identities of the client."""
    shared: SharedReads = field(default_factory=SharedReads)
    """Answers to `read` and `pages` that several captures get."""
    since: float | None = None
    """Least monotonic time of the request of a shared answer. None: this client shares no answers."""
    pace: Pace = field(default_factory=Pace)
    """Limits requests per second; shared by all identities of the client."""
    namespace: str | None = None
    """Namespace of the capture that makes the requests. None: the operator makes them for itself, without limits."""

    def as_service_account(self, namespace: str, name: str) -> "Kubernetes":
        """Return a client with the rights of a service account. Check that it exists: the API server does not."""
        return replace(self, user=f"system:serviceaccount:{namespace}:{name}")

    def sharing(self, since: float) -> "Kubernetes":
        """Return a client of which `read` and `pages` may get answers that others requested. `since`: see the field."""
        return replace(self, since=since)

    def counted(self, namespace: str) -> "Kubernetes":
        """Return a client of which the requests count for the limits of a namespace."""
        return replace(self, namespace=namespace)

    async def close(self) -> None:
        await self.client.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None, accept: str = "application/json") -> Object:
        """Read one object. Raises Rejected (Forbidden, NotFound, ...) or Unavailable.

        Keep only a part of it across the next `await`, or call `read`: it may take 17 times the memory of its text.
        """
        body, release = await self._body(path, query or {}, accept)
        try:
            return parse(body)
        finally:
            release()

    async def read(
        self, path: str, work: Callable[[Object], T], query: Mapping[str, str] | None = None, accept: str = "application/json"
    ) -> T:
        """Read one object, and return what `work` makes of it in a thread. Few large objects are in memory at a time.

        Raises as `get` does.
        """
        query = dict(query or {})
        if self.since is not None:
            key = (
                self.user,
                self.namespace,
                path,
                tuple(sorted(query.items())),
                accept,
            )  # no namespace waits for another's limit
            return await self.shared.read(key, self.since, partial(self._body, path, query, accept), lambda b: work(parse(b)))
        body, release = await self._body(path, query, accept)
        if is_empty_list(body):
            return work(parse(body))
        working = asyncio.ensure_future(asyncio.to_thread(lambda: work(parse(body))))
        working.add_done_callback(lambda _: release())  # also if the caller is cancelled: the thread goes on
        return await asyncio.shield(working)

    async def list(
        self, path: str, query: Mapping[str, str] | None = None, *, metadata_only: bool = False
    ) -> AsyncIterator[Object]:
        """Yield the items of a collection, as `pages` does. A page stays in memory while they are yielded."""
        accept = METADATA_ONLY if metadata_only else "application/json"
        pages = Pages(query or {})
        while not pages.over:
            try:
                items = pages.take(await self.get(path, pages.query, accept))
            except SourceError as e:
                pages.retry(e)
                continue
            for item in items:
                yield item

    async def pages(
        self, path: str, work: Callable[[Sequence[Object]], T], query: Mapping[str, str] | None = None
    ) -> AsyncIterator[T]:
        """Yield what `work` makes, in a thread, of the items of each page, in the API's order, each object once.

        A page that is too large is requested again in halves. If a continue token expires, the list starts again, without the
        objects that were already yielded. Few large pages are in memory at a time.
        """
        pages = Pages(query or {})
        while not pages.over:
            try:
                yield await self.read(path, lambda answer: work(pages.take(answer)), pages.query)
            except SourceError as e:
                pages.retry(e)

    async def _body(self, path: str, query: Mapping[str, str], accept: str) -> tuple[bytes, Release]:
        """Read a body, and return it with the function that releases its slot."""
        namespace = _NAMESPACE.search(path)
        return await self.bodies.read(partial(self.stream, path, query, accept=accept), namespace[1] if namespace else "")

    async def patch_status(self, path: str, status: Mapping[str, Any], uid: str, resource_version: str | None = None) -> None:
        """Apply a JSON merge patch (RFC 7386) to the status of the object with this uid.

        Raises Rejected if another object has its name, or if it has changed since `resource_version`.
        """
        metadata = {"uid": uid} if resource_version is None else {"uid": uid, "resourceVersion": resource_version}
        body = {"metadata": metadata, "status": status}
        await self.patch(f"{path}/status", body)

    async def patch(self, path: str, body: Mapping[str, Any]) -> None:
        """Apply a JSON merge patch (RFC 7386) to an object. Raises Rejected if it does not exist."""
        async with self.stream(path, method="PATCH", body=body, content_type=MERGE_PATCH) as response:
            await read_capped(response)

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object in the collection `path`. Returns the object as it was stored, or a review's answer."""
        async with self.stream(path, method="POST", body=body) as response:
            return parse(await read_capped(response))

    async def replace(self, path: str, body: Mapping[str, Any]) -> Object:
        """Replace an object, and return it as it was stored. Raises Rejected if it has changed since `body` was read."""
        async with self.stream(path, method="PUT", body=body) as response:
            return parse(await read_capped(response))

    async def delete(self, path: str, uid: str, propagation: str | None = None) -> None:
        """Delete the object with this uid. Raises Rejected if it is gone. `propagation`: Foreground, Background, or None."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        options |= {} if propagation is None else {"propagationPolicy": propagation}
        async with self.stream(path, method="DELETE", body=options) as response:
            await read_capped(response)

    async def may(self, attributes: Mapping[str, str]) -> bool:
        """Return whether this identity has a right. `attributes`: ResourceAttributes of a SelfSubjectAccessReview."""
        kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        review = kind | {"spec": {"resourceAttributes": dict(attributes)}}
        answer = await self.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
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
        """Open an answer with its body unread. A pod's log waits for a slot of its namespace first.

        Raises as `get` does, also for faults while the body is read.
        """
        headers = {"Content-Type": content_type, "Accept": accept}
        if self.user is not None:
            headers["Impersonate-User"] = self.user
        log = _LOG.fullmatch(path)
        async with self.log_streams.place(log[1]) if log else nullcontext():
            with connection_errors("the Kubernetes API"):
                response = await self._open(_Request(method, path, query or {}, headers, body))
                try:
                    yield response
                finally:
                    response.close() if not response.content.at_eof() else response.release()

    async def _open(self, request: "_Request") -> aiohttp.ClientResponse:
        """Return the first successful answer. Transient failures are retried, as Retry-After says, while there is time."""
        if self.namespace is not None:
            await self.pace.turn(self.namespace)
        deadline = time.monotonic() + PATIENCE_SECONDS
        for number, delay in enumerate((*RETRY_DELAYS_SECONDS, None)):
            if number:
                metrics.RETRIES.labels(metrics.KUBERNETES).inc()
            try:
                with connection_errors("the Kubernetes API"):
                    with metrics.request(metrics.KUBERNETES) as outcome:
                        response = await _send(self.client, request)
                        outcome.code = response.status
                    if is_success(response.status):
                        return response
                    retry_after_seconds = retry_after(response.headers.get("Retry-After"))
                    refused = await error_from(
                        response, self.user, rule_for(request.method, request.path), _token_of(self.client)
                    )
            except Unavailable as e:
                refused, retry_after_seconds = e, None
            if delay is None or not _may_repeat(request, refused):
                raise refused
            seconds = delay if retry_after_seconds is None else retry_after_seconds
            if time.monotonic() + seconds > deadline:
                raise refused
            await asyncio.sleep(seconds)
        raise AssertionError("the last try returns or raises")


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Mapping[str, Any] | None


async def _send(client: ApiClient, request: _Request) -> aiohttp.ClientResponse:
    _, url, header_params, data, _ = await client.param_serialize(
        request.method,
        request.path,
        query_params=list(request.query.items()),
        header_params=dict(request.headers),
        body=request.body,
        auth_settings=["BearerToken"],
    )
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_SECONDS, sock_read=READ_TIMEOUT_SECONDS)
    answer = await client.call_api(request.method, url, header_params, data, _request_timeout=timeout)
    response: aiohttp.ClientResponse = answer.response
    return response


def _token_of(client: ApiClient) -> str:
    """Return the operator's own token; '' without one."""
    return (client.configuration.api_key.get("BearerToken") or "").removeprefix("Bearer ")


def _may_repeat(request: _Request, refused: SourceError) -> bool:
    """Return whether to retry: another try may help and does no harm. A change is only repeated if it was not begun."""
    if refused.status is None:
        return request.method == "GET" and isinstance(refused, Unavailable) and refused.reason is not GapReason.TIMED_OUT
    return refused.status in OVERLOADED or (request.method == "GET" and refused.status in PASSING)


@contextmanager
def connection_errors(peer: str) -> Iterator[None]:
    """Raise errors of aiohttp and the system within the context as SourceError. `peer` names the server in the message."""
    try:
        yield
    except (aiohttp.ClientError, HttpProcessingError, OSError) as e:
        raise fault_of(e, peer) from e
