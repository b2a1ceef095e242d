"""What a report shows, as plain text and numbers. None of it is trusted: an attacker may have written it."""

from dataclasses import dataclass, field

from aletheia_operator.report.charts import Chart
from aletheia_operator.report.lanes import Picture
from aletheia_operator.report.quotes import Quote
from aletheia_operator.report.request import Request
from aletheia_operator.report.session import Link
from aletheia_operator.report.waterfalls import Waterfall


@dataclass(frozen=True)
class ReportLimits:
    """How many entries of each part are shown, at most."""

    findings: int = 40
    quotes: int = 3
    moments: int = 200
    highlights: int = 12
    errors: int = 20
    gaps: int = 100
    artifacts: int = 500
    changes: int = 50
    context: int = 2
    """Number of log entries to quote before and after an example of an error."""
    with_pictures: bool = True

    def halved(self) -> "ReportLimits":
        """Return half of these limits, without pictures: for a report that was too large."""
        numbers = {name: max(1, getattr(self, name) // 2) for name in ("findings", "moments", "errors", "gaps", "artifacts")}
        return ReportLimits(**numbers, quotes=1, context=1, changes=20, with_pictures=False)


@dataclass(frozen=True)
class Card:
    """One finding. `because`: the finding that explains it, '' if none does; `more`: number of entries that are not quoted."""

    number: int
    rule: str
    severity: str
    confidence: str
    subject: str
    message: str
    since: str
    because: str
    remedy: str
    quotes: list[Quote]
    links: list[Link]
    more: int


@dataclass(frozen=True)
class ReportedGap:
    """A gap or note. `meaning`: what its reason means in general."""

    target: str
    reason: str
    fetcher: str
    message: str
    meaning: str


@dataclass(frozen=True)
class Moment:
    """One entry of the timeline."""

    when: str
    kind: str
    tone: str
    subject: str
    message: str
    link: Link | None


@dataclass(frozen=True)
class TopError:
    """A group of error lines that are alike. `share`: of the largest group's count, in percent."""

    level: str
    count: int
    share: float
    example: str
    template: str
    times: str
    pods: int
    names: str
    trace_id: str
    context: list[Quote]


@dataclass(frozen=True)
class Change:
    """One change. `values`: for each known field its name, and its values before and after."""

    when: str
    subject: str
    message: str
    values: list[tuple[str, str, str]]
    link: Link | None


@dataclass(frozen=True)
class File:
    """One artifact."""

    path: str
    target: str
    summary: str
    count: int
    size: str
    sha256: str
    complete: bool


@dataclass
class Contents:
    """All that a report shows. Fields named `..._left_out` count entries that are not shown."""

    session_id: str
    namespace: str
    name: str
    phase: str
    headline: str
    looked_at: str
    is_sealed: bool
    window: tuple[str, str]
    window_words: str
    started: str
    took: str
    version: str
    size: str
    request: Request = field(default_factory=Request)
    findings: list[Card] = field(default_factory=list)
    findings_left_out: int = 0
    gaps: list[ReportedGap] = field(default_factory=list)
    gap_count: int = 0
    notes: list[ReportedGap] = field(default_factory=list)
    note_count: int = 0
    picture: Picture | None = None
    moments: list[Moment] = field(default_factory=list)
    highlights: list[Moment] = field(default_factory=list)
    """The most important moments, in order of time; [] if there are few moments altogether."""
    moment_count: int = 0
    errors: list[TopError] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    without_chart: list[str] = field(default_factory=list)
    waterfalls: list[Waterfall] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    files_left_out: int = 0
    left_out: list[str] = field(default_factory=list)
    """Names of parts that could not be derived, and paths of artifacts that were not read to the end."""

    @property
    def serious(self) -> list[Card]:
        """Findings of a severity above `info`."""
        return [finding for finding in self.findings if finding.severity != "info"]

    @property
    def minor(self) -> list[Card]:
        """Findings of severity `info`."""
        return [finding for finding in self.findings if finding.severity == "info"]
