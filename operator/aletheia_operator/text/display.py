"""Makes untrusted text inert for the place that shows it. Pure: all such places use this module.

    terminal  for_terminal   one line; control characters shown as escapes; `log_line` keeps the blanks of a log's line
    status    for_status     the same, at most `limit` characters; also for Kubernetes Events and messages of gaps
    HTML      for_html       characters of HTML escaped; jinja2 does not escape the result again
    Markdown  for_markdown   one line without markup, HTML, links or mentions; `code_span` and `code_block` always as code
    JSON      for_json       of the same meaning, in printable ASCII
    CSV       for_csv        one cell that no spreadsheet takes for a formula; csv.writer adds the quotes

All of them call `visible` first. It replaces characters that control a terminal, change the direction of writing or have no
width by their escapes (`\\x1b`, `\\u202e`).
"""

import html
import re
import unicodedata
from collections.abc import Iterable

_IGNORABLE = re.compile(r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""Invisible letters, marks and symbols: Unicode's Default_Ignorable_Code_Point, and the Braille blank."""
_EMOJI_STYLE = "\ufe0f"
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,40}m")
_UNPRINTABLE = re.compile(r"[^\n\x20-\x7e]")
_LINE = str.maketrans("\t\n\r", "   ")
_HARMLESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ,.:/]|(?<=\w)-(?=\w)){0,300}")
"""Text that no reader of Markdown takes for markup: names, times, sentences."""
_FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?")


class Html(str):
    """Text that is HTML already. jinja2 and markupsafe call `__html__`, and do not escape it again."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def visible(text: str, keep: str = "") -> str:
    """Return `text` with every hidden character replaced by its escape. `keep`: characters of `\\t\\n\\r` that stay."""
    if text.isprintable() and not _IGNORABLE.search(text):
        return text
    shown, before = [], ""
    for char in text:
        shown.append(char if char in keep or _is_shown(char, before) else _escape(char))
        before = char
    return "".join(shown)


def one_line(text: str, limit: int = 120) -> str:
    """Return `text` on one line of at most `limit` characters. Runs of blanks become one blank, hidden characters escapes."""
    short = " ".join(visible(text[: limit * 2].translate(_LINE)).split())
    return short if len(short) <= limit else short[: limit - 1] + "…"


def for_terminal(text: str, limit: int | None = None) -> str:
    """Return one line that a terminal only prints. `limit`: most characters; None: all of them."""
    return one_line(text, max(1, len(text) * 10) if limit is None else limit)  # the longest escape has ten characters


def log_line(text: str) -> str:
    """Return a line of a log on one line: its blanks stay, and colours that a program gave it are left out."""
    if text.isascii() and text.isprintable():
        return text
    if "\x1b[" in text:
        text = _COLOUR.sub("", text)
    return visible(text.expandtabs(8).rstrip("\r\n"))


def for_status(text: str, limit: int = 120) -> str:
    """Return one line for a status, an Event or a message, of at most `limit` characters."""
    return one_line(text, limit)


def for_html(text: str) -> Html:
    """Return HTML that shows the text, in an element or in a quoted attribute. Newlines and tabs stay."""
    return Html(html.escape(visible(text, "\n\t"), quote=True))


def for_markdown(text: str) -> str:
    """Return one line of Markdown that shows the text: as it is if it cannot be markup or a link, else as a code span."""
    return text if _HARMLESS.fullmatch(text) and "://" not in text and "www." not in text else code_span(text)


def code_span(text: str) -> str:
    """Return the text as a code span of Markdown, on one line, however many backquotes it has; `(none)` if it is blank.

    In a code span there is no markup, no HTML, no link and no mention.
    """
    line = for_terminal(text)
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    padded = f" {line} " if line.startswith("`") or line.endswith("`") else line
    return f"{fence}{padded}{fence}" if line else "(none)"


def code_block(lines: Iterable[str], indent: str) -> str:
    """Return the lines as a code block of Markdown. `indent`: before each line, for a block in a list."""
    shown = [visible(line) for line in lines]
    fence = "`" * max(3, 1 + max((len(run) for line in shown for run in re.findall("`+", line)), default=0))
    return "\n".join(indent + line for line in (fence, *shown, fence))


def for_csv(text: str) -> str:
    """Return the text of one cell. Text that a spreadsheet would calculate gets an apostrophe before it; numbers stay."""
    starts_formula = text.lstrip().startswith(_FORMULA_STARTS) or text.startswith(_FORMULA_STARTS)
    shown = visible(text)
    return f"'{shown}" if starts_formula and not _NUMBER.fullmatch(text) else shown


def for_json(text: str) -> str:
    """Return JSON with the same meaning in printable ASCII: every other character becomes its escape. Newlines stay."""
    is_plain = text.isascii() and text.replace("\n", "").isprintable()
    return text if is_plain else _UNPRINTABLE.sub(_json_escape, text)


def _json_escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _is_shown(char: str, before: str) -> bool:
    if char == _EMOJI_STYLE:
        return bool(before) and unicodedata.category(before) == "So"
    return (char.isprintable() or unicodedata.category(char) == "Zs") and not _IGNORABLE.match(char)


def _escape(char: str) -> str:
    known = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}.get(char)
    if known:
        return known
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
