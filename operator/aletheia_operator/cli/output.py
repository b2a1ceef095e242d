"""What people and programs see: tables and lines made inert, or JSON."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from tabulate import tabulate

from aletheia_operator.text.display import one_line

MAX_CELL = 100
MAX_FIELD = 400


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    cells = [[one_line(str(cell), MAX_CELL) for cell in row] for row in rows]
    print(tabulate(cells, header, tablefmt="plain", disable_numparse=True))


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    cells = [(f"{name}:", one_line(str(value), MAX_FIELD)) for name, value in fields]
    print(tabulate(cells, tablefmt="plain", disable_numparse=True))


def print_json(value: Any) -> None:
    """With all that is not ASCII escaped: content may come from attackers."""
    print(json.dumps(value, indent=2))


def say(message: str) -> None:
    """To stderr: stdout may be an archive."""
    print(one_line(message, 1000), file=sys.stderr)


def readable_time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%SZ}"
