"""kubectl investigation list: prints the Investigations of a namespace, or of all, the newest last."""

from functools import partial

from rich.cells import cell_len

from aletheia_operator.cli.cluster import connected
from aletheia_operator.cli.errors import ExitCode, Refused
from aletheia_operator.cli.investigations import Investigation, age, listed, print_objects, print_option
from aletheia_operator.cli.options import Options, all_namespaces_option, cluster_options, option_command
from aletheia_operator.cli.output import print_message, quietly
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
        fault = cluster.no_namespace(namespace) if namespace is not None and not found else ""
    if fault:
        raise Refused(fault)
    if not found:
        where = "in any namespace" if namespace is None else f"in namespace {namespace}"
        print_message(f"there are no Investigations {where}")
        return ExitCode.OK
    _print(found, with_namespace=namespace is None, wide=options.output == "wide")
    return ExitCode.OK


def _print(found: list[Investigation], with_namespace: bool, wide: bool) -> None:
    """Print a line for each. On a narrow terminal its headline goes on the next line, and no other cell is cut."""
    from rich.text import Text

    from aletheia_operator.cli.printing import inert, paged

    header = [*(["NAMESPACE"] if with_namespace else []), "NAME", "PHASE", "GAPS", "SESSION", "AGE"]
    header += ["ARTIFACTS", "SIZE"] if wide else []
    rows = [_cells(each, with_namespace, wide) for each in found]
    widths = [max(cell_len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    with paged() as out:
        left = out.width - sum(widths) - 2 * len(widths)
        below = left < HEADLINE_LEAST
        print_line = partial(out.print, soft_wrap=True) if left < 0 else partial(out.print, overflow="ellipsis", no_wrap=True)
        print_line(Text(_padded(header, widths).rstrip() if below else f"{_padded(header, widths)}HEADLINE", "bold"))
        for each, row in zip(found, rows, strict=True):
            line = Text(_padded(row, widths))
            line.highlight_words([_phase(each)], PHASE_STYLES.get(each.phase, ""))
            headline = inert(each.headline)
            if not below:
                line.append_text(headline)
            line.rstrip()
            print_line(line)
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
    quietly(list_investigations),
    "list Investigations with what broke, the newest last",
    all_namespaces_option(),
    print_option("table", "wide"),
    *cluster_options(),
)
