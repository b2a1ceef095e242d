"""Sends requests to the Kubernetes API through kubectl's proxy, with the user's rights."""

import http.client
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from aletheia_operator.cli.errors import NO_RESOURCE, Refused
from aletheia_operator.cli.kubectl import OURS, KubectlProxy, current_namespace, failure_of_proxy, kubectl_proxy
from aletheia_operator.cli.options import Options, kubectl_flags
from aletheia_operator.cli.program import program_name
from aletheia_operator.clients.errors import WHOLE_BODY, is_success

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
"""Form of names in Kubernetes, and of session ids. No other name gets into the path of a request."""
MAX_ANSWER_BYTES = 256 * 1024 * 1024
MAX_EVENT_BYTES = 16 * 1024 * 1024
PAGE = 500
MAX_PAGES = 2000
UNREACHABLE = "Unreachable"
"""Reason of an ApiError if kubectl does not reach the API server."""
FIELD_MANAGER = "aletheia"
"""Owner of the fields that the commands change. Flux undoes changes by managers with a name that begins with kubectl."""
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}


class ApiError(Refused):
    """The API server refuses a request. `status`: HTTP status code; `reason`: CamelCase, '' if there is none."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason

    @property
    def names_object(self) -> bool:
        """Whether a 404 is about one object, not about the whole resource."""
        return not any(words in str(self) for words in NO_RESOURCE)


@dataclass
class ClusterApi:
    """The API of a cluster, with the rights of kubectl's user. `flags`: kubectl's own, for example `--context`."""

    proxy: KubectlProxy
    flags: Sequence[str]
    named_namespace: str | None = None
    """None: that of kubectl's context."""

    @cached_property
    def namespace(self) -> str:
        """The namespace that the user named, else that of kubectl's context."""
        return self.named_namespace or current_namespace(self.flags)

    def command(self, *words: str) -> str:
        """Return the command line with which the user runs another command on this cluster."""
        return f"{program_name()} {shlex.join([*words, *self.flags])}"

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Return the object at a path. Raises ApiError, Refused."""
        return self._send("GET", path + (f"?{urlencode(query)}" if query else ""))

    def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        """Return all objects of a collection. Raises ApiError, Refused."""
        found: list[dict[str, Any]] = []
        token = ""
        for _ in range(MAX_PAGES):
            page = self.get(path, limit=str(PAGE), **query, **({"continue": token} if token else {}))
            if not isinstance(items := page.get("items", ()), list | None):
                raise Refused("the server's answer is no list")
            found += items or []
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return found
        raise Refused(f"the server's list does not end after {MAX_PAGES} pages")

    def no_namespace(self, namespace: str) -> str:
        """Return that there is no such namespace, with the nearest names; '' if there is, or this user may not list them."""
        from aletheia_operator.text.nearest import hint

        try:
            names = [str(each["metadata"]["name"]) for each in self.items("/api/v1/namespaces")]
        except ApiError:
            return ""
        return "" if namespace in names else f"there is no namespace {namespace}{hint(namespace, names)}"

    def create(self, path: str, body: dict[str, Any], **query: str) -> dict[str, Any]:
        return self._send("POST", path + (f"?{urlencode(query)}" if query else ""), body)

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Apply a JSON merge patch, and return the object. Raises ApiError, Refused."""
        headers = {"Content-Type": "application/merge-patch+json", "Accept": "application/json"}
        return self._send("PATCH", f"{path}?fieldManager={FIELD_MANAGER}", body, headers)

    def delete(self, path: str, uid: str) -> dict[str, Any]:
        """Delete an object, if it still has this `uid`. Raises ApiError, Refused."""
        return self._send("DELETE", path, {"preconditions": {"uid": uid}})

    def watch(self, path: str, seconds: int, **query: str) -> Iterator[dict[str, Any]]:
        """Yield watch events `{type, object}` of a collection until the server ends the answer. Raises ApiError, Refused."""
        parameters = urlencode({"watch": "1", "timeoutSeconds": str(seconds), **query})
        with self._answered("GET", f"{path}?{parameters}", None, _JSON) as answer:
            if answer.status not in WHOLE_BODY:
                raise _error(answer.status, answer.read(MAX_EVENT_BYTES))
            while line := answer.readline(MAX_EVENT_BYTES):
                yield _parsed(line)

    def _send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
        content = None if body is None else json.dumps(body).encode()
        with self._answered(method, path, content, headers or _JSON) as answer:
            text = answer.read(MAX_ANSWER_BYTES)
            if not is_success(answer.status):
                raise _error(answer.status, text)
            return _parsed(text)

    @contextmanager
    def _answered(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        try:
            with self.proxy.request(method, path, body, headers) as answer:
                yield answer
        except http.client.HTTPException as e:
            raise Refused(f"kubectl's proxy: {e or type(e).__name__}") from e
        except OSError as e:
            raise Refused(f"kubectl's proxy does not answer: {e.strerror or e}") from e


@contextmanager
def connected(options: Options, accept: str = OURS) -> Iterator[ClusterApi]:
    """Open the cluster that the options name. `accept`: pattern of the API paths that are needed. Raises Refused."""
    if options.namespace and not NAME.fullmatch(options.namespace):
        raise Refused(f"{options.namespace[:100]!r} is no name of a namespace")
    flags = kubectl_flags(options)
    with kubectl_proxy(flags, accept) as proxy:
        yield ClusterApi(proxy, flags, options.namespace)


def _error(status: int, text: bytes) -> ApiError:
    """Return the error for a response, with the API server's message only."""
    try:
        answer = json.loads(text)
        return ApiError(status, str(answer.get("reason") or ""), str(answer["message"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        words = text[:500].decode(errors="replace").strip()
        if failure := failure_of_proxy(status, words):
            return ApiError(status, UNREACHABLE, failure)
        return ApiError(status, "", f"the server answers {status}: {words}" if words else f"the server answers {status}")


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise Refused(f"the server's answer is no JSON: {e}") from e
    if not isinstance(found, dict):
        raise Refused("the server's answer is no object")
    return found
