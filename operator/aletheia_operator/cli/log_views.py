"""aletheia logs | errors: prints lines of logs, or counts the errors in them."""

from collections.abc import Iterable

import click

from aletheia_operator.cli.errors import ExitCode
from aletheia_operator.cli.options import Options
from aletheia_operator.cli.output import print_message
from aletheia_operator.cli.views import (
    bounds,
    captured,
    grep_options,
    opened_page,
    output_option,
    show_blocks,
    time_options,
    times_of,
    view_command,
    write_json,
    write_lines,
)
from aletheia_operator.show.captured import CapturedSession
from aletheia_operator.show.log_lines import LogFilter, LogLine, log_lines, selected
from aletheia_operator.text.batches import LEVEL_CODES
from aletheia_operator.text.encoding import dumps

LEVELS = [level.lower() for level in LEVEL_CODES if level]
MAX_CONTEXT = 1000
NO_ERRORS = "no errors in the logs that were captured"
EXAMPLES = """\b
logs payments-500s --level error --context 3
logs payments-500s --pod ledger --previous --tail 50
logs payments-500s --since 14:02 --until 14:05 --grep 'order A-10[0-9]+'"""


def logs(options: Options) -> int:
    _take_context(options)
    with captured(options) as session:
        query = _query(options, session)
        groups = log_lines(session, query)
        if options.tail is not None:
            from aletheia_operator.show.logs import last

            groups = last(groups, options.tail)
        if options.output == "json":
            from aletheia_operator.show.logs import json_lines

            return write_json(json_lines(groups))
        return _show(options, session, query, groups)


def _show(options: Options, session: CapturedSession, query: LogFilter, groups: Iterable[list[LogLine]]) -> int:
    from aletheia_operator.show.logs import LogView

    with opened_page() as (page, file):
        if options.output == "raw":
            from aletheia_operator.text.display import log_line

            number = write_lines(file, (log_line(line.text) for group in groups for line in group))
        else:
            prefix = True if options.prefix else None
            view = LogView(page, times_of(session, page), query.pattern, prefix, query.context > 0 and query.has_hits)
            number = write_lines(file, view.lines(groups, len(selected(session, query.pods))))
    if not number:
        print_message("no line matches; `errors` and `timeline` show what there is")
    return ExitCode.OK


def _take_context(options: Options) -> None:
    """Read a number after --context as lines of context, as in `grep`: contexts of a kubeconfig are not named by numbers."""
    context = click.get_current_context()
    if (named := context.params.get("context")) and named.isdecimal():
        options.context_lines = min(int(named), MAX_CONTEXT)
        options.context = context.find_root().params.get("context")


def _query(options: Options, session: CapturedSession) -> LogFilter:
    since, until = bounds(options, session)
    return LogFilter(
        pods=options.pod,
        containers=options.container,
        run=options.run,
        previous=options.previous,
        level=(options.level or "").upper(),
        grep=options.grep,
        ignore_case=options.ignore_case,
        since=since,
        until=until,
        context=options.context_lines,
    )


def errors(options: Options) -> int:
    from aletheia_operator.show.errors import all_errors, counted_errors, error_blocks

    with captured(options) as session:
        options.level, options.run, options.previous, options.context_lines = "error", None, False, 0
        query = _query(options, session)
        is_limited = any((query.pods, query.containers, query.grep, query.since, query.until))
        found = counted_errors(session, query) if is_limited else all_errors(session)
        if options.output == "json":
            return write_json(dumps(dict(error)) + b"\n" for error in found)
        empty = "no error matches these options: without them, all errors are counted" if is_limited else NO_ERRORS
        return show_blocks(session, lambda page, times: error_blocks(found, times), empty)


def _pod_options() -> list[click.Parameter]:
    pod = "Only of this pod, or the pods of this workload; a pattern may have *. Repeatable."
    return [
        click.Option(["--pod"], multiple=True, metavar="NAME", help=pod),
        click.Option(["-c", "--container"], multiple=True, metavar="NAME", help="Only of this container. Repeatable."),
    ]


logs_command = view_command(
    "logs",
    logs,
    "print lines of logs, of all pods in order of time",
    *_pod_options(),
    click.Option(["--level"], type=click.Choice(LEVELS, case_sensitive=False), help="At least this level."),
    *grep_options("lines"),
    *time_options(),
    click.Option(["--run"], type=click.IntRange(0), metavar="N", help="Only of this run of a container: 0 is the first."),
    click.Option(["-p", "--previous"], is_flag=True, help="Only of earlier runs: what a container wrote before it restarted."),
    click.Option(
        ["-C", "--context-lines"],
        type=click.IntRange(0, MAX_CONTEXT),
        default=0,
        metavar="N",
        help="With --level or --grep: also N lines of the same pod before and after each; --context N does the same.",
    ),
    click.Option(["--tail"], type=click.IntRange(0, 1_000_000), metavar="N", help="Only the last N lines."),
    click.Option(["--prefix"], is_flag=True, help="Name pod and container in each line, also if there is one only."),
    output_option("text", "raw", "json"),
    notes=f"Lines that continue an error, for example a stack trace, come with it. Examples:\n\n{EXAMPLES}",
)
errors_command = view_command(
    "errors",
    errors,
    "count the errors in the logs; numbers and ids in their text do not matter",
    *_pod_options(),
    *grep_options("errors"),
    *time_options(),
    output_option("table", "json"),
)
