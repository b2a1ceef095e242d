"""A first look at the evidence, as lines of text: pure functions of the output of peek.py."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

COLUMNS = 7
LABEL_WIDTH = 34


def lines(looks: Iterable[Mapping[str, Any]], width: int) -> list[str]:
    """Yield what the artifacts show, in lines of at most `width` characters."""
    renderers = {"findings.json": _findings, "timeline.json": _timeline}
    renderers |= {"logs": _logs, "metrics": _metrics, "traces": _traces}
    shown = [look for look in looks if look["kind"] in renderers]  # the timeline has what events and objects show
    return [cut(line, width) for look in shown for line in renderers[look["kind"]](look)]


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _findings(look: Mapping[str, Any]) -> list[str]:
    rows = [
        f"{moment['severity']:9} {moment['object']['kind'].lower()}/{moment['object']['name']}: {moment['message']}"
        for moment in look["shown"]
    ]
    return ["", f"  what it means: {_count(look['findings'])}, the most important first", *(f"    {row}" for row in rows)]


def _count(findings: int) -> str:
    return f"{findings} finding" if findings == 1 else f"{findings} findings"


def _timeline(look: Mapping[str, Any]) -> list[str]:
    rows = [
        f"{span['timestamp'][11:19]}  {span['kind']:13} {_where(span)}: {span['message']}"
        + (f" ({span['count']}x)" if "count" in span else "")
        for span in look["shown"]
    ]
    return ["", f"  what happened: the most relevant of {look['moments']} moments (UTC)", *(f"    {row}" for row in rows)]


def _where(moment: Mapping[str, Any]) -> str:
    return f"{moment['object']}" + (f" {moment['container']}" if "container" in moment else "")


def _logs(look: Mapping[str, Any]) -> list[str]:
    rows = [f"{entry['timestamp'][11:23]}  {_run(entry)}{entry['line']}" for entry in look["shown"]]
    return ["", f"  {look['target']}: {look['lines']} lines, around the first error", *(f"    {row}" for row in rows)]


def _run(entry: Mapping[str, Any]) -> str:
    return "previous run: " if entry.get("previous") else ""


def _metrics(look: Mapping[str, Any]) -> list[str]:
    shown = look["shown"]
    moments = sorted({moment for item in shown for moment, _ in item["samples"]})
    if len(moments) > COLUMNS:
        moments = moments[::-2][:COLUMNS][::-1]
    title = f"  {look['target']}: {look['samples']} samples of {look['series']} series, the latest (UTC)"
    if not moments:
        return ["", title]
    head = " " * LABEL_WIDTH + "".join(f"{_clock(moment):>10}" for moment in moments)
    rows = []
    for label, item in zip(labels([item["labels"] for item in shown]), shown, strict=True):
        values = dict(item["samples"])
        cells = [f"{float(values[moment]):.3g}" if moment in values else "-" for moment in moments]
        rows.append(f"{cut(label, LABEL_WIDTH):{LABEL_WIDTH}}" + "".join(f"{cell:>10}" for cell in cells))
    return ["", title, f"    {head}", *(f"    {row}" for row in rows)]


def labels(series: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the labels that distinguish the series; for a single series all its labels."""
    names = sorted({name for labels_of in series for name in labels_of} - {"__name__"})
    differing = [name for name in names if len({labels_of.get(name) for labels_of in series}) > 1]
    # one label with a different value in each series is enough
    unique = [name for name in differing if len({labels_of.get(name) for labels_of in series}) == len(series)]
    chosen = sorted(unique, key=len)[:1] or differing or names
    return [", ".join(f"{name}={labels_of[name]}" for name in chosen if name in labels_of) for labels_of in series]


def _clock(unix_seconds: float) -> str:
    return f"{datetime.fromtimestamp(unix_seconds, UTC):%H:%M:%S}"


def _traces(look: Mapping[str, Any]) -> list[str]:
    title = f"  {look['target']}: {look['spans']} spans in {look['traces']} traces, {look['failed']} of them failing"
    if not look["shown"]:
        return ["", title]
    rows = []
    for span in look["shown"]:
        name = f"{'  ' * span['depth']}{span['service']}  {span['operation']}"
        error = f"  failed: {span['error']}" if span["error"] else ""
        rows.append(f"{name:40}{span['microseconds'] / 1000:8.1f} ms{error}")
    return ["", f"{title}; the slowest, {look['trace_id']}", *(f"    {row}" for row in rows)]
