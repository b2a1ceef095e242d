"""Requests to the API server without kubectl, whose start takes longer than the request.

For tests that send many requests, and do not test kubectl.
"""

import json
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTResponse
from kubernetes.config.kube_config import load_kube_config

from tests.cluster.provider import Cluster
from tests.cluster.rig import RigError

TIMEOUT_SECONDS = 60
OBJECTS = "/apis/aletheia.dev/v1alpha1"
STRICT = {"fieldValidation": "Strict"}
"""Query of kubectl's changes: the API server refuses unknown fields."""

Object = dict[str, Any]
Query = Mapping[str, str]


def request(
    cluster: Cluster, method: str, path: str, body: Object | None = None, query: Query | None = None, user: str | None = None
) -> Object:
    """Send one request as this user, None: as the kubeconfig's. Returns the answer. Raises RigError with reason and message."""
    found: Object = json.loads(_send(cluster, method, path, body, query, TIMEOUT_SECONDS, user).read())
    return found


def follow(cluster: Cluster, path: str, query: Query, seconds: float) -> Iterator[Object]:
    """Yield the objects of a list as they are now, then each object that changes, for this time. Raises RigError."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        listed = request(cluster, "GET", path, query=query)
        yield from listed["items"]
        version = {"resourceVersion": listed["metadata"]["resourceVersion"]}
        more = {"watch": "true", "timeoutSeconds": str(int(left) + 1), **version}
        answer = _send(cluster, "GET", path, None, {**query, **more}, left + TIMEOUT_SECONDS)
        try:
            for line in answer.response:
                event = json.loads(line)
                if event["type"] == "ERROR":  # the version is too old: list again
                    break
                if event["type"] != "DELETED":
                    yield event["object"]
        finally:
            answer.response.close()


def _send(
    cluster: Cluster,
    method: str,
    path: str,
    body: Object | None,
    query: Query | None,
    timeout_seconds: float,
    user: str | None = None,
) -> RESTResponse:
    client = _client(cluster.kubeconfig, cluster.kubeconfig.stat().st_mtime_ns)
    made = client.param_serialize(
        method,
        path,
        query_params=[*(query or {}).items()],
        header_params={"Accept": "application/json", **({"Impersonate-User": user} if user else {})},
        body=body,
        auth_settings=["BearerToken"],
    )
    answer = client.call_api(*made, _request_timeout=timeout_seconds)
    if not 200 <= answer.status < 300:
        found = json.loads(answer.read())
        raise RigError(f"{method} {path}: {found.get('reason')}: {found.get('message')}")
    return answer


@lru_cache(1)
def _client(kubeconfig: Path, written_at: int) -> ApiClient:
    """Return a client with open connections. `written_at`: a new cluster of the same name writes its kubeconfig anew."""
    configuration = Configuration()
    load_kube_config(config_file=str(kubeconfig), client_configuration=configuration, persist_config=False)
    return ApiClient(configuration)
