"""Shared parts of the models: the API group, the base model, validation rules, and strings with a format (names, durations)."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

GROUP = "aletheia.dev"
VERSION = "v1alpha1"

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_BYTE_UNITS = {"": 1, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}
BYTES_PATTERN = r"^([1-9][0-9]{0,8})(Ki|Mi|Gi)?$"
DURATION_PATTERN = r"^([1-9][0-9]{0,3}[hdw]|[1-9][0-9]{0,5}[sm]){1,5}$"  # short enough that no date overflows
NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"  # RFC 1123 subdomain


class Model(BaseModel):
    """Base of every model: camelCase in JSON, unknown fields refused, instances immutable."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Parse a resource, as strictly as the API server: no other names, no converted types."""
        return cls.model_validate_json(orjson.dumps(value), strict=True, by_alias=True, by_name=False)

    def to_json(self) -> dict[str, Any]:
        """Return the resource as JSON: camelCase, no nulls, times in RFC 3339."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def rules(*pairs: tuple[str, str]) -> ConfigDict:
    """Return the model configuration for CEL rules of the CRD. `pairs`: each rule with its message for users."""
    validations: list[JsonValue] = [{"rule": rule, "message": message} for rule, message in pairs]
    return ConfigDict(json_schema_extra={"x-kubernetes-validations": validations})


def require(condition: bool, message: str) -> None:
    """Raise ValueError with `message` unless `condition` holds."""
    if not condition:
        raise ValueError(message)


def parse_duration(text: str) -> int:
    """Return the seconds of a duration, for example `90s`, `15m` or `1h30m` (units s, m, h, d, w; they add up).

    Raises ValueError for anything else, zero included.
    """
    if not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError(f"{text!r} is not a duration: write a number with a unit s, m, h, d or w, such as 15m or 1h30m")
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)([smhdw])", text))


def parse_bytes(text: str) -> int:
    """Return the bytes of a quantity, for example `65536`, `512Ki` or `2Gi`. Raises ValueError for others, zero included."""
    match = re.fullmatch(BYTES_PATTERN, text)
    if match is None:
        raise ValueError(f"{text!r} is not a number of bytes: write a number with or without a unit Ki, Mi or Gi, such as 50Mi")
    return int(match[1]) * _BYTE_UNITS[match[2] or ""]


def _checked_bytes(text: str) -> str:
    parse_bytes(text)
    return text


def _checked_duration(text: str) -> str:
    parse_duration(text)
    return text


Duration = Annotated[
    str,
    AfterValidator(_checked_duration),
    Field(max_length=35, json_schema_extra={"pattern": DURATION_PATTERN}),
]
ByteQuantity = Annotated[
    str,
    AfterValidator(_checked_bytes),
    Field(max_length=12, json_schema_extra={"pattern": BYTES_PATTERN}),
]
Name = Annotated[str, Field(min_length=1, max_length=253, pattern=NAME_PATTERN)]
ContainerName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
LabelName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
