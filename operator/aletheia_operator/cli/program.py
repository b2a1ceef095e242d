"""The program's commands. Each is imported when it is used, so that help and completion are fast.

`aletheia`, `kubectl investigation` and `kubectl inv` are this one program.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from aletheia_operator.cli.options import cluster_options

PLUGINS = {"kubectl-investigation": "kubectl investigation", "kubectl-inv": "kubectl inv"}
"""The words that call the program, by the beginning of its file's name. For other names: `aletheia`."""


@dataclass(frozen=True)
class Entry:
    """A command that is imported when it is used: `command` of `aletheia_operator.cli.{module}`, `about` in one line."""

    module: str
    attribute: str
    about: str
    section: str = "Commands"
    """Title in the list of commands; empty: not listed."""

    @property
    def place(self) -> tuple[str, str]:
        """Module and attribute of the command; equal for all its names."""
        return self.module, self.attribute


INVESTIGATE = "Investigate"
READ = "Read the evidence"
KEEP = "Keep sessions"
SET_UP = "Set up"

SESSION_COMMANDS = {
    "list": Entry("listing", "list_command", "list the sessions, the newest last"),
    "show": Entry("listing", "show_command", "show what a session holds"),
    "report": Entry("report", "command", "make the report of a session: what broke, how that is known, and what is missing"),
    "cat": Entry("cat", "command", "write one file of a session to standard output, unchanged"),
    "verify": Entry("verifying", "command", "compare sessions with their manifests: every file, and its SHA-256"),
    "fetch": Entry(
        "fetching", "command", "download a session from a cluster with your own rights; resumes an interrupted download"
    ),
    "export": Entry("archives", "export_command", "write a session as one archive"),
    "import": Entry("archives", "import_command", "restore a session from an archive or a folder, completely or not at all"),
    "delete": Entry("retaining", "delete_command", "delete a session and its evidence"),
    "hold": Entry("retaining", "hold_command", "keep a session's data from expiry, caps and deletion until it is released"),
    "release": Entry(
        "retaining", "release_command", "lift the hold that `hold` set, and that of an Investigation that no longer exists"
    ),
    "reseal": Entry(
        "sealing",
        "reseal_command",
        "seal a session with another password or to other recipients; its files stay as they are",
    ),
    "decrypt": Entry("sealing", "decrypt_command", "write a sealed session as plain files into a new folder"),
    "redact": Entry("redact_session", "command", "make a copy of a session with fewer secrets"),
}

EVIDENCE_COMMANDS = {
    "findings": Entry(
        "table_views", "findings_command", "say what the evidence means, with the lines that prove it, and what to do", READ
    ),
    "timeline": Entry("table_views", "timeline_command", "list what happened, in order of time", READ),
    "errors": Entry(
        "log_views", "errors_command", "count the errors in the logs; numbers and ids in their text do not matter", READ
    ),
    "logs": Entry("log_views", "logs_command", "print lines of logs, of all pods in order of time", READ),
    "events": Entry("table_views", "events_command", "list Kubernetes events, also of pods that are gone", READ),
    "objects": Entry(
        "table_views", "objects_command", "list objects with their state, or print some whole, as they were captured", READ
    ),
    "metrics": Entry("number_views", "metrics_command", "draw metrics, or print their samples", READ),
    "traces": Entry(
        "number_views", "traces_command", "draw traces as waterfalls: the slowest of those that fail, then of the others", READ
    ),
    "diff": Entry("number_views", "diff_command", "say what differs between two sessions, or from the baseline of one", READ),
}

COMMANDS = {
    "start": Entry(
        "starting", "command", "start an Investigation: capture what is about to be lost, and say what broke", INVESTIGATE
    ),
    "list": Entry("overview", "command", "list Investigations with what broke, the newest last", INVESTIGATE),
    "describe": Entry(
        "describing", "command", "describe an Investigation: what broke, what is missing, and what was captured", INVESTIGATE
    ),
    "wait": Entry(
        "following", "command", "follow an Investigation to its end; interrupting it leaves the capture running", INVESTIGATE
    ),
    "cancel": Entry("changing", "cancel_command", "stop a capture; what was captured is kept", INVESTIGATE),
    "delete": Entry("changing", "delete_command", "delete Investigations with their evidence", INVESTIGATE),
    "hold": Entry(
        "changing", "hold_command", "keep an Investigation and its evidence from removal, until it is released", INVESTIGATE
    ),
    "release": Entry("changing", "release_command", "lift the hold of an Investigation", INVESTIGATE),
    **EVIDENCE_COMMANDS,
    "open": Entry("opening", "open_command", "open the report of a session in the browser", READ),
    "report": Entry(
        "opening",
        "report_command",
        "write the report of a session: what broke, how that is known, and what is missing",
        READ,
    ),
    **{
        name: replace(SESSION_COMMANDS[name], section=KEEP)
        for name in ("fetch", "verify", "export", "import", "decrypt", "reseal")
    },
    "session": Entry("program", "session", "sessions on the volume or in a folder", KEEP),
    "doctor": Entry("doctor", "command", "say what would fail here, and the command that fixes it", SET_UP),
    "completion": Entry("completing", "command", "print the script that completes commands and names in your shell", SET_UP),
    "redact": Entry(
        "redact_text", "command", "take secrets out of standard input, line for line; a summary goes to standard error", SET_UP
    ),
}


class LazyGroup(click.Group):
    """A group that imports a command when it is used."""

    def __init__(self, *arguments: Any, entries: Mapping[str, Entry], **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, entry in self.entries.items() if entry.section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        found = getattr(import_module(f"aletheia_operator.cli.{entry.module}"), entry.attribute)
        assert isinstance(found, click.Command)
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.entries and not args[0].startswith("-"):
            from aletheia_operator.text.display import for_terminal
            from aletheia_operator.text.nearest import hint

            name = for_terminal(args[0], 80)
            raise click.UsageError(f"there is no command '{name}'{hint(name, self.list_commands(ctx))}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            entry = self.entries[name]
            sections.setdefault(entry.section, []).append((name, entry.about))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def program_name() -> str:
    """Return the words with which the user called the program, for example `kubectl investigation`."""
    name = Path(sys.argv[0]).name
    return next((words for file, words in PLUGINS.items() if name.startswith(file)), "aletheia")


def _version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from aletheia_operator.version import __version__

        click.echo(__version__)
        ctx.exit()


SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
session = LazyGroup(
    "session",
    entries=SESSION_COMMANDS,
    help="Sessions on the volume or in a folder.",
    short_help=COMMANDS["session"].about,
    subcommand_metavar="COMMAND [ARGS]...",
)
root = LazyGroup(
    "aletheia",
    entries=COMMANDS,
    params=[
        *cluster_options(),
        click.Option(
            ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
        ),
    ],
    callback=lambda **cluster: None,
    help="What broke in this cluster, and the evidence of it: starts Investigations and reads what they found.",
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings=SETTINGS,
)
