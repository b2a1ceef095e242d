"""Decides whether the creator of an Investigation was checked: the admission policy may be missing, or newer.

The API server's policy (the chart's ValidatingAdmissionPolicy) refuses an Investigation when its creator may not do what the
operator would do for them: impersonate the ServiceAccount that it names, or read the logs, events and objects that it asks for.
An Investigation does not say who created it, so the operator checks instead whether the policy and its binding
existed when the Investigation was created. All three times are the API server's, so no tenant can forge them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aletheia_operator.api.reasons import ConditionReason, GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.settings import Rights

log = logging.getLogger(__name__)

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
POLICY_DELAY = timedelta(seconds=5)
"""Longest time until all API servers apply a new policy."""


@dataclass(frozen=True)
class Refusal:
    """Why an Investigation is not captured: nobody checked its creator."""

    reason: ConditionReason
    message: str


@dataclass(frozen=True)
class Trust:
    """The admin's settings, and the API to look the policy up."""

    kubernetes: Kubernetes
    rights: Rights

    async def refusal(self, body: Mapping[str, Any]) -> Refusal | None:
        """Return why the Investigation may not be captured; None if it may. Raises SourceError if that is unknown."""
        if self.rights.trust_creators:
            return None
        account = (body.get("spec") or {}).get("serviceAccountName")
        if account == self.rights.default_service_account:
            account = None
        message = await self._unchecked(account, datetime.fromisoformat(body["metadata"]["creationTimestamp"]))
        if message is None:
            return None
        if account is None:
            return Refusal(ConditionReason.CREATOR_NOT_CHECKED, message)
        return Refusal(ConditionReason.SERVICE_ACCOUNT_NOT_ALLOWED, f"spec.serviceAccountName {account}: {message}")

    async def wait_for_policy(self, now: datetime, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Wait until a policy that was just created applies everywhere: until then, new Investigations would be refused.

        Returns at once if no policy is required or found, or if the API server does not answer.
        """
        if self.rights.creator_policy is None or self.rights.trust_creators:
            return
        try:
            since = await self._since(self.rights.creator_policy)
        except SourceError as e:
            log.warning("the admission policy %s cannot be looked up: %s", self.rights.creator_policy, e.message)
            return
        if since is not None:
            left = min(since + POLICY_DELAY - now, POLICY_DELAY)  # the two clocks may differ
            await sleep(max(0.0, left.total_seconds()))

    async def _unchecked(self, account: str | None, created: datetime) -> str | None:
        """Return why the creator was not checked; None if they were, or if an admin wants no check.

        `account`: the ServiceAccount that the creator has chosen; None: the operator's own rights, or the admin's choice.
        """
        name = self.rights.creator_policy
        if name is None:
            if account is None:
                return None
            return (
                "nobody checks who may name it. An admin can start the operator with --creator-policy (the chart's"
                " admissionPolicy), or with --trust-creators"
            )
        since = await self._since(name)
        if since is None:
            return f"the admission policy {name} is missing or does not deny: ask an admin"
        if created < since + POLICY_DELAY:
            return (
                f"created before the admission policy {name} stood, so nobody has checked whether its creator may read what it"
                " asks for: create it again"
            )
        return None

    async def _since(self, name: str) -> datetime | None:
        """Return since when the policy and its binding exist; None if one is missing. Raises SourceError."""
        times = []
        for path in (f"{POLICIES}/{name}", f"{BINDINGS}/{name}"):
            try:
                found = await self.kubernetes.get(path)
            except SourceError as e:
                if e.reason == GapReason.NOT_FOUND:
                    return None
                raise
            if path.startswith(BINDINGS) and "Deny" not in (found["spec"].get("validationActions") or []):
                return None
            times.append(datetime.fromisoformat(found["metadata"]["creationTimestamp"]))
        return max(times)
