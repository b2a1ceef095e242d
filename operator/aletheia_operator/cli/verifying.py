"""aletheia session verify: prints one line for each session, and its faults."""

from typing import Any

import click

from aletheia_operator.cli.command import folder_command, session_id
from aletheia_operator.cli.errors import Refused
from aletheia_operator.cli.keys import session_key
from aletheia_operator.cli.options import SESSION_HELP, Options, key_options
from aletheia_operator.cli.output import print_json
from aletheia_operator.session import Manifest, SessionLayout
from aletheia_operator.session.age import AgeError
from aletheia_operator.session.catalog import sessions
from aletheia_operator.session.lock import SessionBusy, locked
from aletheia_operator.session.manifest_file import Unreadable
from aletheia_operator.session.unseal import decrypt_artifact
from aletheia_operator.session.verify import Verification, verify
from aletheia_operator.text.display import for_terminal

FAULTY = ("damaged", "unreadable", "unopened")
KINDS = ("missing", "extra", "altered")
MAX_PATH = 500


def run(options: Options) -> int:
    """Verify the named sessions, or all. Returns 1 if one is faulty, or the capture of a named one has not ended."""
    layout = SessionLayout(options.root)
    ids = [session_id(layout, name) for name in options.session] or [entry.session_id for entry in sessions(layout)]
    results = [result for id in ids if (result := _result(options, layout, id)) is not None]
    if options.output == "json":
        print_json(results)
    else:
        for result in results:
            _print(result)
    bad = FAULTY if not options.session else (*FAULTY, "running", "interrupted")
    return 1 if any(result["state"] in bad for result in results) else 0


def _result(options: Options, layout: SessionLayout, session_id: str) -> dict[str, Any] | None:
    """Verify one session. Returns the result; None if the session was removed meanwhile."""
    directory = layout.session(session_id)
    try:
        found = verify(directory)
    except Unreadable as e:
        if not options.session and not directory.exists():
            return None
        return {"session": session_id, "state": "unreadable", "intact": False, "fault": str(e)}
    state, fault = _state(layout, found), ""
    if state == "intact" and found.manifest.encryption and (options.identity or options.password_file):
        try:
            _open_all(options, layout, found.manifest)
        except (AgeError, Refused) as e:
            state, fault = "unopened", str(e)
    return {
        "session": session_id,
        "state": state,
        "intact": state == "intact",
        "finished": found.manifest.finished,
        "manifestSha256": found.manifest_sha256,
        **{kind: list(getattr(found, kind)) for kind in KINDS},
        **({"expirationTime": found.manifest.to_json()["expirationTime"]} if found.manifest.expiration_time else {}),
        **({"fault": fault} if fault else {}),
    }


def _state(layout: SessionLayout, found: Verification) -> str:
    """Return the session's state. `running` and `interrupted`: the capture has not ended, so there is no final manifest yet."""
    if not found.manifest.finished:
        try:
            with locked(layout.session(found.manifest.session_id)):
                return "interrupted"
        except SessionBusy:
            return "running"
    if not found.intact:
        return "damaged"
    return "expired" if found.manifest.expiration_time else "intact"


def _open_all(options: Options, layout: SessionLayout, manifest: Manifest) -> None:
    key = session_key(manifest, options)
    for artifact in manifest.artifacts:
        decrypt_artifact(layout.session(manifest.session_id), artifact, key, lambda block: None)


def _print(result: dict[str, Any]) -> None:
    session_id = result["session"]
    match result["state"]:
        case "intact":
            print(f"{session_id}: intact, manifest sha256 {result['manifestSha256']}")
        case "expired":
            print(f"{session_id}: expired: its data was removed at {result['expirationTime']}")
        case "running":
            print(f"{session_id}: its capture has not ended")
        case "interrupted":
            print(f"{session_id}: its capture was interrupted: the operator resumes it, or ends it")
        case "unreadable":
            print(f"{session_id}: NOT readable: {for_terminal(result['fault'], MAX_PATH)}")
        case "unopened":
            print(f"{session_id}: whole, but NOT opened: {for_terminal(result['fault'], MAX_PATH)}")
        case _:
            expired = result.get("expirationTime")
            print(f"{session_id}: NOT intact" + (f", and expired at {expired}" if expired else ""))
    for kind in KINDS if result["state"] == "damaged" else ():
        for path in result[kind]:
            print(f"  {kind}: {for_terminal(path, MAX_PATH)}")


command = folder_command(
    "verify",
    run,
    "compare sessions with their manifests: every file, and its SHA-256",
    click.Argument(["session"], metavar="[SESSION]...", nargs=-1),
    *key_options(),
    notes=f"{SESSION_HELP} Default: every session.",
)
