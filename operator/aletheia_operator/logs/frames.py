"""Messages between the operator and its worker processes: pickles with a length, and lines of logs, which are not pickled.

Open files are sent separately.
"""

import pickle
import struct
from typing import Any

HEADER = struct.Struct("<II")
"""Bytes of the pickle, and of the lines that follow it."""


def frame(message: Any, lines: int = 0) -> bytes:
    """Return a message as it is sent. `lines`: bytes of lines that are sent after it."""
    content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(len(content), lines) + content


def content(payload: bytes) -> Any:
    return pickle.loads(payload)  # noqa: S301 a process of our own wrote it
