"""Settings of the parser of one run. A separate module: the operator makes them, and need not load the parser."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aletheia_operator.logs.framing import Form
from aletheia_operator.redact import Level, Redactor


@dataclass(frozen=True)
class RunSettings:
    """Settings of a run's parser. Times: RFC 3339 UTC with nine digits. Lines outside of `start` and `end` are left out."""

    container: str
    run: int | None
    previous: bool
    start: str
    end: str
    max_line_bytes: int
    form: Form = "api"
    plain: bool = False
    """Do not recognise levels, messages and fields."""
    redactor: Redactor = field(default_factory=partial(Redactor, level=Level.OFF))
    """Removes secrets from the lines. A copy in a worker process counts them from zero."""

    @property
    def head(self) -> dict[str, Any]:
        """Return the members that every entry begins with, after its time."""
        head: dict[str, Any] = {"container": self.container}
        if self.run is not None:
            head["run"] = self.run
        return head | ({"previous": True} if self.previous else {})
