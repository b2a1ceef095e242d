"""Specs that the models (unit tests) and a real API server (integration tests) must refuse, and some that they must accept.

Both refuse each row with `word` (a field or a word of the rule) in the message. The API server refuses unknown fields only with
strict field validation, kubectl's default (`fieldValidation=Strict`).
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

Spec = dict[str, Any]

POD: Spec = {"pod": "web-0"}
TARGETS: list[Spec] = [POD]
SELECTOR: Spec = {"matchLabels": {"app": "shop"}}
QUERY: Spec = {"query": "up"}
LOGS: Spec = {"targets": TARGETS}
RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
WEAK_RECIPIENTS = {
    "the point zero": "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z",
    "a point of order eight": "age1ur4h5lpmgxu2u9jku0a0r87ydtdqnr0tnsetrlvxvgz3vh6fhqqqzyt4v9",
    "the neutral element": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA bob",
    "an RSA exponent of zero": "ssh-rsa AAAAB3NzaC1yc2EAAAABAAAAABEAgAAAAAAAAAAAAAAAAAAAAQ==",
    "an RSA exponent of one": "ssh-rsa AAAAB3NzaC1yc2EAAAABAQAAABEAgAAAAAAAAAAAAAAAAAAAAQ== bob",
    "no RSA exponent": "ssh-rsa AAAAB3NzaC1yc2EAAAAAAAAAEQCAAAAAAAAAAAAAAAAAAAAB",
}
SSH_RECIPIENT = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN alice@example.com"
WINDOW_START, WINDOW_END = "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z"


@dataclass(frozen=True)
class InvalidSpec:
    """A spec that must be refused; `word` is in the message."""

    title: str
    spec: Spec
    word: str


@dataclass(frozen=True)
class ValidSpec:
    """A spec that must be accepted."""

    title: str
    spec: Spec


@dataclass(frozen=True)
class ForbiddenUpdate:
    """A change of a spec that the API server must refuse; `word` is in the message."""

    title: str
    before: Spec
    after: Spec
    word: str


@dataclass(frozen=True)
class AllowedUpdate:
    """A change of a spec that the API server must accept."""

    title: str
    before: Spec
    after: Spec


def _logs(**fields: Any) -> Spec:
    return deepcopy({**LOGS, **fields})


def _window(**fields: Any) -> Spec:
    return _logs(window=fields)


def _target(**fields: Any) -> Spec:
    return {"targets": [fields]}


def _selector(**fields: Any) -> Spec:
    return _target(selector=fields)


def _expression(**fields: Any) -> Spec:
    return _selector(matchExpressions=[fields])


def _metrics(**fields: Any) -> Spec:
    return {"metrics": [fields]}


def _traces(**fields: Any) -> Spec:
    return {"traces": [fields]}


def _labels(number: int, size: int) -> dict[str, str]:
    return {f"{n:03}".ljust(60, "k"): "v" * size for n in range(number)}


LONG_SPECS: dict[str, Spec] = {
    "labels": {"targets": [{"selector": {"matchLabels": _labels(50, 63)}} for _ in range(11)]},
    "expressions": {
        "targets": [
            {"selector": {"matchExpressions": [{"key": "k", "operator": "In", "values": ["v" * 63] * 50} for _ in range(21)]}}
        ]
    },
    "queries of metrics": {"metrics": [{"query": "q" * 8192}] * 8 + [{"query": "q"}]},
    "parameters": {"metrics": [{"template": "t", "parameters": _labels(10, 250)}] * 22},
    "tags": {"traces": [{"service": "s", "tags": _labels(20, 1024)}] * 4},
    "operations": {
        "traces": [{"service": "s", "operation": "o" * 1024}] * 50,
        "queries": [{"type": "loki", "query": "q" * 8192}] * 2,
    },
    "keys": {"traces": [{"service": "s", "tags": {"k" * 65_537: "v"}}]},
    "queries": {"queries": [{"type": "loki", "query": "q" * 8192}] * 9},
}
"""Texts slightly longer than the limit for all texts together."""

INVALID_INVESTIGATIONS: tuple[InvalidSpec, ...] = (
    # requested data
    InvalidSpec("nothing is asked", {}, "nothing to capture"),
    InvalidSpec("only a window is named", {"window": {"lookback": "1h"}}, "nothing to capture"),
    InvalidSpec("an unknown field of the spec", _logs(verbose=True), "verbose"),
    InvalidSpec("targets that are an empty list", {"targets": []}, "targets"),
    InvalidSpec("targets that are no list", {"targets": "web-0"}, "targets"),
    InvalidSpec("more than 50 targets", {"targets": [{"pod": f"web-{n}"} for n in range(51)]}, "targets"),
    InvalidSpec("metrics that are an empty list", {"metrics": []}, "metrics"),
    InvalidSpec("more than 50 metrics", {"metrics": [QUERY] * 51}, "metrics"),
    InvalidSpec("traces that are an empty list", {"traces": []}, "traces"),
    InvalidSpec("more than 50 traces", {"traces": [{"service": "shop"}] * 51}, "traces"),
    InvalidSpec("logs without targets", {"logs": {}, "metrics": [QUERY]}, "logs need targets"),
    InvalidSpec("events without targets", {"events": {}, "metrics": [QUERY]}, "events need targets"),
    InvalidSpec("objects without targets", {"objects": {}, "metrics": [QUERY]}, "objects need targets"),
    InvalidSpec("events of nodes that are no yes or no", _logs(events={"nodes": "all"}), "events.nodes"),
    InvalidSpec("objects with a field that is none", _logs(objects={"secrets": True}), "secrets"),
    InvalidSpec("an unknown field of logs", _logs(logs={"tail": 5}), "tail"),
    InvalidSpec(
        "a budget that is no number of bytes", _logs(logs={"limits": {"bytesPerContainer": "much"}}), "bytesPerContainer"
    ),
    InvalidSpec("a budget of nothing", _logs(logs={"limits": {"bytesPerInvestigation": "0"}}), "bytesPerInvestigation"),
    InvalidSpec("a budget with an unknown unit", _logs(logs={"limits": {"bytesPerContainer": "5MB"}}), "bytesPerContainer"),
    InvalidSpec("lines longer than the limit", _logs(logs={"limits": {"lineBytes": "17Mi"}}), "lineBytes is at most 16Mi"),
    InvalidSpec("an unknown way to read logs", _logs(logs={"via": "ssh"}), "via"),
    InvalidSpec("a sample of more than all", _logs(logs={"samplePercent": 101}), "samplePercent"),
    InvalidSpec("an unknown state of a container", _logs(logs={"containerStates": ["asleep"]}), "containerStates"),
    InvalidSpec("no states at all", _logs(logs={"containerStates": []}), "containerStates"),
    InvalidSpec("an empty expression", _logs(logs={"container": ""}), "container"),
    InvalidSpec("previous that is no boolean", _logs(logs={"previous": "often"}), "previous"),
    # the window
    *(
        InvalidSpec(
            f"a window {which} {where} the years that sources count", _window(**times), "between the years 1970 and 2999"
        )
        for which, where, times in (
            ("start", "before", {"start": "0001-01-01T00:00:00Z"}),
            ("start", "just before", {"start": "1969-12-31T23:59:59Z"}),
            ("start", "by its zone before", {"start": "1970-01-01T00:00:00+14:00"}),
            ("end", "after", {"start": WINDOW_START, "end": "9999-12-31T23:59:59Z"}),
            ("end", "just after", {"start": WINDOW_START, "end": "3000-01-01T00:00:00Z"}),
        )
    ),
    InvalidSpec("a time to live below zero", _logs(ttlSecondsAfterFinished=-1), "ttlSecondsAfterFinished"),
    InvalidSpec("a time to live as a duration", _logs(ttlSecondsAfterFinished="1h"), "ttlSecondsAfterFinished"),
    # amount of reported data
    *(
        InvalidSpec(f"texts that are too long: {what}", spec, "together longer than 65536 characters")
        for what, spec in LONG_SPECS.items()
    ),
    InvalidSpec("an expiry at once", _logs(retention={"artifactsSeconds": 0}), "artifactsSeconds"),
    InvalidSpec("an expiry as a duration", _logs(retention={"artifactsSeconds": "7d"}), "artifactsSeconds"),
    InvalidSpec("an unknown field of the session", _logs(session={"cipher": "rot13"}), "cipher"),
    InvalidSpec("an unknown level of redaction", _logs(redaction={"level": "all"}), "level"),
    InvalidSpec("a rule without a pattern", _logs(redaction={"rules": [{"name": "badge"}]}), "pattern"),
    InvalidSpec("a rule with an odd name", _logs(redaction={"rules": [{"name": "Badge 1", "pattern": "x"}]}), "name"),
    InvalidSpec(
        "two rules of one name",
        _logs(redaction={"rules": [{"name": "badge", "pattern": "x"}, {"name": "badge", "pattern": "y"}]}),
        "the names of rules must differ",
    ),
    InvalidSpec("a rule that matches everything", _logs(redaction={"rules": [{"name": "badge", "pattern": "x*"}]}), "pattern"),
    InvalidSpec("a rule that is not for RE2", _logs(redaction={"rules": [{"name": "badge", "pattern": "(?=x)"}]}), "redaction"),
    InvalidSpec("an encryption that names nothing", _logs(session={"encryption": {}}), "set exactly one of recipients"),
    InvalidSpec(
        "recipients and a password",
        _logs(session={"encryption": {"recipients": [RECIPIENT], "passwordSecretRef": {"name": "incident"}}}),
        "set exactly one of recipients",
    ),
    *(
        InvalidSpec(
            f"a recipient that protects nothing: {title}",
            _logs(session={"encryption": {"recipients": [RECIPIENT, recipient]}}),
            "protects nothing",
        )
        for title, recipient in WEAK_RECIPIENTS.items()
    ),
    InvalidSpec("no recipients", _logs(session={"encryption": {"recipients": []}}), "recipients"),
    InvalidSpec("a recipient that is no key", _logs(session={"encryption": {"recipients": ["bob"]}}), "recipients"),
    InvalidSpec(
        "a secret key for a recipient",
        _logs(session={"encryption": {"recipients": ["AGE-SECRET-KEY-1" + "Q" * 58]}}),
        "recipients",
    ),
    InvalidSpec(
        "a password in the spec", _logs(session={"encryption": {"passwordSecretRef": {"value": "secret"}}}), "passwordSecretRef"
    ),
    InvalidSpec("a window that names nothing", _window(), "set either lookback or start"),
    InvalidSpec("a window with lookback and start", _window(lookback="1h", start=WINDOW_START), "set either lookback or start"),
    InvalidSpec("a window with an end alone", _window(end=WINDOW_END), "end needs start"),
    InvalidSpec("a window with lookback and end", _window(lookback="1h", end=WINDOW_END), "end needs start"),
    InvalidSpec(
        "a window that ends before it starts", _window(start=WINDOW_END, end=WINDOW_START), "start must lie before end"
    ),
    InvalidSpec("a window of no length", _window(start=WINDOW_START, end=WINDOW_START), "start must lie before end"),
    InvalidSpec(
        "a window that ends before it starts, though its text sorts later",
        _window(start="2026-11-22T10:00:00-05:00", end="2026-11-22T14:00:00Z"),
        "start must lie before end",
    ),
    InvalidSpec("an unknown field of the window", _window(lookback="1h", zone="UTC"), "zone"),
    InvalidSpec("a start without a zone", _window(start="2026-11-22T10:00:00"), "start"),
    InvalidSpec("a start that is a word", _window(start="yesterday"), "start"),
    InvalidSpec("a start on a day that does not exist", _window(start="2026-02-30T10:00:00Z"), "start"),
    InvalidSpec("a lookback without a unit", _window(lookback="15"), "lookback"),
    InvalidSpec("a lookback with an unknown unit", _window(lookback="15y"), "lookback"),
    InvalidSpec("a lookback with a fraction", _window(lookback="1.5h"), "lookback"),
    InvalidSpec("a negative lookback", _window(lookback="-1h"), "lookback"),
    InvalidSpec("a lookback of nothing", _window(lookback="0s"), "lookback"),
    InvalidSpec("an empty lookback", _window(lookback=""), "lookback"),
    InvalidSpec("a lookback with a space", _window(lookback="1h 30m"), "lookback"),
    InvalidSpec("a lookback that ends in a newline", _window(lookback="1h\n"), "lookback"),
    InvalidSpec("a lookback with more digits than it may have", _window(lookback="1000000s"), "lookback"),
    InvalidSpec("a lookback that is a number", _window(lookback=3600), "lookback"),
    # targets
    InvalidSpec("a target that names nothing", _target(), "exactly one of pod, selector or workload"),
    InvalidSpec(
        "a target by pod and by selector", _target(pod="web-0", selector=SELECTOR), "exactly one of pod, selector or workload"
    ),
    InvalidSpec(
        "a target by pod and by workload",
        _target(pod="web-0", workload={"kind": "Deployment", "name": "web"}),
        "exactly one of pod, selector or workload",
    ),
    InvalidSpec("a target of another namespace", _target(pod="web-0", namespace="kube-system"), "namespace"),
    InvalidSpec("a pod's name in capitals", _target(pod="Web-0"), "pod"),
    InvalidSpec("a pod's name that climbs a path", _target(pod="../secrets/token"), "pod"),
    InvalidSpec("a pod's name that carries a query", _target(pod="web-0?follow=true"), "pod"),
    InvalidSpec("a pod's name that ends in a newline", _target(pod="web-0\n"), "pod"),
    InvalidSpec("an empty pod's name", _target(pod=""), "pod"),
    InvalidSpec("a pod's name that is too long", _target(pod="a" * 254), "pod"),
    InvalidSpec("a selector that would select every pod", _selector(), "an empty one would select every pod"),
    InvalidSpec("a selector with empty matchLabels", _selector(matchLabels={}), "an empty one would select every pod"),
    InvalidSpec("a label's value with a space", _selector(matchLabels={"app": "a b"}), "app"),
    InvalidSpec("a label's value with a comma, which would add a condition", _selector(matchLabels={"app": "a,b=c"}), "app"),
    InvalidSpec("a label's value that is too long", _selector(matchLabels={"app": "a" * 64}), "app"),
    InvalidSpec("an unknown operator", _expression(key="app", operator="Gt", values=["1"]), "operator"),
    InvalidSpec("an expression without a key", _expression(operator="Exists"), "key"),
    InvalidSpec("an expression's key with a parenthesis", _expression(key="app)", operator="Exists"), "key"),
    InvalidSpec("In without values", _expression(key="app", operator="In"), "In and NotIn need values"),
    InvalidSpec("NotIn with no values", _expression(key="app", operator="NotIn", values=[]), "In and NotIn need values"),
    InvalidSpec(
        "Exists with values", _expression(key="app", operator="Exists", values=["a"]), "Exists and DoesNotExist take none"
    ),
    InvalidSpec("a kind that is no workload", _target(workload={"kind": "Pod", "name": "web"}), "kind"),
    InvalidSpec("a workload without a kind", _target(workload={"name": "web"}), "kind"),
    InvalidSpec("a workload without a name", _target(workload={"kind": "Job"}), "name"),
    InvalidSpec("containers that are an empty list", _target(pod="web-0", containers=[]), "containers"),
    InvalidSpec("a container's name with a dot", _target(pod="web-0", containers=["a.b"]), "containers"),
    InvalidSpec("a container's name that is too long", _target(pod="web-0", containers=["a" * 64]), "containers"),
    # metrics
    InvalidSpec("a metric that names nothing", _metrics(), "exactly one of query or template"),
    InvalidSpec(
        "a metric with query and template", _metrics(query="up", template="cpu_usage"), "exactly one of query or template"
    ),
    InvalidSpec("an empty query", _metrics(query=""), "query"),
    InvalidSpec("a query that is too long", _metrics(query="a" * 8193), "query"),
    InvalidSpec("no name of a template", _metrics(template="disk usage"), "template"),
    InvalidSpec("a step of an instant query", _metrics(query="up", instant=True, step="1m"), "belong to a range query"),
    InvalidSpec("exemplars of an instant query", _metrics(query="up", instant=True, exemplars=True), "belong to a range query"),
    InvalidSpec("a baseline without an offset", _metrics(query="up", baseline={}), "offset"),
    InvalidSpec("parameters of a query", _metrics(query="up", parameters={"pod": "web"}), "parameters belong to a template"),
    InvalidSpec("a parameter that is no text", _metrics(template="cpu_usage", parameters={"pod": ["web"]}), "pod"),
    InvalidSpec("a parameter that is too long", _metrics(template="cpu_usage", parameters={"pod": "a" * 254}), "pod"),
    InvalidSpec(
        "more than 10 parameters", _metrics(template="cpu_usage", parameters={f"p{n}": "1" for n in range(11)}), "parameters"
    ),
    InvalidSpec("a step in milliseconds", _metrics(query="up", step="500ms"), "step"),
    InvalidSpec("a URL in place of a DataSource", _metrics(query="up", url="http://169.254.169.254"), "url"),
    InvalidSpec("a reference to a DataSource without a name", _metrics(query="up", dataSourceRef={}), "name"),
    InvalidSpec("an upload to a URL", _logs(session={"upload": {"endpoint": "http://a"}}), "endpoint"),
    InvalidSpec("an upload under a prefix of one's own", _logs(session={"upload": {"prefix": "other"}}), "prefix"),
    InvalidSpec("an upload with no time", _logs(session={"upload": {"timeout": "0s"}}), "timeout"),
    InvalidSpec("a DataSource's name with a slash", _metrics(query="up", dataSourceRef={"name": "a/b"}), "name"),
    # traces
    InvalidSpec("a trace that names nothing", _traces(), "exactly one of service, traceID or fromLogs"),
    InvalidSpec(
        "a trace by service and by id", _traces(service="shop", traceID="ab12"), "exactly one of service, traceID or fromLogs"
    ),
    InvalidSpec(
        "a trace by service and from logs", _logs(traces=[{"service": "shop", "fromLogs": {}}]), "exactly one of service"
    ),
    InvalidSpec("traces from logs without logs", _traces(fromLogs={}), "fromLogs need logs"),
    InvalidSpec("traces from logs with events alone", _logs(events={}, traces=[{"fromLogs": {}}]), "fromLogs need logs"),
    InvalidSpec(
        "traces from logs with a tag", _logs(traces=[{"fromLogs": {}, "tags": {"a": "b"}}]), "belong to a search by service"
    ),
    InvalidSpec("traces from logs with no limit at all", _logs(traces=[{"fromLogs": {"limit": 501}}]), "limit"),
    InvalidSpec("a trace id that is no hex", _traces(traceID="xyz"), "traceID"),
    InvalidSpec("a trace id that climbs a path", _traces(traceID="../services"), "traceID"),
    InvalidSpec("a trace id that is too long", _traces(traceID="a" * 33), "traceID"),
    InvalidSpec("an empty service", _traces(service=""), "service"),
    InvalidSpec("a trace id with a limit", _traces(traceID="ab12", limit=5), "belong to a search by service"),
    InvalidSpec("a trace id with an operation", _traces(traceID="ab12", operation="GET /"), "belong to a search by service"),
    InvalidSpec("a limit of nothing", _traces(service="shop", limit=0), "limit"),
    InvalidSpec("a limit that is too high", _traces(service="shop", limit=1501), "limit"),
    InvalidSpec("a limit that is a fraction", _traces(service="shop", limit=2.5), "limit"),
    InvalidSpec("a duration of traces without a unit", _traces(service="shop", minDuration="500"), "minDuration"),
    InvalidSpec("a duration of traces in days", _traces(service="shop", maxDuration="1d"), "maxDuration"),
    InvalidSpec("a tag that is no text", _traces(service="shop", tags={"error": True}), "error"),
    InvalidSpec("more than 20 tags", _traces(service="shop", tags={f"t{n}": "1" for n in range(21)}), "tags"),
    # the rest
    InvalidSpec("a service account of another namespace", _logs(serviceAccountName="kube-system:admin"), "serviceAccountName"),
    InvalidSpec("an empty service account", _logs(serviceAccountName=""), "serviceAccountName"),
    InvalidSpec("a timeout of nothing", _logs(timeout="0s"), "timeout"),
    InvalidSpec("a timeout that is a number", _logs(timeout=600), "timeout"),
    InvalidSpec("suspend that is a list", _logs(suspend=[]), "suspend"),
    InvalidSpec("cancel that is a word", _logs(cancel="later"), "cancel"),
)

VALID_INVESTIGATIONS: tuple[ValidSpec, ...] = (
    ValidSpec("as many texts as there may be", {"metrics": [{"query": "q" * 8192}] * 8}),
    ValidSpec("a time to live", _logs(ttlSecondsAfterFinished=0)),
    ValidSpec("the first of all windows", _window(start="1970-01-01T00:00:00Z", end="2999-12-31T23:59:59Z")),
    ValidSpec("sealed to an age and an SSH key", _logs(session={"encryption": {"recipients": [RECIPIENT, SSH_RECIPIENT]}})),
    ValidSpec("stricter redaction", _logs(redaction={"level": "strict", "rules": [{"name": "badge", "pattern": "E-[0-9]+"}]})),
    ValidSpec("sealed by a password", _logs(session={"encryption": {"passwordSecretRef": {"name": "incident", "key": "pw"}}})),
    ValidSpec("one pod", LOGS),
    ValidSpec("a pod whose name has dots", _target(pod="web-0.shop")),
    ValidSpec("pods by labels", _selector(matchLabels={"app.kubernetes.io/name": "shop", "tier": ""})),
    ValidSpec(
        "pods by every kind of condition",
        _selector(
            matchExpressions=[
                {"key": "app", "operator": "In", "values": ["a", "b"]},
                {"key": "example.com/tier", "operator": "NotIn", "values": ["test"]},
                {"key": "app", "operator": "Exists"},
                {"key": "canary", "operator": "DoesNotExist"},
            ]
        ),
    ),
    ValidSpec(
        "every kind of workload",
        {
            "targets": [
                {"workload": {"kind": kind, "name": "web"}}
                for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob")
            ]
        },
    ),
    ValidSpec(
        "some containers, without the run before", _logs(targets=[{**POD, "containers": ["app"]}], logs={"previous": False})
    ),
    ValidSpec("events and objects alone, without nodes", _logs(events={"nodes": False}, objects={"nodes": False})),
    ValidSpec("a lookback of several units", _window(lookback="1d12h30m")),
    ValidSpec("a start alone", _window(start=WINDOW_START)),
    ValidSpec(
        "a start and an end in different zones", _window(start="2026-11-22T12:00:00+05:30", end="2026-11-22T07:00:00.5Z")
    ),
    ValidSpec("a query with its step and DataSource", _metrics(query="up", step="30s", dataSourceRef={"name": "main"})),
    ValidSpec(
        "every template",
        {
            "metrics": [
                {"template": name, "parameters": {"rate_window": "1m"}}
                for name in ("error_rate", "latency_p95", "latency_p99", "request_rate", "cpu_usage", "memory_usage")
            ]
        },
    ),
    ValidSpec(
        "a template whose parameter tries to break out", _metrics(template="cpu_usage", parameters={"pod": '"} or up{a="'})
    ),
    ValidSpec("traces from the targets' logs", _logs(traces=[{"fromLogs": {"limit": 500}}, {"fromLogs": {"limit": 1}}])),
    ValidSpec(
        "traces from logs beside events",
        _logs(logs={}, events={}, traces=[{"fromLogs": {"limit": 20}}, {"service": "shop", "limit": 5}]),
    ),
    ValidSpec(
        "traces from lines of a query",
        {"queries": [{"type": "loki", "query": '{a="b"}'}], "traces": [{"fromLogs": {"limit": 20}}]},
    ),
    ValidSpec("a trace by its id", _traces(traceID="0123456789abcdefABCDEF0123456789")),
    ValidSpec(
        "a search with all it may have",
        _traces(
            service="shop",
            operation="POST /pay",
            tags={"error": "true"},
            minDuration="1.5ms",
            maxDuration="10s",
            limit=1500,
            dataSourceRef={"name": "jaeger"},
        ),
    ),
    ValidSpec("everything at once", _logs(logs={}, metrics=[QUERY], traces=[{"service": "shop"}], serviceAccountName="reader")),
    ValidSpec("uploaded to the default bucket", _logs(session={"upload": {}})),
    ValidSpec("uploaded to a bucket", _logs(session={"upload": {"dataSourceRef": {"name": "archive"}, "timeout": "1h"}})),
    ValidSpec("suspended and cancelled", _logs(suspend=True, cancel=True, timeout="1h")),
)


def _source(endpoint: Any = "http://prometheus:9090", **fields: Any) -> Spec:
    return {"type": "prometheus", "endpoint": endpoint, **fields}


def _s3(endpoint: str = "https://s3.eu-central-1.amazonaws.com", **fields: Any) -> Spec:
    spec = _source(endpoint, type="s3", auth={"accessKey": {"name": "login"}}, s3={"bucket": "incidents"})
    return {name: value for name, value in {**spec, **fields}.items() if value is not None}


INVALID_DATA_SOURCES: tuple[InvalidSpec, ...] = (
    InvalidSpec("no type", {"endpoint": "http://prometheus:9090"}, "type"),
    InvalidSpec("no endpoint", {"type": "prometheus"}, "endpoint"),
    InvalidSpec("an unknown type", _source(type="influxdb"), "type"),
    InvalidSpec("a link-local endpoint", _source("http://169.254.169.254/latest"), "metadata service"),
    InvalidSpec("a link-local IPv6 endpoint", _source("http://[fe80::1]:9090"), "metadata service"),
    InvalidSpec("a metadata service by name", _source("http://METADATA.google.internal/"), "metadata service"),
    *(
        InvalidSpec(f"a proxy {title}", _source(proxy={"url": url}), "proxy.url")
        for title, url in (
            ("with TLS", "https://proxy:3128"),
            ("with a user", "http://user:word@proxy:3128"),
            ("with a path", "http://proxy:3128/a"),
            ("of SOCKS", "socks5://proxy:1080"),
            ("without a host", "http://:3128"),
        )
    ),
    InvalidSpec("a proxy without its URL", _source(proxy={"basic": {"name": "a"}}), "url"),
    InvalidSpec("tls without https", _source(tls={"clientSecretRef": {"name": "a"}}), "tls needs an https endpoint"),
    InvalidSpec("Jaeger's options of a Prometheus", _source(jaeger={"api": "v3"}), "jaeger belongs to type jaeger"),
    InvalidSpec("Jaeger's options of a Prometheus, though empty", _source(jaeger={}), "jaeger belongs to type jaeger"),
    InvalidSpec(
        "Prometheus' options of a Jaeger",
        _source(type="jaeger", prometheus={"namespaceLabel": "namespace"}),
        "prometheus belongs to type prometheus",
    ),
    InvalidSpec("options of a Loki, which has none", _source(type="loki", prometheus={}), "prometheus belongs to type"),
    InvalidSpec("an API that there is not", _source(type="jaeger", jaeger={"api": "v2"}), "api"),
    InvalidSpec("an unknown option", _source(prometheus={"api": "v1"}), "api"),
    InvalidSpec("a namespace label that is none", _source(prometheus={"namespaceLabel": "a-b"}), "namespaceLabel"),
    InvalidSpec("an old API of a Prometheus", _source(api="v3"), "api belongs to type jaeger"),
    InvalidSpec("an old API that there is not", _source(type="jaeger", api="v2"), "api"),
    InvalidSpec("an old namespace label of a Jaeger", _source(type="jaeger", namespaceLabel="a"), "namespaceLabel belongs"),
    InvalidSpec(
        "two namespace labels",
        _source(namespaceLabel="a", prometheus={"namespaceLabel": "b"}),
        "namespaceLabel is deprecated, and differs",
    ),
    InvalidSpec("two APIs", _source(type="jaeger", api="v1", jaeger={"api": "v3"}), "api is deprecated, and differs"),
    InvalidSpec(
        "two kinds of auth", _source(auth={"basic": {"name": "a"}, "bearer": {"name": "a", "key": "b"}}), "exactly one"
    ),
    InvalidSpec("auth without a kind", _source(auth={}), "exactly one"),
    InvalidSpec(
        "a credential in the Host header",
        _source(auth={"header": {"name": "Host", "secretRef": {"name": "a", "key": "b"}}}),
        "auth.header.name has a meaning in HTTP",
    ),
    *(
        InvalidSpec(f"a tenant in the header {name}", _source(tenant={"header": name, "value": "a"}), "tenant.header must be")
        for name in ("Host", "authorization", "Content-Length", "Proxy-Authorization", "Impersonate-User", "X-Api-Key", "TE")
    ),
    InvalidSpec(
        "a tenant in the credential's header",
        _source(
            tenant={"header": "x-one", "value": "a"},
            auth={"header": {"name": "X-One", "secretRef": {"name": "a", "key": "b"}}},
        ),
        "the same header",
    ),
    InvalidSpec(
        "a credential in a header of impersonation",
        _source(auth={"header": {"name": "Impersonate-User", "secretRef": {"name": "a", "key": "b"}}}),
        "auth.header.name has a meaning in HTTP",
    ),
    *(
        InvalidSpec(f"link-local inside IPv6: {address}", _source(f"http://[{address}]:80"), "metadata service")
        for address in (
            "::ffff:a9fe:a9fe",
            "::a9fe:a9fe",
            "::ffff:0:a9fe:a9fe",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::169.254.169.254",
            "2002:a9fe:a9fe::",
            "fd00:ec2::23",
            "fd00:42::42",
        )
    ),
    InvalidSpec("a tenant that breaks the header", _source(tenant={"value": "a b"}), "value"),
    *(
        InvalidSpec(f"a tenant's template that {title}", _source(tenant={"template": template}), "template")
        for title, template in (
            ("is the same for all namespaces", "a-long-team"),
            ("joins tenants", "{namespace}|bank"),
            ("joins tenants from the left", "bank|{namespace}"),
            ("has a wildcard", "{namespace}*"),
            ("has the namespace twice, which makes two namespaces one tenant", "{namespace}{namespace}"),
            ("has another placeholder", "{name}-{namespace}"),
            ("breaks the header", "a\r\nX: {namespace}"),
            ("breaks the header at its end", "a-{namespace}\n"),
            ("lists tenants", "bank,{namespace}"),
            ("is a path", "../{namespace}"),
            ("has a blank", "a {namespace}"),
            ("is longer than servers take", "a" * 90 + "{namespace}"),
        )
    ),
    *(
        InvalidSpec(f"a tenant of {title}", _source(tenant=tenant), "set exactly one of tenant.value")
        for title, tenant in (
            ("nothing", {}),
            ("a header alone", {"header": "X-Scope-OrgID"}),
            ("no namespace", {"fromNamespace": False}),
            ("the namespace and a value", {"fromNamespace": True, "value": "a"}),
            ("the namespace and a template", {"fromNamespace": True, "template": "a-{namespace}"}),
            ("a value and a template", {"value": "a", "template": "a-{namespace}"}),
        )
    ),
    InvalidSpec(
        "a credential in the header that tenants have by default",
        _source(
            tenant={"fromNamespace": True}, auth={"header": {"name": "x-scope-orgid", "secretRef": {"name": "a", "key": "b"}}}
        ),
        "the same header",
    ),
    InvalidSpec("an unknown field", _source(bearer="x"), "bearer"),
    InvalidSpec("an empty endpoint", _source(""), "endpoint"),
    InvalidSpec("an endpoint without a scheme", _source("prometheus:9090"), "endpoint"),
    InvalidSpec("an endpoint that is a file", _source("file:///etc/passwd"), "endpoint"),
    InvalidSpec("an endpoint without a host", _source("http:///api"), "endpoint"),
    InvalidSpec("an endpoint with a password", _source("http://user:word@prometheus:9090"), "endpoint"),
    InvalidSpec("an endpoint with a query", _source("http://prometheus:9090/?a=b"), "endpoint"),
    InvalidSpec("an endpoint with a fragment", _source("http://prometheus:9090/#a"), "endpoint"),
    InvalidSpec("an endpoint whose port is a word", _source("http://prometheus:http"), "endpoint"),
    InvalidSpec("an endpoint with a broken IPv6 address", _source("http://[::1"), "endpoint"),
    InvalidSpec("an endpoint that is too long", _source("http://" + "a" * 2048), "endpoint"),
    InvalidSpec("an endpoint that is a number", _source(9090), "endpoint"),
    InvalidSpec("a timeout of nothing", _source(timeout="0s"), "timeout"),
    InvalidSpec("a timeout without a unit", _source(timeout="30"), "timeout"),
    InvalidSpec("an answer of no size", _source(maxResponseBytes=0), "maxResponseBytes"),
    InvalidSpec("an answer of more than 1 GiB", _source(maxResponseBytes=1024**3 + 1), "maxResponseBytes"),
    InvalidSpec("allowedNamespaces that are empty, and so would close it", _source(allowedNamespaces=[]), "allowedNamespaces"),
    InvalidSpec("an allowed namespace in capitals", _source(allowedNamespaces=["Shop"]), "allowedNamespaces"),
    InvalidSpec("allowed namespaces by a pattern", _source(allowedNamespaces=["shop-*"]), "allowedNamespaces"),
    InvalidSpec("default that is a word", _source(default="always"), "default"),
    InvalidSpec("S3 without a bucket", _s3(s3=None), "s3 has the options of type s3"),
    InvalidSpec("a bucket of a Prometheus", _source(s3={"bucket": "incidents"}), "s3 has the options of type s3"),
    InvalidSpec("S3 without credentials", _s3(auth=None), "auth.accessKey"),
    InvalidSpec("S3 with a password", _s3(auth={"basic": {"name": "a"}}), "auth.accessKey"),
    InvalidSpec("an access key of a Prometheus", _source(auth={"accessKey": {"name": "a"}}), "auth.accessKey"),
    InvalidSpec("a cloud identity of a Prometheus", _source(auth={"cloudIdentity": "aws"}), "auth.cloudIdentity"),
    InvalidSpec("S3 with two identities", _s3(auth={"accessKey": {"name": "a"}, "cloudIdentity": "aws"}), "exactly one of"),
    InvalidSpec("the identity of an unknown cloud", _s3(auth={"cloudIdentity": "AWS"}), "cloudIdentity"),
    InvalidSpec(
        "an S3 endpoint with a path", _s3("https://s3.example.com/incidents"), "the endpoint of type s3 must have no path"
    ),
    InvalidSpec("S3 with a tenant header", _s3(tenant={"value": "a"}), "tenant is not allowed for type s3"),
    InvalidSpec("a bucket in capitals", _s3(s3={"bucket": "Incidents"}), "bucket"),
    InvalidSpec("a bucket that is a path", _s3(s3={"bucket": "a/../b"}), "bucket"),
    InvalidSpec("a prefix that goes up", _s3(s3={"bucket": "incidents", "prefix": "a/../b"}), "prefix"),
    InvalidSpec("a prefix that begins with a slash", _s3(s3={"bucket": "incidents", "prefix": "/a"}), "prefix"),
    InvalidSpec("a prefix that ends with a slash", _s3(s3={"bucket": "incidents", "prefix": "a/"}), "prefix"),
    InvalidSpec("an S3 prefix with a blank", _s3(s3={"bucket": "incidents", "prefix": "a b"}), "prefix"),
    InvalidSpec("a region with a dot", _s3(s3={"bucket": "incidents", "region": "a.b"}), "region"),
    InvalidSpec("a link-local S3 endpoint", _s3("http://169.254.169.254"), "metadata service"),
)

VALID_DATA_SOURCES: tuple[ValidSpec, ...] = (
    ValidSpec("a Prometheus with defaults", _source()),
    ValidSpec("an S3 bucket with the operator's own identity", _s3(auth={"cloudIdentity": "aws"})),
    ValidSpec("an S3 bucket", _s3(s3={"bucket": "incidents", "region": "us-east-1", "pathStyle": True})),
    ValidSpec(
        "an S3 bucket with all it may have",
        _s3(
            "https://s3.example.com/",
            s3={"bucket": "in.cidents", "prefix": "a/b_c-d.e", "region": "eu-1", "pathStyle": False, "maxSessionBytes": 1},
        ),
    ),
    *(
        ValidSpec(f"a tenant in the header {name}", _source(tenant={"header": name, "value": "a"}))
        for name in ("X-Scope-OrgID", "THANOS-TENANT", "AccountID", "X-Tenant")
    ),
    ValidSpec("open to all namespaces", _source(allowedNamespaces=["*"])),
    ValidSpec("a tenant of each namespace", _source(tenant={"fromNamespace": True})),
    ValidSpec("a tenant of each namespace in a header", _source(tenant={"header": "x-tenant", "fromNamespace": True})),
    ValidSpec("a tenant by a template", _source(tenant={"template": "team-{namespace}.logs"})),
    ValidSpec("a tenant by a value, and not by the namespace", _source(tenant={"value": "a|b", "fromNamespace": False})),
    ValidSpec("a Jaeger", _source("http://jaeger.tracing:16686", type="jaeger")),
    ValidSpec("a Jaeger of one API", _source("http://jaeger.tracing:16686", type="jaeger", jaeger={"api": "v3"})),
    ValidSpec("a confined Prometheus", _source(prometheus={"namespaceLabel": "namespace"})),
    ValidSpec("a Jaeger of one API, in the old form", _source(type="jaeger", api="v3")),
    ValidSpec("a confined Prometheus in the old form", _source(namespaceLabel="namespace")),
    ValidSpec("both forms", _source(namespaceLabel="namespace", prometheus={"namespaceLabel": "namespace"})),
    ValidSpec("the old form beside empty options", _source(namespaceLabel="namespace", prometheus={})),
    ValidSpec("a path prefix and https", _source("https://metrics.example.com/prometheus/")),
    ValidSpec("an IPv6 address", _source("http://[::1]:9090")),
    ValidSpec("a proxy", _source(proxy={"url": "http://proxy.example:3128/"})),
    ValidSpec("a proxy with a login", _source(proxy={"url": "http://[fd00::1]", "basic": {"name": "login"}})),
    ValidSpec("a scheme in capitals", _source("HTTP://prometheus:9090")),
    ValidSpec(
        "everything", _source(default=True, timeout="1m30s", maxResponseBytes=1024, allowedNamespaces=["shop", "production"])
    ),
)

_BEFORE: Spec = {
    "window": {"lookback": "1h"},
    "targets": TARGETS,
    "logs": {"previous": True},
    "metrics": [QUERY],
    "traces": [{"service": "shop"}],
    "serviceAccountName": "reader",
    "timeout": "10m",
}


def _changed(**fields: Any) -> Spec:
    return deepcopy({**_BEFORE, **fields})


def _without(*names: str) -> Spec:
    return deepcopy({name: value for name, value in _BEFORE.items() if name not in names})


FORBIDDEN_UPDATES: tuple[ForbiddenUpdate, ...] = (
    ForbiddenUpdate("a longer window", _BEFORE, _changed(window={"lookback": "2h"}), "spec.window is immutable"),
    ForbiddenUpdate("a window of another form", _BEFORE, _changed(window={"start": WINDOW_START}), "spec.window is immutable"),
    ForbiddenUpdate("another target", _BEFORE, _changed(targets=[{"pod": "web-1"}]), "spec.targets is immutable"),
    ForbiddenUpdate("one more target", _BEFORE, _changed(targets=[POD, {"pod": "web-1"}]), "spec.targets is immutable"),
    ForbiddenUpdate("no targets any more", _BEFORE, _without("targets", "logs"), "spec.targets is immutable"),
    ForbiddenUpdate(
        "targets where there were none", _without("targets", "logs"), _without("logs"), "spec.targets is immutable"
    ),
    ForbiddenUpdate("logs without the run before", _BEFORE, _changed(logs={"previous": False}), "spec.logs is immutable"),
    ForbiddenUpdate("logs no longer named", _BEFORE, _without("logs"), "spec.logs is immutable"),
    ForbiddenUpdate("another query", _BEFORE, _changed(metrics=[{"query": "down"}]), "spec.metrics is immutable"),
    ForbiddenUpdate("metrics where there were none", _without("metrics"), _BEFORE, "spec.metrics is immutable"),
    ForbiddenUpdate(
        "another limit of traces", _BEFORE, _changed(traces=[{"service": "shop", "limit": 5}]), "spec.traces is immutable"
    ),
    ForbiddenUpdate("no traces any more", _BEFORE, _without("traces"), "spec.traces is immutable"),
    ForbiddenUpdate("another identity", _BEFORE, _changed(serviceAccountName="admin"), "spec.serviceAccountName is immutable"),
    ForbiddenUpdate("the operator's identity", _BEFORE, _without("serviceAccountName"), "spec.serviceAccountName is immutable"),
    ForbiddenUpdate(
        "an identity where there was none", _without("serviceAccountName"), _BEFORE, "spec.serviceAccountName is immutable"
    ),
    ForbiddenUpdate(
        "sealed afterwards",
        _BEFORE,
        _changed(session={"encryption": {"recipients": [RECIPIENT]}}),
        "spec.session is immutable",
    ),
    ForbiddenUpdate("a longer timeout", _BEFORE, _changed(timeout="20m"), "spec.timeout is immutable"),
    ForbiddenUpdate(
        "another target, hidden behind a cancellation",
        _BEFORE,
        _changed(cancel=True, targets=[{"pod": "web-1"}]),
        "spec.targets is immutable",
    ),
)

ALLOWED_UPDATES: tuple[AllowedUpdate, ...] = (
    AllowedUpdate("no change", _BEFORE, _BEFORE),
    AllowedUpdate("suspended", _BEFORE, _changed(suspend=True)),
    AllowedUpdate("no longer suspended", _changed(suspend=True), _changed(suspend=False)),
    AllowedUpdate("kept longer", _BEFORE, _changed(retention={"artifactsSeconds": 86400, "keep": True})),
    AllowedUpdate("kept no longer", _changed(retention={"keep": True}), _BEFORE),
    AllowedUpdate("a time to live", _BEFORE, _changed(ttlSecondsAfterFinished=60)),
    AllowedUpdate("cancelled", _BEFORE, _changed(cancel=True)),
    AllowedUpdate("a default spelled out", _without("timeout"), _changed(timeout="10m")),
)
