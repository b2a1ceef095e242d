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
from aletheia_operator.cli.cluster import ApiError, Cluster, connected
from aletheia_operator.cli.errors import ExitCode, Refused
from aletheia_operator.cli.investigations import (
    EXIT_CODES,
    INVESTIGATION_HELP,
    Investigation,
    duration,
    find,
    investigation_argument,
)
from aletheia_operator.cli.options import Options, cluster_options
from aletheia_operator.cli.options import command as option_command
from aletheia_operator.cli.output import say
from aletheia_operator.cli.program import called
from aletheia_operator.text.display import for_terminal

WATCH_SECONDS = 50
"""Length of one watch: shorter than the 60 seconds after which proxies give up."""
UNSEEN_SECONDS = 15
"""If no operator has seen an Investigation after this time, that is reported."""
PAUSE_SECONDS = 0.2
"""Between two watches."""
MAX_FAILURES = 150
"""After so many failures in a row, half a minute, the API server counts as down."""


def wait(options: Options) -> int:
    """Follow an Investigation to its end, and return the exit code of its phase."""
    with connected(options) as cluster:
        return follow(cluster, find(cluster, options.investigation), options.timeout)


def follow(cluster: Cluster, investigation: Investigation, timeout: str | None) -> int:
    """Show the progress of an Investigation until it ends. `timeout`: a duration; None: no limit."""
    progress = Progress(investigation)
    deadline = None if timeout is None else time.monotonic() + _seconds(timeout)
    try:
        with progress.shown():
            for state in states(cluster, investigation, deadline):
                progress.show(state)
                if state.ended:
                    break
            else:
                state = progress.investigation
    except KeyboardInterrupt:
        say(f"the capture goes on: {called()} wait {investigation.reference} follows it again")
        raise
    if not state.ended:
        say(f"{state.reference} is {state.phase} after {timeout}: the capture goes on")
        return ExitCode.TIMEOUT
    _print_end(state)
    return EXIT_CODES[state.phase]


class _Gone(Refused):
    """The Investigation was deleted."""


def states(cluster: Cluster, investigation: Investigation, deadline: float | None) -> Iterator[Investigation]:
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
            if isinstance(e, _Gone) or (isinstance(e, ApiError) and e.status < 500 and e.status not in (410, 429)):
                raise
            if failures > MAX_FAILURES:
                raise
        time.sleep(PAUSE_SECONDS)


def _watched(cluster: Cluster, investigation: Investigation, seconds: int) -> Iterator[Investigation]:
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


def _current(cluster: Cluster, investigation: Investigation) -> Investigation:
    try:
        current = Investigation(cluster.get(investigation.path))
    except ApiError as e:
        if e.status == 404:
            raise _Gone(f"{investigation.reference} was deleted") from e
        raise
    if current.uid != investigation.uid:
        raise _Gone(f"{investigation.reference} was deleted, and another Investigation has its name")
    return current


@dataclass
class Progress:
    """Shows the progress of an Investigation: on a terminal one line that changes, else one line for each change."""

    investigation: Investigation
    began: float = field(default_factory=time.monotonic)
    _line: str = ""
    _status: Any = None

    def shown(self) -> Any:
        """Return the context in which progress is shown."""
        if not sys.stderr.isatty():
            return nullcontext()
        from aletheia_operator.cli.printing import console

        self._status = console(sys.stderr).status(words(self.investigation, self._seconds), spinner="dots")
        return self._status

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self.began

    def show(self, investigation: Investigation) -> None:
        """Show the state of the Investigation."""
        self.investigation = investigation
        if self._status is not None:
            self._status.update(words(investigation, self._seconds))
            return
        line = words(investigation, None)
        if line != self._line and not investigation.ended:
            self._line = line
            say(line)


def words(investigation: Investigation, seconds: float | None) -> str:
    """Return the progress in one line. `seconds`: how long it was followed; None: leave that out."""
    status = investigation.status
    progress = status.get("progress") or {}
    parts = [f"{investigation.reference} {for_terminal(investigation.phase, 40)}"]
    if progress.get("total"):
        parts.append(f"{progress.get('done', 0)} of {progress['total']} questions answered")
    if status.get("gapCount"):
        parts.append(f"{status['gapCount']} gaps")
    if investigation.suspended:
        parts.append("suspended: it starts when spec.suspend is false")
    elif (status.get("observedGeneration") or -1) < 0 and (seconds is None or seconds > UNSEEN_SECONDS):
        parts.append("no operator has seen it yet")
    if seconds is not None:
        parts.append(duration(seconds))
    return ", ".join(parts)


def _print_end(investigation: Investigation) -> None:
    status, reference = investigation.status, investigation.reference
    session = f", session {for_terminal(investigation.session_id, 80)}" if investigation.session_id else ""
    gaps = f", {status['gapCount']} gaps" if status.get("gapCount") else ""
    print(f"{reference} {for_terminal(investigation.phase, 40)}{gaps}{session}")
    if status.get("headline"):
        print(for_terminal(str(status["headline"])))
    elif investigation.phase != "Completed":
        print(_reason(investigation))
    sys.stdout.flush()
    say(f"more: {called()} describe {reference}; {called()} open {reference}")


def _reason(investigation: Investigation) -> str:
    """Return why it failed: the message of its condition Succeeded."""
    conditions = investigation.status.get("conditions") or []
    found: dict[str, Any] = next((each for each in conditions if each.get("type") == "Succeeded"), {})
    return for_terminal(f"{found.get('reason', '')}: {found.get('message', '')}".strip(": "))


def _seconds(text: str) -> int:
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
