"""Reading an artifact back, entry by entry: files of any size are read with flat memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

_METADATA = b'"metadata": '
_DATA = b'"data": ['


def read_artifact(path: Path) -> tuple[dict[str, Any], Iterator[Any]]:
    """The metadata and the entries of an artifact. Raises OSError, and ValueError for what is no artifact."""
    with path.open("rb") as file:
        file.readline()
        line = file.readline()
    if not line.startswith(_METADATA):
        raise ValueError(f"{path.name} is no artifact")
    return orjson.loads(line.removeprefix(_METADATA).rstrip(b",\n")), _entries(path)


def _entries(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        for line in file:
            if line.startswith(_DATA):
                break
        for line in file:
            if line.startswith(b"]}"):
                return
            yield orjson.loads(line.rstrip(b",\n"))
