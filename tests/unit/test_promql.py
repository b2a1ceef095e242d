"""PromQL confined to a namespace: every selector, nothing else, for any quoting; and in linear time."""

import random
import re
import string
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.clients.errors import Rejected
from aletheia_operator.fetchers.prometheus.promql import Selector, pin
from aletheia_operator.fetchers.prometheus.promql_grammar import parse
from aletheia_operator.fetchers.prometheus.promql_tokens import FUNCTIONS
from aletheia_operator.fetchers.prometheus.tenancy import confine
from aletheia_operator.text.go_strings import NotUnderstood, quoted, unquoted
from aletheia_operator.text.label_matchers import Matcher
from tests.support.promql import Writer

LONGEST = 16_384
FORCED = Matcher("namespace", "=", b"shop")
SHOP = 'namespace="shop"'


@pytest.mark.parametrize(
    ("query", "confined"),
    [
        ("load", f"load{{{SHOP}}}"),
        ("load{}", f"load{{{SHOP}}}"),
        ('load { namespace = "other" , }', f'load{{namespace="other",{SHOP}}}'),
        ("job:load:rate5m", f"job:load:rate5m{{{SHOP}}}"),
        ("1_000 * load", f"1_000*load{{{SHOP}}}"),
        ("load @ -1", f"load{{{SHOP}}}@-1"),
        ("load @ end() offset -5m", f"load{{{SHOP}}}@end() offset-5m"),
        ('load{job=~`\\d+"`}', f'load{{job=~"\\\\d+\\"",{SHOP}}}'),
        ("load{job='it\\'s'}", f'load{{job="it\'s",{SHOP}}}'),
        ('load{job="\\xc3\\xa9"}', f'load{{job="é",{SHOP}}}'),
        ('load{job="\\xff"}', f'load{{job="\\xff",{SHOP}}}'),
        ('{"http.requests", "k8s.pod"="a", "job"="b"}', f'{{__name__="http.requests","k8s.pod"="a",job="b",{SHOP}}}'),
        ("a * on(x) group_left(b) c", f"a{{{SHOP}}}*on(x) group_left(b) c{{{SHOP}}}"),
        ("a*ignoring(x)group_left c", f"a{{{SHOP}}}*ignoring(x) group_left c{{{SHOP}}}"),
        ("sum by(load)(up)", f"sum by(load)(up{{{SHOP}}})"),
        ("SUM(up)BY(load)", f"SUM(up{{{SHOP}}}) BY(load)"),
        ("sum + count", f"sum{{{SHOP}}}+count{{{SHOP}}}"),
        ("and and and", f"and{{{SHOP}}} and and{{{SHOP}}}"),
        ("rate(up[5m:15s])", f"rate(up{{{SHOP}}}[5m:15s])"),
        ("up[step() * 2]", f"up{{{SHOP}}}[step()*2]"),
        ("up offset (1h - 5m)", f"up{{{SHOP}}} offset(1h-5m)"),
        ("up == bool 1 # or load\n", f"up{{{SHOP}}}==bool 1"),
        ("Inf > up", f"Inf>up{{{SHOP}}}"),
        ("count_values('load', up)", f'count_values("load",up{{{SHOP}}})'),
        ("a + fill(0) b", f"a{{{SHOP}}}+fill(0) b{{{SHOP}}}"),
        ("rate(up[5m] anchored)", f"rate(up{{{SHOP}}}[5m] anchored)"),
    ],
)
def test_a_selector_gets_the_matcher_and_the_rest_stays(query: str, confined: str) -> None:
    """The result is on one line, without comments. Its strings have the form that all servers read alike."""
    assert confine(query, "namespace", "shop") == confined
    assert confine(confined, "namespace", "shop").count(SHOP) == 2 * confined.count(SHOP)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ('load{a="b" or c="d"}', "alternatives joined by `or`"),
        ("info(load)", "info() reads series that no selector names"),
        ("WITH (x = load) x", "WITH() is not a known function"),
        ("load keep_metric_names", "'keep_metric_names' at character 6 is not expected"),
        ('load{job=`a"} or load{namespace="other"} # `', "the end"),
        ("load{", "the end"),
        ("", "the end"),
        ("load)", "')' at character 5 is not expected"),
        ("load or", "the end"),
        ("(load, up)", "','"),
        ('load{job="a', "is not understood"),
        ('load{job="\\q"}', "an escape"),
        ('load{job="\\777"}', "is not a byte"),
        ('load{job="\\ud800"}', "is not a character"),
        ("load\u00a0or up", "is not understood"),
        ("load\x00", "is not understood"),
        ("lo\\ad", "is not understood"),
        ("by(load)", "by() is not a known function"),
        ("1Ki", "is not understood"),
        ('load{__name__="up"}', "two names"),
        ("load[5m", "the end"),
        ("load[up]", "'up'"),
        ("load offset up", "'up'"),
        ("load @ up", "'up'"),
        ("a * on(up{}) b", "is not expected"),
        ("sum by up", "is not expected"),
        ("group_left", "'group_left' is not expected"),
        ("(" * 101 + "a" + ")" * 101, "nested deeper"),
        ("a" * 16_385, "longer than"),
    ],
)
def test_what_is_not_understood_is_refused(query: str, words: str) -> None:
    """Languages of other servers, expressions that name series without a selector, and anything that is not PromQL."""
    with pytest.raises(Rejected, match=re.escape(words)):
        confine(query, "namespace", "shop")


@pytest.mark.parametrize("seed", range(300))
def test_a_query_of_any_form_is_confined(seed: int) -> None:
    """No valid query is refused. Each selector keeps its matchers and gets the namespace's."""
    query = Writer(seed, utf8=True).query()
    before, after = parse(query), parse(confine(query, "namespace", "shop"))
    assert before.selectors
    assert after.selectors == [Selector(selector.name, (*selector.matchers, FORCED)) for selector in before.selectors]
    assert [str(token) for token in after.tokens if isinstance(token, str)] == [
        str(token) for token in before.tokens if isinstance(token, str)
    ]


@given(st.binary(max_size=60), st.sampled_from(["namespace", "kubernetes.namespace"]))
def test_any_bytes_are_quoted(value: bytes, label: str) -> None:
    """The string literal has the quoted value, and ends where the value ends."""
    literal = quoted(value)
    assert unquoted(literal) == value
    (selector,) = parse(f"up{{{Matcher(label, '=', value)}}}").selectors
    assert selector.matchers == (Matcher(label, "=", value),)


@pytest.mark.parametrize("value", ['a"b', "a\\", "a\nb", "a`b", "}", "日本"])
def test_any_value_is_quoted(value: str) -> None:
    """The forced matcher's value is escaped. Kubernetes' names do not need it, but the function does not rely on that."""
    confined = confine('rate(load{job="x"}[5m])', "namespace", value)
    assert confined.count("{") == 1 or "}" in value
    with pytest.raises(Rejected):
        confine("load{", "namespace", value)


WORDS = """a or |a and |a atan2 |a>|a+|-|(|)|((|a{b=~"(\\\\pL{1000}){100}"}+|a{|{|[|[5m:|a[|"|'|`|\\|"\\|#|@
|@start(|a@ |offset |a offset -|1|1_|.|1h|0x|1e|,|by(|sum by(|on(a|group_left |a b=|=~|!|é| |a:|:|a|a{b='c',|abs(|topk(1,"""
PARTS = [*WORDS.split("|"), "# \n", "\n", "\r"]


def test_the_time_is_linear_in_the_length() -> None:
    """Repeats and mixes of all parts of the language, as long as a query may be, are read within a second or so.

    The limit is higher: processor time is counted, of which a busy machine needs more for the same work.
    """
    chosen = random.Random(1)
    hostile = [part * (LONGEST // len(part)) for part in PARTS]
    hostile += [part * (LONGEST // len(part) - 1) + "a" for part in PARTS]
    for _ in range(300):
        unit = "".join(chosen.choice(PARTS) for _ in range(chosen.randint(2, 4)))
        hostile.append(unit * (LONGEST // len(unit)))
    hostile += ["".join(chosen.choice(string.printable) for _ in range(LONGEST)) for _ in range(20)]
    for query in hostile:
        began = time.thread_time()
        with suppress(Rejected):
            confine(query, "namespace", "shop")
        pin(query, 1, 2)
        assert time.thread_time() - began < 4, query[:100]


@pytest.mark.parametrize(
    ("query", "pinned"),
    [
        ("a @ start() + b @end ( )", "a @ 10 + b @20"),
        ("a @ # why\n START()", "a @ # why\n 10"),
        ("a{b='@ start()'} # @ end()\n+ c", "a{b='@ start()'} # @ end()\n+ c"),
        ("start + end", "start + end"),
        ("a @ 5", "a @ 5"),
        ("a{b=\"it's\"} @ end() # it's", "a{b=\"it's\"} @ 20 # it's"),
    ],
)
def test_start_and_end_are_pinned_outside_of_strings(query: str, pinned: str) -> None:
    """They mean the window's ends, not those of a chunk."""
    assert pin(query, 10, 20) == pinned


@pytest.mark.parametrize(
    "query",
    [
        "a_ offset 5m",
        "_ offset 5m",
        "_ and _",
        "a: or :b",
        "x==bool _",
        "topk(1,x_) by(y_)",
        "on_ *on(x_) group_left(y_) z_",
        'a{b="c"} and on(x) d',
        "up[5m] offset 5m",
        "1 or 2.",
        ".5 and .5",
    ],
)
def test_words_are_kept_apart(query: str) -> None:
    """Words stay separate, also beside words that begin or end with another character. A normalised query is unchanged."""
    text = parse(query).text()
    assert text.split() == parse(text).text().split()
    assert re.findall(r'[\w:."]+', text) == re.findall(r'[\w:."]+', query)


def test_kinds_of_queries() -> None:
    """The kind decides whether extremes can be requested, and how."""
    assert parse("up").is_selector and parse('{__name__="up"}').is_selector and not parse("up offset 5m").is_selector
    kinds = {
        query: parse(query).kind for query in ("up", "1 + 2", "scalar(up)", "time() - 1", "up > 1", "'a'", "up[5m]", "sum(up)")
    }
    assert list(kinds.values()) == ["vector", "scalar", "scalar", "scalar", "vector", "string", "matrix", "vector"]
    assert "info" not in FUNCTIONS


def test_a_syntax_error_names_its_place() -> None:
    """The author of the query needs it."""
    with pytest.raises(NotUnderstood, match="'%' at character 4 is not expected"):
        parse("a+ % b")
