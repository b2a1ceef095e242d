"""PromQL confined to one value of one label: a matcher in every selector. Pure.

promql-parser finds and prints the selectors. What comes out is parsed again and held against what went in, so that nothing
that the parser, its printer or an attacker's quoting got wrong is ever asked: it is refused.
"""

import json

from aletheia_operator.clients.errors import Rejected

MAX_QUERY_LENGTH = 4_096
MAX_NESTING = 40  # the parser's time doubles with nested brackets
MAX_OPERATORS = 200
REFUSED_FUNCTIONS = frozenset({"info"})  # it reads series that no selector names

Selector = tuple[str | None, tuple[tuple[str, str, str], ...], str]


def confine(query: str, label: str, value: str) -> str:
    """The query with `label="value"` in each of its selectors. Raises Rejected where that cannot be done safely."""
    _check_size(query)
    import promql_parser as promql  # a compiled module that idle operators need not hold

    class _Unsafe(Exception):
        pass

    def enforce(node: promql.Expr) -> promql.Expr | None:
        if not isinstance(node, promql.VectorSelector):
            return None
        matchers = [*node.matchers.matchers, promql.Matcher(promql.MatchOp.Equal, label, value)]
        # the printer does not escape
        node.matchers = promql.Matchers([promql.Matcher(one.op, one.name, _escape(one.value)) for one in matchers])
        printed: promql.Expr = promql.parse(str(node))
        return printed

    def selectors(tree: promql.Expr) -> list[Selector]:
        found: list[Selector] = []

        def visit(node: promql.Expr) -> None:
            if isinstance(node, promql.Call) and node.func.name in REFUSED_FUNCTIONS:
                raise _Unsafe(f"{node.func.name}() reads series that no selector names")
            if isinstance(node, promql.VectorSelector):
                if node.matchers.or_matchers:
                    raise _Unsafe("a selector has alternatives joined by `or`")
                matchers = tuple(sorted((str(one.op), one.name, one.value) for one in node.matchers.matchers))
                found.append((node.name, matchers, str(node.offset)))

        promql.walk(tree, pre_visit=visit)
        return found

    try:
        before = selectors(promql.parse(query))
        confined = promql.transform(promql.parse(query), post_visit=enforce).prettify()
        after = selectors(promql.parse(confined))
    except _Unsafe as e:
        raise _refused(label, str(e)) from e
    except ValueError as e:
        raise _refused(label, f"it cannot be parsed: {e}") from e
    except BaseException as e:
        if type(e).__name__ != "PanicException":  # of the parser: no Exception, and its class cannot be imported
            raise
        raise _refused(label, "it cannot be parsed") from None
    forced = (str(promql.MatchOp.Equal), label, value)
    if after != [(name, tuple(sorted((*matchers, forced))), offset) for name, matchers, offset in before]:
        raise _refused(label, "its selectors cannot be rewritten")
    return confined


def _check_size(query: str) -> None:
    if len(query) > MAX_QUERY_LENGTH:
        raise Rejected(f"query: it is longer than {MAX_QUERY_LENGTH} characters, too long to be confined to the namespace")
    depth = deepest = 0
    for character in query:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    if deepest > MAX_NESTING or sum(map(query.count, "+-*/%^")) > MAX_OPERATORS:
        raise Rejected("query: it has too many operators or brackets to be confined to the namespace")


def _escape(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _refused(label: str, why: str) -> Rejected:
    message = f"query: this DataSource is confined by the label {label}, and the query cannot be confined safely: {why}"
    return Rejected(message)
