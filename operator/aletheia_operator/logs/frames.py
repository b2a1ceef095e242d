"""Messages between the operator and its worker processes: pickles with a length. Open files are sent separately."""

import pickle
import struct
from typing import Any

HEADER = struct.Struct("<I")


def frame(message: Any) -> bytes:
    content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(len(content)) + content


def content(payload: bytes) -> Any:
    return pickle.loads(payload)  # noqa: S301 a process of our own wrote it
