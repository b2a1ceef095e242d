"""Writes the chart's README.md, with a table of its values, by helm-docs: `python -m tests.cluster.chart_readme`."""

import sys

from tests.cluster import programs
from tests.cluster.rig import ROOT, RigError, bin_dir, run


def main() -> int:
    """Write the file from README.md.gotmpl and values.yaml, in the order of the values."""
    try:
        programs.build(programs.CHECKS)
        run([bin_dir() / "helm-docs", "--chart-search-root=charts", "--sort-values-order=file", "--log-level=error"], cwd=ROOT)
    except RigError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
