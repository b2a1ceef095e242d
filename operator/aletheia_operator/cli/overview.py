"""kubectl investigation list: prints the Investigations of a namespace, or of all, the newest last."""

from rich.cells import cell_len

from aletheia_operator.cli.cluster import connected
from aletheia_operator.cli.errors import ExitCode
from aletheia_operator.cli.investigations import Investigation, age, listed, print_objects, print_option
from aletheia_operator.cli.options import Options, all_namespaces_option, cluster_options
from aletheia_operator.cli.options import command as option_command
from aletheia_operator.cli.output import say
from aletheia_operator.text.display import for_terminal

HEADLINE_LEAST = 50
"""Columns that a headline needs to be on the same line as the other cells."""
PHASE_STYLES = {
    "Completed": "green",
    "PartiallyCompleted": "yellow",
    "Failed": "red",
    "TimedOut": "red",
    "Cancelled": "yellow",
    "Running": "cyan",
}


def list_investigations(options: Options) -> int:
    """Print the Investigations as a table, or in one of kubectl's formats."""
    with connected(options) as cluster:
        namespace = None if options.all_namespaces else cluster.namespace
        if options.output not in (None, "table", "wide"):
            return print_objects(cluster, options.output, namespace)
        found = listed(cluster, namespace)
    if not found:
        where = "in any namespace" if namespace is None else f"in namespace {namespace}"
        say(f"there are no Investigations {where}")
        return ExitCode.OK
    _print(found, with_namespace=namespace is None, wide=options.output == "wide")
    return ExitCode.OK


def _print(found: list[Investigation], with_namespace: bool, wide: bool) -> None:
    """Print a line for each. On a narrow terminal its headline goes on the next line, so that names stay whole."""
    from rich.text import Text

    from aletheia_operator.cli.printing import console, inert

    out = console()
    header = [*(["NAMESPACE"] if with_namespace else []), "NAME", "PHASE", "GAPS", "SESSION", "AGE"]
    header += ["ARTIFACTS", "SIZE"] if wide else []
    rows = [_cells(each, with_namespace, wide) for each in found]
    widths = [max(cell_len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    left = out.width - sum(widths) - 2 * len(widths)
    below = left < HEADLINE_LEAST
    out.print(Text(_padded(header, widths) + ("" if below else "HEADLINE"), "bold"), overflow="ellipsis", no_wrap=True)
    for each, row in zip(found, rows, strict=True):
        line = Text(_padded(row, widths))
        line.highlight_words([_phase(each)], PHASE_STYLES.get(each.phase, ""))
        headline = inert(str(each.status.get("headline") or ""))
        if not below:
            line.append_text(headline)
        out.print(line, overflow="ellipsis", no_wrap=True)
        if below and headline:
            out.print(Text("  ").append_text(headline), overflow="ellipsis", no_wrap=True)


def _cells(investigation: Investigation, with_namespace: bool, wide: bool) -> list[str]:
    status = investigation.status
    cells = [
        *([investigation.namespace] if with_namespace else []),
        investigation.name,
        _phase(investigation),
        status.get("gapCount") or "",
        investigation.session_id,
        age(investigation.resource["metadata"]["creationTimestamp"]),
    ]
    cells += [status.get("artifactCount") or "", (status.get("session") or {}).get("size") or ""] if wide else []
    return [for_terminal(str(cell)) for cell in cells]


def _padded(cells: list[str], widths: list[int]) -> str:
    return "".join(cell + " " * (width - cell_len(cell) + 2) for cell, width in zip(cells, widths, strict=True))


def _phase(investigation: Investigation) -> str:
    progress = (investigation.status.get("progress") or {}).get("text")
    phase = f"{investigation.phase} {progress}" if progress and investigation.phase == "Running" else investigation.phase
    return for_terminal(phase)


command = option_command(
    "list",
    list_investigations,
    "list Investigations with what broke, the newest last",
    all_namespaces_option(),
    print_option("table", "wide"),
    *cluster_options(),
)
