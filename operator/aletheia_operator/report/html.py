"""Renders a report as one HTML file: without scripts, without external resources, every text escaped.

A Content-Security-Policy forbids scripts and external resources.
"""

import base64
import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from aletheia_operator.report.contents import contents
from aletheia_operator.report.model import Contents, ReportLimits
from aletheia_operator.report.session import Source
from aletheia_operator.text.display import Html, for_html

if TYPE_CHECKING:
    from jinja2 import Environment

MAX_BYTES = 2 * 1024 * 1024
TONES = {"critical": "bad", "error": "error", "warning": "warn", "info": "quiet"}


def html_report(source: Source) -> bytes:
    """Return the report of a session. If it would exceed MAX_BYTES, fewer entries are shown. Blocks."""
    limits = ReportLimits()
    while True:
        page = render(contents(source, limits)).encode("utf-8", "replace")
        if len(page) < MAX_BYTES or limits == limits.halved():
            return page
        limits = limits.halved()


def render(it: Contents) -> str:
    """Return the page."""
    environment, css = _environment()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    headline_style, words = _headline_style(it)
    return environment.get_template("report.html.j2").render(
        it=it,
        css=Html(css),
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        href=_links_to(it),
        tones=TONES,
        headline_style=headline_style,
        headline_title=words,
        sections=_sections(it),
    )


def _headline_style(it: Contents) -> tuple[str, str]:
    """Return the colour class of the headline, and the title above it."""
    if it.serious:
        return TONES[it.serious[0].severity], "What broke"
    if not it.looked_at:
        return "quiet", "Verdict"
    return "fine" if it.headline.startswith("no trouble") and not it.gaps else "warn", "Verdict"


def _sections(it: Contents) -> list[tuple[str, str, int | None]]:
    """Return the sections that are not empty: id, title, number of entries (None: not shown)."""
    every: list[tuple[str, str, int | None, bool]] = [
        ("gaps", "Missing" if it.gaps else "Notes", it.gap_count or it.note_count, bool(it.gaps or it.notes)),
        ("findings", "Findings", len(it.serious) + it.findings_left_out, True),
        ("timeline", "Timeline", it.moment_count, it.picture is not None),
        ("errors", "Top errors", len(it.errors), bool(it.errors)),
        ("metrics", "Metrics", len(it.charts), bool(it.charts or it.without_chart)),
        ("traces", "Traces", len(it.waterfalls), bool(it.waterfalls)),
        ("changes", "Changes", len(it.changes), bool(it.changes)),
        ("request", "Request", None, True),
        ("artifacts", "Artifacts", len(it.files) + it.files_left_out, True),
    ]
    return [(id, title, count) for id, title, count, is_shown in every if is_shown]


def _links_to(it: Contents) -> Callable[[str], str]:
    """Return a function from a path to a relative URL; '' if it is no artifact, or the session is sealed."""
    known = set() if it.is_sealed else {file.path for file in it.files}
    return lambda path: quote(path, safe="/") if path in known else ""


@lru_cache(maxsize=1)
def _environment() -> "tuple[Environment, str]":
    """Return the templates and the style sheet. jinja2 is imported late: most processes make no report."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("aletheia_operator.report"),
        autoescape=True,
        finalize=_inert,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    loader = environment.loader
    assert loader is not None
    return environment, loader.get_source(environment, "report.css")[0]


def _inert(value: object) -> object:
    """Return what a template shows for `value`: text becomes HTML that shows hidden characters as such."""
    return for_html(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
