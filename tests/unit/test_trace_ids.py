"""Trace ids in log entries: which words are ids, their order, and the limit."""

import time
from typing import Any

import orjson
import pytest

from aletheia_operator.logs.run_parser import RunParser
from aletheia_operator.logs.run_settings import RunSettings
from aletheia_operator.text.batches import SEPARATOR
from aletheia_operator.text.trace_ids import TraceIds, merged

A, B, C = "a" * 16, "b" * 16, "c" * 16
STAMP = "2026-11-22T12:00:00.000000005Z"
LONG, SHORT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def parsed(*lines: str, container: str = "app", second: int = 0) -> bytes:
    """Entries as the log parser makes them, a second apart."""
    parser = RunParser(RunSettings(container, 0, False, "", "9999", 16_384))
    stamped = [f"2026-11-22T12:00:{second + number:02d}.000000000Z {line}\n" for number, line in enumerate(lines)]
    blocks = [parser.feed("".join(stamped).encode()).block, parser.end_run().block]
    return SEPARATOR.join(block for block in blocks if block)


def ids_of(*lines: str) -> list[str]:
    found = TraceIds(100)
    found.search(parsed(*lines))
    return merged([found])[0]


@pytest.mark.parametrize(
    "line",
    [
        f"GET / traceparent: 00-{LONG}-{SHORT}-01",
        f"headers traceparent=00-{LONG}-{SHORT}-00 done",
        f'{{"msg": "x", "headers": {{"traceparent": ["00-{LONG}-{SHORT}-01"]}}}}',
        f'{{"level":"info","msg":"paid","trace_id":"{LONG}"}}',
        f'{{"msg":"paid","traceId": "{LONG}", "spanId": "{SHORT}"}}',
        f'{{"msg":"paid","traceID":"{LONG.upper()}"}}',
        f'{{"@timestamp":"2026","message":"paid","trace.id":"{LONG}"}}',
        f'{{"@timestamp":"2026","message":"paid","trace":{{"id":"{LONG}"}}}}',
        f'{{"msg":"paid","TraceId":"{LONG}"}}',
        f'{{"msg":"paid","otelTraceID":"{LONG}"}}',
        f'{{"log":"{{\\"msg\\":\\"paid\\",\\"trace_id\\":\\"{LONG}\\"}}"}}',
        f"ts=2026-11-22T12:00:00Z level=info msg=paid trace_id={LONG}",
        f'level=info traceID="{LONG}" msg="paid in full"',
        f"2026-11-22 12:00:00 INFO paid [trace_id={LONG} span_id={SHORT}]",
        f"X-B3-TraceId: {LONG}",
        f"uber-trace-id: {LONG}:{SHORT}:0:1",
        f"request failed, trace id: {LONG}.",
    ],
)
def test_what_is_a_trace_id(line: str) -> None:
    """W3C, OpenTelemetry, Jaeger and B3, in JSON, logfmt and plain text."""
    assert ids_of(line) == [LONG]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        pytest.param(f"trace_id={SHORT}", [SHORT], id="64 bits"),
        pytest.param(f"trace_id={'0' * 16}{SHORT}", [SHORT], id="64 bits written as 128"),
        pytest.param("uber-trace-id: 1f2:3:0:1", ["00000000000001f2"], id="Jaeger leaves zeros out"),
        pytest.param(f"trace_id={'0' * 32} traceparent=00-{'0' * 32}-{SHORT}-00", [], id="zero"),
        pytest.param(f"traceparent=ff-{LONG}-{SHORT}-00", [], id="a version that may not be"),
        pytest.param("trace_id=4bf92f3577b34da6a3ce", [], id="another length"),
        pytest.param(f"trace_id={LONG}a", [], id="longer"),
        pytest.param(f"trace_id={LONG[:-1]}g", [], id="no hex"),
        pytest.param(f"trace_id: null, span_id: {SHORT}", [], id="nothing"),
        pytest.param(f"span_id={SHORT} digest={LONG}", [], id="another name"),
        pytest.param("stack trace: see below", [], id="another trace"),
    ],
)
def test_what_is_none(line: str, found: list[str]) -> None:
    """Zero, other lengths and other names are ignored; a 64-bit id is found in any notation."""
    assert ids_of(line) == found


def numbered(number: int) -> str:
    return f"{number:016x}"


def line(number: int, level: str = "info") -> str:
    return f'{{"level":"{level}","msg":"x","trace_id":"{numbered(number)}"}}'


def test_errors_come_first_then_the_order_of_the_lines() -> None:
    """Each id is there once, with ids of error lines first, even if an earlier line without an error has the id."""
    lines = [line(1), line(2), line(1), line(3, "error"), line(2, "fatal"), line(4)]
    assert ids_of(*lines) == [numbered(n) for n in (3, 2, 1, 4)]
    plain = [f"INFO a trace_id={numbered(1)}", f"ERROR b trace_id={numbered(2)}"]
    assert ids_of(*plain) == [numbered(2), numbered(1)]


def test_several_logs_are_one_order() -> None:
    """Lines of all logs are sorted by time, and each id is there once."""
    parts = [TraceIds(3), TraceIds(3)]
    parts[0].search(parsed(line(1), line(2), line(3), line(4)))
    parts[1].search(parsed(line(5), line(2, "error"), second=1))
    assert merged(parts) == ([numbered(n) for n in (2, 1, 5, 3)], True)
    assert merged(parts[1:]) == ([numbered(2), numbered(5)], False)
    assert merged([]) == ([], False)


def test_lines_of_loki() -> None:
    """The level may follow the line, be a label, or be recognised."""
    lines = [(A, {}, "INFO"), (B, {}, "ERROR"), (C, {"level": "ERROR"}, None)]
    entries = [
        {"timestamp": STAMP, "labels": labels, "line": f"trace_id={line}", "level": level} for line, labels, level in lines
    ]
    found = TraceIds(5)
    found.search(SEPARATOR.join(map(orjson.dumps, entries)))
    assert set(found.error_ids) == {B, C}
    assert set(found.ids.items()) == {(A, STAMP), (B, STAMP), (C, STAMP)}


def test_memory_is_bounded() -> None:
    """Only as many ids are kept as can be asked for, and whether there are more."""
    found = TraceIds(5)
    for start in range(1, 2_001, 50):
        found.search(parsed(*(line(number, "error" if number % 2 else "info") for number in range(start, start + 50))))
    assert len(found.error_ids) == len(found.ids) == 5
    assert merged([found]) == ([numbered(n) for n in (1, 3, 5, 7, 9, 2, 4)], True)


def test_it_is_kept_as_json() -> None:
    """WrittenFile to the journal as JSON and read again, the ids are the same."""
    found = TraceIds(5)
    found.search(parsed(line(1), line(2, "error")))
    kept: dict[str, Any] = orjson.loads(orjson.dumps(found.to_json()))
    assert TraceIds(**kept) == found


@pytest.mark.parametrize("level", ["info", "error"])
def test_a_line_of_ids_alone_takes_linear_time(level: str) -> None:
    """An entry of 1 MiB with 24,000 ids is looked through once, not once for each id."""
    ids = " ".join(f"trace_id={number:032x}" for number in range(1, 24_000))
    entry = {"timestamp": STAMP, "level": level.upper(), "line": ids}
    found = TraceIds(5)
    began = time.thread_time()
    found.search(SEPARATOR.join([orjson.dumps(entry), orjson.dumps(entry)]))
    assert time.thread_time() - began < 1
    assert (len(found.ids), found.more) == (5, True)
    assert len(found.error_ids) == (5 if level == "error" else 0)
