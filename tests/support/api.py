"""Requests to the API server without kubectl, whose start takes longer than the request.

For tests that send many requests, and do not test kubectl.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration
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
    client = _client(cluster.kubeconfig, cluster.kubeconfig.stat().st_mtime_ns)
    made = client.param_serialize(
        method,
        path,
        query_params=[*(query or {}).items()],
        header_params={"Accept": "application/json", **({"Impersonate-User": user} if user else {})},
        body=body,
        auth_settings=["BearerToken"],
    )
    answer = client.call_api(*made, _request_timeout=TIMEOUT_SECONDS)
    found: Object = json.loads(answer.read())
    if not 200 <= answer.status < 300:
        raise RigError(f"{method} {path}: {found.get('reason')}: {found.get('message')}")
    return found


@lru_cache(1)
def _client(kubeconfig: Path, written_at: int) -> ApiClient:
    """Return a client with open connections. `written_at`: a new cluster of the same name writes its kubeconfig anew."""
    configuration = Configuration()
    load_kube_config(config_file=str(kubeconfig), client_configuration=configuration, persist_config=False)
    return ApiClient(configuration)
