"""kubectl investigation cancel, delete, hold, release: changes an Investigation in its cluster."""

from typing import Any

import click

from aletheia_operator.cli.cluster import ApiError, ClusterApi, connected
from aletheia_operator.cli.errors import ExitCode, Refused
from aletheia_operator.cli.investigations import INVESTIGATION_HELP, Investigation, find, investigation_argument, refusal_of
from aletheia_operator.cli.name_completion import investigation_names
from aletheia_operator.cli.options import Options, cluster_options, option_command, reason_option
from aletheia_operator.cli.output import confirmed
from aletheia_operator.session.retention_record import LEGAL_HOLD
from aletheia_operator.text.display import for_terminal

RELEASE_HELP = (
    "With the chart's admission policy this needs the verb releasehold on Investigations: an admin has it, or binds you the"
    " ClusterRole ...-custodian."
)


def cancel(options: Options) -> int:
    """Stop a capture. What was captured is kept."""
    with connected(options) as cluster:
        investigation = find(cluster, options.investigation)
        if investigation.ended:
            print(f"{investigation.reference} has ended already: {investigation.phase}")
            return ExitCode.OK
        _patched(cluster, investigation, {"spec": {"cancel": True}})
        print(f"{investigation.reference} is being cancelled: what was captured is kept")
    return ExitCode.OK


def delete(options: Options) -> int:
    """Delete Investigations with their sessions, after a question on a terminal."""
    with connected(options) as cluster:
        found = [find(cluster, text) for text in options.investigations]
        for investigation in found:
            if (reason := investigation.annotations.get(LEGAL_HOLD)) is not None:
                words = f" ({for_terminal(reason, 200)})" if reason else ""
                lift = cluster.command("release", investigation.reference)
                raise Refused(f"{investigation.reference} is on hold{words}: `{lift}` lifts it")
        names = ", ".join(investigation.reference for investigation in found)
        what = "but keep the evidence on the volume" if options.keep_session else "with the evidence"
        if not options.yes and not confirmed(f"Delete {names}, {what}?"):
            raise Refused("nothing was deleted; --yes deletes without asking")
        for investigation in found:
            if options.keep_session:
                _patched(cluster, investigation, {"spec": {"retention": {"keep": True}}})
            try:
                cluster.delete(investigation.path, investigation.uid)
            except ApiError as e:
                raise refusal_of(e, investigation.namespace) from e
            print(f"{investigation.reference} deleted{', its session is kept' if options.keep_session else ''}")
    return ExitCode.OK


def hold(options: Options) -> int:
    """Protect an Investigation and its evidence from removal."""
    with connected(options) as cluster:
        investigation = find(cluster, options.investigation)
        _patched(cluster, investigation, {"metadata": {"annotations": {LEGAL_HOLD: options.reason}}})
        lift = cluster.command("release", investigation.reference)
        print(f"{investigation.reference} is on hold: nothing removes its data until `{lift}`")
    return ExitCode.OK


def release(options: Options) -> int:
    """Lift the hold of an Investigation."""
    with connected(options) as cluster:
        investigation = find(cluster, options.investigation)
        if LEGAL_HOLD not in investigation.annotations:
            print(f"{investigation.reference} was not on hold")
            return ExitCode.OK
        _patched(cluster, investigation, {"metadata": {"annotations": {LEGAL_HOLD: None}}})
        print(f"{investigation.reference} is released")
    return ExitCode.OK


def _patched(cluster: ClusterApi, investigation: Investigation, change: dict[str, Any]) -> None:
    """Apply a change to this Investigation, not to a new one of the same name. Raises Refused."""
    metadata = {**change.get("metadata", {}), "uid": investigation.uid}
    try:
        cluster.patch(investigation.path, {**change, "metadata": metadata})
    except ApiError as e:
        raise refusal_of(e, investigation.namespace) from e


cancel_command = option_command(
    "cancel",
    cancel,
    "stop a capture; what was captured is kept",
    investigation_argument(),
    *cluster_options(),
    notes=INVESTIGATION_HELP,
)
delete_command = option_command(
    "delete",
    delete,
    "delete Investigations with their evidence",
    click.Argument(["investigations"], metavar="INVESTIGATION...", nargs=-1, required=True, shell_complete=investigation_names),
    click.Option(["-y", "--yes"], is_flag=True, help="Delete without asking."),
    click.Option(["--keep-session"], is_flag=True, help="Keep the evidence on the session volume."),
    *cluster_options(),
    notes=INVESTIGATION_HELP,
)
hold_command = option_command(
    "hold",
    hold,
    "keep an Investigation and its evidence from removal, until it is released",
    investigation_argument(),
    reason_option(),
    *cluster_options(),
    notes=INVESTIGATION_HELP,
)
release_command = option_command(
    "release",
    release,
    "lift the hold of an Investigation",
    investigation_argument(),
    *cluster_options(),
    notes=f"{INVESTIGATION_HELP}\n\n{RELEASE_HELP}",
)
