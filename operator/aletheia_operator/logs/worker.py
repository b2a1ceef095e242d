"""One worker process: reads requests from its standard input, answers each on its standard output, ends with the input.

Requests: ("open", run id, RunCapture), no answer; ("feed", run id, lines), answered by the Position or the OSError that the
volume gave; ("close", run id), answered by the RunCapture as it is then. A run's open file goes over the socket whose number
is the argument, before what it belongs to is used.
"""

import socket
import sys
from typing import Any, BinaryIO

from aletheia_operator.logs.frames import HEADER, content, frame
from aletheia_operator.logs.run import RunCapture
from aletheia_operator.logs.run_parser import Position


def serve(requests: BinaryIO, answers: BinaryIO, files: socket.socket) -> None:
    runs: dict[int, RunCapture] = {}
    while header := requests.read(HEADER.size):
        operation, run, *payload = content(requests.read(HEADER.unpack(header)[0]))
        answer: Any
        if operation == "open":
            runs[run] = payload[0]
            runs[run].receive_file(files)
            continue
        if operation == "close":
            answer = runs.pop(run)
            answered = frame(answer)
            answer.send_file(files)
        else:
            answered = frame(_feed(runs[run], *payload))
        answers.write(answered)
        answers.flush()


def _feed(capture: RunCapture, lines: bytes) -> Position | OSError:
    try:
        capture.feed(lines)
    except OSError as e:
        return OSError(e.errno, e.strerror)
    return capture.position


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer, socket.socket(fileno=int(sys.argv[1])))
