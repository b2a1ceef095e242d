"""`kubectl investigation` on a real cluster: every command, as an admin and as a tenant with rights in one namespace."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.cli.__main__ import main
from aletheia_operator.cli.pod import operator_pod, session_of
from tests.cluster.provider import Cluster
from tests.e2e.conftest import Installation, restricted
from tests.support.operator import Kubectl, pod, until

pytestmark = pytest.mark.e2e
ROLE = "aletheia-aletheia-operator-{}.e2e-system"
Run = Callable[..., str]


@pytest.fixture(scope="module")
def tenant(installation: Installation, shop: Kubectl) -> Iterator[str]:
    """A user who may investigate and read evidence in e2e-shop alone, where a pod has failed."""
    shop.apply(restricted(pod("cashier", "echo 'ERROR no change left'; exit 3")))
    until(lambda: shop("get", "pod", "cashier", "-o", "jsonpath={.status.phase}") == "Failed", 60, "the pod has failed")
    for role in ("investigator", "reader", "evidence"):
        shop("create", "rolebinding", f"tess-{role}", f"--clusterrole={ROLE.format(role)}", "--user=tess")
    yield "tess"


@pytest.fixture
def run(
    cluster: Cluster, tenant: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """Runs a command as the tenant, and returns its standard output."""
    monkeypatch.setenv("PATH", f"{Path(cluster.kubectl).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def command(*arguments: str, code: int = 0, user: str = tenant) -> str:
        where = [f"--kubeconfig={cluster.kubeconfig}", "-n", "e2e-shop", *([f"--as={user}"] if user else [])]
        found = main([*where, *arguments])
        printed = capfd.readouterr()
        assert found == code, printed
        return printed.out if code == 0 else printed.out + printed.err

    return command


@pytest.fixture(scope="module")
def names() -> dict[str, str]:
    """Names that earlier tests made, by role."""
    return {}


def test_an_evening(run: Run, names: dict[str, str], tmp_path: Path) -> None:
    """A tenant investigates, reads, fetches and verifies; each command prints the expected output."""
    started = run("start", "pod/cashier", "--name", "evening", "--since", "15m", "--wait")
    assert "e2e-shop/evening Completed" in started
    assert "cashier" in started
    resource = json.loads(run("describe", "evening", "-o", "json"))
    names["id"] = resource["status"]["session"]["id"]
    assert run("describe", "evening", "-o", "jsonpath={.status.phase}") == "Completed"
    assert "investigation.aletheia.dev/evening" in run("list", "-o", "name").splitlines()
    for arguments, words in (
        (["list"], names["id"]),
        (["wait", "evening"], "Completed"),
        (["describe", names["id"]], "data/findings.json"),
        (["findings", "evening"], "cashier"),
        (["timeline", "evening"], "cashier"),
        (["errors", "evening"], "no change left"),
        (["logs", "evening"], "ERROR no change left"),
        (["events", names["id"].lower()], "Scheduled"),
        (["objects", "e2e-shop/evening"], "Pod"),
        (["report", "evening", "--format", "markdown"], names["id"]),
        (["open", "evening", "--no-browser"], ".html"),
        (["fetch", "evening", "--root", str(tmp_path)], "fetched and verified"),
        (["verify", names["id"], "--root", str(tmp_path)], "intact"),
        (["logs", names["id"], "--root", str(tmp_path)], "ERROR no change left"),
    ):
        assert words in run(*arguments), arguments
    assert "nearest names: evening" in run("findings", "evenign", code=1)
    assert "nearest names: evening" in run("describe", "evenign", code=1)


def test_what_a_tenant_may_not(run: Run, names: dict[str, str]) -> None:
    """The API server refuses it, and `doctor` names the missing right."""
    assert "forbidden" in run("list", "-A", code=1)
    assert "forbidden" in run("findings", "kube-system/evening", code=1)
    assert "fails" not in run("doctor")
    text = run("doctor", "-n", "default", code=1)
    assert (
        f"--clusterrole={ROLE.format('evidence')}" in run("doctor", "-n", "default", user="", code=0) or "--user=tess" in text
    )


def test_an_admin_reads_by_exec(run: Run, cluster: Cluster, names: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the artifacts API an admin gets the same bytes by `kubectl exec`."""
    found = session_of(operator_pod([f"--kubeconfig={cluster.kubeconfig}"]), "e2e-shop/evening")
    assert found.manifest.session_id == names["id"]
    for artifact in found.manifest.artifacts:
        assert hashlib.sha256(b"".join(found.blocks(artifact))).hexdigest() == artifact.sha256
    first = found.manifest.artifacts[0]
    assert len(b"".join(found.blocks(first, 10))) == first.size_bytes - 10


def test_hold_cancel_delete(run: Run, names: dict[str, str], shop: Kubectl) -> None:
    """A session on hold stays; a capture is cancelled; a deleted session is gone."""
    run("hold", "evening", "--reason", "case 7", user="")  # the chart's policy allows this only to admins
    assert "is on hold (case 7)" in run("delete", "evening", "--yes", code=1)
    run("release", "evening", user="")
    run("start", "pod/cashier", "--name", "second", "-o", "name")
    run("cancel", "second")
    until(partial(ended, run, "second"), 30, "the second one has ended")
    assert "deleted" in run("delete", "evening", "second", "--yes")
    gone = {f"investigation.aletheia.dev/{name}" for name in ("evening", "second")}
    until(lambda: gone.isdisjoint(shop("get", "investigations", "-o", "name").splitlines()), 30, "both are gone")


def ended(run: Run, name: str) -> Any:
    status = json.loads(run("describe", name, "-o", "json"))["status"]
    return "completionTime" in status
