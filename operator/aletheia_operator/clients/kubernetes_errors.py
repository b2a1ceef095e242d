"""Turns refusals of the Kubernetes API into errors, with the RBAC rule that would allow the request."""

import aiohttp
import orjson

from aletheia_operator.clients.errors import FORBIDDEN, SourceError, error_of
from aletheia_operator.clients.quoting import MAX_ERROR_BYTES, Quoter


async def error_from(response: aiohttp.ClientResponse, user: str | None, rule: str, token: str) -> SourceError:
    """Return the error for an answer that is not a success. Reads the beginning of its body and closes it.

    `user`: the impersonated user; None: the operator itself. `rule`: see `rule_for`. `token`: taken out of the error's text.
    """
    body = b""
    try:
        while len(body) < MAX_ERROR_BYTES and (chunk := await response.content.read(MAX_ERROR_BYTES - len(body))):
            body += chunk
    finally:
        response.close()
    return _error(response.status, body, user, rule, Quoter((token,)))


def rule_for(method: str, path: str) -> str:
    """Return the RBAC rule that allows a request, as YAML, and the kind of role it belongs to. A Secret is named in it."""
    prefix, *rest = path.strip("/").split("/")
    group, rest = ("", rest[1:]) if prefix == "api" else (rest[0], rest[2:])
    namespace = None
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    resource = "/".join(rest[::2])
    verb = {"GET": "get" if len(rest) > 1 else "list", "POST": "create", "PUT": "update"}.get(method, method.lower())
    groups = group or '""'
    named = f", resourceNames: [{rest[1]}]" if rest[0] == "secrets" and len(rest) > 1 else ""
    place = f"a Role of namespace {namespace}" if namespace else "a ClusterRole"
    return f"{{apiGroups: [{groups}], resources: [{resource}]{named}, verbs: [{verb}]}} in {place}"


def _error(status: int, body: bytes, user: str | None, rule: str, quoter: Quoter) -> SourceError:
    """Return the API's Status object (metav1.Status) as a SourceError."""
    try:
        text = str(orjson.loads(body).get("message") or "")
    except (orjson.JSONDecodeError, AttributeError, RecursionError):
        text = body.decode("utf-8", "replace")
    quoted = quoter(text) or "it gives no reason"
    message = f"the Kubernetes API answered {status}: {quoted}"
    if status in FORBIDDEN and user is not None and "impersonate" in quoted:
        message += f". The operator may not act as {user}: grant it the verb impersonate on that service account"
    elif status in FORBIDDEN:
        message += f". The rule {rule}, bound to that user, would allow it"
    return error_of(status, message)
