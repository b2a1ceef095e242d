"""kubectl investigation list: the Investigations of a namespace, or of all, the newest last."""

from aletheia_operator.cli.cluster import connected
from aletheia_operator.cli.errors import ExitCode
from aletheia_operator.cli.investigations import Investigation, age, listed, print_objects, print_option
from aletheia_operator.cli.options import Options, all_namespaces_option, cluster_options
from aletheia_operator.cli.options import command as option_command
from aletheia_operator.cli.output import say

HEADLINE_LEAST = 20
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
    from rich.table import Table
    from rich.text import Text

    from aletheia_operator.cli.printing import console, inert

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in (*(("NAMESPACE",) if with_namespace else ()), "NAME", "PHASE", "GAPS", "SESSION", "AGE"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", justify="right" if name == "GAPS" else "left")
    for name in ("ARTIFACTS", "SIZE") if wide else ():
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("HEADLINE", no_wrap=not wide, overflow="ellipsis" if not wide else "fold", min_width=HEADLINE_LEAST)
    for each in found:
        status = each.status
        cells: list[Text | str] = [
            *([inert(each.namespace)] if with_namespace else []),
            inert(each.name),
            inert(_phase(each), PHASE_STYLES.get(each.phase, "")),
            str(status.get("gapCount") or ""),
            inert(each.session_id),
            age(each.resource["metadata"]["creationTimestamp"]),
        ]
        if wide:
            size = (status.get("session") or {}).get("size") or ""
            cells += [str(status.get("artifactCount") or ""), inert(str(size))]
        table.add_row(*cells, inert(str(status.get("headline") or "")))
    console().print(table)


def _phase(investigation: Investigation) -> str:
    progress = (investigation.status.get("progress") or {}).get("text")
    return f"{investigation.phase} {progress}" if progress and investigation.phase == "Running" else investigation.phase


command = option_command(
    "list",
    list_investigations,
    "list Investigations with what broke, the newest last",
    all_namespaces_option(),
    print_option("table", "wide"),
    *cluster_options(),
)
