"""Run captures with the source that docs/fetchers.md adds, in a copy of the operator. Arguments: DIRECTORY URL...

Reads the page's resources from stdin. Prints a JSON line for each URL: the Investigation's result, and the DataSource's
status.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from aletheia_operator.api import InvestigationSpec, paths
from aletheia_operator.fetchers import FETCHERS
from aletheia_operator.handlers.datasources import check
from aletheia_operator.investigate import Order
from tests.unit.capturing import gaps, on_disk, run
from tests.unit.fakes import NOW, FakeKubernetes, make_order, make_tools


async def capture(data_source: dict[str, Any], investigation: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Check the DataSource and capture what the Investigation asks."""
    data_source["metadata"] |= {"generation": 1, "uid": "1"}
    kubernetes = FakeKubernetes(lists={paths.DATA_SOURCES: [data_source]})
    tools = make_tools(directory, *FETCHERS, kubernetes=kubernetes)
    await check(data_source, tools)
    order = Order(make_order().owner, NOW, InvestigationSpec.from_json(investigation["spec"]))
    snapshot = await run(order, tools)
    return {
        "status": kubernetes.statuses[0],
        "phase": snapshot.manifest.phase,
        "gaps": gaps(snapshot),
        "artifacts": on_disk(snapshot),
    }


def main(page: str, directory: str, *urls: str) -> None:
    for number, url in enumerate(urls):
        data_source, investigation = yaml.safe_load_all(page)
        data_source["spec"]["endpoint"] = url
        print(json.dumps(asyncio.run(capture(data_source, investigation, Path(directory) / str(number)))))


if __name__ == "__main__":
    main(sys.stdin.read(), *sys.argv[1:])
