"""Shared parts of the commands on sessions: options, names of sessions, and output."""

from typing import Any

import click

from aletheia_operator.cli.errors import Refused
from aletheia_operator.cli.options import Action, Options, option_command, root_option
from aletheia_operator.cli.output import print_json, readable_time
from aletheia_operator.session import Manifest, SessionLayout
from aletheia_operator.session.catalog import sessions
from aletheia_operator.session.manifest_file import read_manifest
from aletheia_operator.session.names import is_session_id
from aletheia_operator.text.display import for_terminal

MAX_SHOWN = 5


def folder_command(name: str, run: Action, about: str, *parameters: click.Parameter, notes: str = "") -> click.Command:
    """Make a command on the sessions of a folder."""
    output = click.Option(
        ["-o", "--output"], type=click.Choice(["text", "json"]), default="text", help="text for people, json for programs."
    )
    return option_command(name, run, about, *parameters, root_option(), output, notes=notes)


def session_id(layout: SessionLayout, name: str) -> str:
    """Return the id of the session with this id, or of the Investigation NAME or NAMESPACE/NAME. Raises Refused."""
    if is_session_id(name) and layout.session(name).is_dir():
        return name
    found = [entry.manifest for entry in sessions(layout) if entry.manifest and name in names_of(entry.manifest)]
    if len(found) == 1:
        return found[0].session_id
    if found:
        raise Refused(f"{name[:100]} names {len(found)} sessions: {_shown(found)}. Name one by its id")
    if is_session_id(name.upper()) and layout.session(name.upper()).is_dir():
        return name.upper()
    raise Refused(
        f"there is no session {name[:100]} in {layout.root}: `session list` shows those there are, `fetch` downloads one from a"
        " cluster"
    )


def names_of(manifest: Manifest) -> tuple[str, str]:
    """Return the names that users may write in place of a session's id."""
    owner = manifest.investigation
    return owner.name, f"{owner.namespace}/{owner.name}"


def manifest_of(options: Options) -> Manifest:
    """Return the manifest of the session that the options name. Raises Refused, Unreadable."""
    layout = SessionLayout(options.root)
    return read_manifest(layout, session_id(layout, options.session))


def print_result(options: Options, text: str, answer: dict[str, Any]) -> int:
    """Print what was done, as text or as JSON, and return the exit code."""
    if options.output == "json":
        print_json(answer)
    else:
        print(for_terminal(text))
    return 0


def _shown(manifests: list[Manifest]) -> str:
    newest = sorted(manifests, key=lambda manifest: manifest.start_time, reverse=True)
    shown = [
        f"{manifest.session_id} ({names_of(manifest)[1]}, {readable_time(manifest.start_time)})"
        for manifest in newest[:MAX_SHOWN]
    ]
    return ", ".join([*shown, *(["..."] if len(newest) > MAX_SHOWN else [])])
