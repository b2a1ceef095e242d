"""Captures in Jobs: a large plan goes on in one, and a killed pod of it is resumed by the next."""

import json
from typing import Any

import pytest

from tests.cluster.rig import RigError
from tests.e2e.conftest import Installation
from tests.support.operator import Kubectl, investigation, until

pytestmark = pytest.mark.e2e

SELECTOR = "app.kubernetes.io/component=capture"


def test_a_job_is_killed_in_the_middle(installation: Installation, shop: Kubectl) -> None:
    """A plan of 40 questions goes on in a Job. Its pod is killed, and the next one finishes: each question is answered once.

    Prometheus gets 5 requests a second (`VALUES`), so the first pod cannot finish before it is killed.
    """
    queries = [{"query": f"vector({number})"} for number in range(40)]
    shop.apply(investigation("large", metrics=queries))
    uid = shop.get("investigation", "large")["metadata"]["uid"]
    system = installation.system

    def pods() -> list[Any]:
        items: list[Any] = system.get("pods", "-l", f"{SELECTOR},aletheia.dev/investigation-uid={uid}")["items"]
        return items

    def progress() -> int:
        return int(((shop.get("investigation", "large").get("status") or {}).get("progress") or {}).get("done", 0))

    (first,) = until(lambda: [pod for pod in pods() if pod["status"]["phase"] == "Running"], 30, "the Job's pod runs")
    until(progress, 30, "some questions are answered")
    system("delete", "pod", first["metadata"]["name"], "--wait=false")
    resource = shop.ended("large", 60)
    assert resource["status"]["phase"] == "Completed", resource["status"]
    assert resource["status"]["progress"]["text"] == "40/40"
    (lease,) = (item for item in system.get("leases")["items"] if item["metadata"]["name"] == f"capture-{uid}")
    assert lease["spec"]["leaseTransitions"] >= 2, "operator, first pod and second pod have held it"
    _, documents = installation.intact_session(resource)
    values = [document["metadata"]["query"] for path, document in documents.items() if path.startswith("data/metrics")]
    assert sorted(values) == sorted(query["query"] for query in queries)
    job = system.get("job", f"capture-{uid}")
    assert json.dumps(job["spec"]).count("vector(") == 0, "nothing of the spec is in the Job"
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "aletheia-aletheia-operator-capture"


def test_the_operator_creates_no_other_jobs(installation: Installation) -> None:
    """Neither another image, nor another account, volume or environment; a Job's process cannot take the leader's Lease."""
    system, account = installation.system, "aletheia-aletheia-operator"
    template = system.get("podtemplate", f"{account}-capture")["template"]
    operator, job = (f"--as=system:serviceaccount:e2e-system:{name}" for name in (account, f"{account}-capture"))

    def created(who: str, body: dict[str, Any]) -> None:
        system("create", "--dry-run=server", who, "-f", "-", stdin=json.dumps(body))

    def a_job(**changes: Any) -> dict[str, Any]:
        container = template["spec"]["containers"][0] | changes.pop("container", {})
        pod = {**template["spec"], "containers": [container], "restartPolicy": "Never", **changes}
        body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "capture-x"}}
        return {**body, "spec": {"template": {**template, "spec": pod}}}

    created(operator, a_job())
    secret = {"name": "stolen", "secret": {"secretName": "any"}}
    for wrong in (
        a_job(container={"image": "docker.io/library/busybox:1.36"}),
        a_job(container={"command": ["sh"]}),
        a_job(container={"envFrom": [{"secretRef": {"name": "any"}}]}),
        a_job(serviceAccountName="default"),
        a_job(volumes=[*template["spec"]["volumes"], secret]),
        a_job(hostNetwork=True),
    ):
        with pytest.raises(RigError, match="the operator may create only Jobs"):
            created(operator, wrong)
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "capture-x"}, "spec": {}}
    created(job, lease)
    with pytest.raises(RigError, match="Leases of captures only"):
        created(job, lease | {"metadata": {"name": account}})
    with pytest.raises(RigError, match="cannot create resource"):
        created(job, a_job())
