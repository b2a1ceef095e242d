"""Lines that give a reason: behind notices of an exit, in stack traces, at the end of long lines; and pods that are stalled."""

import pytest

from aletheia_operator.findings import judge, kept_entries
from aletheia_operator.findings.error_categories import category_of, peer_of
from aletheia_operator.findings.excerpts import excerpt
from aletheia_operator.findings.reason_lines import gives_reason, is_exception, is_exit_notice, names_client
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
        "running clean-up: exit handlers failed",
        "Cleaning up after the failed start",
        "Crash dump is being written to: erl_crash.dump...done",
        "did not exit normally - check the logs at /var/log/x.log",
        "database system is shut down",
        "LoggingFailureAnalysisReporter : ",
        "***************",
        "Execution halted",
        "configuration file contains errors, aborting.",
        "refusing to start with 3 configuration errors",
    ],
)
def test_a_notice_of_an_exit_gives_no_reason(text: str) -> None:
    """It only says that a program ends, or announces what follows."""
    assert is_exit_notice(text)
    assert not gives_reason(text)


@pytest.mark.parametrize(
    "text",
    [
        "license 8817 expired 28 days ago",
        "config: key 'listen' missing",
        "max_map_count [65530] is too low",
        "no such table",
        "the 'compact' cleanup policy is incorrect",
    ],
)
def test_a_reason_is_no_notice_of_an_exit(text: str) -> None:
    """It names an error."""
    assert gives_reason(text)


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
        (f"{'a' * 70}: the plan is used up. Trace ID: {'1' * 30} Timestamp: 2026-12-03", "the plan is used up"),
        (f"{'a' * 70}: the plan is used up. For details see https://docs.example/{'b' * 60}", "the plan is used up"),
        (f"client intended to send too large body: 3966449 bytes, {'client: 10.1.2.3, ' * 6}", "send too large body: 3966449"),
        (f"the name is incorrect. {'Use letters, ' * 3}from these sets: {'letters, ' * 6}", "the name is incorrect"),
        (f"{'a' * 40}: JsonException: {'b' * 30}: the plan is used up", "the plan is used up"),
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
CLOJURE = ("27 Execution error (ExceptionInfo) at planner.config/load! (config.clj:31).", "27 Config lacks :planner/queue-url")
SHELL = ('27 sh: syntax error: unexpected "done" (expecting "fi")', "27 starting")
HASKELL = ("27 rules: Prelude.head: empty list", "27 CallStack (from HasCallStack):", "27   error, called at List.hs:1646:3")
PYTHON = (
    "27 Traceback (most recent call last):",
    "27     raise last_exception",
    "27 smtplib.SMTPAuthenticationError: (535, b'not accepted. For more information, go to https://a.example')",
    "27 sending 4000 mails",
)
NODE = (
    "27 node:internal/fs/watchers:247",
    "27     const error = new UVException({",
    "27 Error: ENOSPC: System limit for number of file watchers reached, watch '/app'",
    "27     at FSWatcher.<computed> (node:internal/fs/watchers:247:19)",
)
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
        (HASKELL, "empty list"),
        (CLOJURE, ":planner/queue-url"),
        (SHELL, "syntax error"),
        (PYTHON, "SMTPAuthenticationError"),
        (NODE, "number of file watchers"),
    ],
)
def test_what_a_program_says_last_does_not_hide_why_it_ended(lines: tuple[str, ...], words: str) -> None:
    """The last lines are of exiting workers, banners or notices of the exit."""
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
        ("DAMN ! worker 2 (pid: 14) died, killed by signal 9 :(", "workers"),
        ("[ERROR] Worker (pid:9) was sent SIGKILL! Perhaps out of memory?", "workers"),
        ("[alert] 1#1: worker process 31 exited on signal 11", "workers"),
        ("AxiosError: timeout of 3000ms exceeded", "timeout"),
        ("Hostname/IP does not match certificate's altnames: Host: a.", "certificate"),
        ("Signed JWT rejected: no matching key(s) found", "credentials"),
    ],
)
def test_the_category_of_a_line(text: str, category: str) -> None:
    """The more specific category wins. Words that say nothing about a program give none."""
    assert category_of(text) == category


def test_the_host_after_an_exceptions_class() -> None:
    """It is found, not the word after the first `exception`."""
    assert peer_of("cannot resolve exception: java.net.UnknownHostException: zk-1.zk-headless") == "zk-1.zk-headless"
    assert (
        peer_of("php_network_getaddresses: getaddrinfo for mysql-primary failed: Name or service not known") == "mysql-primary"
    )


@pytest.mark.parametrize(
    ("text", "is_named"),
    [
        ('[error] 31#31: *4 open() "/html/favicon.ico" failed (2: No such file), client: 10.0.0.9, request: "GET /"', True),
        ("[client 10.0.0.9:4711] AH00128: File does not exist: /var/www/x", True),
        ("http: TLS handshake error from 10.0.0.1:41236: EOF", True),
        ("client 10.0.0.9 disconnected", True),
        ("cannot open /etc/app.yaml: no such file or directory", False),
        ("read tcp 10.1.0.9:8443->10.0.0.1:4123: connection reset by peer", False),
        ("http client: timeout", False),
    ],
)
def test_lines_about_clients(text: str, is_named: bool) -> None:
    """They have the client's address."""
    assert names_client(text) is is_named


@pytest.mark.parametrize("healthy", [True, False])
def test_what_clients_ask_for_is_no_trouble_of_a_healthy_server(healthy: bool) -> None:
    """If the server itself is not well, the lines may tell why."""
    line = '[error] 31#31: *4 open() "/html/favicon.ico" failed (2: No such file or directory), client: 10.0.0.9, server: x'
    incident = Incident().add(pod("web-1-a", running() if healthy else CRASHED))
    incident.log("web-1-a", *(f"{minute} {line}" for minute in range(30, 60)))
    assert (found(incident, "FileMissing").severity == "info") is healthy


@pytest.mark.parametrize(
    ("own", "error", "reported"),
    [
        ("WARN memory resource limit alarm set", "rabbit:5672 closed: blocked", True),
        ("WARN memory resource limit alarm set", "cannot parse order", False),
        ("INFO memory resource limit alarm set", "rabbit:5672 closed: blocked", False),
        ("ERROR memory resource limit alarm set", "rabbit:5672 closed: blocked", True),
    ],
)
def test_a_called_program_that_only_warns_explains_its_callers_errors(own: str, error: str, reported: bool) -> None:
    """If they name it. Its warnings and few errors alone are no trouble."""
    service: Object = item("Service", "rabbit", {"selector": {"app": "rabbit"}, "ports": [{"port": 5672}]})
    rabbit = pod("rabbit-0", running(), labels={"app": "rabbit"})
    incident = Incident().add(rabbit, service, of=("StatefulSet", "rabbit")).add(pod("web-1-a", running()))
    incident.log("web-1-a", *(f"{minute} ERROR not sent: {error}" for minute in range(30, 60))).log("rabbit-0", f"29 {own}")
    findings = [finding for finding in incident.judged().findings if finding.subject.kind != "Service"]
    assert ("CalleeWarns" in [finding.rule for finding in findings]) is reported
    if reported:
        assert findings[0].message == (
            "rabbit: memory resource limit alarm set (1x since 14:29, while web reports errors with it)"
        )
        assert [finding.because.subject.name for finding in findings[1:] if finding.because] == ["rabbit"]


def test_the_first_fatal_line_of_a_burst_tells_why() -> None:
    """The lines after it are its stack, with the same level. A farewell before it does not count."""
    lines = (
        "27 FATAL db: shutting down",
        "27 FATAL db: clock is wrong",
        "27 FATAL db: !goroutine 77",
        "27 FATAL db: !\tdebug.go:24",
    )
    incident = Incident().add(pod("web-1-a", CRASHED)).log("web-1-a", "20 FATAL db: other", *lines, run=1)
    assert "clock is wrong" in found(incident, "CrashLoop").message


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


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("ERROR upload failed: operation error S3: StatusCode: 404, api error NoSuchUpload", "warning"),
        ("ERROR Request failed with status code 404", "warning"),
        ("ERROR GET /favicon.ico 404", "info"),
    ],
)
def test_an_answer_of_a_called_program_is_no_error_of_a_client(line: str, severity: str) -> None:
    """A server's own answers with such a status are."""
    (finding,) = [one for one in burst(line).judged().findings if one.rule in ("Errors", "ErrorBurst")]
    assert finding.severity == severity


@pytest.mark.parametrize(
    ("line", "severity"), [("token expired, requesting a new one", "info"), ("token expired, giving up: failed", "warning")]
)
def test_a_token_that_is_renewed_is_no_trouble(line: str, severity: str) -> None:
    """Programs log it each time."""
    assert found(burst(line), "CredentialsRefused").severity == severity


@pytest.mark.parametrize(("address", "name"), [("mongodb://mongo:27017/orders", "mongo"), ("10.0.0.7", "")])
def test_a_dependency_that_only_its_driver_names(address: str, name: str) -> None:
    """The Service is in the environment, and part of the name of the error."""
    web = pod("web-1-a", running(spec={"env": [{"name": "URL", "value": address}]}))
    service: Object = item("Service", "mongo", {"selector": {"app": "mongo"}})
    incident = Incident().add(web, service)
    incident.log("web-1-a", *(f"{m} ERROR MongoServerSelectionError: Server selection timed out" for m in range(30, 60)))
    assert found(incident, "DependencyDoesNotAnswer").details["callee"] == name


def test_a_statement_that_has_the_words_of_an_error_is_none() -> None:
    """Programs print their SQL statements without a level."""
    statement = burst("INSERT INTO events (text) VALUES ('dial tcp 10.0.0.7:5432: connect: connection refused')")
    assert found(statement, "DependencyDoesNotAnswer").severity == "info"
    assert found(burst("dial tcp 10.0.0.7:5432: connect: connection refused"), "DependencyDoesNotAnswer").severity != "info"


def test_a_probe_that_is_answered_with_an_error_says_what_the_program_logs() -> None:
    """The status alone is no cause. An error from before the probe failed is not meant."""
    incident = Incident().add(pod("web-1-a", running(ready=False)))
    hosts = [f"{minute} ERROR a: add '10.0.0.9' to ALLOWED_HOSTS" for minute in range(40, 60)]
    incident.log("web-1-a", *(f"{minute} ERROR a: earlier trouble" for minute in range(1, 39)), *hosts)
    answered = "Readiness probe failed: HTTP probe failed with statuscode: 400"
    failed = event("Unhealthy", answered, minute=40, until=59, container="app")
    finding = found(incident.add_event(failed), "ReadinessProbe")
    assert "HTTP 400, it logs: add '10.0.0.9' to ALLOWED_HOSTS (" in finding.message
    assert len(finding.links) == 2


def test_a_probe_that_cannot_be_run_says_why() -> None:
    """The container runtime's prefixes are left out."""
    words = 'rpc error: code = Unknown desc = failed to start exec "8a17": OCI runtime exec failed: exec failed: '
    words += 'unable to start container process: exec: "/scripts/ready.sh": permission denied: unknown'
    errored = f"Readiness probe errored and resulted in unknown state: {words}"
    failed = event("Unhealthy", errored, minute=40, until=59, container="app")
    finding = found(Incident().add(pod("web-1-a", running(ready=False))).add_event(failed), "ReadinessProbe")
    assert ': exec: "/scripts/ready.sh": permission denied' in finding.message


def test_what_a_called_program_answered_is_part_of_an_error() -> None:
    """Structured lines have it in a field."""
    line = '{"level":"error","msg":"cannot send","status":401,"body":"token audience is invalid"}'
    assert "cannot send: token audience is invalid" in found(burst(line), "Errors").message
