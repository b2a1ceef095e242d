"""Options that several commands have, and the values that a command gets.

The cluster options are kubectl's. They may stand before or after the command.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click

from aletheia_operator.cli.errors import Refused
from aletheia_operator.text.display import one_line

MAX_REASON = 1000  # characters
DEFAULT_ROOT = Path("/var/lib/aletheia")
HOME_ROOT = "~/.local/share/aletheia"
SESSION_HELP = "SESSION: id, for example INC-7F3A, or the Investigation's NAME or NAMESPACE/NAME."

Options = SimpleNamespace
"""The values of a command's options and arguments, by their names."""
Action = Callable[[Options], int]
"""Executes a command and returns its exit code."""

FILE = click.Path(path_type=Path)
CLUSTER = ("namespace", "context", "kubeconfig", "as_user")
"""Names of the values of `cluster_options`."""


class Exclusive(click.Option):
    """An option that cannot be named together with others. `excludes`: their names."""

    def __init__(self, *arguments: Any, excludes: tuple[str, ...], **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.excludes = excludes

    def handle_parse_result(self, ctx: click.Context, opts: Any, args: list[str]) -> tuple[Any, list[str]]:
        if self.name in opts:
            for other in self.excludes:
                if other in opts:
                    flag = next(option.opts[-1] for option in ctx.command.params if option.name == other)
                    raise click.UsageError(f"{self.opts[-1]} is not allowed with {flag}", ctx)
        return super().handle_parse_result(ctx, opts, args)


def option_command(name: str, run: Action, about: str, *parameters: click.Parameter, notes: str = "") -> click.Command:
    """Make a command. `about`: its line in the list of commands; `notes`: more paragraphs for its help."""

    def call(**values: Any) -> int:
        inherited = click.get_current_context().find_root().params
        for option in CLUSTER:
            if option in values and values[option] is None:
                values[option] = inherited.get(option)
        return run(Options(**values))

    text = f"{about[0].upper()}{about[1:]}." + (f"\n\n{notes}" if notes else "")
    return click.Command(name, params=list(parameters), callback=call, help=text, short_help=about)


def _as_kubectl(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    """Read `-n=shop` as kubectl does. Click takes the `=` for a part of the value."""
    return text and text.removeprefix("=")


def cluster_options() -> list[click.Parameter]:
    """Return kubectl's options for cluster, namespace and user."""
    return [
        click.Option(
            ["-n", "--namespace"],
            metavar="NAMESPACE",
            callback=_as_kubectl,
            help="Namespace; default: that of kubectl's context.",
        ),
        click.Option(["--context"], metavar="NAME", help="kubectl's --context."),
        click.Option(["--kubeconfig"], metavar="FILE", help="kubectl's --kubeconfig."),
        click.Option(["--as", "as_user"], metavar="USER", help="kubectl's --as: act as this user or service account."),
    ]


def all_namespaces_option() -> click.Option:
    return click.Option(["-A", "--all-namespaces"], is_flag=True, help="All namespaces.")


def default_root() -> Path:
    """Return the session volume if this is the operator's pod, else a folder of this user."""
    if DEFAULT_ROOT.is_dir():
        return DEFAULT_ROOT
    data = os.environ.get("XDG_DATA_HOME")
    return Path(data) / "aletheia" if data else Path(HOME_ROOT).expanduser()


def root_option(default: bool = True) -> click.Option:
    """Return --root, the folder of sessions. `default` False: its value is None unless the user names it."""
    if not default:
        return click.Option(["--root"], type=FILE, metavar="FOLDER", help="Read the session from this folder, not a cluster.")
    about = f"Folder that holds sessions/; default: $ALETHEIA_ROOT, {DEFAULT_ROOT} in the pod, or {HOME_ROOT}."
    return click.Option(
        ["--root"], type=FILE, default=default_root, envvar="ALETHEIA_ROOT", show_envvar=False, metavar="FOLDER", help=about
    )


def key_options() -> list[click.Parameter]:
    """Return the options that open a sealed session."""
    return [
        Exclusive(
            ["-i", "--identity"],
            type=FILE,
            metavar="FILE",
            excludes=("password_file",),
            help="age or SSH private key, for a session with recipients.",
        ),
        Exclusive(
            ["--password-file"],
            type=FILE,
            metavar="FILE",
            excludes=("identity",),
            help="Password of the session; default: asked for.",
        ),
    ]


def _names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
    from aletheia_operator.cli.name_completion import investigation_names

    return investigation_names(context, parameter, incomplete)


def session_argument() -> click.Argument:
    return click.Argument(["session"], metavar="SESSION", shell_complete=_names)


def report_options() -> list[click.Parameter]:
    """Return the options for the form of a report, and for the file that it is written to."""
    about = "html: one file, with pictures; markdown: for a chat."
    return [
        click.Option(["--format"], type=click.Choice(("html", "markdown")), default="html", help=about),
        click.Option(["-f", "--file"], type=FILE, metavar="FILE", help="Where to write it; default: standard output."),
    ]


def require_file_for_html(options: Options) -> None:
    """Raise Refused if HTML would be written to a terminal."""
    if options.format == "html" and options.file is None and sys.stdout.isatty():
        raise Refused("HTML is not for a terminal: write it with -f FILE, see it with `open`, or print --format markdown")


def reading_options() -> list[click.Parameter]:
    """Return the parameters of commands that read one session, from the cluster or a folder: see `reference.open_session`."""
    return [session_argument(), *cluster_options(), root_option(default=False), *key_options()]


def reason_option() -> click.Option:
    """Return the option for the reason of a hold, which must not be empty."""

    def checked(context: click.Context, parameter: click.Parameter, text: str) -> str:
        reason = one_line(text, MAX_REASON)
        if not reason:
            raise click.BadParameter("a reason in words is needed")
        return reason

    about = "Why it is kept, and who decides on that, for example a case number."
    return click.Option(["--reason"], required=True, metavar="WORDS", callback=checked, help=about)


def kubectl_flags(options: Options) -> list[str]:
    """Return kubectl's flags for the cluster that the options name."""
    named = {"context": options.context, "kubeconfig": options.kubeconfig, "as": options.as_user}
    return [f"--{flag}={value}" for flag, value in named.items() if value]
