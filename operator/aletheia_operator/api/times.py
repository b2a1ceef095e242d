"""Times and the window of an Investigation."""

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
"""Between these a window may lie: sources count from 1970, and a zone moves no time beyond the calendar."""


def _rfc3339(value: Any) -> Any:
    """The API server's date-time: pydantic alone would take a blank for the T, and times without seconds."""
    if isinstance(value, str):
        require(re.fullmatch(RFC3339, value) is not None, f"{value!r} is not an RFC 3339 time such as 2026-11-22T14:00:00Z")
        return datetime.fromisoformat(value.upper())
    return value


Time = Annotated[AwareDatetime, BeforeValidator(_rfc3339)]


class WindowSpec(Model):
    """The closed span of time that is looked at, fixed once: a retry asks the same question."""

    ONE_OF: ClassVar[str] = "name either lookback or start (with an optional end)"
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
        description="How far back from the resource's creation, such as 15m, 2h or 1d12h. The window ends with"
        " the second of the creation.",
    )
    start: Time | None = Field(None, description="First moment of the window, RFC 3339 with a zone.")
    end: Time | None = Field(
        None, description="Last moment of the window, RFC 3339 with a zone. Default: the resource's creation."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require(all(one is None or EARLIEST <= one < LATEST for one in (self.start, self.end)), self.YEARS)
        require(self.end is None or self.start is not None, self.END_NEEDS_START)
        require((self.lookback is None) != (self.start is None), self.ONE_OF)
        require(self.start is None or self.end is None or self.start < self.end, self.ORDER)
        return self
