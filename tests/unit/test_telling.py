"""Which log lines give a reason: behind farewells, in stack traces, at the end of long lines; and pods that stand still."""

import pytest

from aletheia_operator.findings import judge, kept_entries
from aletheia_operator.findings.telling import excerpt, is_exception, is_farewell, tells_why
from aletheia_operator.findings.words import category_of, peer_of
from aletheia_operator.report.quotes import quote
from tests.unit.evidence import NAMESPACE, Incident, Object, at, ended, event, found, item, pod, rules_of, running, waiting

CRASHED = waiting("CrashLoopBackOff", restarts=1, last=ended(1))


@pytest.mark.parametrize(
    "text",
    [
        "goodbye",
        "Aborted (core dumped)",
        "[Server] Aborting",
        "Worker (pid:7) exited with code 3",
        "Shutting down: Master",
        "Crash dump is being written to: erl_crash.dump...done",
        "did not exit normally - check the logs at /var/log/x.log",
        "database system is shut down",
        "LoggingFailureAnalysisReporter : ",
        "***************",
    ],
)
def test_a_farewell_does_not_tell_why(text: str) -> None:
    """It only says that a program ends, or announces what follows."""
    assert is_farewell(text)
    assert not tells_why(text)


@pytest.mark.parametrize(
    "text",
    ["license 8817 expired 28 days ago", "config: key 'listen' missing", "max_map_count [65530] is too low", "no such table"],
)
def test_a_reason_is_no_farewell(text: str) -> None:
    """It names an error."""
    assert tells_why(text)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("java.io.IOException: No space left on device", True),
        ("django.db.utils.ProgrammingError: no", True),
        ("  what():  bad", True),
        ("** (KeyError) key :database not found", True),
        ("\tat a.b.C(C.java:1)", False),
        ("INFO handled 0 errors", False),
    ],
)
def test_lines_of_exceptions(text: str, is_one: bool) -> None:
    """They are recognised in several languages."""
    assert is_exception(text) is is_one


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("short", "short"),
        (f"{'x' * 40} {'y' * 60}: failed: {'z' * 20}: the disk of the node is gone", "the disk of the node is gone"),
        (f"2026-11-29 08:51:00 ERROR: {'why ' * 12}", "why why"),
        (f"cannot write: No space left on device {'and more ' * 20}", "cannot write: No space left on device"),
        (f"{'a' * 60}: connect {'b' * 30}: x509: unknown authority (retry {'9' * 40})", "x509: unknown authority"),
        ("w" * 300, "w… w"),
        ("mount /var/lib/kubelet/pods/1f2e/volumes/kubernetes.io~configmap/web failed with flags 0x5001", "mount …/web failed"),
    ],
)
def test_a_long_line_is_cut_around_what_tells(text: str, words: str) -> None:
    """A chain of errors has its cause at the end."""
    short = excerpt(text, 80)
    assert len(short) <= 80
    assert words in short


GUNICORN = (
    "27 [2026-11-29 08:51:00 +0000] [7] [ERROR] Exception in worker process",
    "27 Traceback (most recent call last):",
    '27   File "/app/arbiter.py", line 609, in spawn_worker',
    "27 ModuleNotFoundError: No module named 'shop'",
    "27 [2026-11-29 08:51:00 +0000] [7] [INFO] Worker exiting (pid: 7)",
    "27 [2026-11-29 08:51:00 +0000] [1] [ERROR] Worker (pid:7) exited with code 3",
    "27 [2026-11-29 08:51:00 +0000] [1] [ERROR] Shutting down: Master",
    "27 [2026-11-29 08:51:00 +0000] [1] [ERROR] Reason: Worker failed to boot.",
)
SPRING = (
    "27 2026-11-29T08:51:02.902Z ERROR 1 --- [main] o.s.b.d.LoggingFailureAnalysisReporter : ",
    "27 ",
    "27 ***************************",
    "27 APPLICATION FAILED TO START",
    "27 Description:",
    "27 Failed to configure a DataSource: 'url' attribute is not specified",
    "27 Action:",
    "27 Consider the following:",
)
INNODB = (
    "27 2026-11-29T08:51:00.530022Z 1 [ERROR] [MY-012574] [InnoDB] Unable to lock ./ibdata1 error: 11",
    "28 2026-11-29T08:51:01.530322Z 0 [ERROR] [MY-010020] [Server] Data Dictionary initialization failed.",
    "28 2026-11-29T08:51:01.530401Z 0 [ERROR] [MY-010119] [Server] Aborting",
)
LICENSE = ("27 INFO starting", "27 INFO license 8817 expired 28 days ago", "27 INFO closing pool", "27 INFO goodbye")
CPP = (
    "27 terminate called after throwing an instance of 'std::runtime_error'",
    "27   what():  key 'listen' missing",
    "27 Aborted",
)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (GUNICORN, "No module named 'shop'"),
        (SPRING, "'url' attribute is not specified"),
        (INNODB[:1] + INNODB[2:], "Unable to lock ./ibdata1"),
        (LICENSE, "license 8817 expired"),
        (CPP, "key 'listen' missing"),
    ],
)
def test_what_a_program_says_last_does_not_hide_why_it_ended(lines: tuple[str, ...], words: str) -> None:
    """The last lines are of exiting workers, banners or farewells."""
    assert words in found(Incident().add(pod("web-1-a", CRASHED)).log("web-1-a", *lines, run=1), "CrashLoop").message


def test_a_crash_of_which_the_log_is_gone_does_not_say_nothing() -> None:
    """A log that could not be read is not reported as silent."""
    gone = (
        Incident().add(pod("web-1-a", CRASHED)).log("web-1-a", "27 unable to retrieve container logs for containerd://5", run=1)
    )
    assert "its log could not be read" in found(gone, "CrashLoop").message


def burst(*lines: str, minutes: int = 20) -> Incident:
    """A healthy pod that logs these lines in each of the last minutes."""
    texts = [f"{minute} {line}" for minute in range(60 - minutes, 60) for line in lines]
    return Incident().add(pod("web-1-a", running())).log("web-1-a", *texts)


JAVA = (
    "08:51:04.117 [main] ERROR com.example.Client - charge failed",
    "a.HttpHostConnectException: cannot reach the ledger",
    "\tat com.example.Client.charge(Client.java:31)",
    "Caused by: java.net.UnknownHostException: ledger.payments.svc.cluster.local: Name or service not known",
)


def test_the_cause_that_a_stack_trace_names_last_tells_who_is_called() -> None:
    """`charge failed` alone would not show the failing service."""
    finding = found(burst(*JAVA), "NameNotResolved")
    assert finding.message.startswith("web: DNS does not resolve ledger.payments")


def test_an_exception_again_and_again_is_counted_each_time() -> None:
    """It looks like part of a stack trace, but does not continue one."""
    finding = found(burst("botocore.ClientError: (RequestTimeTooSkewed) the difference is too large"), "ClockSkew")
    assert "(20x" in finding.message
    assert finding.severity != "info"


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("http: Accept error: accept4: too many open files; retrying in 1s", "TooManyOpenFiles"),
        ("WARN apply took too long: mvcc: database space exceeded", "DiskFull"),
    ],
)
def test_a_healthy_pod_that_goes_on_to_complain_is_no_quiet_one(line: str, rule: str) -> None:
    """Many lines without a level, or warnings, are reported. For a few there is only information."""
    assert found(burst(line), rule).severity == "warning"
    assert found(burst(line, minutes=4), rule).severity == "info"


def test_an_init_container_that_does_not_end() -> None:
    """It is reported with its last words. One that began just now is not, and neither is a sidecar."""
    status = {"name": "migrate", "ready": False, "restartCount": 0, "state": {"running": {"startedAt": at(50)}}}

    def waits(since: float, **more: str) -> Incident:
        waiting_pod = pod("web-1-a", running(ready=False))
        waiting_pod["spec"]["initContainers"] = [{"name": "migrate", "image": "a", **more}]
        state = {"running": {"startedAt": at(since)}}
        waiting_pod["status"]["initContainerStatuses"] = [status | {"state": state}]
        return Incident().add(waiting_pod).log("web-1-a", "51 waiting for advisory lock 7", container="migrate")

    assert "init container migrate has not ended: waiting for advisory lock" in found(waits(50), "InitContainerRuns").message
    assert "InitContainerRuns" not in rules_of(waits(59.8))
    assert "InitContainerRuns" not in rules_of(waits(50, restartPolicy="Always"))


def test_a_readiness_gate_that_is_not_met() -> None:
    """Its containers are ready, and nothing else explains why the pod is not."""
    gated = pod("web-1-a", running(), spec={"readinessGates": [{"conditionType": "a.io/target"}]})
    gated["status"]["conditions"] = [
        {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "lastTransitionTime": at(9)}
    ]
    assert "its readiness gate a.io/target is not met" in found(Incident().add(gated), "ReadinessGate").message


@pytest.mark.parametrize(("wanted", "reported"), [(0, True), (1, False)])
def test_an_agent_that_no_node_takes(wanted: int, reported: bool) -> None:
    """It is correct that a DaemonSet has no pods only if no node was meant."""
    template = {"spec": {"nodeSelector": {"role": "edge"}}}
    agent = item("DaemonSet", "web", {"template": template})
    agent["status"] = {"desiredNumberScheduled": wanted, "observedGeneration": 1}
    assert ("NoNodeForAgent" in rules_of(Incident().add(agent, of=("DaemonSet", "web")))) is reported


def test_an_image_without_its_pull_secret() -> None:
    """The message has the secret and the image."""
    pulling = pod("web-1-a", waiting("ImagePullBackOff"))
    secret_event = event(
        "FailedToRetrieveImagePullSecret", "Unable to retrieve some image pull secrets (regcred); attempting to pull"
    )
    assert "pull secret regcred does not exist" in found(Incident().add(pulling).add_event(secret_event), "ImagePull").message


def test_an_error_that_names_a_service_is_explained_by_what_is_behind_it() -> None:
    """The error has the word `Redis`, and a Service has that name: the trouble of its pods comes first."""
    redis = pod("redis-0", running(), labels={"app": "redis"})
    lines = [f"{minute} ERROR cannot store: MISCONF Redis cannot persist" for minute in range(30, 60)]
    own = [f"{minute} WARN Can't save: fork: Cannot allocate memory" for minute in range(30, 60)]
    service: Object = item("Service", "redis", {"selector": {"app": "redis"}, "ports": [{"port": 6379}]})
    incident = Incident().add(redis, service, of=("StatefulSet", "redis")).add(pod("web-1-a", running()))
    incident.log("web-1-a", *lines).log("redis-0", *own)
    first = incident.judged().findings[0]
    assert str(first.subject) == "statefulset/redis"


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("java.lang.OutOfMemoryError: unable to create native thread", "processes"),
        ("java.lang.OutOfMemoryError: Java heap space", "memory"),
        ("The MySQL server is running with the --read-only option", "readonly"),
        ("open /x: Read-only file system", "disk"),
        ('relation "a" does not exist', "schema"),
    ],
)
def test_categories_that_share_words(text: str, category: str) -> None:
    """The more specific category wins."""
    assert category_of(text) == category


def test_the_host_after_an_exceptions_class() -> None:
    """It is found, not the word after the first `exception`."""
    assert peer_of("cannot resolve exception: java.net.UnknownHostException: zk-1.zk-headless") == "zk-1.zk-headless"


@pytest.mark.parametrize(("minute", "code", "reported"), [(30, 0, True), (59.8, 0, False), (30, 1, False)])
def test_a_job_that_does_not_end_for_the_container_beside_its_program(minute: float, code: int, reported: bool) -> None:
    """The program ended a while ago, and a proxy continues."""
    owners = [{"kind": "Job", "name": "report", "uid": "j", "controller": True}]
    states = {"name": "app", "ready": False, "restartCount": 0, "state": {"terminated": ended(code, minute=minute)}}
    stuck = pod("report-x", states, metadata={"ownerReferences": owners})
    stuck["spec"]["containers"].append({"name": "proxy", "image": "a"})
    stuck["status"]["containerStatuses"].append(running() | {"name": "proxy"})
    incident = Incident().add(stuck, of=("Job", "report"))
    assert ("JobSidecar" in rules_of(incident)) is reported


@pytest.mark.parametrize(
    ("line", "severity"), [("ERROR no such item: 9 (404)", "info"), ("ERROR cannot parse order 9", "warning")]
)
def test_errors_of_clients_are_no_trouble_of_a_healthy_pod(line: str, severity: str) -> None:
    """The HTTP status shows that the client is at fault."""
    finding = next(finding for finding in burst(line).judged().findings if finding.rule in ("Errors", "ErrorBurst"))
    assert finding.severity == severity


@pytest.mark.parametrize(("updated", "severity"), [(0, "critical"), (1, "info")])
def test_a_refusal_that_stops_a_rollout_is_trouble(updated: int, severity: str) -> None:
    """The old pods go on, and the new ones are not made."""
    web = item("Deployment", "web", {"replicas": 1})
    web["status"] = {"availableReplicas": 1, "updatedReplicas": updated}
    words = "exceeded quota: memory, requested: pods=1, used: pods=1, limited: pods=1"
    incident = Incident().add(web, pod("web-1-a", running())).add_event(event("FailedCreate", words, "web-2", "ReplicaSet"))
    assert found(incident, "QuotaExceeded").severity == severity


def test_what_a_finding_cites_is_kept_for_the_report_of_a_sealed_session() -> None:
    """They are objects, events and lines as in the artifacts, which cannot be read again."""
    incident = Incident().add(pod("web-1-a", CRASHED)).log("web-1-a", "27 INFO on", "28 ERROR record 40: torn write", run=1)
    incident.add_event(event("BackOff", "Back-off restarting failed container app", container="app", count=4, until=58))
    evidence = incident.evidence()
    verdict = judge(evidence, NAMESPACE, 0)
    kept = kept_entries(evidence, verdict)
    cited = {(link.artifact.path, link.entry) for finding in verdict.findings for link in finding.links}
    assert {path.split("/")[1] for path, _ in cited} == {"objects", "events", "logs"}
    assert kept.keys() == cited
    for (path, number), entry in kept.items():
        said = quote(path, number, incident.files[path][number])
        mine = quote(path, number, entry)
        assert (mine.when, mine.source) == (said.when, said.source)
        assert mine.text in said.text
