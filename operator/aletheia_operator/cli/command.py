"""Shared parts of the commands on sessions: options, names of sessions, and output."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aletheia_operator.cli.keys import Refused
from aletheia_operator.cli.output import print_json, readable_time
from aletheia_operator.session import Manifest, SessionLayout
from aletheia_operator.session.catalog import sessions
from aletheia_operator.session.manifest_file import read_manifest
from aletheia_operator.session.names import is_session_id
from aletheia_operator.text.display import for_terminal

Run = Callable[[argparse.Namespace], int]
DEFAULT_ROOT = Path("/var/lib/aletheia")
SESSION_HELP = "id, for example INC-7F3A, or the Investigation's NAME or NAMESPACE/NAME"
MAX_SHOWN = 5


def add_command(commands: Any, name: str, run: Run, about: str) -> argparse.ArgumentParser:
    """Add a command with the common options. `run` executes it and returns the exit code."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=about, description=about)
    root = Path(os.environ.get("ALETHEIA_ROOT") or DEFAULT_ROOT)
    parser.add_argument("--root", type=Path, default=root, help=f"folder that holds sessions/ ($ALETHEIA_ROOT, now {root})")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="text for people, json for programs")
    parser.set_defaults(run=run)
    return parser


def add_session(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names one session. `session_id` resolves it."""
    parser.add_argument("session", metavar="SESSION", help=SESSION_HELP)


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
    raise Refused(f"there is no session {name[:100]} in {layout.root}: `aletheia session list` shows those there are")


def names_of(manifest: Manifest) -> tuple[str, str]:
    """Return the names by which users may name a session besides its id."""
    owner = manifest.investigation
    return owner.name, f"{owner.namespace}/{owner.name}"


def manifest_of(options: argparse.Namespace) -> Manifest:
    """Return the manifest of the session that the options name. Raises Refused, Unreadable."""
    layout = SessionLayout(options.root)
    return read_manifest(layout, session_id(layout, options.session))


def report(options: argparse.Namespace, text: str, answer: dict[str, Any]) -> int:
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
