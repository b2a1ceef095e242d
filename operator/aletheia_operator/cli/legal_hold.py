"""Reads the legal hold of an Investigation from the API server, for a command that runs in the operator's pod."""

import asyncio
import os

from aletheia_operator.api import paths
from aletheia_operator.cli.errors import Refused
from aletheia_operator.session import InvestigationReference
from aletheia_operator.session.retention_record import legal_hold_of


def legal_hold_in_cluster(owner: InvestigationReference, adopted_by: str | None) -> str | None:
    """Return the value of the legal hold annotation; None without an annotation, Investigation or cluster.

    `adopted_by`: uid of the restored Investigation that the session belongs to; None: of `owner`.
    The volume's record of the annotation may be some moments old, and a deletion is final. Raises Refused if the API server
    cannot be reached.
    """
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        return None
    return asyncio.run(_legal_hold(owner, adopted_by))


async def _legal_hold(owner: InvestigationReference, adopted_by: str | None) -> str | None:
    from aletheia_operator.api.reasons import GapReason
    from aletheia_operator.clients import kubernetes
    from aletheia_operator.clients.errors import SourceError

    try:
        client = await kubernetes.connect()
    except Exception as e:  # the client's configuration may raise anything: no token, no certificate
        raise Refused(_hold_unknown(owner, str(e))) from e
    try:
        metadata = (await client.get(paths.investigation(owner.namespace, owner.name)))["metadata"]
    except SourceError as e:
        if e.reason == GapReason.NOT_FOUND:
            return None
        raise Refused(_hold_unknown(owner, e.message)) from e
    finally:
        await client.close()
    return legal_hold_of(metadata) if metadata["uid"] in (owner.uid, adopted_by) else None


def _hold_unknown(owner: InvestigationReference, why: str) -> str:
    return (
        f"whether Investigation {owner.namespace}/{owner.name} holds it cannot be asked ({why}):"
        " try again, or delete all the same with --skip-hold-check"
    )
