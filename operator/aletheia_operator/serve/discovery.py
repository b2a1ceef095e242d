"""The API's discovery documents: groups, resources and OpenAPI, for `kubectl get` and `kubectl explain`. Pure."""

from typing import Any

from aletheia_operator.api.paths import ARTIFACTS_GROUP as GROUP
from aletheia_operator.api.paths import ARTIFACTS_ROOT as ROOT
from aletheia_operator.api.paths import ARTIFACTS_VERSION as VERSION
from aletheia_operator.serve.addresses import SUBRESOURCES
from aletheia_operator.serve.resource import KIND, schema

_SCHEMA = "dev.aletheia.artifacts.v1alpha1.Session"
_VERSION = {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}


def documents(version: str) -> dict[str, dict[str, Any]]:
    """Return the documents by their paths. `version`: this package's."""
    group = {"name": GROUP, "versions": [_VERSION], "preferredVersion": _VERSION}
    return {
        f"/apis/{GROUP}": {"kind": "APIGroup", "apiVersion": "v1", **group},
        ROOT: _resources(),
        "/openapi/v2": {"swagger": "2.0", "info": _info(version), "paths": {}, "definitions": {_SCHEMA: schema()}},
        "/openapi/v3": {"paths": {ROOT.removeprefix("/"): {"serverRelativeURL": f"/openapi/v3{ROOT}?hash={version}"}}},
        f"/openapi/v3{ROOT}": _openapi(version),
    }


def _resources() -> dict[str, Any]:
    sessions = {
        "name": "sessions",
        "singularName": "session",
        "namespaced": True,
        "kind": KIND,
        "verbs": ["get", "list"],
        "categories": ["aletheia"],
    }
    parts = [
        {"name": f"sessions/{name}", "singularName": "", "namespaced": True, "kind": KIND, "verbs": ["get"]}
        for name in SUBRESOURCES
    ]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{GROUP}/{VERSION}",
        "resources": [sessions, *parts],
    }


def _info(version: str) -> dict[str, str]:
    return {"title": "Aletheia artifacts", "version": version}


def _openapi(version: str) -> dict[str, Any]:
    kinds = {"x-kubernetes-group-version-kind": {"group": GROUP, "version": VERSION, "kind": KIND}}
    answer = {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{_SCHEMA}"}}}, "description": "OK"}

    def get(action: str, operation: str, *parameters: str) -> dict[str, Any]:
        return {
            "get": {
                "operationId": operation,
                "x-kubernetes-action": action,
                **kinds,
                "parameters": [
                    {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in parameters
                ],
                "responses": {"200": answer},
            }
        }

    session = f"{ROOT}/namespaces/{{namespace}}/sessions/{{name}}"
    return {
        "openapi": "3.0.0",
        "info": _info(version),
        "paths": {
            f"{ROOT}/sessions": get("list", "listSessionForAllNamespaces"),
            f"{ROOT}/namespaces/{{namespace}}/sessions": get("list", "listNamespacedSession", "namespace"),
            session: get("get", "readNamespacedSession", "namespace", "name"),
            **{
                f"{session}/{name}" + ("/{path}" if name == "files" else ""): get(
                    "connect",
                    f"readNamespacedSession{name.title()}",
                    "namespace",
                    "name",
                    *(["path"] if name == "files" else []),
                )
                for name in SUBRESOURCES
            },
        },
        "components": {"schemas": {_SCHEMA: schema()}},
    }
