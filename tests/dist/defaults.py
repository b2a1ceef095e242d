"""The chart's defaults for its templates, which cannot read values.yaml: `python -m tests.dist.defaults`."""

import yaml

from tests.dist.versions import CHART

FILE = CHART / "files" / "defaults.yaml"
NOTICE = "# Generated from values.yaml by `make generate`; do not edit.\n"


def defaults() -> str:
    """Return values.yaml without its comments."""
    return NOTICE + yaml.safe_dump(yaml.safe_load((CHART / "values.yaml").read_text()), sort_keys=False)


if __name__ == "__main__":
    FILE.write_text(defaults())
