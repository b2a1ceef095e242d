"""JSON schemas of Kubernetes' own kinds and of ours, for kubeconform, which has no network here.

Kubernetes' schemas are in its Go module, from which the test cluster is built (api/openapi-spec/v3); ours are in crds/.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.rig import HERE, ROOT, run

Schema = dict[str, Any]
LOCATION = "{{.Group}}_{{.ResourceAPIVersion}}_{{.ResourceKind}}.json"
"""Name of a schema's file for kubeconform's option -schema-location; kubeconform writes the kind in lower case."""


def write_schemas(directory: Path) -> str:
    """Write the schema of each kind, which refuses unknown fields. Returns the value of -schema-location. Takes seconds."""
    module = json.loads(run(["go", "mod", "download", "-json", "k8s.io/kubernetes"], cwd=HERE / "tools", env={"GOWORK": "off"}))
    documents = Path(module["Dir"]) / "api/openapi-spec/v3"
    for path in documents.glob("api*__v*_openapi.json"):
        components = _closed(json.loads(path.read_text())["components"])
        for name, schema in components["schemas"].items():
            for kind in schema.get("x-kubernetes-group-version-kind", []):
                whole = {"$ref": f"#/components/schemas/{name}", "components": components}
                _file(directory, kind["group"], kind["version"], kind["kind"]).write_text(json.dumps(whole))
    for path in (ROOT / "crds").glob("*.yaml"):
        spec = yaml.safe_load(path.read_text())["spec"]
        for version in spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            fields = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
            schema["properties"] = {**fields, **schema["properties"]}
            file = _file(directory, spec["group"], version["name"], spec["names"]["kind"])
            file.write_text(json.dumps(_closed(schema)))
    return f"{directory}/{LOCATION}"


def _file(directory: Path, group: str, version: str, kind: str) -> Path:
    return directory / f"{group or version}_{version}_{kind.lower()}.json"


def _closed(node: Any) -> Any:
    """Return the schema with unknown fields refused, and with numbers and strings allowed as in Kubernetes."""
    if isinstance(node, list):
        return [_closed(child) for child in node]
    if not isinstance(node, dict):
        return node
    made = {key: _closed(value) for key, value in node.items()}
    if made.get("format") == "int-or-string" or made.get("x-kubernetes-int-or-string") is True:
        made.pop("type", None)
        made.pop("format", None)
        return {**made, "anyOf": [{"type": "integer"}, {"type": "string"}]}
    is_object = made.get("type") == "object" and isinstance(made.get("properties"), dict)
    if is_object and "additionalProperties" not in made and not made.get("x-kubernetes-preserve-unknown-fields"):
        made["additionalProperties"] = False
    return made
