"""Checks rights with the API server, and makes the commands with which an admin grants them."""

import shlex
from dataclasses import dataclass
from typing import Any

from aletheia_operator.cli.cluster import ApiError, ClusterApi
from aletheia_operator.text.display import for_terminal

REVIEWS = "/apis/authorization.k8s.io/v1"
FIND_ROLE = "$(kubectl get clusterroles -l app.kubernetes.io/part-of=aletheia -o name | grep -- -{role} | cut -d/ -f2)"
"""Shell expression for an admin that finds a ClusterRole of the chart."""


@dataclass(frozen=True)
class Rights:
    """Rights in the namespace of `cluster`."""

    cluster: ClusterApi

    def allowed(self, verb: str, group: str, resource: str, name: str = "", user: str = "") -> bool:
        """Return whether `user`, the full name of a service account, has a right; '': this user. Raises ApiError."""
        kind, _, subresource = resource.partition("/")
        attributes = {"namespace": self.cluster.namespace, "verb": verb, "group": group, "resource": kind}
        attributes |= {key: value for key, value in (("subresource", subresource), ("name", name)) if value}
        what = "subjectaccessreviews" if user else "selfsubjectaccessreviews"
        spec: dict[str, Any] = {"resourceAttributes": attributes}
        if user:
            _, _, namespace, _ = user.split(":")
            groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
            spec |= {"user": user, "groups": groups}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
        if user:
            body["kind"] = "SubjectAccessReview"
        return bool((self.cluster.create(f"{REVIEWS}/{what}", body).get("status") or {}).get("allowed"))

    def binding(self, role: str) -> str:
        """Return the command with which an admin grants this user a role of the chart."""
        namespace = self.cluster.namespace
        user = shlex.quote(self._user())
        return f"kubectl create rolebinding aletheia-{role} -n {namespace} --clusterrole={self._role(role)} --user={user}"

    def impersonation(self, account: str) -> str:
        """Return the command with which an admin lets this user name a ServiceAccount."""
        rule = f"kubectl create role use-{account} -n {self.cluster.namespace} --verb=impersonate"
        return f"{rule} --resource=serviceaccounts --resource-name={account}, and bind it to {self._user()}"

    def _role(self, role: str) -> str:
        try:
            found = self.cluster.items(
                "/apis/rbac.authorization.k8s.io/v1/clusterroles", labelSelector="app.kubernetes.io/part-of=aletheia"
            )
        except ApiError:
            found = []
        names = [str(each["metadata"]["name"]) for each in found if f"-{role}." in str(each["metadata"]["name"])]
        return names[0] if names else FIND_ROLE.format(role=role)

    def _user(self) -> str:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            found = self.cluster.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
        except ApiError:
            return "USER"
        return for_terminal(str(((found.get("status") or {}).get("userInfo") or {}).get("username") or "USER"), 200)
