"""Untrusted text is inert in every place that shows it: terminal, status, HTML, Markdown, CSV."""

import csv
import html
import io
import unicodedata
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.text.display import (
    code_block,
    for_csv,
    for_html,
    for_markdown,
    for_status,
    for_terminal,
    one_line,
    visible,
)

SINKS: tuple[Callable[[str], str], ...] = (for_terminal, for_status, for_html, for_markdown, for_csv)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("plain", "plain", id="plain text stays"),
        pytest.param("a\r\n\tb", "a b", id="line ends and tabs"),
        pytest.param("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m", id="terminal escapes"),
        pytest.param("\x9b31mred", "\\x9b31mred", id="the one-character form of an escape"),
        pytest.param("abc\u202edcba", "abc\\u202edcba", id="a reversal of the writing direction"),
        pytest.param("a\u2066b\u2069", "a\\u2066b\\u2069", id="an isolated writing direction"),
        pytest.param("a\u061cb", "a\\u061cb", id="the Arabic letter mark"),
        pytest.param("a\u200bb\ufeffc", "a\\u200bb\\ufeffc", id="characters of no width"),
        pytest.param("a\u3164b\u034f", "a\\u3164b\\u034f", id="letters and marks that nobody sees"),
        pytest.param("a\U000e0041", "a\\U000e0041", id="tags"),
        pytest.param("a\ufe01b\U000e0100", "a\\ufe01b\\U000e0100", id="variation selectors, which can carry hidden bytes"),
        pytest.param("⚠\ufe0f", "⚠\ufe0f", id="an emoji's style stays"),
        pytest.param("a\ufe0f", "a\\ufe0f", id="an emoji's style behind a letter"),
        pytest.param("a\u2028b\x85c", "a\\u2028b\\x85c", id="line separators of Unicode"),
        pytest.param("a\x0b\x0c\x1cb", "a\\x0b\\x0c\\x1cb", id="separators of C0"),
        pytest.param("a\ud800b", "a\\ud800b", id="half a surrogate pair"),
        pytest.param("a\0b\x7fc", "a\\x00b\\x7fc", id="NUL and DEL"),
        pytest.param("a\u00a0\u3000b", "a b", id="blanks of other widths"),
        pytest.param("支払い 🔥", "支払い 🔥", id="other scripts stay"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_hidden_characters_are_shown_as_such(text: str, shown: str) -> None:
    """No character that a terminal or a screen interprets is left, and readers see that it was there."""
    assert one_line(text) == for_terminal(text) == for_status(text) == shown


@given(st.text(max_size=500), st.integers(1, 200))
def test_one_line_is_short_and_printable(text: str, limit: int) -> None:
    """The text is one line, within the limit, and inert; showing it again changes nothing."""
    shown = one_line(text, limit)
    assert len(shown) <= limit
    assert shown.replace("\ufe0f", "").isprintable()
    assert one_line(shown, limit) == shown


def test_a_cut_text_shows_that_it_was_cut() -> None:
    """An ellipsis replaces the rest."""
    assert one_line("a" * 200, 10) == "a" * 9 + "…"


def test_a_terminal_gets_the_whole_text() -> None:
    """Escapes make the text longer, and no part of it is lost."""
    assert for_terminal("\U000e0001" * 100 + "end").endswith("\\U000e0001end")


@given(st.text(st.one_of(st.characters(), st.sampled_from("\x1b\x9b\u202e\u200b\ufeff\ufe0f\u3164")), max_size=200))
def test_no_place_gets_a_hidden_character(text: str) -> None:
    """Each function leaves only characters that are seen, and newlines and tabs in HTML."""
    for show in SINKS:
        for before, char in zip(" " + (shown := show(text)), shown, strict=False):
            if char == "\ufe0f":
                assert unicodedata.category(before) == "So"
            else:
                assert unicodedata.category(char)[0] in "LMNPSZ" or (show is for_html and char in "\n\t"), (show, shown)


class Elements(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


MARKUP = [
    "<script>alert(1)</script>",
    "</p><img src=x onerror=alert(1)>",
    "<!--",
    "&lt;b&gt;",
    "\" onload='x",
    "<\x00b>",
    "`<b>",
]


@pytest.mark.parametrize("text", MARKUP)
def test_html_shows_the_text_and_nothing_else(text: str) -> None:
    """A parser finds no tag of the text's own, and the text as it was; quotes do not end an attribute."""
    parser = Elements()
    parser.feed(f'<p title="{for_html(text)}">{for_html(text)}</p>')
    parser.close()
    assert parser.tags == ["p"]
    assert parser.text == visible(text)


def test_html_is_not_escaped_twice() -> None:
    """jinja2 and markupsafe ask for `__html__`."""
    assert for_html("<b>").__html__() == for_html("<b>") == "&lt;b&gt;"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("payments-svc: 3 of 4 in 10.0.0.7", "payments-svc: 3 of 4 in 10.0.0.7"),
        ("# head", "`# head`"),
        ("- item", "`- item`"),
        ("a | b", "`a | b`"),
        ("*a* _b_", "`*a* _b_`"),
        ("`a` ``b``", "``` `a` ``b`` ```"),
        ("[x](javascript:alert(1))", "`[x](javascript:alert(1))`"),
        ("see https://evil", "`see https://evil`"),
        ("www.evil", "`www.evil`"),
        ("@team", "`@team`"),
        ("<script> &amp;", "`<script> &amp;`"),
        ("a\n\n# b", "`a # b`"),
        ("\x1b[31m", "`\\x1b[31m`"),
        (" \n", "(none)"),
    ],
)
def test_markdown_is_escaped(text: str, shown: str) -> None:
    """One line: no markup, HTML, link or mention; names and sentences are shown as they are."""
    assert for_markdown(text) == shown


def test_a_code_block_ends_where_it_ends() -> None:
    """No line closes its fence, or begins a line of its own."""
    assert code_block(["a", "````", "b\n# c", "\u202e"], "  ") == "  `````\n  a\n  ````\n  b\\n# c\n  \\u202e\n  `````"


@pytest.mark.parametrize("start", [*"=+-@\t\r\n＝＋－＠", " =", "\u00a0+", "\x0b=", "\u200b="])
def test_a_spreadsheet_calculates_nothing(start: str) -> None:
    """No cell starts with a formula, also behind blanks, and whatever a reader strips."""
    shown = for_csv(f"{start}cmd|'/c calc'!A0")
    assert shown[0] in "'\\"
    written = io.StringIO()
    csv.writer(written).writerow([shown, "next"])
    assert next(csv.reader(io.StringIO(written.getvalue()))) == [shown, "next"]
    assert "\n" not in shown


@pytest.mark.parametrize("number", ["-1", "+1.5", "-1e-9", "0"])
def test_numbers_in_cells_stay_numbers(number: str) -> None:
    """A column of numbers can be summed."""
    assert for_csv(number) == number
    assert for_csv(f"{number}+1").startswith("'") == (number[0] in "+-")


@given(st.text(max_size=100))
def test_html_loses_no_text(text: str) -> None:
    """The decoded text is the visible text."""
    assert html.unescape(for_html(text)) == visible(text, "\n\t")
