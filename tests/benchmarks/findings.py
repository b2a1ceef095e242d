"""Measures what findings cost for each log line: `python -m tests.benchmarks.findings`.

Processor time of parsing, redaction, hashing and writing, and of the facts that findings read, for logs of several kinds.
"""

import gc
import hashlib
import random
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable

from aletheia_operator.findings.log_facts import LogFacts
from aletheia_operator.findings.log_reader import LogReader
from aletheia_operator.findings.own_rules import OwnRules
from aletheia_operator.logs.lines import BLOCK_BYTES
from aletheia_operator.logs.marks import alike_of, codes_of
from aletheia_operator.logs.run_parser import RunParser
from aletheia_operator.logs.run_settings import RunSettings
from aletheia_operator.redact import Redactor
from aletheia_operator.text.batches import Encoded
from tests.unit.evidence import END, START

LINES = 40_000
ROUNDS = 4
_random = random.Random(1)
_words = ["".join(_random.choices("abcdefghijklmnopqrstuvwxyz", k=_random.randint(3, 9))) for _ in range(4_000)]


def _logged(level: str, message: str) -> Callable[[int], str]:
    """Return a maker of lines. `message`: `{n}` becomes the line's number, `{id}` a UUID, `{words}` eight words."""

    def line(number: int) -> str:
        stamp = f"2026-11-22 15:21:{number // 1000 % 60:02},{number % 1000:03}"
        head = f"{stamp} {level:5} [worker-{number % 16}] org.example.Checkout: "
        text = message.replace("{n}", str(number))
        if "{id}" in text:
            text = text.replace("{id}", str(uuid.UUID(int=_random.getrandbits(128))))
        if "{words}" in text:
            text = text.replace("{words}", " ".join(_random.choices(_words, k=8)))
        return head + text if level else text

    return line


_HANDLED, _FAILED = (
    _logged("INFO", "order {n} of user 7 handled in {n} ms"),
    _logged("ERROR", "order {n} failed: no stock left"),
)


def _with_few_errors(number: int) -> str:
    return _HANDLED(number) if number % 20 else _FAILED(number)


def _with_traces(number: int) -> str:
    at = number % 20
    if at < 2:
        return "java.lang.IllegalStateException: no stock left" if at else _FAILED(number)
    return f"\tat org.example.Checkout$Worker{at}.handle(Checkout.java:{at * 7})"


LOGS: dict[str, Callable[[int], str]] = {
    "INFO only": _HANDLED,
    "5 % errors": _with_few_errors,
    "warnings only": _logged("WARN", "order {n} of user 7 handled in {n} ms"),
    "errors only": _logged("ERROR", "order {n} of user 7 failed in {n} ms: no stock left"),
    "errors only, each with a UUID": _logged("ERROR", "order {id} failed: no stock left"),
    "errors only, of which no two have the same words": _logged("ERROR", "{words} failed"),
    "Java exceptions only, with stack traces": _with_traces,
    "lines without a level, all with words that name a problem": _logged("", "{n}: dial tcp 10.0.0.7: connection refused"),
    "lines without a level or such words": _logged("", "worker {n} order {n}: handled in {n} by the usual means of the shop"),
}


def main() -> int:
    print("| log | parsing, redaction and writing | findings | |\n|---|---|---|---|")
    for name, line in LOGS.items():
        moment = "2026-11-22T14:{:02}:{:02}.{:03}000000Z {}\n"
        stamped = (moment.format(n // 1000, n // 20 % 60, n * 50 % 1000, line(n)) for n in range(LINES))
        log = "".join(stamped).encode()
        rounds = [_measured(log) for _ in range(ROUNDS)]
        rest, findings = (min(seconds) / LINES * 1e6 for seconds in zip(*rounds, strict=True))
        print(f"| {name} | {rest:.1f} µs | {findings:.2f} µs | +{findings / rest:.0%} |", flush=True)
    return 0


def _measured(log: bytes) -> tuple[float, float]:
    """Return the processor time of everything else, and that of findings, in seconds."""
    window = "2026-11-22T14:00:00.000000000Z", "2026-11-22T15:00:00.000000000Z"
    parser = RunParser(RunSettings("app", 0, False, *window, 65_536, redactor=Redactor()))
    digest, blocks, at = hashlib.sha256(), [], 0
    gc.collect()
    with tempfile.TemporaryFile() as file:
        began = time.process_time()
        while at < len(log):
            end = log.rfind(b"\n", at, at + BLOCK_BYTES) + 1
            parsed = parser.feed(log[at:end])
            blocks.append(Encoded(parsed.block, codes_of(parsed.marks), alike=alike_of(parsed.marks)))
            digest.update(parsed.block)
            file.write(parsed.block)
            at = end
        rest = time.process_time() - began
    reader = LogReader(LogFacts(), threading.Lock(), START, END, OwnRules())
    reader.begin({"pod": "web-0", "runs": [{"container": "app", "run": 0}]})
    began = time.process_time()
    for block in blocks:
        reader.read(block)
    reader.close("data/logs/web-0.json", {})
    return rest, time.process_time() - began


if __name__ == "__main__":
    sys.exit(main())
