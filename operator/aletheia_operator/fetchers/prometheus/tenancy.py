"""Confines PromQL to one value of one label, by a matcher in every selector. Pure, and linear in the query's length."""

from aletheia_operator.clients.errors import Rejected
from aletheia_operator.fetchers.prometheus.promql import Selector
from aletheia_operator.fetchers.prometheus.promql_grammar import parse
from aletheia_operator.text.go_strings import NotUnderstood
from aletheia_operator.text.label_matchers import Matcher


def confine(query: str, label: str, value: str) -> str:
    """Return the query on one line with `label="value"` in each selector.

    The result is parsed again and compared with the original. Raises Rejected if a part of the query is not understood.
    """
    forced = Matcher(label, "=", value.encode())
    try:
        before = parse(query)
        confined = before.text(forced)
        after = parse(confined, max_characters=len(confined))
    except NotUnderstood as e:
        raise _refused(label, str(e)) from e
    if after.selectors != [Selector(selector.name, (*selector.matchers, forced)) for selector in before.selectors]:
        raise _refused(label, "its selectors cannot be rewritten")
    return confined


def _refused(label: str, why: str) -> Rejected:
    message = f"query: this DataSource is confined by the label {label}, and the query cannot be confined safely: {why}"
    return Rejected(message)
