"""A finished session with all kinds of evidence, for tests of what shows it."""

from pathlib import Path

from aletheia_operator.report import PlainFiles
from aletheia_operator.session import Gap
from aletheia_operator.session.manifest_file import read_copy
from aletheia_operator.show.captured import CapturedSession
from tests.unit.evidence import START, Incident, at, ended, event, item, pod, running, waiting
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
    return Recording(
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
