"""JSON as it arrives: any pieces give the same values, and an early end gives an error."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients import json_stream
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, Unavailable
from aletheia_operator.clients.json_stream import JsonStream

ENDPOINT = Endpoint("test", "http://test", 5, 2**20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def stream(text: bytes, size: int = 3) -> JsonStream:
    return JsonStream(ENDPOINT, (text[at : at + size] for at in range(0, len(text), size)))


def walk(cursor: JsonStream) -> Any:
    """Everything, by the smallest steps."""
    if cursor.kind() == "{":
        return {key: walk(cursor) for key in cursor.members()}
    if cursor.kind() == "[":
        return [walk(cursor) for _ in cursor.items()]
    return cursor.value()


@given(VALUES, st.integers(min_value=1, max_value=9), st.booleans(), st.sampled_from([None, 2]))
def test_any_value_in_any_pieces(value: Any, size: int, escaped: bool, indent: int | None) -> None:
    """Walked, or taken whole, with cuts within characters, numbers and escapes."""
    text = json.dumps(value, ensure_ascii=escaped, indent=indent).encode("utf-8", "surrogatepass")
    try:
        text.decode()
    except UnicodeDecodeError:  # half a surrogate pair, not escaped, is not UTF-8
        with pytest.raises(Unavailable):
            walk(stream(text, size))
        return
    assert walk(stream(text, size)) == value
    assert stream(text, size).value() == value


@given(VALUES.filter(lambda value: isinstance(value, dict | list)), st.data())
def test_any_value_that_is_cut(value: Any, data: Any) -> None:
    """A text that ends before its value does is never taken for a whole one."""
    text = json.dumps(value).encode()
    cut = text[: data.draw(st.integers(min_value=0, max_value=len(text) - 1))]
    for take in (walk, JsonStream.value):
        with pytest.raises(Unavailable) as caught:
            take(stream(cut))
        assert caught.value.reason is GapReason.INVALID_RESPONSE


@pytest.mark.parametrize(
    "text", ["[1 2]", '{"a" 1}', '{"a":1 "b":2}', "{1:2}", "[1,", '{"a":}', "[,]", "nul", "\x00", "<html>", "1e", "[1.]"]
)
def test_what_is_no_json(text: str) -> None:
    """For example another server's page."""
    with pytest.raises(Unavailable):
        walk(stream(text.encode()))


def test_several_values_one_after_the_other() -> None:
    """As in a stream of JSON lines; at the end there is nothing more."""
    cursor = stream(b'{"a": 1}\n{"a": 2}\n 12 ')
    assert [walk(cursor), walk(cursor), cursor.value(), cursor.kind()] == [{"a": 1}, {"a": 2}, 12, ""]


def test_a_value_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused before all of it has arrived. The same text can be walked."""
    monkeypatch.setattr(json_stream, "MAX_VALUE_CHARACTERS", 100)
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        yield b"["
        while True:
            taken += 1
            yield b'"xxxxxxx",'

    with pytest.raises(Rejected) as caught:
        JsonStream(ENDPOINT, endless()).value()
    assert caught.value.reason is GapReason.TOO_LARGE
    assert taken < 50
    assert walk(stream(json.dumps(["x" * 50] * 20).encode())) == ["x" * 50] * 20


def test_brackets_without_end() -> None:
    """Nesting that would exhaust the stack is refused."""
    with pytest.raises(Unavailable):
        stream(b"[" * 200_000, 4096).value()


@pytest.mark.parametrize("element", ["[]", "{}", "1", '{"a":1}'])
def test_a_value_of_very_many_elements(element: str) -> None:
    """Is refused long before its text is too large: 4 MiB of empty lists took half a second and a hundred MiB."""
    text = b"[" + element.encode() + f",{element}".encode() * 1_000_000
    taken = 0

    def chunks() -> Iterator[bytes]:
        nonlocal taken
        for at in range(0, len(text), 65_536):
            taken += 65_536
            yield text[at : at + 65_536]

    with pytest.raises(Rejected) as caught:
        JsonStream(ENDPOINT, chunks()).value()
    assert caught.value.reason is GapReason.TOO_LARGE
    assert taken < 450_000 * (len(element) + 1)


def test_a_long_text_is_one_element() -> None:
    """For example a statement of a database in a span."""
    text = json.dumps(["x, " * 50_000, "y" * 2_000_000])
    assert stream(text.encode(), 65_536).value() == json.loads(text)


def test_a_value_that_just_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more of a value is read than the largest allowed one has."""
    monkeypatch.setattr(json_stream, "MAX_VALUE_CHARACTERS", 100)
    assert stream(b'"' + b"x" * 98 + b'"', 1).value() == "x" * 98
    with pytest.raises(Rejected):
        stream(b'"' + b"x" * 110 + b'"', 1).value()
