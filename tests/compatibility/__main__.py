"""`make compatibility`: the tests that need only an API server, against that of several minors of Kubernetes.

`python -m tests.compatibility [MINOR...]`. The first run builds each API server from its Go module, in about 4 minutes.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.cluster import programs
from tests.cluster.control_plane import control_plane
from tests.cluster.rig import ROOT, RigError, bin_dir, run

TESTS = (
    "integration/test_admission.py",
    "integration/test_chart_upgrade.py",
    "integration/test_crd_life.py",
    "compatibility/test_upgrade_matrix.py",
)


def main(minors: list[str]) -> int:
    """Run the tests for each minor, by default for all that there is a module for. Returns the exit status."""
    rows = []
    for minor in minors or programs.API_SERVERS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                with control_plane(minor, Path(folder)) as kubeconfig:
                    plain_installation(kubeconfig)
                    tests = [str(ROOT / "tests" / name) for name in TESTS]
                    command = [sys.executable, "-m", "pytest", "-q", f"--kubeconfig={kubeconfig}", *tests]
                    outcome = "ok" if subprocess.run(command, cwd=ROOT, check=False).returncode == 0 else "FAILED"
            except RigError as e:
                outcome = f"FAILED: {e}"
        rows.append((minor, outcome, time.monotonic() - began))
    for minor, outcome, seconds in rows:
        print(f"Kubernetes {minor:6} {outcome:8} {seconds:6.1f} s")
    return 0 if all(outcome == "ok" for _, outcome, _ in rows) else 1


def plain_installation(kubeconfig: Path) -> None:
    """Install deploy/ into the bare cluster, and remove the operator again. Raises RigError, also if something differs then."""
    kubectl = (str(bin_dir() / "kubectl"), f"--kubeconfig={kubeconfig}")
    run([*kubectl, "apply", "-k", str(ROOT / "deploy")])
    run([*kubectl, "diff", "-k", str(ROOT / "deploy")])
    run([*kubectl, "delete", "-f", str(ROOT / "deploy" / "operator.yaml")])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
