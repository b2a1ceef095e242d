"""One worker process: reads requests from its standard input, answers each on its standard output, ends with the input.

Requests: ("open", run id, RunParser), no answer; ("feed", run id, lines), answered by (Parsed, Position); ("close", run id),
answered by the RunParser as it is then.
"""

import sys
from typing import Any, BinaryIO

from aletheia_operator.parse.frames import HEADER, content, frame
from aletheia_operator.text.entries import RunParser


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    runs: dict[int, RunParser] = {}
    while header := requests.read(HEADER.size):
        operation, run, *payload = content(requests.read(HEADER.unpack(header)[0]))
        if operation == "open":
            runs[run] = payload[0]
            continue
        answers.write(frame(_answer(runs, operation, run, payload)))
        answers.flush()


def _answer(runs: dict[int, RunParser], operation: str, run: int, payload: list[Any]) -> Any:
    if operation == "close":
        return runs.pop(run)
    parser = runs[run]
    return parser.feed(*payload), parser.position


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
