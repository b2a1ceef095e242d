"""Five minutes of faults: `python -m tests.benchmarks.chaos`. Fails if a line is lost without a gap."""

import argparse
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.setting import setting
from tests.cluster import provider
from tests.support.chaos import run_chaos
from tests.support.logs import verification
from tests.support.operator import Operator

NAMESPACE = "aletheia-benchmark-chaos"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=7, help="of what is deleted and killed when")
    parser.add_argument("--keep", type=Path, help="where the sessions and the operator's log of a failed run are copied to")
    options = parser.parse_args()
    with ExitStack() as stack:
        cluster = provider.start("chaos", log_max_size="1Mi", restart_period="2s")
        stack.callback(cluster.stop)
        kubectl, directory = setting(stack, cluster.kubeconfig, NAMESPACE)
        arguments = ["--node-logs", *verification(kubectl, directory)]
        operator = Operator(kubectl.cluster, directory / "volume", [NAMESPACE], arguments).start()
        stack.callback(operator.stop)
        outcome = run_chaos(kubectl, operator, options.seconds, options.seed)
        if options.keep is not None and any(outcome.faults):
            shutil.copytree(operator.root, options.keep / "volume", dirs_exist_ok=True)
            shutil.copy(operator.log_path, options.keep)
    print(outcome)
    return 1 if any(outcome.faults) else 0


if __name__ == "__main__":
    sys.exit(main())
