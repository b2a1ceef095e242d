"""aletheia metrics | traces | diff: prints metrics and traces of a session, or what differs between two or from a baseline."""

from typing import Any

import click

from aletheia_operator.cli.errors import ExitCode
from aletheia_operator.cli.options import Options
from aletheia_operator.cli.output import print_message
from aletheia_operator.cli.views import (
    bounds,
    captured,
    opened_page,
    output_option,
    show_blocks,
    show_entries,
    time_options,
    view_command,
    why_empty,
    write_json,
    write_lines,
)
from aletheia_operator.show.bounds import is_within
from aletheia_operator.show.captured import CapturedSession, unknown
from aletheia_operator.text.encoding import dumps


def metrics(options: Options) -> int:
    from aletheia_operator.show.metrics import chart_blocks, csv_lines, queries, sample_blocks

    with captured(options) as session:
        since, until = bounds(options, session)
        if options.output == "json":
            return show_entries(session, "metrics")
        if options.output == "csv":
            with opened_page() as (_, file):
                number = write_lines(file, (line.removesuffix("\n") for line in csv_lines(session, since, until)))
            if number == 1:
                print_message(why_empty(session, "metrics", "sample", since, until))
            return ExitCode.OK
        found = queries(session, since, until)
        empty = "no range query: -o json shows instant queries and exemplars"
        if options.output == "samples":
            return show_blocks(session, lambda page, times: sample_blocks(found, times), empty)
        window, is_wide = session.manifest.window, options.output == "wide"
        return show_blocks(session, lambda page, times: chart_blocks(found, window, page, times, is_wide=is_wide), empty)


def traces(options: Options) -> int:
    from aletheia_operator.report.waterfalls import waterfalls
    from aletheia_operator.show.traces import list_blocks, waterfall_blocks

    with captured(options) as session:
        if options.output == "json" and not _is_limited(options):
            return show_entries(session, "traces")
        found = _traces(session, options)
        if options.trace and not found:
            raise unknown("trace", options.trace, _ids(session))
        if options.output == "json":
            return write_json(dumps(trace) + b"\n" for _, _, trace in found)
        empty = why_empty(session, "traces", "trace", _is_limited(options))
        if options.output == "list":
            return show_blocks(session, lambda page, times: list_blocks(found, times), empty)
        shown = waterfalls(found)
        return show_blocks(session, lambda page, times: waterfall_blocks(shown, page), empty)


def _is_limited(options: Options) -> bool:
    return any((options.trace, options.service, options.failed, options.since, options.until))


def _traces(session: CapturedSession, options: Options) -> Any:
    """Return the matching traces: artifact, number of the entry, and entry. Raises NotShown."""
    from aletheia_operator.show.traces import id_of, spans, start_of

    since, until = bounds(options, session)
    services: set[str] = set()

    def is_wanted(trace: Any) -> bool:
        if not isinstance(trace, dict) or (options.trace and not id_of(trace).startswith(options.trace.lower())):
            return False
        found = spans(trace)
        services.update(span.service for span in found.values())
        if options.failed and not any(span.failed for span in found.values()):
            return False
        if options.service and all(span.service != options.service for span in found.values()):
            return False
        return is_within(start_of(found), since, until)

    kept = [
        (artifact.path, number, trace)
        for artifact in session.artifacts("traces")
        for number, trace in session.entries(artifact)
        if is_wanted(trace)
    ]
    if options.service and options.service not in services:
        raise unknown("service", options.service, services)
    return kept


def _ids(session: CapturedSession) -> list[str]:
    from aletheia_operator.show.traces import id_of

    return [id_of(trace) for artifact in session.artifacts("traces") for _, trace in session.entries(artifact)]


def diff(options: Options) -> int:
    from aletheia_operator.show.diff import between, since_baseline

    with captured(options) as session:
        if options.other is None:
            before, found = None, since_baseline(session)
            return _show_diff(options, session, found, before)
        with captured(options, options.other) as after:
            return _show_diff(options, after, between(session, after), session)


def _show_diff(options: Options, session: CapturedSession, found: Any, before: CapturedSession | None) -> int:
    from aletheia_operator.show.diff_text import diff_blocks

    if options.output == "json":
        return write_json([dumps(found.to_json()) + b"\n"])
    manifest = before.manifest if before else None
    with opened_page() as (page, file):
        write_lines(file, page.lines(diff_blocks(found, manifest, session.manifest)))
    return ExitCode.OK


metrics_command = view_command(
    "metrics",
    metrics,
    "draw metrics, or print their samples",
    *time_options(),
    click.Option(
        ["-o", "--output"],
        type=click.Choice(("chart", "wide", "samples", "csv", "json")),
        default="chart",
        help="chart: the series that change most; wide: with their PromQL; samples: as a table; csv and json: all samples.",
    ),
)
traces_command = view_command(
    "traces",
    traces,
    "draw traces as waterfalls: the slowest of those that fail, then of the others",
    click.Argument(["trace"], required=False, metavar="[TRACE_ID]"),
    click.Option(["--service"], metavar="NAME", help="Only traces with a span of this service."),
    click.Option(["--failed"], is_flag=True, help="Only traces with a span that failed."),
    *time_options(),
    click.Option(
        ["-o", "--output"],
        type=click.Choice(("waterfall", "list", "json")),
        default="waterfall",
        help="list: all traces, one on a line; json: the traces as they are. TRACE_ID may be the beginning of an id.",
    ),
)
diff_command = view_command(
    "diff",
    diff,
    "say what differs between two sessions, or from the baseline of one",
    click.Argument(["other"], required=False, metavar="[LATER_SESSION]"),
    output_option("table", "json"),
    notes="With two sessions SESSION is the earlier one. With one, its metrics are compared with their baselines.",
)
