"""No line is lost without a gap while many faults happen, for `CHAOS_SECONDS`. The benchmark runs longer."""

import os
from pathlib import Path

import pytest

from tests.cluster import provider
from tests.cluster.rig import ROOT
from tests.integration.conftest import make_namespace
from tests.support.chaos import run_chaos
from tests.support.logs import verification
from tests.support.operator import Operator

pytestmark = pytest.mark.cluster

SECONDS = float(os.environ.get("CHAOS_SECONDS", "30"))


def test_chaos(tmp_path: Path) -> None:
    """Every line of each window is in an artifact, under the run that wrote it, or a gap names its pod, container and run."""
    if missing := provider.missing():
        pytest.skip(f"no cluster that rotates logs early: {missing}")
    cluster = provider.start("chaos", log_max_size="1Mi", restart_period="2s")
    try:
        cluster.run_kubectl("apply", "-f", str(ROOT / "crds"))
        cluster.run_kubectl("wait", "crd/investigations.aletheia.dev", "--for=condition=Established", "--timeout=30s")
        kubectl = make_namespace(cluster, "it-chaos")
        options = ["--node-logs", *verification(kubectl, tmp_path)]
        operator = Operator(cluster, tmp_path / "root", [kubectl.namespace], options).start()
        try:
            outcome = run_chaos(kubectl, operator, SECONDS)
        finally:
            operator.stop()
    finally:
        cluster.stop()
    print(outcome)
    assert outcome.captured > 1000
    assert outcome.runs > 10
    assert outcome.faults == (0, 0, 0), str(outcome)
