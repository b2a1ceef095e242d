"""Finds the server with the temporary AWS keys of the operator's pod, by the variables that AWS SDKs read.

The admin sets them, or EKS does because of an annotation of the ServiceAccount or a Pod Identity association. The node's own
role (its metadata service) is never used.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html (web identity)
https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html (Pod Identity)
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from urllib.parse import urlsplit

from aletheia_operator.api.addresses import POD_IDENTITY_AGENT
from aletheia_operator.api.datasource import PLAIN_URL
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Credentials, Endpoint, origin_of
from aletheia_operator.clients.errors import Rejected

TIMEOUT_SECONDS = 10
MAX_ANSWER_BYTES = 64 * 1024
"""Temporary keys take about 2 KiB."""
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}")


def identity_of(endpoint: Endpoint, environment: Mapping[str, str]) -> Endpoint:
    """Return the server with the keys for a DataSource. Raises Rejected (NoDataSource) if the pod has no AWS identity.

    `environment`: the process's variables. A web identity token goes before Pod Identity, as in AWS SDKs.
    """
    if environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return _sts(endpoint, environment)
    if environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI") and environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
        return _agent(endpoint, environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
    message = (
        f"DataSource {endpoint.name}: the operator's pod has no AWS identity (AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE, or"
        " EKS Pod Identity): ask an admin to give one to its ServiceAccount"
    )
    raise Rejected(message, GapReason.NO_DATA_SOURCE)


def _sts(endpoint: Endpoint, environment: Mapping[str, str]) -> Endpoint:
    """Return the STS. Its CA and client certificate are those of the DataSource only if both are one server."""
    url = environment.get("AWS_ENDPOINT_URL_STS")
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or ""
    if not url and _REGION.fullmatch(region):
        url = f"https://sts.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
    url = _checked(endpoint, "AWS_ENDPOINT_URL_STS", url or "https://sts.amazonaws.com")
    credentials = Credentials(proxy=endpoint.credentials.proxy)
    if origin_of(url) == endpoint.origin:
        credentials = replace(endpoint.credentials, access_key=None)
    return replace(_server(endpoint, url), proxy=endpoint.proxy, credentials=credentials)


def _agent(endpoint: Endpoint, url: str) -> Endpoint:
    """Return the Pod Identity Agent of the node. Other servers must have TLS, as AWS SDKs demand."""
    url = _checked(endpoint, "AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
    host = urlsplit(url).hostname or ""
    is_on_node = host in POD_IDENTITY_AGENT or _is_loopback(host)
    if not is_on_node and not url.lower().startswith("https:"):
        raise _invalid(endpoint, "AWS_CONTAINER_CREDENTIALS_FULL_URI")
    return replace(_server(endpoint, url), is_on_node=is_on_node)


def _server(endpoint: Endpoint, url: str) -> Endpoint:
    name = f"{endpoint.name} (AWS identity from {urlsplit(url).netloc})"
    return Endpoint(name, url, TIMEOUT_SECONDS, MAX_ANSWER_BYTES)


def _checked(endpoint: Endpoint, variable: str, url: str) -> str:
    """Return the URL, or raise Rejected (NoDataSource), without its text: it may hold credentials."""
    try:
        parts = urlsplit(url)
        is_valid = PLAIN_URL.fullmatch(url) is not None and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_valid = False
    if not is_valid:
        raise _invalid(endpoint, variable)
    return url


def _invalid(endpoint: Endpoint, variable: str) -> Rejected:
    message = f"DataSource {endpoint.name}: {variable} of the operator's pod is not a URL that AWS SDKs would use"
    return Rejected(message, GapReason.NO_DATA_SOURCE)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
