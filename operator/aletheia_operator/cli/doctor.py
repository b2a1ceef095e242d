"""kubectl investigation doctor: prints what would fail for this user in this cluster, and the commands that fix it."""

import sys

import click

from aletheia_operator.cli.cluster import connected
from aletheia_operator.cli.diagnosis import Check, Diagnosis
from aletheia_operator.cli.errors import ExitCode
from aletheia_operator.cli.options import Options, cluster_options, option_command
from aletheia_operator.cli.output import print_json

STYLES = {"ok": "green", "note": "yellow", "fails": "bold red"}
ANY_PATH = "^/"
STATE_COLUMNS = 5


def doctor(options: Options) -> int:
    """Run the checks, and print each result at once. Returns 1 if a check fails."""
    found: list[Check] = []
    with connected(options, ANY_PATH) as cluster:
        for check in Diagnosis(cluster, options.service_account).checks():
            found.append(check)
            if options.output is None:
                _print(check)
    if options.output == "json":
        print_json([vars(check) for check in found])
    return ExitCode.ERROR if any(check.state == "fails" for check in found) else ExitCode.OK


def _print(check: Check) -> None:
    from rich.table import Table
    from rich.text import Text

    from aletheia_operator.cli.printing import console

    out = console()
    row = Table.grid(padding=(0, 1))
    row.add_column(style=STYLES[check.state], width=STATE_COLUMNS, no_wrap=True)
    row.add_column()
    row.add_row(check.state, Text(f"{check.name}: ", "bold").append_text(Text(check.message, "not bold")))
    out.print(row)
    if check.remedy:  # on one line, not cut, so that it can be copied
        out.print(Text(" " * (STATE_COLUMNS + 1) + check.remedy), soft_wrap=True)
    sys.stdout.flush()


command = option_command(
    "doctor",
    doctor,
    "say what would fail here, and the command that fixes it",
    click.Option(["--service-account"], metavar="NAME", help="Also check this ServiceAccount of the namespace."),
    click.Option(["-o", "--output"], type=click.Choice(["json"]), help="json: for programs."),
    *cluster_options(),
)
