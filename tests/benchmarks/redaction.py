"""Speed of redaction for several shapes of logs, and its share of the parser's time: `python -m tests.benchmarks.redaction`.

Exit code 1 if a shape without secrets is slower than MIN_MB_PER_SECOND, or costs more than MAX_SHARE of the parser's time.
"""

import sys
import time
from collections.abc import Callable
from functools import partial

from aletheia_operator.logs.lines import BLOCK_BYTES
from aletheia_operator.logs.run_parser import RunParser
from aletheia_operator.logs.run_settings import RunSettings
from aletheia_operator.redact import Level, Redactor

MIN_MB_PER_SECOND = 60
MAX_SHARE = 0.15
BLOCKS = 60
ROUNDS = 3
STAMP = "2026-11-29T03:02:{second:02}.{number:09}Z"
SHAPES = {
    "spring": "2026-11-29 03:02:11.123  INFO 1 --- [nio-8080-exec-7] c.e.shop.OrderController : order {number} accepted"
    " for customer 42",
    "zap JSON": '{{"level":"info","ts":1732849331.12,"caller":"shop/orders.go:42","msg":"order'
    ' accepted","order":{number},"trace_id":'
    '"4bf92f3577b34da6a3ce929d0e0e4736","duration_ms":12.7}}',
    "logfmt": 'ts=2026-11-29T03:02:11.123Z level=info caller=compact.go:519 component=tsdb msg="write block" mint={number}'
    " maxt=2 "
    "ulid=01JDV8Q6ZK duration=1.2s",
    "klog": 'I1129 03:02:11.123456       1 reconciler.go:224] "Volume mounted" pod="shop/web-{number}" volumeName="data"',
    "nginx": '10.1.2.3 - - [29/Nov/2026:03:02:11 +0000] "GET /api/v1/orders/{number}?page=2 HTTP/1.1" 200 512 "-"'
    ' "Mozilla/5.0"',
    "plain": "worker {number} took job from queue orders, 13 left; key of the cache: orders:2026-11; retry in 5s",
    "python": "2026-11-29 03:02:11,123 INFO shop.orders:117 order {number} accepted; took 12.7 ms, 3 items, total 59.90 EUR",
    "with secrets": "connecting to postgres://app:hunter{number}@db:5432/shop",
}


def blocks_of(shape: str) -> list[bytes]:
    """Return blocks of whole lines of a shape, with timestamps of the API server."""
    line = f"{STAMP} {SHAPES[shape]}\n"
    blocks, number = [], 0
    for _ in range(BLOCKS):
        lines: list[str] = []
        size = 0
        while size < BLOCK_BYTES:
            lines.append(line.format(second=number // 20_000 % 60, number=number % 1_000_000_000))
            size += len(lines[-1])
            number += 1
        blocks.append("".join(lines).encode())
    return blocks


def seconds(run: Callable[[list[bytes]], object], blocks: list[bytes]) -> float:
    """Return the least processor time of several rounds."""
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time()
        run(blocks)
        taken.append(time.process_time() - began)
    return min(taken)


def parse(blocks: list[bytes], level: Level = Level.OFF) -> None:
    """Parse blocks as a capture does."""
    start, end = "2026-11-29T00:00:00.000000000Z", "2026-11-30T00:00:00.000000000Z"
    parser = RunParser(RunSettings("app", None, False, start, end, 1 << 20, redactor=Redactor(b"benchmark", level)))
    for block in blocks:
        parser.feed(block)


def redact(blocks: list[bytes]) -> None:
    """Redact blocks as a capture does."""
    lines = Redactor(b"benchmark", Level.SECRETS).lines()
    for block in blocks:
        lines.feed(block)


def main() -> int:
    good = True
    print(f"{'shape':14} {'redaction':>12} {'parser':>12} {'both':>12} {'added':>8}")
    for shape in SHAPES:
        blocks = blocks_of(shape)
        megabytes = sum(map(len, blocks)) / 1e6
        redaction, parser = seconds(redact, blocks), seconds(parse, blocks)
        both = seconds(partial(parse, level=Level.SECRETS), blocks)
        speeds = " ".join(f"{megabytes / seconds:7.0f} MB/s" for seconds in (redaction, parser, both))
        print(f"{shape:14} {speeds} {both / parser - 1:7.1%}", flush=True)
        if shape != "with secrets":
            good = good and megabytes / redaction >= MIN_MB_PER_SECOND and redaction <= MAX_SHARE * parser
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
