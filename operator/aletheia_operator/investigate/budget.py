"""How many bytes of evidence a session and a namespace may hold; what is beyond is a gap."""

from dataclasses import dataclass, field

from aletheia_operator.session import SessionLayout
from aletheia_operator.session.catalog import sessions


@dataclass
class Budget:
    """The limits of one process, None for no limit, and the accounts of the captures that run in it."""

    max_session_bytes: int | None = None
    max_namespace_bytes: int | None = None
    _running: dict[str, "Account"] = field(init=False, default_factory=dict)

    def open(self, layout: SessionLayout, namespace: str, session_id: str, kept_bytes: int) -> "Account":
        """The account of a capture that holds `kept_bytes` already. Reads every manifest where namespaces are limited."""
        others = 0
        if self.max_namespace_bytes is not None:
            manifests = [entry.manifest for entry in sessions(layout) if entry.session_id != session_id]
            others = sum(
                one.size_bytes
                for one in manifests
                if one and one.investigation.namespace == namespace and one.expiration_time is None
            )
        account = self._running[session_id] = Account(self, namespace, session_id, kept_bytes, others)
        return account

    def close(self, account: "Account") -> None:
        """The capture has ended; the captures that still run count what it kept."""
        self._running.pop(account.session_id, None)
        for other in self._running.values():
            if other.namespace == account.namespace:
                other.others_bytes += account.kept_bytes

    def namespace_bytes(self, account: "Account") -> int:
        running = sum(one.kept_bytes for one in list(self._running.values()) if one.namespace == account.namespace)
        return account.others_bytes + running


@dataclass
class Account:
    """What one capture keeps, and what ended captures of its namespace do."""

    budget: Budget
    namespace: str
    session_id: str
    kept_bytes: int
    others_bytes: int

    def exceeded(self) -> str | None:
        """Why nothing more may be kept; None while there is room."""
        session, namespace = self.budget.max_session_bytes, self.budget.max_namespace_bytes
        if session is not None and self.kept_bytes >= session:
            return f"the session reached its quota of {session} bytes: ask for less, or have an admin raise it"
        if namespace is not None and self.budget.namespace_bytes(self) >= namespace:
            return (
                f"the sessions of namespace {self.namespace} reached their quota of {namespace} bytes:"
                " delete Investigations that are no longer needed, or have an admin raise it"
            )
        return None
