"""Parses PromQL as far as its selectors: which tokens of a query read series. Pure, and linear in the query's length.

Follows Prometheus' lexer and grammar (https://github.com/prometheus/prometheus/blob/main/promql/parser: lex.go,
generated_parser.y), up to version 3.9 with its experimental parts. It is strict: unknown syntax is refused. It finds the
selectors, and leaves the check of types, precedence and numbers of arguments to the server.

promql-parser, a library, was used before. It refuses or changes valid queries (`1_000`, `@ -1`, back quotes), prints strings
without escapes, and its walk takes cubic time.
"""

import re

from aletheia_operator.fetchers.prometheus.promql import Kind, Query, Selector
from aletheia_operator.fetchers.prometheus.promql_tokens import (
    AGGREGATORS,
    FUNCTIONS,
    IN_BRACES,
    IN_BRACKETS,
    MATCH_OPERATORS,
    NO_METRICS,
    OPERATORS,
    PLAIN,
    SCALAR_FUNCTIONS,
    Tokens,
)
from aletheia_operator.text.go_strings import NotUnderstood, unquoted
from aletheia_operator.text.label_matchers import Matcher

MAX_QUERY_CHARACTERS = 16_384
MAX_NESTING = 100


def parse(text: str, max_characters: int = MAX_QUERY_CHARACTERS) -> Query:
    """Parse a query. Raises NotUnderstood."""
    if len(text) > max_characters:
        raise NotUnderstood(f"it is longer than {max_characters} characters")
    return _Parser(text).parse()


class _Selectors(Tokens):
    """Selectors and their matchers."""

    def selector(self, name: str) -> None:
        matchers: list[Matcher] = []
        if self.is_symbol("{"):
            self.advance(IN_BRACES)
            while not self.is_symbol("}"):
                matchers.append(self.matcher())
                if self.is_keyword("or"):
                    raise NotUnderstood("a selector has alternatives joined by `or`")
                if not self.is_symbol("}"):
                    if not self.is_symbol(","):
                        raise self.unexpected()
                    self.advance(IN_BRACES)
            self.advance()
        if name and any(matcher.label == "__name__" and matcher.operator == "=" for matcher in matchers):
            raise NotUnderstood("a selector has two names of a metric")
        self.query.tokens.append(Selector(name, tuple(matchers)))

    def matcher(self) -> Matcher:
        if self.group not in ("word", "string"):
            raise self.unexpected()
        is_string = self.group == "string"
        try:
            label = unquoted(self.token).decode() if is_string else self.token
        except UnicodeDecodeError as e:
            raise NotUnderstood("the name of a label is not UTF-8") from e
        self.advance(IN_BRACES)
        if is_string and (self.is_symbol(",") or self.is_symbol("}")):
            return Matcher("__name__", "=", label.encode())
        operator = self.token
        if operator not in MATCH_OPERATORS or self.group != "symbol":
            raise self.unexpected()
        self.advance(IN_BRACES)
        if self.group != "string":
            raise self.unexpected()
        value = unquoted(self.token)
        self.advance(IN_BRACES)
        return Matcher(label, operator, value)


class _Parser(_Selectors):
    """The grammar of expressions. Each method takes the tokens of the construct that it is named after."""

    def parse(self) -> Query:
        self.advance()
        self.query.kind = self.expression()
        if self.group:
            raise self.unexpected()
        return self.query

    def expression(self) -> Kind:
        """Take operands with operators between. Returns scalar if all operands are."""
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise NotUnderstood(f"it is nested deeper than {MAX_NESTING} brackets")
        kinds: list[Kind] = []
        while True:
            while self.is_symbol("+") or self.is_symbol("-"):
                self.keep()
            kinds.append(self.modified(self.operand()))
            if self.token.lower() not in OPERATORS or self.group not in ("symbol", "word"):
                break
            self.keep()
            self.operator_modifiers()
        self.depth -= 1
        return kinds[0] if len(kinds) == 1 else "scalar" if set(kinds) == {"scalar"} else "vector"

    def operand(self) -> Kind:
        if self.group == "number":
            self.keep()
            return "scalar"
        if self.group == "string":
            self.keep()
            return "string"
        if self.is_symbol("("):
            self.keep()
            kind = self.expression()
            self.expect(")")
            return kind
        if self.is_symbol("{"):
            self.selector("")
            return "vector"
        if self.group != "word":
            raise self.unexpected()
        return self.named()

    def named(self) -> Kind:
        """Take what begins with a word: an aggregation, a call, a number or a metric."""
        word = self.token
        lower = word.lower()
        self.advance()
        if lower in AGGREGATORS and (self.is_symbol("(") or self.is_keyword("by", "without")):
            self.query.tokens.append(word)
            self.grouping()
            self.arguments()
            self.grouping()
            return "vector"
        if self.is_symbol("("):
            if word not in FUNCTIONS:
                why = "reads series that no selector names" if word == "info" else "is not a known function"
                raise NotUnderstood(f"{word[:40]}() {why}")
            self.query.tokens.append(word)
            self.arguments()
            return "scalar" if word in SCALAR_FUNCTIONS else "vector"
        if lower in ("inf", "nan"):
            self.query.tokens.append(word)
            return "scalar"
        if lower in NO_METRICS:
            raise NotUnderstood(f"{word!r} is not expected")
        self.selector(word)
        return "vector"

    def grouping(self) -> None:
        if self.is_keyword("by", "without"):
            self.keep()
            self.labels()

    def labels(self) -> None:
        self.expect("(")
        while not self.is_symbol(")"):
            if self.group not in ("word", "string"):
                raise self.unexpected()
            self.keep()
            if not self.is_symbol(")"):
                self.expect(",")
        self.keep()

    def arguments(self) -> None:
        self.expect("(")
        while not self.is_symbol(")"):
            self.expression()
            if self.is_symbol(")"):
                break
            self.expect(",")
            if self.is_symbol(")"):
                raise self.unexpected()
        self.keep()

    def operator_modifiers(self) -> None:
        if self.is_keyword("bool"):
            self.keep()
        if self.is_keyword("on", "ignoring"):
            self.keep()
            self.labels()
            if self.is_keyword("group_left", "group_right"):
                self.keep()
                if self.is_symbol("("):
                    self.labels()
        while self.is_keyword("fill", "fill_left", "fill_right") and self.text[self.at :].lstrip(" \t\r\n").startswith("("):
            self.keep()
            self.expect("(")
            while self.is_symbol("+") or self.is_symbol("-"):
                self.keep()
            if self.group != "number" and not self.is_keyword("inf", "nan"):
                raise self.unexpected()
            self.keep()
            self.expect(")")

    def modified(self, kind: Kind) -> Kind:
        """Take the modifiers behind an operand. `kind`: of the operand. Returns the kind of the whole."""
        while True:
            if self.is_symbol("["):
                kind = self.brackets()
            elif self.is_keyword("offset"):
                self.keep()
                self.offset()
            elif self.is_symbol("@"):
                self.keep()
                self.at_modifier()
            elif self.is_keyword("anchored", "smoothed"):
                self.keep()
            else:
                return kind

    def brackets(self) -> Kind:
        """Take `[5m]`, or `[1h:15s]` of a subquery."""
        self.keep(IN_BRACKETS)
        colons = 0
        while not self.is_symbol("]"):
            colons += self.is_symbol(":")
            if self.group == "word":
                self.duration_word(IN_BRACKETS)
            elif self.group in ("number", "symbol") and colons < 2:
                self.keep(IN_BRACKETS)
            else:
                raise self.unexpected()
        self.keep()
        return "vector" if colons else "matrix"

    def duration_word(self, pattern: re.Pattern[str] = PLAIN) -> None:
        """Take a word in a duration expression: step(), range(), min(...), max(...)."""
        if self.token.lower() not in ("step", "range", "min", "max"):
            raise self.unexpected()
        self.keep(pattern)
        if not self.is_symbol("("):
            raise self.unexpected()

    def offset(self) -> None:
        while self.is_symbol("+") or self.is_symbol("-"):
            self.keep()
        if self.group == "number":
            self.keep()
            return
        if self.group == "word":
            self.duration_word()
        if not self.is_symbol("("):
            raise self.unexpected()
        open_brackets = 0
        while True:
            if self.group == "word":
                self.duration_word()
                continue
            if self.group != "number" and self.token not in ("(", ")", ",", "+", "-", "*", "/", "%", "^"):
                raise self.unexpected()
            open_brackets += self.is_symbol("(") - self.is_symbol(")")
            self.keep()
            if not open_brackets:
                return

    def at_modifier(self) -> None:
        while self.is_symbol("+") or self.is_symbol("-"):
            self.keep()
        if self.group == "number" or self.is_keyword("inf", "nan"):
            self.keep()
        elif self.is_keyword("start", "end"):
            self.keep()
            self.expect("(")
            self.expect(")")
        else:
            raise self.unexpected()
