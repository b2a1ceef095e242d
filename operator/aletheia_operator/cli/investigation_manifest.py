"""Makes an Investigation from the options of `start`. Pure."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from aletheia_operator.api.paths import API_VERSION
from aletheia_operator.cli.errors import Refused
from aletheia_operator.cli.options import Options

MAX_NAME = 63
LOOKBACK = "1h"
"""Length of the window if the options name none."""
KINDS = {
    kind: names
    for kind, *names in (
        ("Deployment", "deploy", "deployment", "deployments"),
        ("StatefulSet", "sts", "statefulset", "statefulsets"),
        ("DaemonSet", "ds", "daemonset", "daemonsets"),
        ("ReplicaSet", "rs", "replicaset", "replicasets"),
        ("Job", "job", "jobs"),
        ("CronJob", "cj", "cronjob", "cronjobs"),
    )
}
"""Kinds of workloads, and the names that kubectl has for them."""
PODS = ("po", "pod", "pods")
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names}
TEMPLATE = re.compile(r"[a-z][a-z0-9_]*(,[a-z_]+=[^,]+)*")
"""A metric template with parameters. Anything else is PromQL."""
LABEL = re.compile(r"([^=!]+)==?([^=]*)")


def investigation_of(options: Options, now: datetime) -> dict[str, Any]:
    """Return the resource that the options of `start` describe, without a namespace. Raises Refused."""
    targets = [target_of(text) for text in options.targets] + [selector_of(text) for text in options.selector]
    spec = {
        "window": window_of(options),
        "targets": targets,
        **{name: {} for name in ("events", "objects") if getattr(options, name)},
        **_logs(options),
        "metrics": [metric_of(text) for text in options.metric],
        "traces": traces_of(options, targets),
        "queries": [query_of(text) for text in options.query],
        "serviceAccountName": options.service_account,
        "session": _session(options),
        "retention": {"keep": True} if options.keep else None,
        "redaction": {"level": options.redaction} if options.redaction else None,
        "timeout": options.timeout,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "Investigation",
        "metadata": {"name": options.name or name_of(options, now)},
        "spec": {name: value for name, value in spec.items() if value not in (None, [])},
    }


def checked(resource: dict[str, Any]) -> dict[str, Any]:
    """Return the resource if its spec is valid. Raises Refused, with the API server's message."""
    from pydantic import ValidationError

    from aletheia_operator.api.investigation import InvestigationSpec

    try:
        InvestigationSpec.model_validate(resource["spec"])
    except ValidationError as e:
        raise Refused("; ".join(_problem(dict(error)) for error in e.errors()[:5])) from e
    return resource


def target_of(text: str) -> dict[str, Any]:
    """Return the target of `KIND/NAME`, as kubectl writes it, or of a pod's NAME. Raises Refused with the nearest kinds."""
    kind, slash, name = text.partition("/")
    if not slash:
        return {"pod": text}
    wanted = kind.split(".")[0].lower()  # deployments.apps/payments
    if wanted in PODS:
        return {"pod": name}
    if wanted in KIND_OF:
        return {"workload": {"kind": KIND_OF[wanted], "name": name}}
    from aletheia_operator.text.nearest import hint

    raise Refused(
        f"{kind[:60]!r} is no kind of target: write pod/NAME, deploy/NAME, sts/NAME, ds/NAME, rs/NAME, job/NAME or"
        f" cronjob/NAME{hint(kind, KIND_OF)}"
    )


def selector_of(text: str) -> dict[str, Any]:
    """Return the target of a label selector, for example `app=payments,tier!=cache`. Raises Refused."""
    labels: dict[str, str] = {}
    expressions: list[dict[str, Any]] = []
    for part in filter(None, (part.strip() for part in re.split(r",(?![^(]*\))", text))):
        if listed := re.fullmatch(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)", part):
            key, operator, values = listed.groups()
            name = {"in": "In", "notin": "NotIn"}[operator]
            expressions.append({"key": key, "operator": name, "values": [value.strip() for value in values.split(",")]})
        elif "!=" in part:
            key, _, value = part.partition("!=")
            expressions.append({"key": key.strip(), "operator": "NotIn", "values": [value.strip()]})
        elif pair := LABEL.fullmatch(part):
            labels[pair[1].strip()] = pair[2].strip()
        elif part.startswith("!"):
            expressions.append({"key": part[1:], "operator": "DoesNotExist"})
        else:
            expressions.append({"key": part, "operator": "Exists"})
    if not labels and not expressions:
        raise Refused("--selector is empty: it would select every pod")
    selector = {"matchLabels": labels, "matchExpressions": expressions}
    return {"selector": {name: value for name, value in selector.items() if value}}


def metric_of(text: str) -> dict[str, Any]:
    """Return the request for a template, `error_rate` or `error_rate,service=payments`, or for a PromQL expression."""
    if not TEMPLATE.fullmatch(text):
        return {"query": text}
    template, *pairs = text.split(",")
    parameters = dict(pair.split("=", 1) for pair in pairs)
    return {"template": template, **({"parameters": parameters} if parameters else {})}


def traces_of(options: Options, targets: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the requests for traces. `--traces`: those of each workload as a service, and those that the logs mention."""
    found: list[dict[str, Any]] = []
    services = list(options.trace_service)
    if options.traces:
        services += [target["workload"]["name"] for target in targets if "workload" in target]
        found.append({"fromLogs": {}})
    found += [{"service": service} for service in dict.fromkeys(services)]
    return found + [{"traceID": trace_id} for trace_id in options.trace_id]


def query_of(text: str) -> dict[str, str]:
    """Return the request of `TYPE=QUERY`, for example `loki={app="payments"}`. Raises Refused."""
    kind, equals, query = text.partition("=")
    if not equals or not query or not kind.isalpha():
        raise Refused(f'--query {text[:60]!r}: write TYPE=QUERY, for example loki={{app="payments"}}')
    return {"type": kind, "query": query}


def window_of(options: Options) -> dict[str, Any]:
    """Return the window; the last LOOKBACK if the options name none. Raises Refused."""
    if options.since and options.start:
        raise Refused("--since and --start exclude each other: a window ends now, or begins at a time")
    if options.start:
        return {"start": options.start, **({"end": options.end} if options.end else {})}
    if options.end:
        raise Refused("--end needs --start")
    return {"lookback": options.since or LOOKBACK}


def name_of(options: Options, now: datetime) -> str:
    """Return a name made of the target and the time."""
    named = [*options.targets, *options.trace_service, *options.metric]
    first = named[0].rpartition("/")[2] if named else "investigation"
    word = re.sub(r"[^a-z0-9]+", "-", first.lower()).strip("-") or "investigation"
    suffix = f"-{now:%m%d-%H%M%S}"
    return word[: MAX_NAME - len(suffix)].rstrip("-") + suffix


def _logs(options: Options) -> dict[str, Any]:
    """Return the request for logs; {} for the default."""
    request = {} if options.container is None else {"container": options.container}
    return {"logs": request} if options.logs or request else {}


def _session(options: Options) -> dict[str, Any] | None:
    if options.recipient and options.password_secret:
        raise Refused("--recipient and --password-secret exclude each other")
    if options.recipient:
        return {"encryption": {"recipients": list(options.recipient)}}
    return {"encryption": {"passwordSecretRef": {"name": options.password_secret}}} if options.password_secret else None


def _problem(error: dict[str, Any]) -> str:
    """Return the line for one error of pydantic, with the path of the field."""
    where: Iterable[Any] = error.get("loc") or ()
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    message = str(error.get("msg") or "is not valid").removeprefix("Value error, ")
    if "recipients" in path and error.get("type") == "string_pattern_mismatch":
        message = "is no public key of age (age1...) or SSH; `age-keygen -y KEYFILE` prints that of a private key"
    return f"spec{path}: {message}"
