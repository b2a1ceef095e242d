"""Reads lines from Loki. Their errors are grouped with those of the pods' logs."""

import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from aletheia_operator.findings.artifact_reader import ArtifactReader
from aletheia_operator.findings.entry_text import text_of
from aletheia_operator.findings.error_categories import category_of
from aletheia_operator.findings.finding import Link
from aletheia_operator.findings.log_facts import LogFacts
from aletheia_operator.findings.templates import Templates
from aletheia_operator.findings.window_parts import WindowParts
from aletheia_operator.text.batches import SERIOUS

MAX_LINE_BYTES = 64 * 1024  # decoding holds the interpreter's lock
MAX_SERVICES = 1_000
_PODS = ("pod", "k8s_pod_name", "kubernetes_pod_name", "pod_name")
_NAMES = ("service_name", "app", "app_kubernetes_io_name", "container", "job")
_CONTAINERS = ("container", "k8s_container_name", "container_name")


class LokiReader(ArtifactReader[LogFacts]):
    """Reads an artifact of data/logs that comes from Loki."""

    def __init__(self, facts: LogFacts, lock: threading.Lock, start: datetime, end: datetime) -> None:
        super().__init__(facts, lock)
        self._parts = WindowParts(start, end)
        self._templates = Templates()
        self._lines = 0
        self._services: set[str] = set()

    def _read_entry(self, encoded: bytes, link: Link) -> None:
        from aletheia_operator.logs.forms import recognise  # not at start: it takes memory, and most captures need none of it

        self._lines += 1
        if len(encoded) > MAX_LINE_BYTES:
            return
        entry = orjson.loads(encoded)
        level = str(entry.get("level") or "")
        if level not in SERIOUS and (level not in ("", "WARN") or not category_of(str(entry.get("line") or ""))):
            return
        line = str(entry.get("line") or "")
        words = text_of({"line": line, "message": recognise(line).message})
        labels: Mapping[str, Any] = entry.get("labels") or {}
        stamp = str(entry.get("timestamp") or "")
        pod = _first(labels, _PODS)
        if not pod and len(self._services) < MAX_SERVICES:
            self._services.add(_first(labels, _NAMES) or "loki")
        place = place_of(labels)
        self._templates.add(words, level, place, 0, stamp, link, self._parts.of(stamp))

    def close(self, path: str, metadata: Mapping[str, Any]) -> None:
        super().close(path, metadata)
        with self._lock:
            self._facts.loki.append((self._templates, self._lines))
            self._facts.services |= self._services


def place_of(labels: Mapping[str, Any]) -> tuple[str, str]:
    """Return pod and container of a line from Loki. Without a pod, another name of the source; without a container, ''."""
    return _first(labels, _PODS) or _first(labels, _NAMES) or "loki", _first(labels, _CONTAINERS)


def _first(labels: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """Return the value of the first of these labels that is set; '' if none is set."""
    return next((str(labels[name])[:253] for name in names if labels.get(name)), "")
