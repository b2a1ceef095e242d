"""The models refuse what the API server refuses, in the same words; tests/invalid_specs.py has the specs."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from aletheia_operator.api import DataSourceSpec, InvestigationSpec, parse_duration
from aletheia_operator.api.types import Model
from tests.invalid_specs import (
    INVALID_DATA_SOURCES,
    INVALID_INVESTIGATIONS,
    VALID_DATA_SOURCES,
    VALID_INVESTIGATIONS,
    InvalidSpec,
    ValidSpec,
)


def refusal(model: type[Model], spec: dict[str, Any]) -> str:
    """Return the model's refusal of the spec: each fault with its path."""
    with pytest.raises(ValidationError) as caught:
        model.from_json(spec)
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in caught.value.errors())


def is_part(asked: Any, taken: Any) -> bool:
    """Return whether `taken` has all of `asked`; it may have defaults as well."""
    if not isinstance(asked, dict) or not isinstance(taken, dict):
        return bool(asked == taken)
    return all(key in taken and is_part(value, taken[key]) for key, value in asked.items())


@pytest.mark.parametrize(
    ("model", "row"),
    [
        *(pytest.param(InvestigationSpec, row, id=row.title) for row in INVALID_INVESTIGATIONS),
        *(pytest.param(DataSourceSpec, row, id=row.title) for row in INVALID_DATA_SOURCES),
    ],
)
def test_an_invalid_spec_is_refused(model: type[Model], row: InvalidSpec) -> None:
    """Each is refused, and the message names the field or the rule."""
    assert row.word in refusal(model, row.spec)


@pytest.mark.parametrize("row", VALID_INVESTIGATIONS, ids=lambda row: row.title)
def test_a_valid_investigation_keeps_what_it_says(row: ValidSpec) -> None:
    """The model's JSON form has all that was written; moments are compared as moments."""
    taken = InvestigationSpec.from_json(row.spec).to_json()
    assert is_part(moments(row.spec), moments(taken))
    assert InvestigationSpec.from_json(taken).to_json() == taken


def moments(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec with its window's times parsed and defaults of `logs` spelled out."""
    changed = dict(spec)
    window = spec.get("window") or {}
    if "start" in window:
        changed["window"] = {name: datetime.fromisoformat(text) for name, text in window.items()}
    if "logs" in spec:
        changed["logs"] = {"previous": True, **spec["logs"]}
    return changed


@pytest.mark.parametrize("row", VALID_DATA_SOURCES, ids=lambda row: row.title)
def test_a_valid_data_source_keeps_what_it_says(row: ValidSpec) -> None:
    """The model's JSON form has all that was written."""
    kept = DataSourceSpec.from_json(row.spec).to_json()
    for name, value in row.spec.items():
        assert value.items() <= kept[name].items() if isinstance(value, dict) else value == kept[name]


def test_the_titles_of_the_tables_tell_their_rows_apart() -> None:
    """A failing row can be found by its title."""
    for table in (INVALID_INVESTIGATIONS, VALID_INVESTIGATIONS, INVALID_DATA_SOURCES, VALID_DATA_SOURCES):
        titles = [row.title for row in table]
        assert len(titles) == len(set(titles))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("90s", 90), ("15m", 900), ("2h", 7_200), ("1d", 86_400), ("1w", 604_800), ("1h30m", 5_400), ("1m1m", 120)],
)
def test_a_duration_is_the_sum_of_its_parts(text: str, seconds: int) -> None:
    """Units add up, in any order and number."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0s", "00s", "-1s", "1", "s", "1 h", "1.5h", "1H", "1ms", "1h\n", "١h", "1s" * 6, "1000000s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Nothing, zero, fractions, foreign digits and unknown units are refused with an example of what is meant."""
    with pytest.raises(ValueError, match="such as 15m"):
        parse_duration(text)


def test_a_spec_cannot_be_changed_once_made() -> None:
    """Models are values."""
    spec = InvestigationSpec.model_validate({"targets": [{"pod": "web-0"}]})
    with pytest.raises(ValidationError):
        setattr(spec, "timeout", "1h")  # noqa: B010 (mypy knows that it is frozen)


def test_the_defaults_are_those_of_the_documentation() -> None:
    """A lookback of an hour, ten minutes of time, neither suspended nor cancelled."""
    spec = InvestigationSpec.model_validate({"targets": [{"pod": "web-0"}]})
    assert spec.window.lookback == "1h"
    assert timedelta(seconds=parse_duration(spec.timeout)) == timedelta(minutes=10)
    assert (spec.suspend, spec.cancel) == (False, False)


LOGS: dict[str, Any] = {"targets": [{"pod": "web-0"}]}


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({**LOGS, "suspend": "yes"}, id="a boolean that is a word"),
        pytest.param({**LOGS, "cancel": 1}, id="a boolean that is a number"),
        pytest.param({"traces": [{"service": "shop", "limit": "20"}]}, id="a number that is text"),
        pytest.param({**LOGS, "window": {"start": 1_700_000_000}}, id="a time that is a number"),
        pytest.param({**LOGS, "window": {"start": "2026-11-22 10:00:00Z"}}, id="a time with a space"),
        pytest.param({**LOGS, "window": {"start": "2026-11-22T10:00Z"}}, id="a time without seconds"),
        pytest.param({"traces": [{"trace_id": "ab12"}]}, id="a field by its Python name"),
    ],
)
def test_the_models_take_no_form_that_the_api_server_refuses(spec: dict[str, Any]) -> None:
    """What a real API server refuses (checked against 1.34) is refused here too."""
    with pytest.raises(ValidationError):
        InvestigationSpec.from_json(spec)


@pytest.mark.parametrize(
    "endpoint",
    ["http://a b", " http://a", "http://a\n", "http://a/%zz", "http://a\\b", "http://a\x01", "http://a|b", "http://a%20b"],
)
def test_the_models_take_no_endpoint_that_the_api_server_refuses(endpoint: str) -> None:
    """What CEL's isURL refuses (checked against 1.34) is refused here too."""
    with pytest.raises(ValidationError):
        DataSourceSpec.from_json({"type": "jaeger", "endpoint": endpoint})
