"""What the first finding blames: the caller or what it calls, a Service or its programs, a lost pod or its replacement."""

import pytest

from tests.unit.evidence import Incident, Object, at, conditions, event, found, item, pod, rules_of, running, workloads

REFUSED = "ERROR report failed: dial tcp 10.96.0.7:3307: connect: connection refused (host db)"
SILENT = "ERROR Error: connect ETIMEDOUT db:3306 in pool.getConnection"


def revision(name: str, number: int, minute: float, **container: str | list[Object]) -> Object:
    template = {"spec": {"containers": [{"name": "app", "image": f"shop/{name}:{number}", **container}]}}
    return item("ReplicaSet", f"{name}-{number}", {"template": template}, creationTimestamp=at(minute))


def rolled_out(incident: Incident, name: str, minute: float) -> Incident:
    """Add a second revision of a workload, of which its pod is."""
    ports = [[{"name": "DB_PORT", "value": port}] for port in ("3306", "3307")]
    incident.add(revision(name, 1, 1, env=ports[0]), revision(name, 2, minute, env=ports[1]), of=("Deployment", name))
    incident.rollouts["Deployment", name] = [
        {"revision": number, "name": f"{name}-{number}", "created": at(at_minute), "in_window": number > 1, "summary": "x: y"}
        for number, at_minute in ((1, 1), (2, minute))
    ]
    labels = incident.objects["Deployment", name][0]["metadata"]["labels"]
    labels["pod-template-hash"] = "2"
    return incident


def failing(line: str, *callers: str) -> Incident:
    """Return workloads of which some log an error about their database from minute 31 on."""
    incident = workloads("db", "report", "audit")
    for name in callers:
        incident.log(f"{name}-1-a", *(f"{minute} {line}" for minute in range(31, 60)))
    return incident


@pytest.mark.parametrize("line", [REFUSED, SILENT])
def test_a_caller_is_blamed_if_its_calls_fail_since_its_rollout(line: str) -> None:
    """Nothing else is wrong with what it calls."""
    first = rolled_out(failing(line, "report"), "report", 30).judged().findings[0]
    assert str(first.subject) == "deployment/report"
    assert first.message.startswith("report: since its revision 2 (app image shop/report:1 → shop/report:2, app env DB_PORT")


def test_a_called_program_is_blamed_if_others_have_trouble_with_it_too() -> None:
    """The rollout of one of its callers is no cause."""
    first = rolled_out(failing(SILENT, "report", "audit"), "report", 30).judged().findings[0]
    assert str(first.subject) == "service/db"


@pytest.mark.parametrize("minute", [20, 40])
def test_a_rollout_is_no_cause_long_before_the_calls_fail_or_after_it(minute: float) -> None:
    """The called program is blamed."""
    assert str(rolled_out(failing(SILENT, "report"), "report", minute).judged().findings[0].subject) == "service/db"


def test_a_called_program_that_changed_is_blamed() -> None:
    """Both were rolled out."""
    incident = rolled_out(rolled_out(failing(SILENT, "report"), "report", 30), "db", 29)
    assert str(incident.judged().findings[0].subject) == "service/db"


def sharing(first: str, second: str, image: str = "", line: str = "") -> Incident:
    """Return a Service `api` of which the selector matches two workloads, and a caller of it."""
    incident = workloads("web")
    for name in (first, second):
        spec = {"containers": [{"name": "app", "image": image or f"registry.example:5000/shop/{name}:1"}]}
        labels = {"app": name, "part-of": "shop"}
        incident.add(pod(f"{name}-1-a", running(), labels=labels, spec=spec), of=("Deployment", name))
    incident.add(item("Service", "api", {"selector": {"part-of": "shop"}, "clusterIP": "10.96.0.9"}), of=("Deployment", first))
    return incident.log("web-1-a", *(f"{minute} {line}" for minute in range(30, 60))) if line else incident


@pytest.mark.parametrize(
    "line",
    [
        "ERROR GET http://api/v1/orders -> 404 page not found",
        "ERROR order not placed: invalid character '<' looking for beginning of value (http://api/v1/orders)",
    ],
)
def test_a_service_of_two_programs_explains_the_errors_of_its_callers(line: str) -> None:
    """Half of their requests meet the wrong one."""
    first = sharing("api", "api-docs", line=line).judged().findings[0]
    assert first.message == (
        "service api sends requests to several programs: its selector part-of=shop matches pods of api, api-docs"
    )


def test_a_service_of_two_programs_may_be_meant() -> None:
    """Two workloads of one image are one program, and without a caller in trouble nothing is wrong."""
    canary = sharing("api", "api-canary", image="shop/api:2", line="ERROR http://api/v1/orders answered 500")
    assert "ServiceSelectsSeveral" not in rules_of(canary) + rules_of(sharing("api", "api-docs"))


def unscheduled(message: str) -> Object:
    """Return a pod that took the place of a removed one, and is not scheduled."""
    scheduled = {"status": "False", "reason": "Unschedulable", "message": f"0/3 nodes are available: {message}."}
    status = {"phase": "Pending", "conditions": conditions(PodScheduled=scheduled, Ready="False"), "containerStatuses": []}
    return pod("web-1-b", running(ready=False), status=status)


@pytest.mark.parametrize("why", ["3 Insufficient memory", "3 node(s) had volume node affinity conflict"])
def test_what_the_replacement_of_a_removed_pod_lacks_leads(why: str) -> None:
    """That its node was lost is over."""
    incident = Incident(gone=[{"name": "web-1-a", "owner": "Deployment/web"}]).add(unscheduled(why))
    incident.add_event(event("TaintManagerEviction", "Marking for deletion Pod shop/web-1-a", minute=15, type="Normal"))
    assert rules_of(incident) == ["Unschedulable", "Removed"]
    assert "removed, since its node has a taint" in found(incident, "Removed").message


@pytest.mark.parametrize(
    ("state", "count", "severity"),
    [("Complete", 1, "info"), ("Failed", 1, "info"), ("Complete", 6, "warning"), ("", 1, "error")],
)
def test_a_skipped_run_is_an_error_while_the_one_before_it_still_runs(state: str, count: int, severity: str) -> None:
    """Later it is over, as concurrencyPolicy wants it; but often skipped runs are too many."""
    job = item("Job", "nightly-1", creationTimestamp=at(1))
    job["status"] = {"conditions": conditions(**{state: "True"}) if state else []}
    later = item("Job", "nightly-2", creationTimestamp=at(50))
    incident = Incident().add(job, later, of=("CronJob", "nightly"))
    incident.add_event(event("JobAlreadyActive", "x", "nightly", "CronJob", type="Normal", count=count))
    assert found(incident, "CronJobMissed").severity == severity
