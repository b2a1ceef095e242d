"""The first finding names the cause: not its consequence, not words beside it, not only the beginning of a long message."""

from typing import Any

import pytest

from aletheia_operator.findings.metrics import template_of
from aletheia_operator.findings.reason_lines import is_vague
from aletheia_operator.findings.verdict import MAX_HEADLINE, shortened
from tests.unit.evidence import START, Incident, at, ended, event, found, item, pod, rules_of, running, waiting

LIMITED = {"resources": {"limits": {"memory": "64Mi"}}}
HANDSHAKE = "http: TLS handshake error from 10.202.1.31:48212: remote error: tls: bad certificate"
UNDEFINED = "psycopg.errors.UndefinedColumn: column a.b does not exist"
EXPIRED = "tls: failed to verify certificate: x509: certificate has expired or is not yet valid"


def evicted(name: str, used: str, workload: str, minute: float = 40) -> tuple[str, Any]:
    """Return a workload and its pod, evicted because the node was short of disk."""
    message = (
        "The node was low on resource: ephemeral-storage. Threshold quantity: 10Gi, available: 8123Mi. "
        f"Container app was using {used}, request is 0, has larger consumption of ephemeral-storage. "
    )
    status = {"phase": "Failed", "reason": "Evicted", "message": message, "startTime": at(minute)}
    return workload, pod(name, running(ready=False), of=f"{workload}-1", status=status)


def service(name: str) -> tuple[Any, Any]:
    """Return a Service with a ready endpoint, and its slice."""
    endpoints = {"metadata": {"name": f"{name}-x", "labels": {"kubernetes.io/service-name": name}}, "kind": "EndpointSlice"}
    return item("Service", name, {"selector": {"app": name}, "ports": [{"port": 80}]}), endpoints | {
        "endpoints": [{"conditions": {"ready": True}}]
    }


def test_the_evicted_pod_that_used_most_explains_the_shortage_and_the_other_evictions() -> None:
    """The node only reacted, and is well again."""
    threshold = event("EvictionThresholdMet", "Attempting to reclaim ephemeral-storage", "n1", "Node", minute=39, count=3)
    incident = Incident().add_event(threshold)
    for workload, gone in (evicted("calm-1-a", "5Gi", "calm", 40), evicted("thumbs-1-a", "41Gi", "thumbs", 41)):
        incident.add(gone, of=("Deployment", workload))
    first, *others = incident.judged().findings
    assert (first.rule, first.subject.name, first.because) == ("Evicted", "thumbs", None)
    assert [(other.subject.name, other.because) for other in others if other.rule == "Evicted"] == [("calm", first)]


def test_a_node_that_is_still_short_of_disk_is_named_first() -> None:
    """Nothing shows that the evicted pod used the disk."""
    pressure = {"type": "DiskPressure", "status": "True", "lastTransitionTime": at(30)}
    workload, gone = evicted("calm-1-a", "20Mi", "calm")
    incident = Incident().add(gone, of=("Deployment", workload)).add(item("Node", "n1", status={"conditions": [pressure]}))
    assert rules_of(incident)[:2] == ["DiskPressure", "Evicted"]


def test_a_server_that_repeats_what_its_client_did_not_accept_is_no_cause() -> None:
    """The client says why it does not accept the certificate."""
    incident = Incident()
    for name in ("tax", "checkout"):
        incident.add(pod(f"{name}-1-a", running(), of=f"{name}-1", labels={"app": name}), of=("Deployment", name))
    incident.add(*service("tax"), of=("Deployment", "tax"))
    minutes = range(30, 60)
    incident.log("tax-1-a", *(f"{minute} WARN {HANDSHAKE}" for minute in minutes))
    incident.log("checkout-1-a", *(f'{minute} ERROR Get "https://tax.shop.svc:443/v1": {EXPIRED}' for minute in minutes))
    first = incident.judged().findings[0]
    assert (first.rule, first.subject.name) == ("CertificateInvalid", "checkout")


def test_a_probe_that_a_called_program_fails_is_explained_by_it() -> None:
    """A warning names the Service: its workload has a full disk."""
    incident = Incident()
    incident.add(pod("store-1-a", running(ready=False), of="store-1", labels={"app": "store"}), of=("Deployment", "store"))
    incident.add(pod("redis-1-a", running(), of="redis-1", labels={"app": "redis"}), of=("Deployment", "redis"))
    incident.add(*service("redis"), of=("Deployment", "redis"))
    failed = "Readiness probe failed: HTTP probe failed with statuscode: 503"
    incident.add_event(event("Unhealthy", failed, "store-1-a", container="app", count=90, minute=29, until=59))
    incident.log("store-1-a", *(f"{minute} WARN Redis health check failed" for minute in range(29, 60)))
    incident.log(
        "redis-1-a", *(f"{minute} # Write error saving DB on disk: No space left on device" for minute in range(29, 60))
    )
    first, second = incident.judged().findings[:2]
    assert (first.rule, first.subject.name) == ("DiskFull", "redis")
    assert (second.rule, second.because) == ("ReadinessProbe", first)


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("Cluster is not yet ready", "Cluster is not yet ready, it logs: leader not found"),
        ("", "it says nothing, it logs: leader not found"),
        ("cat: /run/ready: No such file or directory", "cat: /run/ready: No such file or directory"),
    ],
)
def test_a_probe_without_a_reason_is_shown_with_what_the_program_logs(answer: str, shown: str) -> None:
    """An answer that has a reason stands alone."""
    incident = Incident().add(pod("web-1-a", running(ready=False)))
    incident.add_event(event("Unhealthy", f"Readiness probe failed: {answer}", container="app", count=90, minute=29, until=59))
    incident.log("web-1-a", *(f"{minute} WARN leader not found" for minute in range(29, 60)))
    assert found(incident, "ReadinessProbe").message.startswith(f"web: its readiness probe fails: {shown} (90x")


@pytest.mark.parametrize(
    ("code", "reason", "line", "quoted"),
    [
        (137, "OOMKilled", "INFO worker 0 started", ""),
        (137, "OOMKilled", "worker 0 started", ""),
        (137, "OOMKilled", "ERROR cannot allocate the cache", ": cannot allocate the cache"),
        (139, "Error", "INFO loading the model", ""),
        (139, "Error", "fatal error: unexpected signal", ": fatal error: unexpected signal"),
        (0, "Completed", "imported 20 rows, done", ": imported 20 rows, done"),
    ],
)
def test_what_a_killed_container_did_last_is_no_reason(code: int, reason: str, line: str, quoted: str) -> None:
    """A line is quoted if it names a problem."""
    status = waiting("CrashLoopBackOff", restarts=3, last=ended(code, reason))
    message = Incident().add(pod("web-1-a", status)).log("web-1-a", f"27 {line}", run=3).judged().findings[0].message
    said = message.partition(" (exit")[0]
    assert said.endswith(quoted) if quoted else line.split()[-1] not in said


def test_the_reason_after_an_error_without_one_is_quoted() -> None:
    """Some programs log that a step failed, and the reason in a summary at their end."""
    lines = (
        "ERROR creating the model orders [ERROR in 0.41s]",
        "Completed with 1 error:",
        "  Database Error in model orders",
        '  relation "raw.orders_v2" does not exist',
        "Done. ERROR=1 SKIP=41",
    )
    status = waiting("CrashLoopBackOff", restarts=3, last=ended(1))
    incident = Incident().add(pod("web-1-a", status)).log("web-1-a", *(f"27 {line}" for line in lines), run=3)
    assert 'relation "raw.orders_v2" does not exist' in found(incident, "CrashLoop").message


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ("Error: TOML parse error at line 3, column 9", "  |", "3 | level = debug", "invalid string", "expected `'`"),
            "TOML parse error at line 3, column 9: invalid string",
        ),
        (
            (
                "ERROR: Validate failed: Migrations have failed validation",
                "Migration checksum mismatch for version 12",
                "-> 1 2",
            ),
            "Validate failed: Migrations have failed validation: Migration checksum mismatch for version 12",
        ),
        (
            (
                "ZodError: [",
                "  {",
                '    "path": [',
                '      "REDIS_URL"',
                "    ],",
                '    "message": "Required"',
                "  }",
                "]",
                "at x",
            ),
            'ZodError: [ { "path": [ "REDIS_URL" ], "message": "Required" } ]',
        ),
        (
            (
                "INFO running",
                "WARN server error: this member has been removed",
                "WARN its data must be removed",
                "INFO closing",
            ),
            "server error: this member has been removed",
        ),
        (
            ("WARN agent: request failed", "", "* permission denied", "ERROR agent: template: exceeded maximum retries"),
            "* permission denied",
        ),
    ],
)
def test_an_end_is_explained_by_the_lines_around_its_last_error(lines: tuple[str, ...], said: str) -> None:
    """A message over several lines is joined; of warnings the first failure counts; spent retries are no reason."""
    status = waiting("CrashLoopBackOff", restarts=3, last=ended(1))
    incident = Incident().add(pod("web-1-a", status)).log("web-1-a", *(f"27 {line}" for line in lines), run=3)
    assert found(incident, "CrashLoop").message.startswith(f"web: {said} (exit 1")


@pytest.mark.parametrize(
    ("text", "vague"),
    [
        ("creating model orders [ERROR in 0.41s]", True),
        ("task 7 failed", True),
        ("cannot create model orders", False),
        ("task 7 failed: no stock", False),
        ("job failed, connection refused", False),
    ],
)
def test_is_vague(text: str, vague: bool) -> None:
    """A line that says only that something failed."""
    assert is_vague(text) is vague


@pytest.mark.parametrize(
    ("query", "template"),
    [
        ("rate(container_cpu_cfs_throttled_periods_total[5m]) / rate(container_cpu_cfs_periods_total[5m])", "cpu_throttling"),
        ("100 * rate(container_cpu_cfs_throttled_periods_total[5m]) / rate(container_cpu_cfs_periods_total[5m])", ""),
        ("kubelet_volume_stats_used_bytes / kubelet_volume_stats_capacity_bytes", "pvc_usage"),
        ("histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))", "latency_p95"),
        ("rate(http_requests_total[5m])", ""),
    ],
)
def test_template_of(query: str, template: str) -> None:
    """A query of the user's own is judged as the template that it is like."""
    assert template_of(query) == template


def test_throttled_processors_explain_a_latency() -> None:
    """By a query that is no template."""
    first = int(START.timestamp())
    query = "rate(container_cpu_cfs_throttled_periods_total[5m]) / rate(container_cpu_cfs_periods_total[5m])"
    throttled = [[first + 60 * number, "0.02" if number < 25 else "0.81"] for number in range(60)]
    latency = [[first + 60 * number, "0.2" if number < 25 else "2.4"] for number in range(60)]
    incident = Incident().add(pod("web-1-a", running()))
    for number, (template, of, labels, values) in enumerate(
        (
            ("", query, {"pod": "web-1-a"}, throttled),
            ("latency_p95", "", {"service": "web"}, latency),
        )
    ):
        metadata = {"template": template, "query": of, "step_seconds": 60}
        entries = [{"metric": labels, "values": values}]
        incident.more.append(("prometheus", "metrics", f"data/metrics/prometheus_{number}.json", metadata, entries))
    assert rules_of(incident) == ["CpuThrottled", "LatencyRose"]


def test_the_reason_of_a_claim_is_not_cut_off() -> None:
    """It stands last in a chain of errors."""
    message = (
        'failed to provision volume with StorageClass "gp3": rpc error: code = Internal desc = Could not create volume '
        '"pvc-8a1f": could not create volume in EC2: operation error EC2: CreateVolume, https response error StatusCode: 400, '
        "RequestID: 3d2f, "
        "api error VolumeLimitExceeded: You have exceeded your maximum gp3 storage limit of 50 TiB in this region."
    )
    claim = item("PersistentVolumeClaim", "data", {"storageClassName": "gp3"}, {"phase": "Pending"})
    incident = Incident().add(pod("web-1-a", running()), claim)
    incident.add_event(event("ProvisioningFailed", message, "data", "PersistentVolumeClaim", count=9, minute=28, until=58))
    verdict = incident.judged()
    assert "VolumeLimitExceeded" in verdict.findings[0].message
    assert "VolumeLimitExceeded" in verdict.headline


@pytest.mark.parametrize(
    ("words", "start", "end"),
    [
        (
            "tickets: merge of application.conf @ jar:file:/app/tickets-all-dependencies-4.2.0-SNAPSHOT.jar!/application.conf: "
            "1: system properties: No configuration setting found for key 'ktor.deployment.port'",
            "tickets: …",
            "'ktor.deployment.port'",
        ),
        (
            "web: Failed to configure a DataSource: 'url' attribute is not specified and no embedded datasource could be "
            "configured. Action: see the documentation: http://example.com/a/b",
            "web: Failed to configure a DataSource: 'url'",
            "…",
        ),
        (
            "web: cannot be configured: container has runAsNonRoot and image will run as root "
            "[pod: web-f9c8d9999-rtfxh_shop: container: app: 12345678-1234-1234-1234-123456789012]",
            "web: cannot be configured: container has",
            "…",
        ),
    ],
)
def test_a_headline_shows_the_reason(words: str, start: str, end: str) -> None:
    """If it is at the end of a long message, the beginning is cut."""
    headline = shortened(f"{words} (exit 1, 6 restarts since 14:28)")
    assert len(headline) <= MAX_HEADLINE
    assert headline.startswith(start)
    assert headline.endswith(f"{end} (exit 1, 6 restarts since 14:28)")


def test_a_reboot_explains_that_a_node_was_not_ready() -> None:
    """And the end of its containers, which nobody observed."""
    status = running(restarts=1, last=ended(255, "Unknown", minute=31))
    incident = Incident().add(pod("web-1-a", status)).log("web-1-a", "20 INFO order 7 handled", run=0)
    incident.add(item("Node", "n1", creationTimestamp="2026-11-01T00:00:00Z"))
    incident.add_event(event("NodeNotReady", "Node n1 status is now: NodeNotReady", "n1", "Node", minute=30, type="Normal"))
    incident.add_event(event("Rebooted", "Node n1 has been rebooted, boot id: 8d2f", "n1", "Node", minute=31))
    first, second = incident.judged().findings[:2]
    assert (first.rule, first.message) == ("Rebooted", "node n1 was rebooted (since 14:31)")
    assert (second.rule, second.because) == ("Killed", first)
    assert "its end was not observed" in second.message


def test_last_words_of_normal_operation_are_called_last_words() -> None:
    """They are not claimed to be the reason."""
    status = waiting("CrashLoopBackOff", restarts=3, last=ended(1))
    only = found(Incident().add(pod("web-1-a", status)).log("web-1-a", "27 INFO order 7 handled", run=3), "CrashLoop")
    assert only.message.startswith("web: ends with an error, its last words: order 7 handled (exit 1")
    assert only.confidence == "possible"


@pytest.mark.parametrize(
    ("failure", "title"),
    [
        ("read udp 10.202.1.9:41222->10.203.0.10:53: i/o timeout", "the DNS server does not answer for db"),
        ("no such host", "DNS does not resolve db"),
    ],
)
def test_a_name_that_does_not_exist_differs_from_a_server_that_does_not_answer(failure: str, title: str) -> None:
    """Both are failed look-ups."""
    line = f"ERROR dial tcp: lookup db.shop.svc on 10.203.0.10:53: {failure}"
    incident = Incident().add(pod("web-1-a", running())).log("web-1-a", *(f"{minute} {line}" for minute in range(30, 60)))
    assert found(incident, "NameNotResolved").message.startswith(f"web: {title}: ")


def test_a_service_whose_load_balancer_is_not_made_is_named_itself() -> None:
    """Not the workload behind it, whose pods are well."""
    refused = "Error syncing load balancer: failed to ensure load balancer: Quota 'IN_USE_ADDRESSES' exceeded"
    incident = Incident().add(pod("web-1-a", running()), *service("web"))
    incident.add_event(event("SyncLoadBalancerFailed", refused, "web", "Service", count=14, minute=20, until=58))
    assert str(found(incident, "WarningEvents").subject) == "service/web"


@pytest.mark.parametrize(
    ("trace", "said"),
    [
        (
            ("Traceback (most recent call last):", '  File "a.py", line 5, in run', UNDEFINED),
            f"order 7 failed: {UNDEFINED} (",
        ),
        (("Error: order 7 failed", "    at load (/app/dist/jwt.js:14:27)"), "web: order 7 failed ("),
    ],
)  # fmt: skip
def test_an_error_is_shown_with_its_exception(trace: tuple[str, ...], said: str) -> None:
    """Classes of exceptions need not end with Error, and a repeated message is shown once."""
    lines = (f"{minute} {line}" for minute in range(30, 60) for line in ("ERROR order 7 failed", *trace))
    incident = Incident().add(pod("web-1-a", running())).log("web-1-a", *lines)
    assert said in incident.judged().findings[0].message


def two_workloads(*names: str) -> Incident:
    """Return workloads, each with one healthy pod and a Service."""
    incident = Incident()
    for name in names:
        owned = pod(f"{name}-1-a", running(), of=f"{name}-1", labels={"app": name})
        incident.add(owned, *service(name), of=("Deployment", name))
    return incident


def test_an_error_that_quotes_another_workloads_error_is_its_consequence() -> None:
    """A database's own error stands in the error of its client, which does not name the database."""
    full = 'could not resize shared memory segment "/PostgreSQL.18" to 8388608 bytes: No space left on device'
    incident = two_workloads("bi", "pg")
    incident.log("pg-1-a", *(f"{minute} ERROR: {full}" for minute in range(30, 60)))
    incident.log("bi-1-a", *(f"{minute} ERROR OperationalError: (psycopg2.errors.DiskFull) {full}" for minute in range(30, 60)))
    first, second = incident.judged().findings[:2]
    assert (first.subject.name, second.subject.name, second.because) == ("pg", "bi", first)


def test_a_restart_that_is_long_over_does_not_lead() -> None:
    """What goes on at the end of the window is more telling; a limit that was reached before the window is less."""
    maximum = {
        "type": "ScalingLimited",
        "status": "True",
        "reason": "TooManyReplicas",
        "lastTransitionTime": "2026-11-20T09:00:00Z",
    }
    scaler = item("HorizontalPodAutoscaler", "web", {"maxReplicas": 3}, {"currentReplicas": 3, "conditions": [maximum]})
    incident = two_workloads("calm", "web").add(scaler)
    once = running(restarts=1, last=ended(137, "OOMKilled", minute=6), spec=LIMITED)
    incident.objects["Deployment", "calm"][0] = pod("calm-1-a", once, of="calm-1", labels={"app": "calm"})
    incident.log("web-1-a", *(f"{minute} ERROR cannot score: 12 features, expected 14" for minute in range(30, 60)))
    assert rules_of(incident)[0] == "Errors"
    assert set(rules_of(incident)[1:]) == {"OOMKilled", "AutoscalerAtMaximum"}
    assert not any(finding.severity == "error" for finding in incident.judged().findings)


def test_a_restart_within_the_last_minutes_is_an_error() -> None:
    """It may be repeated."""
    recent = running(restarts=1, last=ended(137, "OOMKilled", minute=50), spec=LIMITED)
    only = found(Incident().add(pod("web-1-a", recent)), "OOMKilled")
    assert (only.severity, only.aside) == ("error", False)


def test_an_error_about_an_upstream_is_not_a_clients() -> None:
    """NGINX names the client of every request, also if what it calls fails."""
    failed = (
        "[error] 31#31: *7 upstream SSL certificate verify error: (10:certificate has expired) while SSL handshaking to "
        'upstream, client: 10.0.0.1, server: shop, request: "GET /login HTTP/1.1", upstream: "https://10.203.1.9:443/login"'
    )
    incident = two_workloads("web").log("web-1-a", *(f"{minute} {failed}" for minute in range(30, 60)))
    assert found(incident, "CertificateInvalid").severity == "error"


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("qt.qpa.xcb: could not connect to display", ""),
        ("cannot connect to redis:6379", "redis"),
        ("connect to 'queue' failed", "queue"),
    ],
)
def test_a_word_is_no_host(text: str, host: str) -> None:
    """Hosts have a domain or a port, are in a URL, or are quoted, unless there is such a Service."""
    incident = Incident().add(pod("web-1-a", running()))
    incident.log("web-1-a", *(f"{minute} ERROR {text}: connection refused" for minute in range(30, 60)))
    only = found(incident, "DependencyDoesNotAnswer")
    assert str(only.subject) == (f"service/{host}" if host else "deployment/web")


@pytest.mark.parametrize(
    ("since", "line", "rules"),
    [
        (30, "licence check failed: all 10 seats are used, job queued", ["UnlabelledErrors"]),
        (1, "licence check failed: all 10 seats are used, job queued", []),
        (30, "request failed, will retry: 503", []),
        (30, "option cacheSize is deprecated", []),
    ],
)
def test_new_warnings_that_go_on_are_reported(since: int, line: str, rules: list[str]) -> None:
    """If the program logged without them before, and does not try again."""
    lines = [
        f"{minute} {'WARN ' + line if warns else 'INFO job done'}" for minute in range(1, 60) for warns in (0, minute >= since)
    ]
    assert rules_of(two_workloads("web").log("web-1-a", *lines)) == rules


@pytest.mark.parametrize(
    ("line", "rules"),
    [("✓ throws Error when failed (3 ms)", []), ("ERROR 1194 (HY000): Table './shop/orders' cannot be opened", ["Errors"])],
)
def test_passed_tests_are_no_errors(line: str, rules: list[str]) -> None:
    """Their names often are."""
    assert rules_of(two_workloads("web").log("web-1-a", *(f"{minute} {line}" for minute in range(20, 60)))) == rules


def test_a_caller_that_reports_the_same_shortage_is_explained_by_what_it_calls() -> None:
    """In words of its own: the number of an error, and the message that is made of it."""
    incident = two_workloads("erp", "mysql")
    written = "[InnoDB] Write to file ./shop/orders.ibd failed, only 0 were written. Operating system error number 28."
    incident.log("mysql-1-a", *(f"{minute} ERROR {written}" for minute in range(30, 60)))
    incident.log("erp-1-a", *(f"{minute} ERROR 1114: The table 'orders' is full (mysql:3306)" for minute in range(30, 60)))
    first, second = incident.judged().findings[:2]
    assert (first.rule, first.subject.name, second.because) == ("DiskFull", "mysql", first)


def test_a_cause_that_ends_with_a_colon_is_shown_with_the_next_line() -> None:
    """Not with a frame of the stack."""
    lines = (
        "2026-11-22 14:27:00,123 ERROR [Application] (main) Failed to start: java.lang.RuntimeException: Failed to start",
        "\tat io.quarkus.runner.ApplicationImpl.doStart(Unknown Source)",
        "Caused by: io.smallrye.config.ConfigValidationException: Configuration validation failed:",
        "\tjava.util.NoSuchElementException: SRCFG00014: The config property shop.url is required",
        "\tat io.smallrye.config.ConfigMappingContext.mapConfigurations(ConfigMappingContext.java:90)",
    )
    status = waiting("CrashLoopBackOff", restarts=3, last=ended(1))
    incident = Incident().add(pod("web-1-a", status)).log("web-1-a", *(f"27 {line}" for line in lines), run=3)
    assert "validation failed: java.util.NoSuchElementException: SRCFG00014" in found(incident, "CrashLoop").message


@pytest.mark.parametrize(
    ("line", "rule", "said"),
    [
        ('{"level":"ERROR","msg":"graphql error","errors":[{"message":"no field discount"}]}', "Errors", "no field discount"),
        ("VipsJpeg: Premature end of input file: VIPS error loading /img/7.jpg", "UnlabelledErrors", "Premature end"),
        ("requests.exceptions.TooManyRedirects: Exceeded 30 redirects.", "UnlabelledErrors", "Exceeded 30 redirects"),
        ("nats: Authorization Violation", "CredentialsRefused", "Authorization Violation"),
    ],
)
def test_errors_of_more_forms_are_read(line: str, rule: str, said: str) -> None:
    """Of lists in fields, and of lines without a level."""
    lines = (f"{minute} {text}" for minute in range(30, 60) for text in ("tick", line))
    first = two_workloads("web").log("web-1-a", *lines).judged().findings[0]
    assert (first.rule, said in first.message) == (rule, True)


def test_an_end_that_names_only_the_start_that_failed_is_no_reason() -> None:
    """The next error says why."""
    lines = ("ERROR: Failed to start server in (production) mode", "ERROR: Strict hostname resolution needs a hostname")
    status = waiting("CrashLoopBackOff", restarts=3, last=ended(1))
    incident = Incident().add(pod("web-1-a", status)).log("web-1-a", *(f"27 {line}" for line in lines), run=3)
    assert found(incident, "CrashLoop").message.startswith("web: Strict hostname resolution needs a hostname (exit 1")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("Cannot store order: the ledger is closed",), "web: Cannot store order: the ledger is closed (30x"),
        (
            ("Cannot store order", "Acme.LedgerException: closed for July", "   at Acme.Orders.Worker.Run()"),
            "closed for July (30x",
        ),
    ],
)
def test_an_error_that_names_only_its_logger_has_its_message_in_the_next_line(lines: tuple[str, ...], words: str) -> None:
    """.NET prints it so. An exception after it says more."""
    incident = Incident().add(pod("web-1-a", running()))
    blocks = (
        (f"{minute} fail: Acme.Orders.Worker[0]", *(f"{minute}       {line}" for line in lines)) for minute in range(30, 60)
    )
    incident.log("web-1-a", *(line for block in blocks for line in block))
    assert words in found(incident, "Errors").message


def test_a_warning_that_names_only_its_logger_has_its_message_in_the_next_line() -> None:
    """It explains a probe that is not answered in time."""
    incident = Incident().add(pod("web-1-a", running(ready=False)))
    incident.add_event(event("Unhealthy", "Readiness probe failed: context deadline exceeded", minute=30, until=59, count=88))
    said = 'As of "11/22", the heartbeat has been running for "00:00:04". This could be caused by thread pool starvation.'
    blocks = ((f"{minute} warn: Microsoft.AspNetCore.Server.Kestrel[22]", f"{minute}       {said}") for minute in range(30, 60))
    incident.log("web-1-a", *(line for block in blocks for line in block))
    first, second = incident.judged().findings[:2]
    assert (first.rule, second.rule, second.because) == ("Overloaded", "ReadinessProbe", first)
    assert first.message.endswith("caused by thread pool starvation. (30x since 14:30)")


def test_a_called_program_that_waits_for_another_is_explained_by_it() -> None:
    """The address in the first caller's error is not known; its setting and the request name the Service."""
    services = []
    for name in ("basket", "loyalty"):
        endpoints = item("EndpointSlice", name, labels={"kubernetes.io/service-name": name})
        endpoints["endpoints"] = [{"conditions": {"ready": True}}]
        services += [item("Service", name, {"selector": {"app": name}, "ports": [{"port": 80}]}), endpoints]
    web = pod("web-1-a", running(spec={"env": [{"name": "BASKET", "value": "http://basket"}]}))
    incident = Incident(shared=services).add(web)
    for name in ("basket", "loyalty"):
        incident.add(pod(f"{name}-1-a", running(), of=f"{name}-1", labels={"app": name}), of=("Deployment", name))
    slow = 'upstream timed out (110: Connection timed out), upstream: "http://10.0.0.8:80/basket", request: "GET /basket"'
    incident.log("web-1-a", *(f"{minute} ERROR {slow}" for minute in range(30, 60)))
    incident.log("basket-1-a", *(f"{minute} ERROR Get http://loyalty/points: i/o timeout" for minute in range(30, 60)))
    first, second = incident.judged().findings[:2]
    assert (first.subject.name, second.subject.name, second.because) == ("loyalty", "basket", first)


@pytest.mark.parametrize(
    ("marks", "reason", "node", "severity"),
    [
        ({"NodeNotSchedulable": 28}, "NodeNotReady", "n0", "info"),
        ({}, "NodeNotReady", "n0", "warning"),
        ({"NodeNotSchedulable": 31}, "NodeNotReady", "n0", "warning"),
        ({"NodeNotSchedulable": 5, "NodeSchedulable": 10}, "NodeNotReady", "n0", "warning"),
        ({"NodeNotSchedulable": 28}, "NodeNotReady", "n1", "warning"),
        ({"NodeNotSchedulable": 28}, "SystemOOM", "n0", "error"),
    ],
    ids=["cordoned", "not cordoned", "cordoned since", "in service again", "cordoned, with pods", "cordoned, out of memory"],
)
def test_a_node_that_was_taken_out_of_service_is_no_trouble(
    marks: dict[str, int], reason: str, node: str, severity: str
) -> None:
    """It took no new pods before it was not ready, and a controller asked its pods to leave. `node`: web-1-b is on n1."""
    incident = Incident().add(pod("web-1-b", running()))
    for mark, minute in {**marks, reason: 30}.items():
        kind = "Warning" if mark == "SystemOOM" else "Normal"
        incident.add_event(event(mark, f"Node {node} status is now: {mark}", node, "Node", minute=minute, type=kind))
    incident.add_event(event("Evicted", "Evicted pod: SpotInterrupted", "web-1-a", minute=28, type="Normal"))
    assert found(incident, reason).severity == severity
    removed = found(incident, "Removed")
    assert (removed.severity, removed.message) == (
        "info",
        "web: asked to leave its node: Evicted pod: SpotInterrupted (at 14:28)",
    )


@pytest.mark.parametrize(("minute", "severity"), [(40, "info"), (20, "warning")], ids=["after it", "before it"])
def test_pods_that_were_made_after_a_planned_reboot_do_not_suffer_from_it(minute: int, severity: str) -> None:
    """The node is in service again."""
    incident = Incident().add(pod("web-1-b", running(), metadata={"creationTimestamp": at(minute)}))
    for mark, at_minute in {"NodeNotSchedulable": 28, "Rebooted": 30, "NodeSchedulable": 31}.items():
        incident.add_event(event(mark, f"Node n1: {mark}", "n1", "Node", minute=at_minute))
    assert found(incident, "Rebooted").severity == severity


@pytest.mark.parametrize(("words", "severity"), [("", "warning"), (", retrying", "info")])
def test_a_part_that_is_started_again_is_no_trouble(words: str, severity: str) -> None:
    """Its one error does not say that the part is given up."""
    incident = Incident().add(pod("web-1-a", running()))
    incident.log(
        "web-1-a", f"5 ERROR failed to start stream for shard 3{words}", *(f"{minute} INFO ok" for minute in range(6, 60))
    )
    assert found(incident, "Errors").severity == severity


def test_a_part_that_did_not_start_is_trouble_of_a_program_that_runs() -> None:
    """The first of few errors tells why. The class of an exception of JNDI is no word of DNS."""
    incident = Incident().add(pod("web-1-a", running()))
    incident.log(
        "web-1-a",
        "30 22-Nov-2026 14:30:21.000 SEVERE [main] a.b.C.listenerStart NameNotFoundException: Name [jdbc/x] is not bound",
        "30 22-Nov-2026 14:30:21.001 SEVERE [main] a.b.C.startInternal Context [/portal] startup failed due to previous errors",
        *(f"{minute} INFO GET /portal 404" for minute in range(31, 60)),
    )
    finding = found(incident, "Errors")
    assert (finding.severity, "[jdbc/x] is not bound" in finding.message) == ("warning", True)
