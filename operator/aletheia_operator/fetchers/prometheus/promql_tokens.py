"""The tokens of PromQL: names of functions and aggregations, operators, and a cursor over a query's tokens. Pure.

A token is found in time linear in its length.
"""

import re

from aletheia_operator.fetchers.prometheus.promql import Query
from aletheia_operator.text.go_strings import STRING, NotUnderstood, quoted, unquoted

_AGGREGATOR_NAMES = """
    avg bottomk count count_values group limit_ratio limitk max min quantile stddev stdvar sum topk
"""
AGGREGATORS = frozenset(_AGGREGATOR_NAMES.split())
_FUNCTION_NAMES = """
    abs absent absent_over_time acos acosh asin asinh atan atanh avg_over_time ceil changes clamp clamp_max clamp_min
    cos cosh count_over_time day_of_month day_of_week day_of_year days_in_month deg delta deriv
    double_exponential_smoothing exp first_over_time floor histogram_avg histogram_count histogram_fraction
    histogram_quantile histogram_quantiles histogram_stddev histogram_stdvar histogram_sum holt_winters hour idelta
    increase irate label_join label_replace last_over_time ln log10 log2 mad_over_time max_over_time min_over_time
    minute month pi predict_linear present_over_time quantile_over_time rad rate resets round scalar sgn sin sinh sort
    sort_by_label sort_by_label_desc sort_desc sqrt stddev_over_time stdvar_over_time sum_over_time tan tanh time
    timestamp ts_of_first_over_time ts_of_last_over_time ts_of_max_over_time ts_of_min_over_time vector year
"""
FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
"""All functions except `info`, which reads series that no selector names."""
SCALAR_FUNCTIONS = frozenset({"scalar", "time", "pi"})
NO_METRICS = frozenset({"bool", "on", "ignoring", "group_left", "group_right", "atan2"})
_WORD_OPERATORS = frozenset({"and", "or", "unless", "atan2"})
OPERATORS = frozenset({"+", "-", "*", "/", "%", "^", "==", "!=", "<", "<=", ">", ">="}) | _WORD_OPERATORS
MATCH_OPERATORS = frozenset({"=", "!=", "=~", "!~"})

_SKIP = r"(?:[ \t\r\n]+|#[^\r\n]*)+"
_NUMBER = (
    r"(?:0[xX][0-9a-fA-F_]++|(?:[0-9][0-9_]*+(?:\.[0-9_]*+)?|\.[0-9][0-9_]*+)(?:[eE][+-]?[0-9][0-9_]*+)?)(?![A-Za-z0-9_.])"
)
_DURATION = r"(?:[0-9]++(?:ms|[smhdwy]))++(?![A-Za-z0-9_.])"
PLAIN = re.compile(
    rf"(?P<skip>{_SKIP})|(?P<string>{STRING})|(?P<number>{_DURATION}|{_NUMBER})|(?P<word>[A-Za-z_:][A-Za-z0-9_:]*+)"
    r"|(?P<symbol>==|!=|<=|>=|[-+*/%^<>@(),{}\[\]])"
)
IN_BRACES = re.compile(
    rf"(?P<skip>{_SKIP})|(?P<string>{STRING})|(?P<word>[A-Za-z_][A-Za-z0-9_]*+)|(?P<symbol>=~|!~|!=|=|[,{{}}])"
)
IN_BRACKETS = re.compile(
    rf"(?P<skip>{_SKIP})|(?P<number>{_DURATION}|{_NUMBER})|(?P<word>[A-Za-z_][A-Za-z0-9_]*+)|(?P<symbol>[-+*/%^(),:\]])"
)


class Tokens:
    """A cursor in the query, which collects the tokens that were taken."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.group = ""
        self.token = ""
        """Text of the next token; '' at the end."""
        self.depth = 0
        self.query = Query()

    def advance(self, pattern: re.Pattern[str] = PLAIN) -> None:
        """Read the next token. `pattern`: the tokens that are possible there."""
        while True:
            match = pattern.match(self.text, self.at)
            if match is None:
                self.group, self.token = "", ""
                if self.at < len(self.text):
                    raise NotUnderstood(f"{self.text[self.at :][:20]!r} at character {self.at + 1} is not understood")
                return
            self.at = match.end()
            if match.lastgroup != "skip":
                self.group, self.token = str(match.lastgroup), match[0]
                return

    def keep(self, pattern: re.Pattern[str] = PLAIN) -> str:
        """Take the next token unchanged, and return it. `pattern`: the tokens that are possible behind it."""
        token = self.token
        self.query.tokens.append(quoted(unquoted(token)) if self.group == "string" else token)
        self.advance(pattern)
        return token

    def expect(self, symbol: str, pattern: re.Pattern[str] = PLAIN) -> None:
        if not self.is_symbol(symbol):
            raise self.unexpected()
        self.keep(pattern)

    def is_symbol(self, symbol: str) -> bool:
        return self.group == "symbol" and self.token == symbol

    def is_keyword(self, *keywords: str) -> bool:
        return self.group == "word" and self.token.lower() in keywords

    def unexpected(self) -> NotUnderstood:
        what = repr(self.token[:20]) if self.group else "the end"
        return NotUnderstood(f"{what} at character {self.at - len(self.token) + 1} is not expected")
