"""The first look at the evidence, as lines of text. Pure: from what peek.py found to what a person reads."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

COLUMNS = 7
LABEL_WIDTH = 34


def lines(looks: Iterable[Mapping[str, Any]], width: int) -> list[str]:
    """What the artifacts show, each line at most `width` long."""
    renderers = {"findings.json": _findings, "timeline.json": _timeline}
    renderers |= {"logs": _logs, "metrics": _metrics, "traces": _traces}
    shown = [look for look in looks if look["kind"] in renderers]  # the timeline tells what events and objects say
    return [cut(line, width) for look in shown for line in renderers[look["kind"]](look)]


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _findings(look: Mapping[str, Any]) -> list[str]:
    rows = [
        f"{one['severity']:9} {one['object']['kind'].lower()}/{one['object']['name']}: {one['message']}"
        for one in look["shown"]
    ]
    return ["", f"  what it means: {_count(look['findings'])}, the most important first", *(f"    {row}" for row in rows)]


def _count(findings: int) -> str:
    return f"{findings} finding" if findings == 1 else f"{findings} findings"


def _timeline(look: Mapping[str, Any]) -> list[str]:
    rows = [
        f"{one['timestamp'][11:19]}  {one['kind']:13} {_where(one)}: {one['message']}"
        + (f" ({one['count']}x)" if "count" in one else "")
        for one in look["shown"]
    ]
    return ["", f"  what happened: the most telling of {look['moments']} moments (UTC)", *(f"    {row}" for row in rows)]


def _where(moment: Mapping[str, Any]) -> str:
    return f"{moment['object']}" + (f" {moment['container']}" if "container" in moment else "")


def _logs(look: Mapping[str, Any]) -> list[str]:
    rows = [f"{entry['timestamp'][11:23]}  {_run(entry)}{entry['line']}" for entry in look["shown"]]
    return ["", f"  {look['target']}: {look['lines']} lines, around the first error", *(f"    {row}" for row in rows)]


def _run(entry: Mapping[str, Any]) -> str:
    return "previous run: " if entry.get("previous") else ""


def _metrics(look: Mapping[str, Any]) -> list[str]:
    shown = look["shown"]
    moments = sorted({moment for one in shown for moment, _ in one["samples"]})
    if len(moments) > COLUMNS:
        moments = moments[::-2][:COLUMNS][::-1]
    title = f"  {look['target']}: {look['samples']} samples of {look['series']} series, the latest (UTC)"
    if not moments:
        return ["", title]
    head = " " * LABEL_WIDTH + "".join(f"{_clock(moment):>10}" for moment in moments)
    rows = []
    for label, one in zip(labels([one["labels"] for one in shown]), shown, strict=True):
        values = dict(one["samples"])
        cells = [f"{float(values[moment]):.3g}" if moment in values else "-" for moment in moments]
        rows.append(f"{cut(label, LABEL_WIDTH):{LABEL_WIDTH}}" + "".join(f"{cell:>10}" for cell in cells))
    return ["", title, f"    {head}", *(f"    {row}" for row in rows)]


def labels(series: Sequence[Mapping[str, str]]) -> list[str]:
    """What tells the series apart; for a single one all its labels."""
    names = sorted({name for one in series for name in one} - {"__name__"})
    telling = [name for name in names if len({one.get(name) for one in series}) > 1]
    # one label that differs everywhere is enough
    unique = [name for name in telling if len({one.get(name) for one in series}) == len(series)]
    chosen = sorted(unique, key=len)[:1] or telling or names
    return [", ".join(f"{name}={one[name]}" for name in chosen if name in one) for one in series]


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
