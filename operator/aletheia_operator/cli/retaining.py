"""aletheia session delete | hold | release: deletes a session, or protects it from removal."""

from contextlib import suppress

import click

from aletheia_operator.cli.command import folder_command, print_result, session_id
from aletheia_operator.cli.errors import Refused
from aletheia_operator.cli.legal_hold import legal_hold_in_cluster
from aletheia_operator.cli.options import SESSION_HELP, Options, reason_option, session_argument
from aletheia_operator.cli.output import confirmed
from aletheia_operator.session import SessionLayout
from aletheia_operator.session.manifest_file import Unreadable, read_manifest
from aletheia_operator.session.retention import remove
from aletheia_operator.session.retention_record import (
    LEGAL_HOLD,
    read_retention_record,
    update_retention_record,
)
from aletheia_operator.session.staging import remove_leftovers


def delete(options: Options) -> int:
    layout = SessionLayout(options.root)
    id = session_id(layout, options.session)
    _require_no_hold(options, layout, id)
    if not options.yes and not confirmed(f"Delete {id} and its evidence?"):
        raise Refused("nothing was deleted; --yes deletes without asking")
    remove(layout, id, by_hand=True)
    remove_leftovers(layout)
    return print_result(options, f"{id} deleted", {"session": id})


def hold(options: Options) -> int:
    layout = SessionLayout(options.root)
    id = session_id(layout, options.session)
    try:
        update_retention_record(layout, id, hold=options.reason)
    except FileNotFoundError as e:
        raise Refused(f"{id} was removed meanwhile") from e
    message = f"{id} is on hold ({options.reason}): nothing removes its data until `aletheia session release {id}`"
    return print_result(options, message, {"session": id, "hold": options.reason})


def release(options: Options) -> int:
    """Lift the holds that the volume records. The annotation of an existing Investigation must be removed in the cluster."""
    layout = SessionLayout(options.root)
    id = session_id(layout, options.session)
    record = read_retention_record(layout, id)
    if record.legal_hold is not None and record.orphaned_since is None and not options.gone:
        raise Refused(
            f"{id} is held by its Investigation ({record.legal_hold}): {_annotation_remedy(layout, id)},"
            " or release it with --gone if there is no such Investigation any more"
        )
    # orphaned_since is reset, so that the sweeper waits the whole grace period again
    released = update_retention_record(layout, id, hold=None, legal_hold=None, orphaned_since=None)
    goes = record.orphaned_since is not None and not released.outlives_investigation
    what_next = ": its Investigation is gone, so the operator removes it after its grace period for orphans" if goes else ""
    message = f"{id} was not on hold" if record.hold_reason is None else f"{id} is released{what_next}"
    return print_result(options, message, {"session": id, "released": record.hold_reason is not None})


def _require_no_hold(options: Options, layout: SessionLayout, id: str) -> None:
    """Raise Refused if the session is on hold, by the volume or by the current Investigation."""
    record = read_retention_record(layout, id)
    if record.hold is not None:
        raise Refused(f"{id} is under legal hold ({record.hold}): `aletheia session release {id}` lifts it")
    if record.legal_hold is not None and record.orphaned_since is not None:
        raise Refused(
            f"{id} is under legal hold ({record.legal_hold}), and its Investigation is gone:"
            f" `aletheia session release {id}` lifts it"
        )
    annotation = record.legal_hold
    if not options.skip_hold_check:
        with suppress(Unreadable):  # the Investigation is not known
            annotation = legal_hold_in_cluster(read_manifest(layout, id).investigation, record.adopted_by) or annotation
    if annotation is not None:
        raise Refused(f"{id} is under legal hold ({annotation}): {_annotation_remedy(layout, id)}")


def _annotation_remedy(layout: SessionLayout, id: str) -> str:
    try:
        owner = read_manifest(layout, id).investigation
    except Unreadable:
        return f"take the annotation {LEGAL_HOLD} off its Investigation"
    return f"take it off with `kubectl annotate investigation -n {owner.namespace} {owner.name} {LEGAL_HOLD}-`"


delete_command = folder_command(
    "delete",
    delete,
    "delete a session and its evidence",
    session_argument(),
    click.Option(["--yes"], is_flag=True, help="Delete without asking."),
    click.Option(
        ["--skip-hold-check"],
        is_flag=True,
        help="In the operator's pod: delete even if the API server cannot be asked for a hold.",
    ),
    notes=SESSION_HELP,
)
hold_command = folder_command(
    "hold",
    hold,
    "keep a session's data from expiry, caps and deletion until it is released",
    session_argument(),
    reason_option(),
    notes=SESSION_HELP,
)
release_command = folder_command(
    "release",
    release,
    "lift the hold that `hold` set, and that of an Investigation that no longer exists",
    session_argument(),
    click.Option(
        ["--gone"],
        is_flag=True,
        help="The Investigation no longer exists, though the operator has not recorded that yet.",
    ),
    notes=SESSION_HELP,
)
