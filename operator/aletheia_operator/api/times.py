"""Models of a time and of an Investigation's window."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Self

from pydantic import AwareDatetime, BeforeValidator, Field, model_validator

from aletheia_operator.api.types import (
    Duration,
    Model,
    require,
    rules,
)

RFC3339 = r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)"


EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
"""Limits of a window: sources count time from 1970, and year 3000 is far enough from 9999 for any time zone."""


def _rfc3339(value: Any) -> Any:
    """Parse a date-time as the API server does. Pydantic would also accept a blank for the T, and times without seconds."""
    if isinstance(value, str):
        require(re.fullmatch(RFC3339, value) is not None, f"{value!r} is not an RFC 3339 time such as 2026-11-22T14:00:00Z")
        return datetime.fromisoformat(value.upper())
    return value


Time = Annotated[AwareDatetime, BeforeValidator(_rfc3339)]


class WindowSpec(Model):
    """The time span to capture, both ends included. Fixed at creation: a retry uses the same window."""

    ONE_OF: ClassVar[str] = "set either lookback or start (with an optional end)"
    END_NEEDS_START: ClassVar[str] = "end needs start; for a span that ends at creation use lookback"
    ORDER: ClassVar[str] = "start must lie before end"
    YEARS: ClassVar[str] = "start and end must lie between the years 1970 and 2999"
    model_config = rules(
        (
            " && ".join(
                f"(!has(self.{end}) || self.{end} >= timestamp('1970-01-01T00:00:00Z')"
                f" && self.{end} < timestamp('3000-01-01T00:00:00Z'))"
                for end in ("start", "end")
            ),
            YEARS,
        ),
        ("has(self.lookback) != has(self.start)", ONE_OF),
        ("!has(self.end) || has(self.start)", END_NEEDS_START),
        ("!has(self.start) || !has(self.end) || self.start < self.end", ORDER),
    )

    lookback: Duration | None = Field(
        None,
        description="Length of a window that ends when the resource is created, for example 15m, 2h or 1d12h.",
    )
    start: Time | None = Field(
        None, description="Start of the window, RFC 3339 with a time zone, for example 2026-11-22T14:00:00Z."
    )
    end: Time | None = Field(
        None, description="End of the window, RFC 3339 with a time zone. Unset: the resource's creation. Requires start."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(all(time is None or EARLIEST <= time < LATEST for time in (self.start, self.end)), self.YEARS)
        require(self.end is None or self.start is not None, self.END_NEEDS_START)
        require((self.lookback is None) != (self.start is None), self.ONE_OF)
        require(self.start is None or self.end is None or self.start < self.end, self.ORDER)
        return self
