"""Uninstall, reinstall, and restore into a fresh cluster, by the commands of docs/backup.md.

The fresh cluster is the same one, after the release, its definitions, its claim and every Investigation were removed: a second
cluster would cost minutes. This module's name sorts last, because it removes what the other tests use.
"""

import json
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import programs
from tests.cluster.rig import ROOT
from tests.e2e.conftest import CHART, VALUES, Installation
from tests.support.operator import investigation, until

pytestmark = pytest.mark.e2e

PAGE = (ROOT / "docs" / "backup.md").read_text()
NAMESPACE = "e2e-system"
HOLD = "case 4711"


@dataclass(frozen=True)
class Admin:
    """An admin who follows docs/backup.md, with files in `directory`."""

    installation: Installation
    directory: Path

    def follows(self, *steps: str) -> str:
        """Run these blocks of the page in one shell. Returns what they print; fails at the first command that fails."""
        cluster = self.installation.cluster
        path = f"{self.directory}:{cluster.kubectl.parent}:{Path(cluster.helm).parent}:{os.environ['PATH']}"
        mine = block("variables").replace("aletheia-system", NAMESPACE).replace("charts/aletheia-operator", str(CHART))
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join([mine, *map(block, steps)])],
            cwd=self.directory,
            env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "PATH": path},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, f"{steps}: {done.stdout}{done.stderr}"
        return done.stdout

    def sessions(self) -> dict[str, dict[str, Any]]:
        """Verify every file, then return the output of `aletheia session list`, by session id."""
        self.installation.system("exec", self.installation.deployment, "--", "aletheia", "session", "verify")
        command = ("exec", self.installation.deployment, "--", "aletheia", "session", "list", "-o", "json")
        return {entry["session"]: entry for entry in json.loads(self.installation.system(*command))}

    def investigations(self) -> dict[str, Any]:
        """Return spec and status of each Investigation, by namespace and name, without kopf's own status.kopf."""
        listed = json.loads(self.installation.cluster.run_kubectl("get", "investigations", "-A", "-o", "json"))["items"]
        return {
            f"{item['metadata']['namespace']}/{item['metadata']['name']}": {
                "spec": item["spec"],
                "status": {key: value for key, value in item["status"].items() if key != "kopf"},
                "hold": (item["metadata"].get("annotations") or {}).get("aletheia.dev/legal-hold"),
            }
            for item in listed
        }


def block(name: str) -> str:
    """Return the shell commands below `<!-- name -->`."""
    (found,) = re.findall(rf"^ *<!-- {name} -->\n( *```sh\n.*?)^ *```$", PAGE, re.DOTALL | re.MULTILINE)
    return textwrap.dedent(found).partition("\n")[2]


@pytest.fixture
def admin(installation: Installation, tmp_path: Path) -> Admin:
    programs.debian({"jq": "jq"})
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(VALUES))
    program = tmp_path / "aletheia"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT}/operator exec {sys.executable} -m aletheia_operator.cli "$@"\n')
    program.chmod(0o755)
    return Admin(installation, tmp_path)


def capture(admin: Admin, name: str) -> None:
    """Investigate the operator itself. Its earlier pods are gone, which is a gap."""
    body = investigation(name, targets=[{"workload": {"kind": "Deployment", "name": "aletheia-aletheia-operator"}}], logs={})
    admin.installation.system.apply(body)
    resource = admin.installation.system.ended(name)
    assert resource["status"]["phase"] in ("Completed", "PartiallyCompleted"), resource["status"]
    assert {gap["reason"] for gap in resource["status"].get("gaps", [])} <= {"PodGone"}


def test_nothing_is_lost(admin: Admin) -> None:
    """Uninstall and restore lose nothing; nothing is captured twice after a reinstall, and captures work after both."""
    capture(admin, "before")
    admin.installation.system("annotate", "investigation/before", f"aletheia.dev/legal-hold={HOLD}")
    until(lambda: holds(admin.sessions()) == {"before": HOLD}, 30, "the hold is noted on the volume")
    investigations, sessions = admin.investigations(), admin.sessions()

    admin.follows("uninstall")
    assert admin.investigations() == investigations
    admin.follows("install")
    assert admin.investigations() == investigations
    assert admin.sessions() == sessions
    capture(admin, "between")

    investigations, sessions = admin.investigations(), admin.sessions()
    admin.follows("backup", "check", "uninstall")
    cluster, system = admin.installation.cluster, admin.installation.system
    cluster.run_kubectl("delete", "crd", "investigations.aletheia.dev", "datasources.aletheia.dev")
    system("delete", "pvc", "aletheia-aletheia-operator-sessions")
    admin.follows("install", "stop", "volume", "resources")
    assert admin.investigations() == investigations
    restored = admin.sessions()
    assert without_custody(restored) == without_custody(sessions)
    assert holds(restored) == {"before": HOLD}
    capture(admin, "after")


def holds(sessions: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return legal holds by the names of their Investigations."""
    return {
        session["investigation"]["name"]: session["custody"]["legalHold"]
        for session in sessions.values()
        if session["custody"].get("legalHold")
    }


def without_custody(sessions: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return summaries without the retention record, which changes in a restore because Investigations have new uids."""
    return {name: {key: value for key, value in session.items() if key != "custody"} for name, session in sessions.items()}
