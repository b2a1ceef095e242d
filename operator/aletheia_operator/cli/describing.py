"""kubectl investigation describe: prints what broke with its evidence, what is missing and the remedy, and the artifacts."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from aletheia_operator.api.reasons import CONDITIONS_OF_PHASE, GapReason
from aletheia_operator.cli.cluster import ClusterApi, connected
from aletheia_operator.cli.errors import ExitCode, Refused
from aletheia_operator.cli.investigations import (
    INVESTIGATION_HELP,
    PRINTED,
    Investigation,
    age,
    find,
    investigation_argument,
    print_objects,
    print_option,
    reading_commands,
    why_not_begun,
)
from aletheia_operator.cli.options import Options, cluster_options, option_command
from aletheia_operator.cli.output import quietly
from aletheia_operator.cli.overview import PHASE_STYLES
from aletheia_operator.cli.printing import inert, paged
from aletheia_operator.cli.reference import Reference, remote_session
from aletheia_operator.session.retention_record import LEGAL_HOLD
from aletheia_operator.text.sizes import counted, readable_duration, readable_size
from aletheia_operator.text.timestamps import parse_time, to_the_second

SEVERITY_STYLES = {"critical": "bold red", "error": "red", "warning": "yellow", "info": "cyan"}
INDENT = (0, 0, 0, 4)


@dataclass(frozen=True)
class Description:
    """The parts of a description, each as in the status. `left_out`: says which lists are cut, and why."""

    findings: list[dict[str, Any]] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    left_out: str = ""


def describe(options: Options) -> int:
    """Print the description, or the resource in one of kubectl's formats."""
    with connected(options) as cluster:
        investigation = find(cluster, options.investigation)
        if options.output in PRINTED or str(options.output).startswith("jsonpath"):
            return print_objects(cluster, options.output, investigation.namespace, [investigation.name])
        contents = contents_of(cluster, investigation)
        next_commands = reading_commands(cluster, investigation, "findings", "open") if investigation.is_readable else []
    with paged() as out:
        write(out, investigation, contents, next_commands)
    return ExitCode.OK


def contents_of(cluster: ClusterApi, investigation: Investigation) -> Description:
    """Return all parts from the manifest; if that cannot be read, the first parts from the status."""
    status = investigation.status
    counts = {"artifacts": status.get("artifactCount"), "gaps": status.get("gapCount")}
    cut = [name for name, count in counts.items() if count and count > len(status.get(name) or [])]
    left_out = ""
    if cut and investigation.session_id:
        try:
            _, manifest = remote_session(cluster, Reference(investigation.namespace, investigation.session_id))
            full = manifest.to_json()
            return Description(full.get("findings") or [], full.get("gaps") or [], full.get("artifacts") or [])
        except Refused as e:
            left_out = f"only the first {' and '.join(cut)} are shown: {e}"
    return Description(status.get("findings") or [], status.get("gaps") or [], status.get("artifacts") or [], left_out)


def write(out: Console, investigation: Investigation, contents: Description, next_commands: Sequence[str]) -> None:
    """Write the description. `next_commands`: command lines that show more."""
    _head(out, investigation)
    _findings(out, contents)
    for severity, title in (("gap", "Missing"), ("note", "Notes")):
        _gaps(out, title, [gap for gap in contents.gaps if gap.get("severity", "gap") == severity])
    _artifacts(out, contents.artifacts)
    if contents.left_out:
        out.print(inert(contents.left_out, "yellow"))
    if next_commands:
        _title(out, "Read on")
    for command_line in next_commands:
        out.print(inert(command_line), soft_wrap=True)  # to copy
    sys.stdout.flush()


def _head(out: Console, investigation: Investigation) -> None:
    status, session = investigation.status, investigation.status.get("session") or {}
    headline = status.get("headline")
    if headline:
        out.print(inert(str(headline), "bold"))
        out.print()
    started, ended = parse_time(status.get("startTime")), parse_time(status.get("completionTime"))
    took = f", took {readable_duration((ended - started).total_seconds())}" if started and ended else ""
    progress = (status.get("progress") or {}).get("text")
    phase = f"{investigation.phase} {progress}" if progress and not investigation.ended else investigation.phase
    conditions = {str(each.get("type")): each for each in status.get("conditions") or []}
    why = str((conditions.get("Succeeded") or conditions.get("Stalled") or {}).get("message") or "")
    why = why.removeprefix(str(headline)).removeprefix("; ") if headline else why
    created = parse_time(investigation.resource["metadata"]["creationTimestamp"])
    why = why or why_not_begun(investigation, (datetime.now(UTC) - created).total_seconds() if created else 0.0)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    rows: Iterable[tuple[str, Text | str]] = (
        ("Investigation", inert(investigation.reference)),
        ("Phase", inert(phase, PHASE_STYLES.get(investigation.phase, ""))),
        ("Because", inert(why) if investigation.phase not in ("Completed", "PartiallyCompleted") else ""),
        ("Window", inert(" to ".join(map(to_the_second, status.get("window") or [])))),
        ("Session", inert(f"{session['id']}, {session.get('size') or 'empty'}{took}") if session.get("id") else ""),
        ("Redacted", counted(int(session["redactions"]), "secret") if session.get("redactions") else ""),
        ("Uploaded", inert(str((session.get("uploaded") or {}).get("url") or ""))),
        ("On hold", inert(investigation.annotations.get(LEGAL_HOLD, ""), "yellow")),
        *((kind, inert(str(each.get("message") or ""), "yellow")) for kind, each in conditions.items() if _is_remark(each)),
        ("Created", f"{age(investigation.resource['metadata']['creationTimestamp'])} ago"),
    )
    for name, cell in rows:
        if str(cell):
            grid.add_row(f"{name}:", cell)
    out.print(grid)


def _is_remark(condition: dict[str, Any]) -> bool:
    """Return whether a condition says more than the phase, for example that the artifacts have expired."""
    return condition.get("status") == "True" and condition.get("type") not in CONDITIONS_OF_PHASE


def _findings(out: Console, contents: Description) -> None:
    """Print the first findings, in the order and with the numbers of data/findings.json."""
    if not contents.findings:
        return
    _title(out, f"Findings ({_of_all(contents)})")
    grid = Table.grid(padding=(0, 1))
    for number, finding in enumerate(contents.findings, start=1):
        severity = str(finding.get("severity") or "")
        subject = finding.get("object") or {}
        since = f", since {to_the_second(finding['firstSeen'])}" if finding.get("firstSeen") else ""
        line = Text().append_text(inert(severity, SEVERITY_STYLES.get(severity, ""))).append(" ")
        line.append_text(inert(str(finding.get("message") or "")))
        about = f"{finding.get('rule', '')} of {subject.get('kind', '')}/{subject.get('name', '')}"
        grid.add_row(f"{number}.", line)
        grid.add_row("", inert(f"{about}, {finding.get('confidence', '')}{since}", "dim"))
    out.print(grid)


def _of_all(contents: Description) -> str:
    """Return how many findings there are: the status and the manifest have the first few."""
    shown = len(contents.findings)
    paths = ("data/findings.json", "data/findings.json.age")
    total = next((int(each.get("count") or 0) for each in contents.artifacts if each.get("path") in paths), shown)
    return f"the first {shown} of {total}" if total > shown else str(shown)


def _gaps(out: Console, title: str, gaps: list[dict[str, Any]]) -> None:
    if not gaps:
        return
    _title(out, f"{title} ({len(gaps)})")
    meanings: dict[str, str] = {reason.value: reason.text for reason in GapReason}
    explained: set[str] = set()
    for gap in gaps:
        reason = str(gap.get("reason") or "")
        line = Text().append_text(inert(reason, "yellow"))
        line.append(" ").append_text(inert(str(gap.get("target") or ""), "bold"))
        out.print(line)
        out.print(Padding(inert(str(gap.get("message") or "")), INDENT, expand=False))
        if reason in meanings and reason not in explained:
            explained.add(reason)
            out.print(Padding(inert(meanings[reason], "dim"), INDENT, expand=False))


def _artifacts(out: Console, artifacts: list[dict[str, Any]]) -> None:
    if not artifacts:
        return
    _title(out, f"Artifacts ({len(artifacts)})")
    for artifact in artifacts:
        size = readable_size(int(artifact.get("sizeBytes") or 0))
        size += " bytes" if size.isdigit() else ""
        incomplete = "" if artifact.get("complete", True) else ", incomplete"
        out.print(inert(str(artifact.get("path") or "")), soft_wrap=True)  # to copy: no newline within it
        out.print(
            Padding(inert(f"{size}{incomplete}: {artifact.get('summary') or ''}".rstrip(": "), "dim"), INDENT, expand=False)
        )


def _title(out: Console, text: str) -> None:
    out.print()
    out.print(Text(text, "bold underline"))


command = option_command(
    "describe",
    quietly(describe),
    "describe an Investigation: what broke, what is missing, and what was captured",
    investigation_argument(),
    print_option(),
    *cluster_options(),
    notes=INVESTIGATION_HELP,
)
