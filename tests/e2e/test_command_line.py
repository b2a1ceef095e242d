"""`kubectl investigation` on a real cluster: every command of README and docs, as a tenant with rights in one namespace.

Commands that only admins may use run as one.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from aletheia_operator.cli.__main__ import main
from aletheia_operator.cli.errors import ExitCode
from aletheia_operator.cli.pod import operator_pod, session_of
from tests.cluster import programs
from tests.cluster.provider import Cluster
from tests.cluster.rig import ROOT, bin_dir
from tests.e2e.conftest import RESTRICTED, Installation, namespace, restricted, send_trace
from tests.support.operator import Kubectl, container, until
from tests.support.pages import blocks, commands

pytestmark = pytest.mark.e2e
SYSTEM = "e2e-system"
ROLE = f"aletheia-aletheia-operator-{{}}.{SYSTEM}"
DOCS = ROOT / "docs"
PASSWORDS = {"pw": "correct horse", "old": "correct horse", "new": "battery staple"}
NO_ERROR_RATE = {"start": ExitCode.PARTIAL, "metrics": ExitCode.ERROR}
"""Exit codes of commands of README, because no program of these tests has this metric."""
Run = Callable[..., str]


def deployment(name: str, script: str, **more: Any) -> dict[str, Any]:
    """A Deployment of one container `app` that runs a shell script, with a volume that survives its restarts."""
    app = {**container("app", script), "volumeMounts": [{"name": "state", "mountPath": "/state"}], **more}
    body: dict[str, Any] = {"metadata": {"labels": {"app": name}}}
    body["spec"] = {"containers": [app], "volumes": [{"name": "state", "emptyDir": {}}]}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": restricted(body)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def production(cluster: Cluster, installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """The namespace of the pages, where `payments` fails because `ledger` has crashed. Tenant tess has rights in it alone."""
    kubectl = namespace(cluster, "production", **RESTRICTED)
    kubectl.apply(
        deployment("payments", "echo 'ERROR order 1044 failed: the ledger does not answer'; sleep 3600"),
        deployment(
            "ledger",
            "[ -e /state/again ] && sleep 3600; touch /state/again; echo 'FATAL panic: record 40'; exit 3",
            readinessProbe={"exec": {"command": ["false"]}, "periodSeconds": 1},
        ),
    )
    shell(tmp_path_factory.mktemp("admin"), blocks(DOCS / "permissions.md")[0], cluster.kubeconfig)
    send_trace(installation, "payments")
    until(lambda: "Unhealthy" in kubectl("get", "events"), 60, "the ledger has restarted, and is not ready")
    kubectl("rollout", "status", "deployment/payments", "--timeout=60s")
    yield kubectl
    cluster.run_kubectl("delete", "namespace", "production", "--wait=false")


@pytest.fixture(scope="module")
def home(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory with a kubeconfig for each user, and with the programs of the command line."""
    directory = tmp_path_factory.mktemp("home")
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = "production"
    (directory / "admin").write_text(yaml.safe_dump(config))
    config["users"][0]["user"]["as"] = "tess"
    (directory / "tess").write_text(yaml.safe_dump(config))
    for name in ("aletheia", "kubectl-investigation"):
        (directory / name).write_text(
            f'#!/bin/sh\nPYTHONPATH={ROOT}/operator exec {sys.executable} -m aletheia_operator.cli "$@"\n'
        )
        (directory / name).chmod(0o755)
    for name, password in PASSWORDS.items():
        (directory / name).write_text(password)
    return directory


@pytest.fixture
def run(
    cluster: Cluster, production: Kubectl, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Run:
    """Runs a command as the tenant or the admin, and returns its standard output; with its errors if it fails."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(home), str(cluster.kubectl.parent), os.environ["PATH"]]))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.chdir(home)

    def command(*arguments: str, code: int = 0, user: str = "tess") -> str:
        monkeypatch.setenv("KUBECONFIG", str(home / user))
        found = main([argument.replace("~", str(home)) for argument in arguments])
        printed = capfd.readouterr()
        assert found == code, (arguments, printed)
        return printed.out + (printed.err if code else "")

    return command


def shell(home: Path, block: str, kubeconfig: Path) -> str:
    """Run a block of a page in bash. Returns its output; fails at the first command that fails."""
    programs.debian({"jq": "jq"})
    path = os.pathsep.join([str(home), str(bin_dir()), os.environ["PATH"]])
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "PATH": path}
    command = ["bash", "-euo", "pipefail", "-c", block.replace("aletheia-system", SYSTEM)]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (block, done.stdout, done.stderr)
    return done.stdout


class Typed(io.StringIO):
    """What a person types on a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def names() -> dict[str, str]:
    """Session ids by the Investigations that earlier tests made."""
    return {}


def started(run: Run, names: dict[str, str], name: str, *arguments: str, user: str = "tess") -> None:
    start = ("start", "--name", name, "--since", "15m", *arguments, "--wait")
    assert f"production/{name} Completed" in run(*start, user=user)
    names[name] = run("describe", name, "-o", "jsonpath={.status.session.id}")


def test_the_commands_of_the_readme(
    run: Run, names: dict[str, str], home: Path, production: Kubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In their order: a tenant investigates, reads, fetches, compares and holds; an admin releases; the tenant deletes."""
    expected = {
        "doctor": "", "start": "production/payments-500s PartiallyCompleted", "findings": "", "open": ".html",
        "errors": "order 1044 failed", "logs": "ERROR order 1044", "metrics": "no series for template error_rate",
        "describe": "data/findings.json", "fetch": "fetched and verified", "diff": "", "hold": "is on hold",
        "release": "is released", "delete": "deleted",
    }  # fmt: skip
    started(run, names, "payments-before", "deploy/payments")
    written = [*commands(ROOT / "README.md")]
    assert [words[0] for words in written] == [*expected]
    for words in written:
        if words[0] == "delete":
            monkeypatch.setattr(sys, "stdin", Typed("y\n"))
        code = NO_ERROR_RATE.get(words[0], ExitCode.OK)
        printed = run(*words, user="admin" if words[0] == "release" else "tess", code=code)
        assert expected[words[0]] in printed, words
    assert "payments-500s" not in production("get", "investigations", "-o", "name")
    shutil.rmtree(home / "incidents")  # the next test makes another Investigation of this name


def test_the_commands_of_the_page_on_evidence(run: Run, names: dict[str, str], production: Kubectl, home: Path) -> None:
    """Each prints evidence of the two Deployments."""
    started(
        run, names, "payments-500s", "deploy/payments", "deploy/ledger", "--metric", "vector(42)", "--trace-service", "payments"
    )
    ledger = production("get", "pods", "-lapp=ledger", "-o=jsonpath={.items[0].metadata.name}")
    expected = {
        "findings": "ledger", "timeline": "ledger", "errors": "order 1044", "logs": "", "events": "Unhealthy",
        "objects": "kind: Pod", "metrics": "vector(42)", "traces": "POST /pay", "diff": "ledger",
    }  # fmt: skip
    for words in commands(DOCS / "evidence.md"):
        printed = run(*(word.replace("ledger-b7fd79f7b-28rsn", ledger) for word in words))
        assert printed and expected[words[0]] in printed, words
    page = DOCS / "artifacts-api.md"
    printed = shell(home, blocks(page)[0], home / "tess")
    assert names["payments-500s"] in printed and "data/findings.json" in printed
    for words in commands(page):
        assert "fetched and verified" in run(*words)


def test_the_commands_in_the_pod(run: Run, names: dict[str, str], home: Path) -> None:
    """The pages on jq and the report, as an admin without the artifacts API."""
    status, export = blocks(DOCS / "jq.md")[:2]
    printed = shell(home, "\n".join([status, export, "cd ..", blocks(DOCS / "report.md")[0]]), home / "admin")
    assert names["payments-500s"] in printed
    assert (home / names["payments-500s"] / "manifest.json").exists()
    assert (home / "report.html").read_text().startswith("<!doctype html>")


def test_the_commands_on_a_folder(
    run: Run, names: dict[str, str], production: Kubectl, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages on sessions and on S3, with sessions that were fetched: also a sealed one, which is opened by its password."""
    password = PASSWORDS["pw"]
    production("create", "secret", "generic", "incident-password", f"--from-literal=password={password}")
    production("create", "serviceaccount", "investigator")
    reader = f"--clusterrole={ROLE.format('reader')}"
    production("create", "rolebinding", "investigator", reader, "--serviceaccount=production:investigator")
    production("create", "role", "password", "--verb=get", "--resource=secrets", "--resource-name=incident-password")
    production("create", "rolebinding", "password", "--role=password", "--serviceaccount=production:investigator")
    sealed = ("--password-secret", "incident-password", "--service-account", "investigator")
    started(run, names, "sealed", "deploy/payments", *sealed, user="admin")
    key = ("--password-file", str(home / "pw"))
    assert "decrypted to" in run("fetch", "sealed", "--root", "~/sealed", "--unseal", "~/unsealed", *key)
    assert "order 1044" in run("logs", "sealed", *key)
    assert ".html" in run("open", "sealed", "--no-browser", *key)
    assert "# " in run("report", "sealed", "--format", "markdown", *key)
    monkeypatch.setenv("ALETHEIA_ROOT", str(home / "sealed"))
    for words in commands(DOCS / "datasources" / "s3.md"):
        run(*(word.replace("$session", names["payments-500s"]) for word in words))
    for words in commands(DOCS / "sessions.md"):
        id = names["sealed" if words[1] in ("decrypt", "reseal") else "payments-500s"]
        run(*(word.replace("INC-7F3A", id) for word in words))


def test_other_commands(run: Run, names: dict[str, str], home: Path) -> None:
    """Names of every form, formats, and the nearest names of a misspelt one."""
    id = names["payments-500s"]
    assert "Completed" in run("describe", "payments-500s", "-o", "jsonpath={.status.phase}")
    assert "investigation.aletheia.dev/payments-500s" in run("list", "-o", "name").splitlines()
    assert "Completed" in run("wait", "payments-500s")
    assert "Scheduled" in run("events", id.lower())
    assert "deployment/payments" in run("objects", "production/payments-500s")
    assert "intact" in run("verify", id, "--root", "~/incidents")
    assert "ERROR order 1044" in run("logs", id, "--root", "~/incidents")
    for command in ("findings", "describe"):
        assert "nearest names: payments-500s" in run(command, "payments-50s", code=1)


def test_what_a_tenant_may_not(run: Run) -> None:
    """The API server refuses it, and `doctor` names the missing right."""
    assert "forbidden" in run("list", "-A", code=1)
    assert "forbidden" in run("findings", "kube-system/payments-500s", code=1)
    assert "fails" not in run("doctor")
    text = run("doctor", "-n", "default", code=1)
    assert "--user=tess" in text


def test_an_admin_reads_by_exec(cluster: Cluster, names: dict[str, str]) -> None:
    """Without the artifacts API an admin gets the same bytes by `kubectl exec`."""
    found = session_of(operator_pod([f"--kubeconfig={cluster.kubeconfig}"]), "production/payments-500s")
    assert found.manifest.session_id == names["payments-500s"]
    for artifact in found.manifest.artifacts[:3]:  # each takes a second
        assert hashlib.sha256(b"".join(found.blocks(artifact))).hexdigest() == artifact.sha256
    first = found.manifest.artifacts[0]
    assert len(b"".join(found.blocks(first, 10))) == first.size_bytes - 10


def test_hold_cancel_delete(run: Run, production: Kubectl) -> None:
    """A session on hold stays; a capture is cancelled; a deleted session is gone."""
    run("hold", "payments-500s", "--reason", "case 7")
    assert "is on hold (case 7)" in run("delete", "payments-500s", "--yes", code=1)
    assert "releasehold" in run("release", "payments-500s", code=1)
    run("release", "payments-500s", user="admin")
    run("start", "deploy/payments", "--name", "second", "-o", "name")
    run("cancel", "second")
    until(partial(ended, run, "second"), 30, "the second one has ended")
    assert "deleted" in run("delete", "payments-500s", "second", "--yes")
    gone = {f"investigation.aletheia.dev/{name}" for name in ("payments-500s", "second")}
    until(lambda: gone.isdisjoint(production("get", "investigations", "-o", "name").splitlines()), 30, "both are gone")


def ended(run: Run, name: str) -> Any:
    status = json.loads(run("describe", name, "-o", "json"))["status"]
    return "completionTime" in status
