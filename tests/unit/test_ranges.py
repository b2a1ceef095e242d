"""The queries of one expression over one grid: which are asked, over which moments, and what a fault costs."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected, SourceError, Unavailable
from aletheia_operator.fetchers.prometheus.grid import Grid
from aletheia_operator.fetchers.prometheus.ranges import RangeQueries
from aletheia_operator.fetchers.prometheus.stream import EndOfSeries, Event, Samples
from tests.unit.fakes import make_scratch

Step = list[Event] | Exception
ONE: list[Event] = [Samples("values", [[1, "2"]]), EndOfSeries({"a": "b"})]


@dataclass
class Answer:
    """An answer that comes in these steps, with warnings and infos."""

    steps: list[Step]
    envelope: dict[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[list[Event]]:
        for step in self.steps:
            if isinstance(step, Exception):
                raise step
            yield step


@dataclass
class Client:
    """Gives the answers in turn, then empty ones; `asked` are the queries, each with its moments."""

    answers: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    size_bytes: int = 0
    endpoint: Endpoint = field(default_factory=lambda: Endpoint("main", "http://127.0.0.1:1", 5, 2**20, max_series=7))
    call: Any = field(default_factory=lambda: SimpleNamespace(computing=nullcontext))

    def query(self, promql: str, moment: int) -> Answer:
        return self.query_range(promql, moment)

    def query_range(self, promql: str, grid: Any) -> Answer:
        self.asked.append((promql, grid))
        self.size_bytes += 100
        return self.answers.pop(0) if self.answers else Answer([])


def queries(client: Client, instant: bool = False) -> RangeQueries:
    return RangeQueries(cast("Any", client), make_scratch, instant)


LONG = Grid(0, 15 * 25_000, 15)
HALF = 11_000 * 15


@pytest.mark.parametrize(
    ("promql", "grid", "since", "expected"),
    [
        pytest.param("up", Grid(60, 60, 15), 60, [], id="one sample"),
        pytest.param(
            "up", Grid(60, 60, 15), 59.5, [("max_over_time(up[501ms])", Grid(60, 60, 15))], id="the time before the first"
        ),
        pytest.param("up", Grid(60, 90, 15), 60, [("max_over_time(up[15s])", Grid(75, 90, 15))], id="between samples"),
        pytest.param(
            "up @ end() - up @ start()",
            Grid(60, 90, 15),
            50,
            [
                ("max_over_time((up @ 90 - up @ 60\n)[10001ms:15s])", Grid(60, 60, 15)),
                ("max_over_time((up @ 90 - up @ 60\n)[15s:15s])", Grid(75, 90, 15)),
            ],
            id="no selector: evaluated in between",
        ),
        pytest.param("1 + 1", Grid(0, 15, 15), 0, [("max_over_time(vector(1+1)[15s:15s])", Grid(15, 15, 15))], id="a scalar"),
        pytest.param("a ~~ b", Grid(0, 15, 15), 0, [("max_over_time((a ~~ b\n)[15s:15s])", Grid(15, 15, 15))], id="unknown"),
        pytest.param(
            "up",
            LONG,
            0,
            [
                ("max_over_time(up[15s])", Grid(15, HALF, 15)),
                ("max_over_time(up[15s])", Grid(HALF + 15, 2 * HALF, 15)),
                ("max_over_time(up[15s])", Grid(2 * HALF + 15, LONG.end, 15)),
            ],
            id="chunks of a selector",
        ),
        pytest.param(
            "-up",
            Grid(0, 5 * 82_500, 82_500),
            0,
            [
                ("max_over_time((-up\n)[82500s:15s])", Grid(82_500, 2 * 82_500, 82_500)),
                ("max_over_time((-up\n)[82500s:15s])", Grid(3 * 82_500, 4 * 82_500, 82_500)),
                ("max_over_time((-up\n)[82500s:15s])", Grid(5 * 82_500, 5 * 82_500, 82_500)),
            ],
            id="chunks of a subquery cost no more points than a range query",
        ),
        pytest.param(
            "-up",
            Grid(0, 440_000 * 16, 440_000 * 16),
            0,
            [("max_over_time((-up\n)[7040000s:16s])", Grid(440_000 * 16, 440_000 * 16, 440_000 * 16))],
            id="a window that is too long for the finest step",
        ),
        pytest.param(
            "-up",
            Grid(0, 440_000 * 15, 440_000 * 15),
            0,
            [("max_over_time((-up\n)[6600000s:15s])", Grid(440_000 * 15, 440_000 * 15, 440_000 * 15))],
            id="one that is just not",
        ),
    ],
)
def test_which_queries_find_what_is_between_samples(
    promql: str, grid: Grid, since: float, expected: list[tuple[str, Grid]]
) -> None:
    """One asks for the highest value of each step, and one for the lowest, also before the first sample."""
    client = Client()
    result = queries(client).new_result()
    queries(client).fill_extremes(result, promql, grid, datetime.fromtimestamp(since, UTC))
    lowest = [(text.replace("max_", "min_"), chunk) for text, chunk in expected]
    assert client.asked == [*expected, *lowest]
    assert (list(result.extremes), result.extremes_missing) == (["max", "min"], None)
    result.close()


@pytest.mark.parametrize(
    ("instant", "asked"),
    [
        (
            False,
            [
                ("up @ 0", Grid(0, 15 * 10_999, 15)),
                ("up @ 0", Grid(HALF, 15 * 21_999, 15)),
                ("up @ 0", Grid(2 * HALF, LONG.end, 15)),
            ],
        ),
        (True, [("up @ 0", LONG.end)]),
    ],
)
def test_which_queries_fill_a_grid(instant: bool, asked: list[Any]) -> None:
    """In each chunk `start()` means the start of the whole grid. An instant query is sent once, for the end."""
    client = Client([Answer([ONE])])
    result = queries(client, instant).new_result()
    queries(client, instant).fill(result, "up @ start()", LONG)
    assert client.asked == asked
    assert (len(result.series), result.series.max_series, result.broken) == (1, 7, None)
    result.close()


BROKEN, LATE = Unavailable("it broke off"), Unavailable("late", GapReason.TIMED_OUT)


@pytest.mark.parametrize(
    ("answers", "asked", "samples", "fault"),
    [
        pytest.param([[ONE, BROKEN], [ONE]], 2, 1, None, id="one that breaks off is queried again"),
        pytest.param([[BROKEN], [ONE, BROKEN]], 2, 1, BROKEN, id="only once"),
        pytest.param([[ONE, LATE]], 1, 1, LATE, id="one that comes late is not"),
        pytest.param([[ONE, Rejected("no")]], 1, 1, "no", id="one that is refused is not"),
    ],
)
def test_an_answer_that_breaks_off(answers: list[list[Step]], asked: int, samples: int, fault: Any) -> None:
    """Series of a repeated try are there once, and count once."""
    client = Client([Answer(steps, {"warnings": [f"w{len(steps)}"], "infos": ["i"]}) for steps in answers], size_bytes=50)
    result = queries(client).new_result()
    queries(client).fill(result, "up", Grid(0, 0, 15))
    assert (len(client.asked), result.series.samples) == (asked, samples)
    assert str(result.broken or "") == str(fault or "")
    assert client.size_bytes == 150, "bytes of a try that is forgotten do not count"
    assert result.warnings == list(dict.fromkeys(f"w{len(steps)}" for steps in answers))
    assert result.infos == ["i"]
    result.close()


def test_a_fault_before_any_series_is_raised() -> None:
    """There is nothing to keep."""
    result = queries(client := Client([Answer([Rejected("no")])])).new_result()
    with pytest.raises(Rejected, match="no"):
        queries(client).fill(result, "up", LONG)
    assert len(client.asked) == 1
    result.close()


@pytest.mark.parametrize(
    ("fault", "extremes", "reason"),
    [
        (Rejected("no", GapReason.FORBIDDEN), ["max"], GapReason.FORBIDDEN),
        (OSError(28, "No space left"), [], GapReason.SAVE_FAILED),
    ],
    ids=["the server refuses", "the volume refuses"],
)
def test_extremes_that_cannot_be_had(fault: Exception, extremes: list[str], reason: GapReason) -> None:
    """The reason is kept, the samples are not touched, and nothing more is queried."""
    result = queries(client := Client([Answer([fault])])).new_result()
    queries(client).fill_extremes(result, "up", Grid(0, 15, 15), datetime.fromtimestamp(0, UTC))
    assert (len(client.asked), list(result.extremes)) == (1, extremes)
    assert isinstance(result.extremes_missing, SourceError)
    assert result.extremes_missing.reason is reason
    if reason is GapReason.SAVE_FAILED:
        assert result.extremes_missing.message == "the session volume refused the write: No space left"
    result.close()


def test_remarks_are_few_and_told_once() -> None:
    """At most twenty of each kind are kept, each once."""
    envelopes = [{"warnings": [f"w{number}" for number in range(15)]}, {"warnings": [f"w{number}" for number in range(10, 30)]}]
    client = Client([Answer([], envelope) for envelope in envelopes])
    result = queries(client).new_result()
    for _ in envelopes:
        queries(client).fill(result, "up", Grid(0, 0, 15))
    assert result.warnings == [f"w{number}" for number in range(20)]
    result.close()
