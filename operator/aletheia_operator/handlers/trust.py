"""Decides whether the creator of an Investigation was checked: the admission policy may be missing, or newer.

The API server's policy (the chart's ValidatingAdmissionPolicy) refuses an Investigation when its creator may not do what the
operator would do for them: impersonate the ServiceAccount that it names, or read the logs, events and objects that it asks for.
An Investigation does not say who created it, so the operator checks instead whether the policy and its binding
existed when the Investigation was created. All three times are the API server's, so no tenant can forge them. The policy also
checks who ends a suspension. So an older Investigation may be captured if it was still suspended when the policy stood.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aletheia_operator.api.reasons import ConditionReason
from aletheia_operator.clients.errors import SourceError, if_found
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.settings import Rights

log = logging.getLogger(__name__)

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
POLICY_DELAY = timedelta(seconds=5)
"""Longest time until all API servers apply a new policy."""
NOTE_SECONDS = 5
"""Longest wait for the check of an Investigation that has to wait anyway."""
CREATOR_CHECKED = "creatorChecked"
"""Field of the status: true if an operator has found that the Investigation may be captured, also after an upgrade."""
SUSPENDED_UNDER = "suspendedUnder"
"""Field of the status: `Policy.id` of the policy that stood while the Investigation was suspended."""


@dataclass(frozen=True)
class Refusal:
    """Why an Investigation is not captured: nobody checked its creator."""

    reason: ConditionReason
    message: str


@dataclass(frozen=True)
class Policy:
    """The admission policy with its binding."""

    since: datetime
    """Time since which both exist."""
    id: str
    """Their uids. A policy that was deleted and created again has another one."""


@dataclass(frozen=True)
class Trust:
    """The admin's settings, and the API to look the policy up."""

    kubernetes: Kubernetes
    rights: Rights
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _first_seen: dict[str, float] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Monotonic times at which this process first saw a policy, by `Policy.id`."""

    async def refusal(self, body: Mapping[str, Any], seen_at: float = math.inf) -> Refusal | None:
        """Return why the Investigation may not be captured; None if it may. Raises SourceError if that is unknown.

        One that waits or runs was checked before (CREATOR_CHECKED). An upgrade may have replaced the policy since.
        `seen_at`: monotonic time at which the Investigation existed. What was read of the policy since then, for another
        Investigation, counts for this one, too.
        """
        if self.rights.trust_creators or _was_checked(body):
            return None
        spec, status = body.get("spec") or {}, body.get("status") or {}
        account = spec.get("serviceAccountName")
        if account == self.rights.default_service_account:
            account = None
        created = datetime.fromisoformat(body["metadata"]["creationTimestamp"])
        suspended_under = None if spec.get("suspend") else status.get(SUSPENDED_UNDER)  # one that is cancelled is not begun
        message = await self._unchecked(account, created, suspended_under, seen_at)
        if message is None:
            return None
        if account is None:
            return Refusal(ConditionReason.CREATOR_NOT_CHECKED, message)
        return Refusal(ConditionReason.SERVICE_ACCOUNT_NOT_ALLOWED, f"spec.serviceAccountName {account}: {message}")

    async def policy_of_suspension(self) -> str | None:
        """Return the id of the policy that from now on checks who ends a suspension; None without one. Raises SourceError.

        Waits until all API servers apply the policy. It relies on no clock but its own.
        """
        if self.rights.creator_policy is None or self.rights.trust_creators:
            return None
        policy = await self._policy(self.rights.creator_policy, 0.0)  # 0.0: also what others have read
        if policy is None:
            return None
        left = self._first_seen[policy.id] + POLICY_DELAY.total_seconds() - time.monotonic()
        await self.sleep(max(0.0, left))
        return policy.id

    async def wait_for_policy(self, now: datetime) -> None:
        """Wait until a policy that was just created applies everywhere: until then, new Investigations would be refused.

        Returns at once if no policy is required or found, or if the API server does not answer.
        """
        if self.rights.creator_policy is None or self.rights.trust_creators:
            return
        try:
            policy = await self._policy(self.rights.creator_policy, math.inf)
        except SourceError as e:
            log.warning("the admission policy %s cannot be looked up: %s", self.rights.creator_policy, e.message)
            return
        if policy is not None:
            left = min(policy.since + POLICY_DELAY - now, POLICY_DELAY)  # the two clocks may differ
            await self.sleep(max(0.0, left.total_seconds()))

    async def _unchecked(
        self, account: str | None, created: datetime, suspended_under: str | None, seen_at: float
    ) -> str | None:
        """Return why the creator was not checked; None if they were, or if an admin wants no check.

        `account`: the ServiceAccount that the creator has chosen; None: the operator's own rights, or the admin's choice.
        `suspended_under`: id of the policy that has checked who ended a suspension; None without one.
        """
        name = self.rights.creator_policy
        if name is None:
            if account is None:
                return None
            return (
                "nobody checks who may name it. An admin can start the operator with --creator-policy (the chart's"
                " admissionPolicy), or with --trust-creators"
            )
        policy = await self._policy(name, seen_at)
        if policy is None:
            return f"the admission policy {name} is missing or does not deny: ask an admin"
        if created < policy.since + POLICY_DELAY and suspended_under != policy.id:
            return (
                f"created before the admission policy {name} stood, so nobody has checked whether its creator may read what it"
                " asks for: create it again"
            )
        return None

    async def _policy(self, name: str, seen_at: float) -> Policy | None:
        """Return the policy with its binding; None if one is missing. Raises SourceError."""
        times, uids, kubernetes = [], [], self.kubernetes.sharing(seen_at)
        for path in (f"{POLICIES}/{name}", f"{BINDINGS}/{name}"):
            found = await if_found(kubernetes.read(path, dict))
            if found is None:
                return None
            if path.startswith(BINDINGS) and "Deny" not in (found["spec"].get("validationActions") or []):
                return None
            times.append(datetime.fromisoformat(found["metadata"]["creationTimestamp"]))
            uids.append(found["metadata"]["uid"])
        policy = Policy(max(times), "/".join(uids))
        self._first_seen.setdefault(policy.id, time.monotonic())
        return policy


class CreatorCheck:
    """The check of one Investigation's creator. It is not repeated once it was passed."""

    def __init__(self, trust: Trust, body: Mapping[str, Any], seen_at: float) -> None:
        self._trust = trust
        self._body = body
        self._seen_at = seen_at
        self._passed = False

    async def refusal(self) -> Refusal | None:
        """Return why the Investigation may not be captured; None if it may. Raises SourceError if that is unknown."""
        if self._passed:
            return None
        refusal = await self._trust.refusal(self._body, self._seen_at)
        self._passed = refusal is None
        return refusal

    async def note(self) -> dict[str, Any]:
        """Return the field of the status that says that the check was passed; {} if it was not, or if that is unknown."""
        try:
            async with asyncio.timeout(NOTE_SECONDS):
                return {} if await self.refusal() else {CREATOR_CHECKED: True}
        except (SourceError, TimeoutError):
            return {}


def _was_checked(body: Mapping[str, Any]) -> bool:
    """Return whether an operator has checked the creator before. Only operators may write the status that says so."""
    status = body.get("status") or {}
    return bool(status.get(CREATOR_CHECKED) or status.get("session"))
