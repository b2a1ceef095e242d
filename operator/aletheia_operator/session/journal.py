"""journal.ndjson: what a later process needs to resume an interrupted capture. It exists only while the capture runs.

One line of JSON for each step:
{"session": {...}}                               the first manifest, as the first line: the file of it is not synced
{"plan": {...}}                                  the questions to ask
{"begun": key}                                   a question is being asked; `key` may also be a step of the capture
{"stopped": key}                                 the process was asked to stop during the question, which did not kill it
{"key", "artifacts", "gaps", "origins", ...}     a question is done; written before its files get their names
{"interrupted": reason}                          the timeout ran out, or the Investigation was cancelled
{"redaction": salt}                              salt of the key for redaction tokens, in hex
{"upload": "begun"}                              some files may be in object storage
"""

import errno
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import orjson

from aletheia_operator.api.types import Model
from aletheia_operator.scratch import write_all
from aletheia_operator.session.files import open_file
from aletheia_operator.session.manifest import Artifact, Gap, Manifest, VerdictSummary
from aletheia_operator.text.trace_ids import TraceIds


class Origin(NamedTuple):
    """Source and category of the document of an artifact."""

    source: str
    category: str


@dataclass(frozen=True)
class Done:
    """A question that is done, with its artifacts and gaps."""

    key: str
    artifacts: tuple[Artifact, ...] = ()
    gaps: tuple[Gap, ...] = ()
    trace_ids: TraceIds | None = None
    """Trace ids in its entries. None: they are not needed, or no longer known (see `to_line`)."""
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """Origins by the artifact's path."""
    verdict: VerdictSummary | None = None
    """Headline and first findings, as the manifest has them. None for other questions than that of the findings."""

    def to_line(self, sealed: bool) -> dict[str, Any]:
        """Return the journal's line. In a sealed session it omits trace ids, which are content of log lines."""
        line: dict[str, Any] = {
            "key": self.key,
            "artifacts": [artifact.to_json() for artifact in self.artifacts],
            "gaps": [gap.to_json() for gap in self.gaps],
            "origins": {path: [*origin] for path, origin in self.origins.items()},
        }
        if self.trace_ids is not None and not sealed:
            line["trace_ids"] = self.trace_ids.to_json()
        if self.verdict is not None:
            line["verdict"] = self.verdict.to_json()
        return line

    @classmethod
    def from_line(cls, line: Mapping[str, Any]) -> "Done":
        """Parse a line, without fields that only another version of the operator knows.

        Raises ValueError, KeyError, TypeError or AttributeError if it is damaged.
        """
        return cls(
            line["key"],
            tuple(_known(Artifact, artifact) for artifact in line["artifacts"]),
            tuple(_known(Gap, gap) for gap in line["gaps"]),
            _trace_ids(line.get("trace_ids")),
            {path: Origin(*origin[:2]) for path, origin in line.get("origins", {}).items()},
            VerdictSummary.model_validate(line["verdict"]) if "verdict" in line else None,
        )


M = TypeVar("M", bound=Model)
MAX_FIRST_LINE_BYTES = 4 * 1024 * 1024
"""Longer than the manifest of a new session: its spec has at most the 1.5 MiB that etcd stores."""
_SESSION = "session"


def _known(model: type[M], value: Mapping[str, Any]) -> M:
    names = {field.alias or name for name, field in model.model_fields.items()}
    return model.model_validate({name: inner for name, inner in value.items() if name in names})


def _trace_ids(value: Any) -> TraceIds | None:
    """Return recorded trace ids; None if there are none, or if another version recorded them in another form."""
    try:
        return None if value is None else TraceIds(**value)
    except TypeError:
        return None


@dataclass
class CaptureProgress:
    """The progress of a capture, from its journal."""

    plan: dict[str, Any] | None = None
    redaction_salt: bytes | None = None
    """Salt of the key for redaction tokens. None: there is no key yet."""
    upload_begun: bool = False
    interruption: str | None = None
    """GapReason of an early end. None: the capture did not end early."""
    done: dict[str, Done] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)
    """Number of times that the process died while a question was asked, by question."""

    def take_up(self, line: Any, is_whole: Callable[[Artifact], bool]) -> None:
        """Apply one line. A question counts as done only if `is_whole` returns True for all of its artifacts.

        Raises ValueError, KeyError, TypeError or AttributeError for a damaged line.
        """
        if _SESSION in line:
            return  # read by `first_manifest`
        if "plan" in line:
            self.plan = line["plan"]
        elif "redaction" in line:
            self.redaction_salt = bytes.fromhex(line["redaction"])
        elif "upload" in line:
            self.upload_begun = True
        elif "interrupted" in line:
            self.interruption = str(line["interrupted"])
        elif "begun" in line:
            self.deaths[line["begun"]] += 1
        elif "stopped" in line:
            self.deaths[line["stopped"]] -= 1
        else:
            done = Done.from_line(line)
            if all(is_whole(artifact) for artifact in done.artifacts):
                self.done[done.key] = done
                self.deaths.pop(done.key, None)
            else:
                self.done.pop(done.key, None)


def append(path: Path, lines: Sequence[Mapping[str, Any]], sync: bool = True) -> None:
    """Append lines. On an OSError the journal is left as it was.

    Without `sync` a line survives a crash of the process, but perhaps not of the machine, until a later line is synced. The
    caller syncs the directory of a new journal.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o640)
    try:
        before = os.fstat(descriptor).st_size
        try:
            write_all(descriptor, b"".join(orjson.dumps(line) + b"\n" for line in lines))
            if sync:
                os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)  # an incomplete line would damage the next one
            raise
    finally:
        os.close(descriptor)


def first_line(manifest: Manifest) -> bytes:
    """Return the first line of the journal of a new session."""
    return orjson.dumps({_SESSION: manifest.to_json()}) + b"\n"


def first_manifest(path: Path) -> bytes | None:
    """Return the manifest in the journal's first line, as JSON; None if there is none. Raises OSError."""
    try:
        with open_file(path) as file:
            line = orjson.loads(file.readline(MAX_FIRST_LINE_BYTES))
        return orjson.dumps(line[_SESSION])
    except (FileNotFoundError, IsADirectoryError, ValueError, KeyError, TypeError):
        return None
    except OSError as e:
        if e.errno == errno.ELOOP:  # a link
            return None
        raise


def is_new(path: Path) -> bool:
    """Return whether the journal is as `create_session` made it, with a name that a crash of the machine cannot lose."""
    try:
        with open_file(path) as file:
            line, more = file.readline(MAX_FIRST_LINE_BYTES), file.read(1)
    except FileNotFoundError:
        return False
    return line.endswith(b"\n") and not more and line.startswith(b'{"%s":' % _SESSION.encode())


def read(path: Path, is_whole: Callable[[Artifact], bool]) -> CaptureProgress:
    """Read the journal. A missing one counts as empty. An incomplete last line is removed. Raises OSError."""
    content = path.read_bytes() if path.is_file() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    progress = CaptureProgress()
    for line in whole.splitlines():
        with suppress(ValueError, KeyError, TypeError, AttributeError):  # a damaged line loses only its own question
            progress.take_up(orjson.loads(line), is_whole)
    return progress
