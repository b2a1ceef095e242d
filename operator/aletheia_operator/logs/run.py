"""What the operator and a worker process tell each other of one run of a container."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, get_args

from aletheia_operator.logs.levels import LevelCount
from aletheia_operator.logs.position import Position
from aletheia_operator.logs.run_settings import RunSettings
from aletheia_operator.logs.spool import Spool
from aletheia_operator.scratch import Scratch

Operation = Literal["read_again", "read_from_start", "accept", "drop_node_message"]
"""A method of RunParser that a request may name."""
OPERATIONS = frozenset(get_args(Operation))


@dataclass(frozen=True)
class RunOrder:
    """The order to parse a run: its settings, the scratch file for entries, and the budget."""

    settings: RunSettings
    scratch: Scratch
    max_bytes: int
    sample_percent: int


@dataclass(frozen=True)
class RunResult:
    """The result of a run. The spool's open file is sent separately."""

    position: Position
    count: LevelCount
    spool: Spool
    redactions: Counter[str] = field(default_factory=Counter)
    """How many secrets were removed, by rule."""
    refused: str | None = None
    """Why the session volume refused entries; earlier ones are kept. None: it refused none."""


class WorkerFault(Exception):
    """A request failed in a worker: its run is lost, the worker goes on."""
