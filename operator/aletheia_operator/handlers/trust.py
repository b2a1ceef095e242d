"""Decides whether an Investigation may name its ServiceAccount: the admission policy may be missing, or younger than it.

The API server's policy (the chart's ValidatingAdmissionPolicy) refuses an Investigation when its creator may not impersonate
the ServiceAccount that it names. An Investigation does not say who created it, so the operator cannot ask again: it asks
whether the policy stood when the Investigation was created, unless an admin has said that creators are to be trusted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.settings import Rights

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
POLICY_DELAY = timedelta(seconds=5)
"""Longest time until all API servers apply a new policy."""


@dataclass(frozen=True)
class Trust:
    """The admin's settings, and the API to look the policy up."""

    kubernetes: Kubernetes
    rights: Rights

    async def refusal(self, body: Mapping[str, Any]) -> str | None:
        """Say why the Investigation may not read as its ServiceAccount; None if it may. Raises SourceError if unknown."""
        account = (body.get("spec") or {}).get("serviceAccountName")
        if account in (None, self.rights.default_service_account) or self.rights.trust_creators:
            return None
        name = self.rights.impersonation_policy
        if name is None:
            return (
                f"spec.serviceAccountName: nobody checks who may name ServiceAccount {account}. An admin can start the operator"
                " with --impersonation-policy (the chart's admissionPolicy), or with --trust-creators"
            )
        since = await self._since(name)
        created = datetime.fromisoformat(body["metadata"]["creationTimestamp"])
        if since is None:
            return f"spec.serviceAccountName: the admission policy {name} is missing or does not deny: ask an admin"
        if created < since + POLICY_DELAY:
            return (
                f"spec.serviceAccountName: created before the admission policy {name} stood, so nobody has checked whether its"
                f" creator may impersonate ServiceAccount {account}: create it again"
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
