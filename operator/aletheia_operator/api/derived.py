"""Generates the chart's schema of values and a table of the documentation from the models.

`python -m aletheia_operator.api.derived SCHEMA PAGE` writes the schemas of the chart's values `dataSources` and `findings` into
the chart's values.schema.json, and the table of types into docs/datasources/README.md. It replaces only these parts of both.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from aletheia_operator.api.crd import model_schema
from aletheia_operator.api.datasource import DataSourceSpec
from aletheia_operator.api.findings import FindingsSpec
from aletheia_operator.api.source_types import SOURCE_TYPES, SourceType

ENDPOINT_PATTERN = r"^https?://[^/@?#\s]+(/[^@?#\s]*)?$"
"""Checks endpoints less strictly than the CustomResourceDefinition's CEL rules: JSON Schema has no CEL."""
_TABLE = re.compile(r"(<!-- The table is generated from [^\n]*-->\n\n)(?:\|[^\n]*\n)*")
_NOTICE = "Generated from operator/aletheia_operator/api by `make generate`; do not edit."


def values_schema() -> dict[str, Any]:
    """Return the JSON schema of one item of `dataSources`: the name, and the fields of the spec."""
    schema = _closed(model_schema(DataSourceSpec))
    properties = schema["properties"]
    properties["endpoint"]["pattern"] = ENDPOINT_PATTERN
    return {
        **schema,
        "$comment": _NOTICE,
        "properties": {"name": {"$ref": "#/definitions/subdomain"}, **properties},
        "required": ["name", *schema["required"]],
    }


def findings_schema() -> dict[str, Any]:
    """Return the JSON schema of `findings`: own rules for all Investigations. What is missing has the chart's default."""
    schema = {**_closed(model_schema(FindingsSpec)), "$comment": _NOTICE}
    del schema["required"]
    return schema


def _closed(node: dict[str, Any]) -> dict[str, Any]:
    """Return a structural schema as JSON Schema that refuses unknown properties, because Helm does not prune them."""
    closed = {key: value for key, value in node.items() if key not in ("format", "default") and not key.startswith("x-")}
    if "properties" in closed:
        closed["properties"] = {name: _closed(value) for name, value in closed["properties"].items()}
        closed["additionalProperties"] = False
    if "items" in closed:
        closed["items"] = _closed(closed["items"])
    return closed


def table() -> str:
    """Return the types of DataSource as a table in Markdown."""
    rows = [f"| [{kind.name}]({kind.name}.md) | `spec.{kind.spec_field}` | {_options(kind)} |" for kind in SOURCE_TYPES]
    return "\n".join(["| type | used by | options |", "|---|---|---|", *rows, ""])


def _options(source_type: SourceType) -> str:
    if source_type.options is None:
        return "none"
    properties = model_schema(source_type.options)["properties"]
    return "<br>".join(f"`{source_type.name}.{name}`: {value['description']}" for name, value in properties.items())


def main(schema_file: str, page: str) -> None:
    """Replace the derived parts of both files."""
    schema = json.loads(Path(schema_file).read_text())
    schema["properties"]["dataSources"]["items"] = values_schema()
    schema["properties"]["findings"] = findings_schema()
    Path(schema_file).write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")
    text, count = _TABLE.subn(lambda match: match[1] + table(), Path(page).read_text())
    if count != 1:
        raise ValueError(f"{page} has {count} places for the table of types")
    Path(page).write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
