"""Pure decisions: the window from the spec, the phase from the evidence."""

from datetime import UTC, datetime

import pytest

from aletheia_operator.api import WindowSpec
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.times import EARLIEST
from aletheia_operator.investigate.decisions import conclude, fix_window, last_moment
from aletheia_operator.session import Artifact, Gap
from aletheia_operator.text.timestamps import NANOSECONDS, to_nanoseconds

LAST = "12:00:00.999999"
CREATED = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("spec", "start", "end", "beyond"),
    [
        pytest.param({"lookback": "1h"}, "11:00", LAST, False, id="a lookback ends at creation"),
        pytest.param({"lookback": "1d12h"}, "00:00 the day before", LAST, False, id="a lookback of several units"),
        pytest.param({"start": "2026-11-22T10:00:00Z"}, "10:00", LAST, False, id="a start alone ends at creation"),
        pytest.param(
            {"start": "2026-11-22T10:00:00Z", "end": "2026-11-22T11:00:00Z"}, "10:00", "11:00:00", False, id="both in the past"
        ),
        pytest.param(
            {"start": "2026-11-22T10:00:00Z", "end": "2026-11-22T12:00:00Z"},
            "10:00",
            "12:00:00",
            False,
            id="an end at creation",
        ),
        pytest.param(
            {"start": "2026-11-22T10:00:00Z", "end": "2026-11-22T13:00:00Z"}, "10:00", LAST, True, id="an end in the future"
        ),
        pytest.param(
            {"start": "2026-11-22T13:00:00Z", "end": "2026-11-22T14:00:00Z"}, LAST, LAST, True, id="both in the future"
        ),
        pytest.param(
            {"start": "2026-11-22T15:30:00+05:30", "end": "2026-11-22T11:00:00Z"}, "10:00", "11:00:00", False, id="zones"
        ),
    ],
)
def test_a_window_is_fixed_once_from_the_creation(spec: dict[str, str], start: str, end: str, beyond: bool) -> None:
    """It never ends after the second of the creation; what is cut there is reported."""
    window, missing = fix_window(WindowSpec.model_validate(spec), CREATED)
    day = 21 if start.endswith("the day before") else 22
    assert window.start == datetime.fromisoformat(f"2026-11-{day}T{start.split()[0]}+00:00")
    assert window.end == datetime.fromisoformat(f"2026-11-22T{end}+00:00")
    assert (missing.reason if missing else None) == (GapReason.WINDOW_IN_FUTURE if beyond else None)


def test_a_start_in_the_future_alone_is_said() -> None:
    """Nothing can be there yet: the answer is not complete."""
    window, missing = fix_window(WindowSpec.model_validate({"start": "2026-11-22T13:00:00Z"}), CREATED)
    assert missing is not None
    assert window.end == datetime.fromisoformat(f"2026-11-22T{LAST}+00:00")


@pytest.mark.parametrize("lookback", ["9999w", "9999w" * 5, "999999m" * 5])
def test_every_valid_lookback_has_a_window(lookback: str) -> None:
    """The API server takes it, so it must not break the capture."""
    window, _ = fix_window(WindowSpec(lookback=lookback), CREATED)
    assert EARLIEST <= window.start < window.end == last_moment(CREATED)


@pytest.mark.parametrize("start", ["1970-01-01T00:00:00Z", "1970-01-01T05:30:00+05:30", "2026-11-22T12:00:00Z"])
@pytest.mark.parametrize("end", [None, "2026-11-22T12:00:00.5Z", "2999-12-31T23:59:59Z", "2999-12-31T18:29:59-05:30"])
def test_every_valid_span_has_a_window_that_sources_understand(start: str, end: str | None) -> None:
    """The window is within the years that sources support, in order, and over."""
    window, _ = fix_window(WindowSpec.model_validate({"start": start, **({"end": end} if end else {})}), CREATED)
    assert EARLIEST <= window.start <= window.end <= last_moment(CREATED)
    assert len(window.as_texts()) == 2


def test_the_window_has_the_whole_second_of_the_creation() -> None:
    """A creationTimestamp has whole seconds: the resource may have been created at the second's end."""
    window, _ = fix_window(WindowSpec(lookback="1h"), CREATED)
    assert window.as_texts() == ("2026-11-22T11:00:00Z", "2026-11-22T12:00:00.999999Z")
    assert window.end_nanoseconds == to_nanoseconds(CREATED) + NANOSECONDS - 1


ARTIFACT = Artifact(
    path="a", fetcher="f", target="t", count=0, summary="", time_range=["", ""], size_bytes=0, sha256="", complete=True
)
GAP = Gap(fetcher="f", target="t", reason="NotFound", message="")
NOTE = GAP.model_copy(update={"severity": "note"})


@pytest.mark.parametrize(
    ("artifacts", "gaps", "interruption", "phase"),
    [
        ([ARTIFACT], [], None, "Completed"),
        ([], [], None, "Completed"),
        ([ARTIFACT], [GAP], None, "PartiallyCompleted"),
        ([], [GAP], None, "Failed"),
        ([ARTIFACT], [NOTE], None, "Completed"),
        ([], [NOTE], None, "Completed"),
        ([ARTIFACT], [NOTE, GAP], None, "PartiallyCompleted"),
        ([ARTIFACT], [GAP], GapReason.TIMED_OUT, "TimedOut"),
        ([], [GAP], GapReason.TIMED_OUT, "TimedOut"),
        ([ARTIFACT], [], GapReason.CANCELLED, "Cancelled"),
        ([], [GAP], GapReason.CANCELLED, "Cancelled"),
    ],
    ids=[
        "all there",
        "nothing asked",
        "some",
        "nothing",
        "a note alone",
        "a note and no evidence",
        "a note beside a gap",
        "out of time",
        "out of time with nothing",
        "cancelled",
        "cancelled early",
    ],
)
def test_the_phase_follows_from_the_evidence(
    artifacts: list[Artifact], gaps: list[Gap], interruption: GapReason | None, phase: str
) -> None:
    """An interruption decides. Otherwise gaps make it partial, or failed without any artifact."""
    assert conclude(artifacts, gaps, interruption) == phase


def test_a_window_begins_with_the_years_that_sources_count() -> None:
    """Any lookback can be requested and written."""
    window, missing = fix_window(WindowSpec.model_validate({"lookback": "9999w9999w9999w9999w9999w"}), CREATED)
    assert (window.as_texts()[0], missing) == ("1970-01-01T00:00:00Z", None)
