"""Makes the names of sessions and files. Pure."""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

MAX_NAME_BYTES = 200  # file systems take 255; the rest is for suffixes and temporary names
MAX_SESSION_ID_DIGITS = 64  # all of a SHA-256
_DIGEST_DIGITS = 8


def generate_timestamp(now: datetime) -> str:
    """Format a time for file names: `2025-10-21T14-30-45`, UTC."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H-%M-%S")


def sanitize_filename(text: str) -> str:
    """Make a file name of `text`: letters and digits of any script, `-`, `_`, `.` inside stay; others become one `_`.

    At most MAX_NAME_BYTES of UTF-8; a longer name is cut and ends in a digest of the whole. Never empty, never `.` or `..`,
    never hidden.
    """
    kept = "".join(c if c in "-_." or unicodedata.category(c)[0] in "LMN" else "\0" for c in unicodedata.normalize("NFC", text))
    name = re.sub(r"\0+", "_", kept)
    name = re.sub(r"\.{2,}", ".", name).strip(".") or "_"
    return name if len(name.encode()) <= MAX_NAME_BYTES else _cut(name, text)


def artifact_name(parts: Sequence[str], now: datetime, is_taken: Callable[[str], bool]) -> str:
    """Make a file name `{part}_{part}_..._{timestamp}.json`, with a number before `.json` if that name is taken."""
    stem = f"{sanitize_filename('_'.join(parts))}_{generate_timestamp(now)}"
    name, number = f"{stem}.json", 2
    while is_taken(name):
        name, number = f"{stem}-{number}.json", number + 1
    return name


def session_id(uid: str, digits: int) -> str:
    """Derive a session's id from its Investigation's uid, so that a retry finds it: `INC-` and `digits` hex digits."""
    return "INC-" + hashlib.sha256(uid.encode()).hexdigest()[:digits].upper()


def is_session_id(text: str) -> bool:
    """Return whether a text has the form of a session id."""
    return re.fullmatch(rf"INC-[0-9A-F]{{4,{MAX_SESSION_ID_DIGITS}}}", text) is not None


def _cut(name: str, whole: str) -> str:
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_DIGITS]
    head = name.encode()[: MAX_NAME_BYTES - _DIGEST_DIGITS - 1].decode("utf-8", "ignore").rstrip(".")
    return f"{head}-{digest}"
