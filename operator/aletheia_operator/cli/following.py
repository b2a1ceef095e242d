"""kubectl investigation wait: follows an Investigation to its end. Interrupting it leaves the capture running."""

import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import click

from aletheia_operator.api.paths import API, INVESTIGATIONS
from aletheia_operator.api.types import parse_duration
from aletheia_operator.cli.cluster import ApiError, ClusterApi, connected
from aletheia_operator.cli.errors import ExitCode, Refused
from aletheia_operator.cli.investigations import (
    EXIT_CODES,
    INVESTIGATION_HELP,
    Investigation,
    find,
    investigation_argument,
    reading_commands,
    why_not_begun,
)
from aletheia_operator.cli.options import Options, cluster_options, option_command
from aletheia_operator.cli.output import print_message
from aletheia_operator.clients.errors import MISSING, is_temporary
from aletheia_operator.text.display import for_terminal
from aletheia_operator.text.sizes import counted, readable_duration

WATCH_SECONDS = 50
"""Length of one watch: shorter than the 60 seconds after which proxies give up."""
PAUSE_SECONDS = 0.2
"""Between two watches."""
MAX_FAILURES = 150
"""After so many failures in a row, half a minute, the API server counts as down."""
SHOWN_GAPS = 3
"""Of an Investigation without findings, for example because its target is misspelt."""


def wait(options: Options) -> int:
    """Follow an Investigation to its end, and return the exit code of its phase."""
    with connected(options) as cluster:
        return follow(cluster, find(cluster, options.investigation), options.timeout)


def follow(cluster: ClusterApi, investigation: Investigation, timeout: str | None) -> int:
    """Show the progress of an Investigation until it ends. `timeout`: a duration; None: no limit."""
    progress = ProgressLine(investigation)
    deadline = None if timeout is None else time.monotonic() + _timeout_seconds(timeout)
    try:
        with progress.shown():
            for state in states(cluster, investigation, deadline):
                progress.show(state)
                if state.ended:
                    break
            else:
                state = progress.investigation
    except KeyboardInterrupt:
        print_message(f"the capture goes on: {cluster.command('wait', investigation.reference)} follows it again")
        raise
    if not state.ended:
        print_message(f"{state.reference} is {state.phase} after {timeout}: the capture goes on")
        return ExitCode.TIMEOUT
    _print_end(cluster, state)
    return EXIT_CODES[state.phase]


class _Gone(Refused):
    """The Investigation was deleted."""


def states(cluster: ClusterApi, investigation: Investigation, deadline: float | None) -> Iterator[Investigation]:
    """Yield the Investigation each time it changes, until `deadline` (time.monotonic; None: no limit).

    Short outages of the API server are tolerated. Raises Refused if the Investigation is deleted, or the outage lasts.
    """
    yield investigation
    failures = 0
    while (left := WATCH_SECONDS if deadline is None else deadline - time.monotonic()) > 0:
        try:
            for current in _watched(cluster, investigation, max(1, min(WATCH_SECONDS, int(left)))):
                failures = 0
                yield current
                if current.ended:
                    return
        except Refused as e:
            failures += 1
            if isinstance(e, _Gone) or (isinstance(e, ApiError) and not is_temporary(e.status)):
                raise
            if failures > MAX_FAILURES:
                raise
        time.sleep(PAUSE_SECONDS)


def _watched(cluster: ClusterApi, investigation: Investigation, seconds: int) -> Iterator[Investigation]:
    """Yield the current Investigation, then each change that one watch reports. Raises Refused, _Gone."""
    current = _current(cluster, investigation)
    yield current
    collection = f"{API}/namespaces/{quote(investigation.namespace, safe='')}/{INVESTIGATIONS}"
    version = str(current.resource["metadata"]["resourceVersion"])
    selector = f"metadata.name={investigation.name}"
    for event in cluster.watch(collection, seconds, resourceVersion=version, fieldSelector=selector):
        if event.get("type") == "DELETED":
            raise _Gone(f"{investigation.reference} was deleted")
        if event.get("type") == "ERROR":
            return  # its version is too old: read it again
        yield Investigation(event["object"])


def _current(cluster: ClusterApi, investigation: Investigation) -> Investigation:
    try:
        current = Investigation(cluster.get(investigation.path))
    except ApiError as e:
        if e.status in MISSING:
            raise _Gone(f"{investigation.reference} was deleted") from e
        raise
    if current.uid != investigation.uid:
        raise _Gone(f"{investigation.reference} was deleted, and another Investigation has its name")
    return current


@dataclass
class ProgressLine:
    """Shows the progress of an Investigation: on a terminal one line that changes, else one line for each change."""

    investigation: Investigation
    began: float = field(default_factory=time.monotonic)
    _line: str = ""
    _is_live: bool = False

    def shown(self) -> Any:
        """Return the context in which progress is shown."""
        if not sys.stderr.isatty():
            return nullcontext()
        from aletheia_operator.cli.printing import console

        terminal = console(sys.stderr)
        if terminal.is_dumb_terminal:
            return nullcontext()
        self._is_live = True
        return terminal.status(self, spinner="dots" if "utf" in terminal.encoding else "line")

    def __rich__(self) -> str:
        """Return the line, with the time until now: rich asks for it several times a second."""
        return words(self.investigation, self._seconds, with_time=True)

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self.began

    def show(self, investigation: Investigation) -> None:
        """Show the state of the Investigation."""
        self.investigation = investigation
        line = words(investigation, self._seconds)
        if line != self._line and not investigation.ended and not self._is_live:
            self._line = line
            print_message(line)


def words(investigation: Investigation, seconds: float, with_time: bool = False) -> str:
    """Return the progress in one line. `seconds`: how long it was followed, which the line names if `with_time`."""
    status = investigation.status
    progress = status.get("progress") or {}
    parts = [f"{investigation.reference} {for_terminal(investigation.phase, 40)}"]
    if progress.get("total"):
        parts.append(f"{progress.get('done', 0)} of {counted(int(progress['total']), 'question')} answered")
    if status.get("gapCount"):
        parts.append(counted(int(status["gapCount"]), "gap"))
    if why := why_not_begun(investigation, seconds):
        parts.append(why)
    if with_time:
        parts.append(readable_duration(seconds))
    return ", ".join(parts)


def _print_end(cluster: ClusterApi, investigation: Investigation) -> None:
    """Print how it ended and what broke, and to stderr the commands that show more."""
    from aletheia_operator.cli.overview import PHASE_STYLES
    from aletheia_operator.cli.printing import console, inert

    status, reference, out = investigation.status, investigation.reference, console()
    session = f", session {investigation.session_id}" if investigation.session_id else ""
    gaps = f", {counted(int(status['gapCount']), 'gap')}" if status.get("gapCount") else ""
    phase = inert(investigation.phase, PHASE_STYLES.get(investigation.phase, ""))
    out.print(inert(reference).append(" ").append_text(phase).append_text(inert(gaps)).append_text(inert(session)))
    if status.get("headline"):
        out.print(inert(str(status["headline"]), "bold"))
    elif investigation.phase != "Completed":
        out.print(inert(_reason(investigation)))
        for gap in (status.get("gaps") or [])[:SHOWN_GAPS]:
            out.print(inert(f"{gap.get('target', '')}: {gap.get('message', '')}"))
    sys.stdout.flush()
    print_message(f"read on: {cluster.command('describe', reference)}")
    for command_line in reading_commands(cluster, investigation, "open") if investigation.is_readable else ():
        print_message(f"read on: {command_line}")


def _reason(investigation: Investigation) -> str:
    """Return why it failed: the message of its condition Succeeded."""
    conditions = investigation.status.get("conditions") or []
    found: dict[str, Any] = next((each for each in conditions if each.get("type") == "Succeeded"), {})
    return for_terminal(f"{found.get('reason', '')}: {found.get('message', '')}".strip(": "))


def _timeout_seconds(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as e:
        raise Refused(str(e)) from e


command = option_command(
    "wait",
    wait,
    "follow an Investigation to its end; interrupting it leaves the capture running",
    investigation_argument(),
    click.Option(["--timeout"], metavar="DURATION", help="Give up waiting after this time; default: never."),
    *cluster_options(),
    notes=f"{INVESTIGATION_HELP}\n\nExit codes: 0 Completed, 3 Failed or Cancelled, 4 PartiallyCompleted, 5 TimedOut or"
    " --timeout is over.",
)
