"""Finds what would fail for this user in this cluster, and the command that fixes it. Each check is one function."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from aletheia_operator.api.paths import API, API_VERSION, ARTIFACTS_GROUP, ARTIFACTS_ROOT, DATA_SOURCES, INVESTIGATIONS
from aletheia_operator.api.types import GROUP
from aletheia_operator.cli.cluster import UNREACHABLE, ApiError, ClusterApi
from aletheia_operator.cli.pod import SELECTOR
from aletheia_operator.cli.rights import Rights
from aletheia_operator.clients.errors import DOWN, FORBIDDEN, MISSING
from aletheia_operator.text.display import for_terminal
from aletheia_operator.version import __version__

State = Literal["ok", "note", "fails"]
CHART = "helm upgrade --install aletheia charts/aletheia-operator -n aletheia-system --create-namespace"
OWN_RIGHTS = (
    ("create", GROUP, INVESTIGATIONS, "investigator", "start Investigations"),
    ("list", GROUP, INVESTIGATIONS, "investigator", "list and follow Investigations"),
    ("patch", GROUP, INVESTIGATIONS, "investigator", "cancel and hold Investigations"),
    ("delete", GROUP, INVESTIGATIONS, "investigator", "delete Investigations"),
    ("get", ARTIFACTS_GROUP, "sessions", "evidence", "list sessions"),
    ("get", ARTIFACTS_GROUP, "sessions/files", "evidence", "read evidence"),
)
"""Verb, API group, resource, the chart's ClusterRole that has it, and what it is needed for."""
READS = (("list", "", "pods"), ("get", "", "pods/log"), ("list", "", "events"), ("list", "apps", "replicasets"))
"""The most important reads of a capture: verb, API group, resource."""


@dataclass(frozen=True)
class Check:
    """The result of one check. `remedy`: a command or a step; empty if nothing needs to be done."""

    name: str
    state: State
    message: str
    remedy: str = ""


@dataclass
class Diagnosis:
    """Runs the checks for a namespace. `service_account`: the ServiceAccount of an Investigation; None: it names none."""

    cluster: ClusterApi
    service_account: str | None = None
    _pods: list[dict[str, Any]] = field(default_factory=list)

    @property
    def _rights(self) -> Rights:
        return Rights(self.cluster)

    def checks(self) -> Iterator[Check]:
        """Yield the results, causes before their consequences. A check without the right to read yields a note."""
        steps: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
            ("cluster", self._server),
            ("resources", self._resources),
            ("operator", self._operator),
            ("volume", self._volume),
            ("your rights", self._own_rights),
            ("service account", self._reading_rights),
            ("artifacts API", self._artifacts),
            ("DataSources", self._sources),
        )
        for name, step in steps:
            try:
                yield from step()
            except ApiError as e:
                if e.reason == UNREACHABLE:
                    yield Check(name, "fails", for_terminal(str(e), 600))
                    return
                if e.status in FORBIDDEN:
                    yield Check(name, "note", f"you may not look: {for_terminal(str(e), 300)}")
                else:
                    yield Check(name, "fails", for_terminal(str(e), 300))

    def _server(self) -> Iterator[Check]:
        version = self.cluster.get("/version")
        yield Check("cluster", "ok", f"Kubernetes {for_terminal(str(version.get('gitVersion')), 60)} answers")

    def _resources(self) -> Iterator[Check]:
        try:
            found = self.cluster.get(API)
        except ApiError as e:
            if e.status not in MISSING:
                raise
            yield Check("resources", "fails", "the cluster has no Investigations", CHART)
            return
        names = {str(resource.get("name")) for resource in found.get("resources") or []}
        missing = sorted({INVESTIGATIONS, "datasources"} - names)
        if missing:
            yield Check("resources", "fails", f"the cluster has no {', '.join(missing)}", CHART)
        else:
            yield Check("resources", "ok", f"{GROUP} has Investigations and DataSources")

    def _operator(self) -> Iterator[Check]:
        self._pods = self.cluster.items("/api/v1/pods", labelSelector=SELECTOR)
        if not self._pods:
            yield Check("operator", "fails", "no pod of the operator", CHART)
        for pod in self._pods:
            yield self._pod(pod)

    def _pod(self, pod: dict[str, Any]) -> Check:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        conditions = {each["type"]: each for each in pod["status"].get("conditions") or []}
        ready = conditions.get("Ready") or {}
        version = str((pod["metadata"].get("labels") or {}).get("app.kubernetes.io/version") or "")
        if ready.get("status") != "True":
            why = for_terminal(str(ready.get("message") or pod["status"].get("phase") or "not started"), 200)
            return Check(
                "operator", "fails", f"{namespace}/{name} is not ready: {why}", f"kubectl describe pod -n {namespace} {name}"
            )
        mine = __version__
        if version and "unknown" not in mine and version != mine:
            return Check(
                "operator",
                "note",
                f"{namespace}/{name} is ready; it has version {version}, this command {mine}",
                "use the same version",
            )
        return Check("operator", "ok", f"{namespace}/{name} is ready" + (f", version {version}" if version else ""))

    def _volume(self) -> Iterator[Check]:
        for pod in self._pods:
            namespace = pod["metadata"]["namespace"]
            volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
            claim = (volumes.get("sessions") or {}).get("persistentVolumeClaim", {}).get("claimName")
            if claim is None:
                yield Check(
                    "volume",
                    "note",
                    f"sessions in {namespace} are lost with the pod: they are on no PersistentVolume",
                    f"{CHART} --set persistence.enabled=true",
                )
                continue
            found = self.cluster.get(f"/api/v1/namespaces/{quote(namespace)}/persistentvolumeclaims/{quote(claim)}")
            phase = (found.get("status") or {}).get("phase")
            size = ((found.get("status") or {}).get("capacity") or {}).get("storage", "of unknown size")
            if phase == "Bound":
                yield Check("volume", "ok", f"{namespace}/{claim} is bound, {size}")
            else:
                command = f"kubectl describe pvc -n {namespace} {claim}"
                yield Check("volume", "fails", f"{namespace}/{claim} is {phase}", command)

    def _own_rights(self) -> Iterator[Check]:
        namespace = self.cluster.namespace
        missing: dict[str, list[str]] = {}
        for verb, group, resource, role, purpose in OWN_RIGHTS:
            if not self._rights.allowed(verb, group, resource):
                missing.setdefault(role, []).append(purpose)
        for role, purposes in missing.items():
            yield Check("your rights", "fails", f"in {namespace} you may not {', '.join(purposes)}", self._rights.binding(role))
        if not missing:
            yield self._rehearsal()

    def _rehearsal(self) -> Check:
        """Create an Investigation as a dry run: admission may require rights that no other check knows."""
        namespace = self.cluster.namespace
        account = {} if self.service_account is None else {"serviceAccountName": self.service_account}
        body = {"apiVersion": API_VERSION, "kind": "Investigation", "metadata": {"name": "doctor"}}
        body |= {"spec": {"targets": [{"pod": "doctor"}], **account}}
        try:
            self.cluster.create(f"{API}/namespaces/{quote(namespace)}/{INVESTIGATIONS}", body, dryRun="All")
        except ApiError as e:
            if e.status in MISSING and not e.names_object:
                return Check("your rights", "note", "whether you may start Investigations is not known: the cluster has none")
            is_missing_read = e.status in FORBIDDEN and "RoleBinding" in str(e)  # else a quota, for example
            remedy = self._rights.binding("reader") if is_missing_read and not account else ""
            return Check("your rights", "fails", for_terminal(str(e), 600), remedy)
        return Check("your rights", "ok", f"in {namespace} you may start Investigations and read their evidence")

    def _reading_rights(self) -> Iterator[Check]:
        """Check the rights of the identity that captures read with. Needs the right to create SubjectAccessReviews."""
        namespace = self.cluster.namespace
        if self.service_account is not None:
            user = f"system:serviceaccount:{namespace}:{self.service_account}"
            try:
                self.cluster.get(f"/api/v1/namespaces/{quote(namespace)}/serviceaccounts/{quote(self.service_account)}")
            except ApiError as e:
                if e.status not in MISSING:
                    raise
                command = f"kubectl create serviceaccount -n {namespace} {self.service_account}"
                yield Check("service account", "fails", f"there is no ServiceAccount {self.service_account}", command)
                return
            if not self._rights.allowed("impersonate", "", "serviceaccounts", self.service_account):
                message = f"you may not use {self.service_account}: that needs the verb impersonate on it"
                yield Check("service account", "fails", message, self._rights.impersonation(self.service_account))
        elif self._pods:
            pod = self._pods[0]
            user = f"system:serviceaccount:{pod['metadata']['namespace']}:{pod['spec'].get('serviceAccountName') or 'default'}"
        else:
            return
        account, allowed = user.removeprefix("system:serviceaccount:"), self._rights.allowed
        missing = [f"{verb} {resource}" for verb, group, resource in READS if not allowed(verb, group, resource, user=user)]
        if missing:
            command = f"kubectl create rolebinding aletheia-reader -n {namespace} --clusterrole=view"
            message = f"{account} may not {', '.join(missing)} in {namespace}: these become gaps"
            yield Check("service account", "fails", message, f"{command} --serviceaccount={account}")
        else:
            yield Check("service account", "ok", f"{account} may read pods, logs and events")

    def _artifacts(self) -> Iterator[Check]:
        try:
            self.cluster.get(ARTIFACTS_ROOT)
            yield Check("artifacts API", "ok", "evidence is served with your own rights")
        except ApiError as e:
            if e.status in MISSING:
                yield Check(
                    "artifacts API",
                    "note",
                    "switched off: evidence is read by kubectl exec, which needs an admin",
                    f"{CHART} --reuse-values --set artifactsApi.enabled=true",
                )
            elif e.status in DOWN:
                command = f"kubectl describe apiservice v1alpha1.{ARTIFACTS_GROUP}"
                yield Check("artifacts API", "fails", f"down: {for_terminal(str(e), 200)}", command)
            else:
                raise

    def _sources(self) -> Iterator[Check]:
        found = self.cluster.items(DATA_SOURCES)
        if not found:
            yield Check("DataSources", "note", "there are none: no metrics and traces", "docs/datasources has examples")
        for source in found:
            name, spec = source["metadata"]["name"], source.get("spec") or {}
            conditions = {each["type"]: each for each in (source.get("status") or {}).get("conditions") or []}
            reachable = conditions.get("Reachable") or {}
            about = f"{name} ({for_terminal(str(spec.get('type')), 40)}{', default' if spec.get('default') else ''})"
            if reachable.get("status") == "True":
                yield Check("DataSources", "ok", f"{about} answers")
            else:
                why = for_terminal(str(reachable.get("message") or "not checked yet"), 200)
                yield Check("DataSources", "fails", f"{about}: {why}", f"kubectl describe datasource {name}")
