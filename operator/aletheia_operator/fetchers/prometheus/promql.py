"""A parsed PromQL query: tokens and selectors. Pure. `promql_grammar` is the parser."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from aletheia_operator.text.go_strings import STRING
from aletheia_operator.text.label_matchers import Matcher

_AT = re.compile(
    rf"(?:{STRING}|#[^\r\n]*+)|@((?:[ \t\r\n]|#[^\r\n]*+[\r\n])*+)(start|end)[ \t\r\n]*+\([ \t\r\n]*+\)", re.IGNORECASE
)


Kind = Literal["vector", "scalar", "string", "matrix"]


@dataclass(frozen=True)
class Selector:
    """A vector selector: the name of a metric ('' without), and matchers."""

    name: str
    matchers: tuple[Matcher, ...]

    @property
    def metric(self) -> str | None:
        """Return the metric that it names; None if it names none, or several by a pattern."""
        names = [
            matcher.value.decode("utf-8", "replace")
            for matcher in self.matchers
            if (matcher.label, matcher.operator) == ("__name__", "=")
        ]
        return self.name or (names[0] if names else None)

    def text(self, forced: Sequence[Matcher] = ()) -> str:
        matchers = ",".join(map(str, (*self.matchers, *forced)))
        return f"{self.name}{{{matchers}}}" if matchers or not self.name else self.name


@dataclass
class Query:
    """A query: its tokens, with its selectors among them."""

    tokens: list[str | Selector] = field(default_factory=list)
    kind: Kind = "vector"

    @property
    def selectors(self) -> list[Selector]:
        return [token for token in self.tokens if isinstance(token, Selector)]

    @property
    def is_selector(self) -> bool:
        """Return whether the query is one selector and nothing else."""
        return len(self.tokens) == 1 and self.selectors != []

    def text(self, *forced: Matcher) -> str:
        """Return the query on one line, without comments, with `forced` matchers added to each selector."""
        parts: list[str] = []
        for token in self.tokens:
            text = token if isinstance(token, str) else token.text(forced)
            if parts and _is_word(text) and (_is_word(parts[-1]) or parts[-1][-1] in ")]}"):
                parts.append(" ")
            parts.append(text)
        return "".join(parts)


def pin(text: str, start: int, end: int) -> str:
    """Replace `@ start()` and `@ end()` by these moments (Unix seconds): each chunk of a range query would have its own."""
    moments = {"start": start, "end": end}
    return _AT.sub(lambda match: match[0] if match[2] is None else f"@{match[1]}{moments[match[2].lower()]}", text)


def _is_word(text: str) -> bool:
    """Return whether a token needs a blank beside another word or number."""
    return text != ":" and (text[0].isalnum() or text[0] in '_:."') and (text[-1].isalnum() or text[-1] in '_:."}')
