"""The values of a search for traces. Both of Jaeger's APIs take them, under different names."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from aletheia_operator.api import TracesRequest
from aletheia_operator.fetchers.base import Window
from aletheia_operator.fetchers.jaeger.durations import at_least


@dataclass(frozen=True)
class SearchValues:
    """A search for traces of one service. None: any. Durations have the form 1.5ms or 10s."""

    service: str
    window: Window
    limit: int
    operation: str | None
    tags: str | None
    """JSON object of tag names and values."""
    shortest: str | None
    longest: str | None

    @classmethod
    def of(cls, request: TracesRequest, window: Window, limit: int, least_microseconds: int | None = None) -> "SearchValues":
        """Return the values for a request in a window. `least_microseconds`: least duration of a span; None: any."""
        return cls(
            service=request.service or "",
            window=window,
            limit=limit,
            operation=request.operation or None,
            tags=orjson.dumps(request.tags).decode() if request.tags else None,
            shortest=at_least(request.min_duration, least_microseconds),
            longest=request.max_duration,
        )


def given(parameters: Mapping[str, str | None]) -> list[tuple[str, str]]:
    """Return the parameters that have a value."""
    return [(name, value) for name, value in parameters.items() if value is not None]
