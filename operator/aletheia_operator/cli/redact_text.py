"""`aletheia redact`: removes secrets from a stream of lines, for example `kubectl logs web-0 | aletheia redact`."""

import secrets
import sys
from collections import Counter
from typing import Any, BinaryIO

import click

from aletheia_operator.cli.options import Options, option_command
from aletheia_operator.cli.output import print_message
from aletheia_operator.redact import Level, Redactor
from aletheia_operator.text.sizes import counted

CHUNK_BYTES = 128 * 1024
MAX_LINE_BYTES = 4 * 1024 * 1024
TOO_LONG = b"[redacted:too-long]"


def _run(options: Options) -> int:
    redactor = Redactor(secrets.token_bytes(32), Level(options.level))
    cut = redact_stream(redactor, sys.stdin.buffer, sys.stdout.buffer)
    print_message(summary(redactor.counts))
    if cut:
        print_message(
            f"longer than {MAX_LINE_BYTES // 2**20} MiB: {counted(cut, 'line')}; the rest of each became {TOO_LONG.decode()}"
        )
    return 0


def summary(counts: Counter[str]) -> str:
    """Return how many secrets were redacted, and by which rules, the most frequent first."""
    if not counts:
        return "nothing redacted"
    rules = ", ".join(f"{rule} {count}" for rule, count in counts.most_common())
    return f"{counted(counts.total(), 'secret')} redacted: {rules}. Redaction is best effort"


def redact_stream(redactor: Redactor, source: Any, target: BinaryIO) -> int:
    """Redact lines as they come. Returns the number of lines that were cut at MAX_LINE_BYTES."""
    lines = redactor.lines()
    rest, cut, dropping = b"", 0, False
    while chunk := source.read1(CHUNK_BYTES):
        if dropping:
            end = chunk.find(b"\n")
            if end < 0:
                continue
            chunk, dropping = chunk[end:], False
        rest += chunk
        end = rest.rfind(b"\n") + 1
        target.write(lines.feed(rest[:end]))
        rest = rest[end:]
        if len(rest) > MAX_LINE_BYTES:
            target.write(lines.feed(rest[:MAX_LINE_BYTES]) + TOO_LONG)
            rest, dropping, cut = b"", True, cut + 1
        target.flush()
    target.write(lines.feed(rest))
    target.flush()
    return cut


command = option_command(
    "redact",
    _run,
    "take secrets out of standard input, line for line; a summary goes to standard error",
    click.Option(
        ["--level"],
        type=click.Choice([str(level) for level in Level]),
        default=str(Level.SECRETS),
        help="strict: also e-mail and IP addresses, phones.",
    ),
)
