"""Confines a LogQL query for log lines to one value of one label. Pure, and linear in the query's length.

Such a query is one stream selector with a pipeline behind it, which only narrows and changes the lines of that selector
(https://grafana.com/docs/loki/latest/query/log_queries/; the lexer is pkg/logql/syntax/lex.go). So the selector is read
strictly and gets one more matcher. The pipeline is read as tokens: nothing that could begin another selector is among them, and
strings are written again, so Loki sees the same tokens. Anything else is refused.
"""

import re
from dataclasses import dataclass

from aletheia_operator.clients.errors import Rejected
from aletheia_operator.text.go_strings import NotUnderstood, quoted, unquoted
from aletheia_operator.text.label_matchers import Matcher

_GO_STRING = r"\"(?:[^\"\\\n]|\\[^\n])*+\"|`[^`]*+`"
_SPACE = r"(?:[ \t\r\n]|#[^\n]*+)++"
_SELECTOR = re.compile(
    rf"(?P<space>{_SPACE})|(?P<string>{_GO_STRING})|(?P<name>[A-Za-z_][A-Za-z0-9_]*+)|(?P<operator>=~|!~|!=|=)|(?P<mark>[{{,}}])"
)
_PIPELINE = re.compile(
    rf"(?P<space>{_SPACE})|(?P<string>{_GO_STRING})|(?P<word>[A-Za-z_][A-Za-z0-9_]*+|--[a-z][a-z-]*+)"
    r"|(?P<number>-?[0-9][0-9A-Za-z_.\u00b5\u03bc]*+)|(?P<mark>\|[=~>]?|![=~>]|==|=~|=|[<>]=?|[(),])"
)


@dataclass(frozen=True)
class LogQuery:
    """A stream selector, and its pipeline with strings in double quotes and without comments."""

    matchers: tuple[Matcher, ...]
    pipeline: str

    def __str__(self) -> str:
        return f"{{{','.join(map(str, self.matchers))}}}{self.pipeline}"


def confine(query: str, label: str, value: str) -> str:
    """Return the query with `label="value"` in its selector.

    The result is read again and compared with what was meant. Raises Rejected if a part of the query is not understood.
    """
    try:
        parsed = parse(query)
        meant = LogQuery((*parsed.matchers, Matcher(label, "=", value.encode())), parsed.pipeline)
        if parse(str(meant)) != meant:
            raise NotUnderstood("it cannot be rewritten")
    except NotUnderstood as e:
        message = f"query: this DataSource is confined by the label {label}, and the query cannot be confined safely: {e}"
        raise Rejected(message) from e
    return str(meant)


def parse(query: str) -> LogQuery:
    """Parse a query for log lines. Raises NotUnderstood."""
    tokens = _Tokens(query)
    tokens.skip_space()
    tokens.take("mark", "{")
    matchers: list[Matcher] = []
    while not matchers or tokens.follows(","):
        label = tokens.take("name")
        operator = tokens.take("operator")
        matchers.append(Matcher(label, operator, unquoted(tokens.take("string"))))
    tokens.take("mark", "}")
    return LogQuery(tuple(matchers), _pipeline(query, tokens.behind))


def _pipeline(query: str, at: int) -> str:
    parts: list[str] = []
    while at < len(query):
        match = _PIPELINE.match(query, at)
        if match is None:
            raise _not_understood(query, at)
        at = match.end()
        if match["string"] is not None:
            parts.append(quoted(unquoted(match[0])))
        else:
            parts.append(" " if match["space"] is not None else match[0])
    return "".join(parts).rstrip(" ")


class _Tokens:
    """A cursor in the selector, which skips the space behind each token."""

    def __init__(self, query: str) -> None:
        self._query = query
        self._at = 0
        self.behind = 0
        """End of the last token, before the space after it."""

    def skip_space(self) -> None:
        match = _SELECTOR.match(self._query, self._at)
        if match is not None and match.lastgroup == "space":
            self._at = match.end()

    def take(self, group: str, text: str | None = None) -> str:
        match = _SELECTOR.match(self._query, self._at)
        if match is None or match.lastgroup != group or (text is not None and match[0] != text):
            raise _not_understood(self._query, self._at)
        self._at = self.behind = match.end()
        self.skip_space()
        return match[0]

    def follows(self, mark: str) -> bool:
        """Take the mark if it is next, and return whether it was."""
        if not self._query.startswith(mark, self._at):
            return False
        self.take("mark", mark)
        return True


def _not_understood(query: str, at: int) -> NotUnderstood:
    what = repr(query[at : at + 20]) if at < len(query) else "the end"
    return NotUnderstood(f"{what} at character {at + 1} is not expected in a query for log lines, {{selector}} and a pipeline")
