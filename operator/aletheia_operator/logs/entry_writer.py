"""Turns log lines into JSON entries: level, message and fields of a line, and the line that it continues."""

import base64
from dataclasses import dataclass, field
from typing import Any

import orjson

from aletheia_operator.logs.forms import recognise
from aletheia_operator.logs.forms.recognised import NOTHING
from aletheia_operator.logs.framing import Line, decode
from aletheia_operator.logs.known_shapes import CODE_OF
from aletheia_operator.logs.levels import LevelCount
from aletheia_operator.logs.marks import MarkedEntries, Parsed, count_codes
from aletheia_operator.logs.run_settings import RunSettings
from aletheia_operator.logs.stack_traces import Heads
from aletheia_operator.text.batches import LEVEL_CODES, SERIOUS

_dumps = orjson.dumps


@dataclass
class EntryWriter:
    """Collects the entries of one run, in its order."""

    settings: RunSettings
    count: LevelCount = field(default_factory=LevelCount)
    heads: Heads = field(default_factory=Heads)
    out: MarkedEntries = field(default_factory=MarkedEntries)
    truncated_at: str | None = None

    def __post_init__(self) -> None:
        self.head = self.settings.head

    def add_line(self, line: Line, whole: bool) -> None:
        """Add a line. `whole`: it is complete."""
        key, raw, text, exact, stream, was_long = line
        max_bytes = self.settings.max_line_bytes
        truncated = was_long or (len(text) * 4 > max_bytes and len(text.encode() if exact is None else exact) > max_bytes)
        if truncated:
            self.truncated_at = self.truncated_at or key
            cut = (text.encode() if exact is None else exact)[:max_bytes]
            text, exact = (cut.decode("utf-8", "ignore"), None) if exact is None else decode(cut)
        level, message, fields, formed = NOTHING if self.settings.plain else recognise(text)
        entry: dict[str, Any] = {"timestamp": key, **self.head}
        if stream is not None:
            entry["stream"] = stream
        if raw is not key and raw[-1:] != "Z":
            entry["timestamp_raw"] = raw
        if truncated:
            entry["truncated"] = True
        if not whole:
            entry["partial"] = True
        if exact is not None:
            entry["line_base64"] = base64.b64encode(exact).decode()
        belongs, alike = False, 0
        if formed and not (self.heads.language and self.heads.keeps(text)):
            serious = level in SERIOUS
            self.heads.begin(key, serious, text if serious else "", warns=level == "WARN")
        elif (head := self.heads.head_of(text, key, level)) is not None:
            entry["head"] = head
            belongs = self.heads.serious
            level = None  # the level of its head counts
        if level is not None:
            entry["level"] = level
        if message is not None:
            entry["message"] = message
        if fields is not None:
            entry["fields"] = fields
        entry["line"] = text
        if level in SERIOUS:
            form = self.count.add_message(text if message is None else message)
            alike = form if level == "ERROR" and whole and fields is None and exact is None else 0
        self.out.add(_encode(entry), CODE_OF[level], belongs, alike)

    def add_untimed(self, text: str, exact: bytes | None) -> None:
        """Add a line that has no time."""
        entry: dict[str, Any] = {"timestamp": None, **self.head}
        raw = text.encode() if exact is None else exact
        if len(raw) > self.settings.max_line_bytes:
            text, exact = decode(raw[: self.settings.max_line_bytes])
            entry["truncated"] = True
        if exact is not None:
            entry["line_base64"] = base64.b64encode(exact).decode()
        entry["line"] = text
        self.out.add(_dumps(entry).decode(), 0, False)

    def take(self, kept_back: int) -> Parsed:
        """Remove and return all entries but the last `kept_back`, and count their levels."""
        parsed = self.out.take(kept_back)
        for code, number in count_codes(parsed.marks).items():
            self.count.add(LEVEL_CODES[code] or None, number)
        return parsed


def _encode(entry: dict[str, Any]) -> str:
    try:
        return _dumps(entry).decode()
    except TypeError:  # fields nested too deeply: they are left out, since the line has them
        return _dumps({key: value for key, value in entry.items() if key != "fields"}).decode()
