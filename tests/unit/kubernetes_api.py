"""The Kubernetes API's reads, served from tables over HTTP: with pages, selectors and metadata-only answers."""

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, urlsplit

from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from aletheia_operator.clients import shared_reads
from aletheia_operator.clients.kubernetes import Kubernetes
from tests.unit.loopback import Loopback, Request

Object = dict[str, Any]
_STATUS = {403: "forbidden", 404: "not found", 409: "changed", 410: "expired", 413: "too large", 500: "broken"}


@dataclass
class KubernetesApi:
    """Serves `objects` and `lists` by path; a number in either is the status of the answer.

    `asked` has the path, `queries` the parameters of each request. If a path is in neither table, an object is answered
    with 404, and a collection with an empty list.
    """

    objects: Mapping[str, Object | int] = field(default_factory=dict)
    lists: Mapping[str, Sequence[Object] | int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Kubernetes]:
        """Yield a real client of this API. Answers that it shares are not too old for that on a busy machine either."""
        with Loopback() as server, patch.object(shared_reads, "MAX_AGE_SECONDS", 600.0):
            server.answers = (self._answer,)
            client = ApiClient(Configuration(host=server.url))
            try:
                yield Kubernetes(client)
            finally:
                await client.close()

    def _answer(self, request: Request) -> None:
        url = urlsplit(request.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        self.asked.append(url.path)
        self.queries.append(query)
        if url.path in self.objects:
            found = self.objects[url.path]
        elif "limit" in query:
            found = self._list(self.lists.get(url.path, ()), query)
        else:
            found = 404
        if isinstance(found, int):
            body: Object = {"kind": "Status", "code": found, "message": f"{url.path} is {_STATUS[found]}"}
            request.send(found, json.dumps(body).encode())
            return
        if "PartialObjectMetadata" in (request.headers.get("Accept") or ""):
            found = found | {"items": [{"metadata": item["metadata"]} for item in found.get("items", [])]}
        request.send(200, json.dumps(found).encode(), Content_Type="application/json")

    def _list(self, items: Sequence[Object] | int, query: Mapping[str, str]) -> Object | int:
        if isinstance(items, int):
            return items
        chosen = [item for item in items if is_selected(item, query)]
        first, limit = int(query.get("continue", "0")), int(query["limit"])
        metadata = {"continue": str(first + limit)} if len(chosen) > first + limit else {}
        return {"metadata": metadata, "items": chosen[first : first + limit]}


def is_selected(item: Object, query: Mapping[str, str]) -> bool:
    """Whether the labelSelector and the fieldSelector of a query match an object."""
    labels = item["metadata"].get("labels") or {}
    for key, wanted, other in re.findall(r"([^,=! ]+)(?: in \(([^)]*)\)|=([^,]*))", query.get("labelSelector", "")):
        if labels.get(key) not in (wanted.split(",") if wanted else [other]):
            return False
    for key, operator, wanted in re.findall(r"([^,=!]+)(!?=)([^,]*)", query.get("fieldSelector", "")):
        value: Any = item
        for part in key.split("."):
            value = (value or {}).get(part)
        if (value == wanted) is (operator == "!="):
            return False
    return True


NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
APPS = "/apis/apps/v1/namespaces/shop"
CORE = "/api/v1/namespaces/shop"
IN_DEFAULT = "/api/v1/namespaces/default/events"


def thing(name: str, owner: Object | None = None, **more: Any) -> Object:
    """An object; its uid follows from its name."""
    references = [{**owner, "controller": True}] if owner else []
    metadata = {"name": name, "uid": f"uid-{name}", "creationTimestamp": "2026-11-22T11:30:00Z", "ownerReferences": references}
    return {"metadata": metadata, "spec": {}, **more}


def owner(kind: str, name: str, version: str = "apps/v1") -> Object:
    """A reference to a `thing`."""
    return {"kind": kind, "name": name, "uid": f"uid-{name}", "apiVersion": version}


def replica_set(name: str, revision: int, image: str, deployment: str = "web") -> Object:
    """A revision of a Deployment of pods with the label app=web."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "app", "image": image}]}}
    found = thing(name, owner("Deployment", deployment))
    found["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": str(revision)}
    found["metadata"]["labels"] = {"app": "web"}
    return found | {"spec": {"template": template, "selector": {"matchLabels": {"app": "web"}}}}


def a_pod(name: str, above: str, node: str = "n1") -> Object:
    """A running pod of a ReplicaSet."""
    found = thing(name, owner("ReplicaSet", above), status={"phase": "Running"})
    found["metadata"]["labels"] = {"app": "web"}
    return found | {"spec": {"nodeName": node, "containers": [{"name": "app", "image": "shop:2"}]}}


def deployment(name: str = "web") -> Object:
    """A Deployment of pods with the label app=web."""
    return thing(name) | {"spec": {"selector": {"matchLabels": {"app": "web"}}}}


def a_shop(pods: int = 2) -> KubernetesApi:
    """Deployment web, revision 1 without pods, revision 2 with some."""
    return KubernetesApi(
        objects={f"{APPS}/deployments/web": deployment(), f"{APPS}/replicasets/web-222": replica_set("web-222", 2, "shop:2")},
        lists={
            f"{APPS}/deployments": [deployment()],
            f"{APPS}/replicasets": [replica_set("web-111", 1, "shop:1"), replica_set("web-222", 2, "shop:2")],
            f"{CORE}/pods": [a_pod(f"web-222-{number:05}", "web-222") for number in range(pods)],
        },
    )


def an_event(name: str, reason: str, kind: str = "Pod", uid: str = "", at: str = "11:30:00", **more: Any) -> Object:
    """An event of an object at a time of the day."""
    stamp = f"2026-11-22T{at}Z"
    key = f"{name}.{reason}.{at}.{uid}{more.get('type', '')}{more.get('message', '')}"
    metadata = {"name": key, "uid": key, "creationTimestamp": stamp, "managedFields": [{}]}
    involved = {"kind": kind, "name": name, "uid": uid or f"uid-{name}", "namespace": "shop"}
    times = {"firstTimestamp": stamp, "lastTimestamp": stamp, "count": 1}
    return {
        "metadata": metadata,
        "involvedObject": involved,
        "type": "Normal",
        "reason": reason,
        "message": "",
        **times,
        **more,
    }
