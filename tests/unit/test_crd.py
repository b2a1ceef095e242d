"""The definitions made from the models are structural schemas, documented to the last field, and equal the committed ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import Field

from aletheia_operator.api import crd
from aletheia_operator.api.conditions import Condition
from aletheia_operator.api.investigation import MUTABLE_FIELDS, InvestigationSpec
from aletheia_operator.api.reasons import ConditionReason, GapReason, document
from aletheia_operator.api.types import Model

ROOT = Path(__file__).resolve().parents[2]
DEFINITIONS = (crd.investigation_crd(), crd.datasource_crd())
KEPT_AS_THEY_COME = ("default", "enum", crd.RULES)


def schema_of(definition: dict[str, Any]) -> dict[str, Any]:
    (version,) = definition["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema node with its path, itself included."""
    yield path, schema
    for name, value in schema.get("properties", {}).items():
        yield from nodes(value, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{path}[]")


@pytest.fixture(params=DEFINITIONS, ids=lambda definition: definition["spec"]["names"]["kind"])
def definition(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each definition in turn."""
    made: dict[str, Any] = request.param
    return made


def test_every_property_is_described(definition: dict[str, Any]) -> None:
    """`kubectl explain` has a text for every field."""
    bare = [
        f"{path}.{name}"
        for path, node in nodes(schema_of(definition))
        for name, value in node.get("properties", {}).items()
        if not value.get("description", "").strip() and not (path == "" and name in ("spec", "status"))
    ]
    assert bare == []


def test_every_node_is_structural(definition: dict[str, Any]) -> None:
    """No references, unions, titles, nulls or closed objects: the API server refuses them."""
    forbidden = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "title", "discriminator"}
    for path, node in nodes(schema_of(definition)):
        assert not forbidden & set(node), path
        assert "type" in node, path
        assert node.get("additionalProperties") is not False, path
        assert None not in node.values(), path
        assert node.get("default", "") != {}, path


def test_integers_hold_64_bits(definition: dict[str, Any]) -> None:
    """Sizes over 2 GiB fit."""
    formats = {node.get("format") for _, node in nodes(schema_of(definition)) if node["type"] == "integer"}
    assert formats == {"int64"}


def test_texts_and_lists_of_a_spec_are_bounded(definition: dict[str, Any]) -> None:
    """The API server can bound the cost of each rule, and no spec can fill etcd."""
    for path, node in nodes(schema_of(definition)["properties"]["spec"]):
        if node["type"] == "array":
            assert "maxItems" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path
        if node["type"] == "string":
            assert {"maxLength", "enum", "format"} & set(node), path


def test_no_default_turns_an_empty_object_into_another(definition: dict[str, Any]) -> None:
    """`events: {}` stays what was applied: with a default below it, applying it server-side later would leave null."""

    def check(node: dict[str, Any], path: str) -> None:
        for name, value in node.get("properties", {}).items():
            may_be_empty = path and not node.get("required")
            assert not (may_be_empty and "default" in value), f"{path}.{name}"
            check(value, f"{path}.{name}")

    check(schema_of(definition)["properties"]["spec"], "")


def test_a_default_that_the_schema_leaves_out_is_said_in_words() -> None:
    """The description has the model's default."""
    events = schema_of(crd.investigation_crd())["properties"]["spec"]["properties"]["events"]["properties"]
    assert events["nodes"]["description"].endswith(" Default: true.")
    logs = schema_of(crd.investigation_crd())["properties"]["spec"]["properties"]["logs"]["properties"]
    assert logs["limits"]["properties"]["lineBytes"]["description"].endswith(" Default: 1Mi.")


def test_every_rule_says_in_words_what_it_wants(definition: dict[str, Any]) -> None:
    """Its message explains the CEL expression."""
    for path, node in nodes(schema_of(definition)):
        for rule in node.get(crd.RULES, []):
            assert rule["rule"] and rule["message"], path


def test_every_field_of_the_spec_is_frozen_but_the_mutable_ones() -> None:
    """Each field has a transition rule, except suspend and cancel."""
    spec = schema_of(crd.investigation_crd())["properties"]["spec"]
    transitions = {rule["message"].split()[0] for rule in spec[crd.RULES] if "oldSelf" in rule["rule"]}
    assert transitions == {f"spec.{name}" for name in spec["properties"] if name not in MUTABLE_FIELDS}
    assert set(spec["properties"]) >= MUTABLE_FIELDS


def test_a_resource_that_no_one_looked_at_reads_as_in_progress() -> None:
    """kstatus compares observedGeneration, so its default is below every generation."""
    assert schema_of(crd.investigation_crd())["properties"]["status"]["default"] == {"observedGeneration": -1}


@pytest.mark.parametrize("directory", ["crds", "charts/aletheia-operator/files/crds"])
def test_the_committed_definitions_are_those_of_the_models(directory: str, definition: dict[str, Any]) -> None:
    """`make generate` was run after the last change of a model."""
    committed = (ROOT / directory / f"{definition['metadata']['name']}.yaml").read_text()
    assert committed.startswith("# Generated from")
    assert yaml.safe_load(committed) == definition


def test_the_writer_repeats_itself_byte_by_byte(tmp_path: Path) -> None:
    """Generating twice gives the same files, in every directory named."""
    directories = [tmp_path / "a", tmp_path / "b"]
    for directory in directories:
        directory.mkdir()
    crd.main([str(directory) for directory in directories])
    written = [{file.name: file.read_bytes() for file in directory.iterdir()} for directory in directories]
    assert written[0] == written[1]
    assert set(written[0]) == {"investigations.aletheia.dev.yaml", "datasources.aletheia.dev.yaml"}
    assert b"&id" not in b"".join(written[0].values())


class Union(Model):
    """A model without a structural schema."""

    either: int | str = Field(description="One or the other.")


class Odd(Model):
    """Forms of JSON Schema that must be translated."""

    word: Literal["one"] = Field("one", description="A constant.")
    maybe: int | None = Field(None, description="Nothing or a number.")
    inner: Condition | None = Field(None, description="Its own words.")
    nested: InvestigationSpec | None = Field(None, description="A model with defaults of its own.")


def test_a_union_is_refused() -> None:
    """A structural schema has no union of types, so it must not be dropped silently."""
    with pytest.raises(ValueError, match="union"):
        crd.model_schema(Union)


def test_what_json_schema_says_otherwise_is_translated() -> None:
    """Constants become enums, nullable fields their other type. A field's own description wins over its type's."""
    properties = crd.model_schema(Odd)["properties"]
    assert properties["word"]["enum"] == ["one"]
    assert properties["maybe"] == {"type": "integer", "format": "int64", "description": "Nothing or a number."}
    assert properties["inner"]["description"] == "Its own words."
    assert properties["inner"]["type"] == "object"
    assert properties["nested"]["properties"]["window"]["default"] == {"lookback": "1h"}


def test_every_reason_is_documented() -> None:
    """The document has each reason with its meaning, and is the committed one."""
    text = document()
    for reason in (*GapReason, *ConditionReason):
        assert f"| `{reason.value}` | {reason.text} |" in text
    assert (ROOT / "docs" / "reasons.md").read_text() == text


@pytest.mark.parametrize("reason", [*GapReason, *ConditionReason], ids=lambda reason: reason.value)
def test_a_reason_is_a_word_with_a_sentence(reason: GapReason | ConditionReason) -> None:
    """CamelCase without blanks, as Kubernetes wants it; the text is a sentence."""
    assert reason.value.isalpha() and reason.value[0].isupper()
    assert reason.text.endswith(".") and "|" not in reason.text
