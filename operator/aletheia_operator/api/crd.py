"""Generates the CustomResourceDefinitions from the models: `python -m aletheia_operator.api.crd DIRECTORY...`.

A structural schema allows less than JSON Schema: references are inlined, a nullable union becomes its other type, and what
the API server refuses (titles, additionalProperties: false, null defaults) is left out.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

from aletheia_operator.api.datasource import DataSourceSpec, DataSourceStatus
from aletheia_operator.api.investigation import InvestigationSpec, immutability_rules
from aletheia_operator.api.status import InvestigationStatus
from aletheia_operator.api.types import GROUP, VERSION, Model

HEADER = "# Generated from operator/aletheia_operator/api by `make generate`; do not edit.\n"
RULES = "x-kubernetes-validations"


class Dumper(yaml.SafeDumper):
    """Writes YAML without anchors, as the API server does."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def structural(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the structural schema of one node of pydantic's JSON schema."""
    node = dict(schema)
    if "$ref" in node:
        referred = definitions[node.pop("$ref").rsplit("/", 1)[1]]
        node = {**referred, **node}
    if "anyOf" in node:
        arms = [arm for arm in node.pop("anyOf") if arm.get("type") != "null"]
        if len(arms) != 1:
            raise ValueError(f"a union has no structural schema: {schema}")
        node = {**structural(arms[0], definitions), **node}
    node.pop("title", None)
    if node.get("additionalProperties") is False:
        node.pop("additionalProperties")
    if node.get("default", ...) is None:
        node.pop("default")
    elif isinstance(node.get("default"), dict):
        node["default"] = {name: value for name, value in node["default"].items() if value is not None}
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if node.get("type") == "integer":
        node["format"] = "int64"
    if "properties" in node:
        node["properties"] = {name: structural(value, definitions) for name, value in node["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            node[key] = structural(node[key], definitions)
    return node


def without_inner_defaults(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a spec without defaults in objects that may be applied empty; their descriptions name them instead.

    If `events: {}` is applied client-side and then server-side, the API server removes the defaults below it, since nobody
    applied them. `events` would then be null, which it refuses. Lists are replaced as a whole, so their items keep defaults.
    """
    return {**spec, "properties": {name: _without_defaults(node) for name, node in spec["properties"].items()}}


def _without_defaults(node: dict[str, Any]) -> dict[str, Any]:
    if "properties" not in node:
        return node
    properties = {name: _without_defaults(value) for name, value in node["properties"].items()}
    if not node.get("required"):
        properties = {name: _default_in_words(value) for name, value in properties.items()}
    return {**node, "properties": properties}


def _default_in_words(node: dict[str, Any]) -> dict[str, Any]:
    if "default" not in node:
        return node
    described = {name: value for name, value in node.items() if name != "default"}
    default = node["default"]
    if isinstance(default, (str, int)):  # the default of an object follows from its fields
        text = str(default).lower() if isinstance(default, bool) else str(default)
        described["description"] = f"{node['description']} Default: {text}."
    return described


def model_schema(model: type[Model]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True)
    return structural(schema, schema.pop("$defs", {}))


def _crd(
    kind: str, plural: str, short: str, scope: str, about: str, spec: dict[str, Any], status: dict[str, Any], **version: Any
) -> dict[str, Any]:
    """Return the definition of a kind. `about`: its description; `version`: more fields of its version."""
    schema = {"description": about, "type": "object", "required": ["spec"], "properties": {"spec": spec, "status": status}}
    version = {"schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}}, **version}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["aletheia"],
            },
            "scope": scope,
            "versions": [{"name": VERSION, "served": True, "storage": True, **version}],
        },
    }


def _column(name: str, path: str, kind: str, description: str, wide: bool = False) -> dict[str, Any]:
    column = {"name": name, "jsonPath": path, "type": kind, "description": description}
    return column | {"priority": 1} if wide else column


def investigation_crd() -> dict[str, Any]:
    spec = without_inner_defaults(model_schema(InvestigationSpec))
    spec[RULES] = [*spec[RULES], *immutability_rules(spec)]
    status = model_schema(InvestigationStatus)
    status["default"] = {"observedGeneration": -1}  # so that kstatus reads a resource without a status as in progress
    return _crd(
        "Investigation",
        "investigations",
        "inv",
        "Namespaced",
        "A request to capture evidence of an incident over one time window: logs, events, objects, metrics and traces.",
        spec,
        status,
        selectableFields=[{"jsonPath": ".status.phase"}],
        additionalPrinterColumns=[
            _column("Phase", ".status.phase", "string", "Current phase."),
            _column("Progress", ".status.progress.text", "string", "Questions done, of all."),
            _column("Artifacts", ".status.artifactCount", "integer", "Number of artifacts."),
            _column("Session", ".status.session.id", "string", "Id of the session that holds the artifacts."),
            _column("Size", ".status.session.size", "string", "Size of all artifacts.", wide=True),
            _column("Gaps", ".status.gapCount", "integer", "Number of gaps.", wide=True),
            _column("Age", ".metadata.creationTimestamp", "date", "Time since creation."),
            _column("Headline", ".status.headline", "string", "What broke, in one line.", wide=True),
        ],
    )


def datasource_crd() -> dict[str, Any]:
    spec, status = without_inner_defaults(model_schema(DataSourceSpec)), model_schema(DataSourceStatus)
    return _crd(
        "DataSource",
        "datasources",
        "dsrc",
        "Cluster",
        "A server of metrics, traces or logs that Investigations may query, or object storage that takes their sessions."
        " Created by an admin.",
        spec,
        status,
        additionalPrinterColumns=[
            _column("Type", ".spec.type", "string", "Which API the endpoint speaks."),
            _column("Endpoint", ".spec.endpoint", "string", "Base URL."),
            _column("Reachable", ".status.conditions[?(@.type=='Reachable')].status", "string", "Whether it answers."),
            _column(
                "Confined",
                ".status.conditions[?(@.type=='Confined')].status",
                "string",
                "Whether Investigations read data of their own namespace alone.",
            ),
            _column("Version", ".status.version", "string", "Version that the server reports.", wide=True),
            _column("Default", ".spec.default", "boolean", "Whether requests without a name use it."),
            _column("Age", ".metadata.creationTimestamp", "date", "Time since creation."),
        ],
    )


def main(directories: list[str]) -> None:
    """Write both CRDs into each of `directories`."""
    for crd in (investigation_crd(), datasource_crd()):
        text = HEADER + yaml.dump(crd, Dumper=Dumper, sort_keys=False, width=120, allow_unicode=True)
        for directory in directories:
            (Path(directory) / f"{crd['metadata']['name']}.yaml").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
