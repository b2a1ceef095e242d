"""aletheia timeline | findings | events | objects: prints the timeline, findings, events or objects of a session."""

import sys
from collections.abc import Iterator

import click

from aletheia_operator.cli.errors import ExitCode
from aletheia_operator.cli.options import Options
from aletheia_operator.cli.views import (
    bounds,
    captured,
    grep_options,
    output_option,
    pattern_of,
    show_blocks,
    show_entries,
    time_options,
    view_command,
    why_empty,
    write_json,
)
from aletheia_operator.show.bounds import is_within
from aletheia_operator.show.captured import CapturedSession, unknown
from aletheia_operator.show.objects import Numbered
from aletheia_operator.text.display import for_terminal
from aletheia_operator.text.encoding import dumps

FOR = "Only about this object: NAME or KIND/NAME. Repeatable."
SEVERITIES = ("critical", "error", "warning", "info")


def timeline(options: Options) -> int:
    from aletheia_operator.show.timeline import matches, object_filter, timeline_blocks

    with captured(options) as session:
        (since, until), pattern, is_about = bounds(options, session), pattern_of(options), object_filter(options.about)
        entries = [entry for artifact in session.artifacts("timeline") for _, entry in session.entries(artifact)]
        _require_known(options, (str(entry.get("object")) for entry in entries))
        found = [
            entry
            for entry in entries
            if is_within(str(entry.get("timestamp") or ""), since, until) or _lasts_into(entry, since, until)
            if is_about(str(entry.get("object"))) and matches(pattern, entry.get("kind"), entry.get("message"))
        ]
        if options.output == "json":
            return write_json(dumps(entry) + b"\n" for entry in found)
        empty = why_empty(session, "timeline", "moment", options.about, options.grep, since, until)
        return show_blocks(session, lambda page, times: timeline_blocks(found, times), empty)


def _lasts_into(entry: dict[str, object], since: str | None, until: str | None) -> bool:
    """Return whether something that began before --since continues after it."""
    begun, end = str(entry.get("timestamp") or ""), str(entry.get("end") or "")
    return bool(end) and is_within(begun, None, until) and is_within(end, since, None)


def findings(options: Options) -> int:
    from aletheia_operator.report.session import Source
    from aletheia_operator.show.findings import finding_blocks, links_of

    with captured(options) as session:
        artifacts = session.artifacts("findings")
        found = [(number + 1, entry) for artifact in artifacts for number, entry in session.entries(artifact)]
        empty = session.manifest.headline or "nothing was found"
        if options.severity:
            kept = SEVERITIES[: SEVERITIES.index(options.severity) + 1]
            if number := len(found):
                empty = f"no finding is at least {options.severity}: {number} less severe, shown without --severity"
            found = [(number, finding) for number, finding in found if finding.get("severity") in kept]
        if options.output == "json":
            return write_json(dumps(finding) + b"\n" for _, finding in found)
        is_wide = options.output == "wide"
        shown = [finding for _, finding in found if is_wide or finding.get("severity") != "info"]
        source = Source(session.manifest, session.files)
        quotes = source.quotes((link, 0) for link in links_of(shown))
        session.notes += [f"{path} was not read for quotes" for path in sorted(source.left_out)]
        return show_blocks(session, lambda page, times: finding_blocks(found, quotes, times, is_wide=is_wide), empty)


def events(options: Options) -> int:
    from aletheia_operator.show.events import event_blocks, merged, message_of, place_of
    from aletheia_operator.show.timeline import matches, object_filter

    with captured(options) as session:
        (since, until), pattern, is_about = bounds(options, session), pattern_of(options), object_filter(options.about)
        wanted = {name.strip().lower() for name in options.types.split(",")} - {""}
        artifacts = session.artifacts("events")
        if options.about:
            entries = (entry for artifact in artifacts for _, entry in session.entries(artifact))
            _require_known(options, (place_of(entry) for entry in entries))
        found = (
            entry
            for entry in merged((entry for _, entry in session.entries(artifact)) for artifact in artifacts)
            if not wanted or str(entry.get("type")).lower() in wanted
            if is_within(str(entry.get("last") or ""), since, None) and is_within(str(entry.get("first") or ""), None, until)
            if is_about(place_of(entry)) and matches(pattern, entry.get("reason"), message_of(entry))
        )
        if options.output == "json":
            return write_json(dumps(entry) + b"\n" for entry in found)
        empty = why_empty(session, "events", "event", options.about, options.grep, wanted, since, until)
        return show_blocks(session, lambda page, times: event_blocks(found, times), empty)


def objects(options: Options) -> int:
    from aletheia_operator.show.objects import as_yaml, object_blocks, place_of

    with captured(options) as session:
        if options.output == "json" and not options.object:
            return show_entries(session, "objects")
        found = _objects(session, options)
        output = options.output or ("yaml" if options.object else "table")
        if output == "json":
            return write_json(dumps(entry) + b"\n" for _, _, entry in found)
        if output in ("yaml", "name"):
            for _, _, entry in found:
                sys.stdout.write(as_yaml(entry) if output == "yaml" else f"{for_terminal(place_of(entry))}\n")
            return ExitCode.OK
        return show_blocks(session, lambda page, times: object_blocks(found), why_empty(session, "objects", "object"))


def _objects(session: CapturedSession, options: Options) -> Iterator[Numbered]:
    """Yield the objects that `options.object` names, each once; all if it is empty. Raises NotShown if none matches."""
    from aletheia_operator.show.objects import place_of, without_doubles
    from aletheia_operator.show.timeline import object_filter

    is_about = object_filter(options.object)
    seen: list[str] = []
    number = 0
    entries = (
        (artifact.path, place, entry)
        for artifact in session.artifacts("objects")
        for place, entry in session.entries(artifact)
        if isinstance(entry, dict)
    )
    for path, place, entry in without_doubles(entries):
        seen.append(place_of(entry))
        if is_about(seen[-1]):
            number += 1
            yield path, place, entry
    if options.object and not number:
        raise unknown("object", options.object[0], seen)


def _require_known(options: Options, names: Iterator[str]) -> None:
    """Raise NotShown if --for names an object that is not in `names`."""
    from aletheia_operator.show.timeline import object_filter

    known = set(names) if options.about else set()
    for name in options.about:
        if not any(map(object_filter([name]), known)):
            raise unknown("object", name, known)


def _for_option() -> click.Option:
    return click.Option(["--for", "about"], multiple=True, metavar="OBJECT", help=FOR)


timeline_command = view_command(
    "timeline",
    timeline,
    "list what happened, in order of time",
    _for_option(),
    *grep_options("moments"),
    *time_options(),
    output_option("table", "json"),
)
findings_command = view_command(
    "findings",
    findings,
    "say what the evidence means, with the lines that prove it, and what to do",
    click.Option(["--severity"], type=click.Choice(SEVERITIES), help="Only of at least this severity."),
    output_option("table", "wide", "json"),
)
events_command = view_command(
    "events",
    events,
    "list Kubernetes events, also of pods that are gone",
    _for_option(),
    click.Option(["--types"], metavar="LIST", default="", help="Only of these types: Normal, Warning."),
    *grep_options("events"),
    *time_options(),
    output_option("table", "json"),
)
objects_command = view_command(
    "objects",
    objects,
    "list objects with their state, or print some whole, as they were captured",
    click.Argument(["object"], nargs=-1, metavar="[KIND/NAME]..."),
    click.Option(
        ["-o", "--output"],
        type=click.Choice(("table", "yaml", "json", "name")),
        help="Default: table; yaml for objects that are named. json: the objects as they are, one on a line.",
    ),
)
