"""A finished session with all kinds of evidence, for tests of what shows it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aletheia_operator.findings import Verdict
from aletheia_operator.report import PlainFiles
from aletheia_operator.session import Gap
from aletheia_operator.session.manifest_file import manifest_bytes, read_copy
from aletheia_operator.show.captured import CapturedSession
from tests.unit.evidence import START, Incident, Object, at, ended, event, item, pod, running, waiting
from tests.unit.reported import Recording, series, trace

FIRST = int(START.timestamp())
TRACEBACK = ("Traceback (most recent call last):", '  File "/app/main.py", line 7, in <module>', "ValueError: torn write?")


def incident(version: int = 2) -> Incident:
    """A crash loop after a rollout, and a pod that calls what crashes. `version`: of the image that was rolled out."""
    status = waiting("CrashLoopBackOff", restarts=4, last=ended(1, minute=30))
    found = Incident().add(pod("web-1-a", status), pod("web-1-b", running("app"), running("proxy")))
    for number in (1, version):
        container = {"name": "app", "image": f"shop/app:{number}", "env": [{"name": "POOL", "value": f"{number * 5}"}]}
        made = at(number * 12.5 if number == 2 else 0)
        found.add(
            item("ReplicaSet", f"web-{3 - number}", {"template": {"spec": {"containers": [container]}}}, creationTimestamp=made)
        )
    template = {"spec": {"containers": [{"name": "app", "image": f"shop/app:{version}"}]}}
    found.add(item("Deployment", "web", {"replicas": 2, "template": template}))
    found.add_event(
        event("Pulled", "image already present", type="Normal", minute=2),
        event("BackOff", "Back-off restarting failed container app", container="app", count=12, until=32),
    )
    found.log("web-1-a", "26 INFO replaying the journal", "27 INFO record 39", run=3)
    found.log("web-1-a", "27.5 FATAL panic: record 40", *(f"27.5 {line}" for line in TRACEBACK), run=4)
    lines = [f"28 INFO served /{number}" for number in range(6)]
    found.log("web-1-b", "25 INFO ready", "28 ERROR order 1044 failed: web answered 503", *lines, "29 DEBUG 抹茶ラテ done")
    return found.log("web-1-b", "29.5 WARN upstream reset", container="proxy")


HEADLINE = "web: FATAL panic: record 40 (exit 1, 4 restarts since 14:28)"


def _link(path: str, entry: int) -> Object:
    return {"artifact": path, "entry": entry}


def _error(level: str, template: str, example: str, pod: str, entry: int, stamp: str) -> Object:
    links = _link(f"data/logs/{pod}.json", entry)
    error = {"level": level, "template": template, "variants": 1, "count": 1, "example": example, "evidence": links}
    return {**error, "first": stamp, "last": stamp, "pods": 1, "pod_names": [pod]}


FINDINGS: list[Any] = [
    {
        "rule": "CrashLoop",
        "severity": "critical",
        "confidence": "certain",
        "object": {"kind": "Deployment", "name": "web", "namespace": "shop"},
        "message": HEADLINE,
        "firstSeen": "2026-11-22T14:28:00Z",
        "evidence": [
            _link("data/objects/Deployment_web.json", 0),
            _link("data/logs/web-1-a.json", 2),
            _link("data/events/shop.json", 1),
        ],
        "remedy": "compare the settings of revision 2 with those of revision 1; `kubectl rollout undo` goes back",
    },
    {
        "rule": "ErrorRateRose",
        "severity": "error",
        "confidence": "likely",
        "object": {"kind": "Deployment", "name": "web", "namespace": "shop"},
        "message": "web: its error rate rose from 0 % to 90 % (since 14:30)",
        "firstSeen": "2026-11-22T14:30:00Z",
        "because": "CrashLoop deployment/web",
        "evidence": [_link("data/metrics/prometheus_0.json", 0)],
    },
    {
        "rule": "Errors",
        "severity": "info",
        "confidence": "possible",
        "object": {"kind": "Deployment", "name": "web", "namespace": "shop"},
        "message": "web: order 1044 failed: web answered 503 (1x since 14:28)",
        "firstSeen": "2026-11-22T14:28:00Z",
        "evidence": [_link("data/logs/web-1-b.json", 1)],
    },
]
TOP_ERRORS = [
    _error("ERROR", "order # failed: web answered #", "order 1044 failed: web answered 503", "web-1-b", 1, at(28)),
    _error("FATAL", "panic: record #", "panic: record 40", "web-1-a", 2, at(27.5)),
]


@dataclass
class Judged(Recording):
    """A recording with findings of its own: what the rules find does not change what is tested here."""

    def write(self, root: Path) -> Path:
        directory = super().write(root)
        manifest = read_copy(directory)[0].model_copy(update={"headline": HEADLINE})
        (directory / "manifest.json").write_bytes(manifest_bytes(manifest))
        return directory

    def _documents(self, verdict: Verdict) -> dict[str, tuple[Object, list[Any]]]:
        found = {"headline": HEADLINE, "changes": [], "top_errors": TOP_ERRORS}
        return {**super()._documents(verdict), "data/findings.json": (found, FINDINGS)}


def recording(version: int = 2, rate: float = 0.9) -> Recording:
    """The whole session. `rate`: the share of errors at the end."""
    metadata = {"query": "sum(rate(x[1m]))", "template": "error_rate", "step_seconds": 60}
    baseline = {
        "offset": "1d",
        "compared": 1,
        "changed": [{"metric": '{"service":"web"}', "level": 0.9, "baseline_level": 0.01}],
    }
    slow = trace(
        "abc1",
        ("1", "", "checkout POST /buy", 0, 900, "503"),
        ("2", "1", "payments POST /pay", 20, 850, "connection refused"),
        ("3", "1", "stock GET /stock", 5, 10, ""),
    )
    rates = [0.0] * 30 + [rate] * 30
    return Judged(
        incident(version),
        metrics=[
            ({**metadata, "baseline": baseline}, [series({"service": "web"}, rates, FIRST)]),
            ({**metadata, "baseline_offset": "1d"}, [series({"service": "web"}, [0.01] * 60, FIRST - 86400)]),
            ({"query": "up", "step_seconds": 60}, [series({"pod": "web-1-a"}, [1] * 30 + [0] * 30, FIRST)]),
        ],
        traces=[({"service": "checkout"}, [slow, trace("abc2", ("1", "", "checkout GET /", 0, 20, ""))])],
        gaps=[Gap(fetcher="Loki", target="{app=x}", reason="Unavailable", message="connection refused: check the endpoint")],
    )


def captured(directory: Path) -> CapturedSession:
    """A session in a folder, to be looked at."""
    return CapturedSession(read_copy(directory)[0], PlainFiles(directory))
