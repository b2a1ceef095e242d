"""kubectl investigation start: creates an Investigation from flags, or prints its manifest."""

import sys
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import click

from aletheia_operator.api.paths import API, INVESTIGATIONS
from aletheia_operator.cli.cluster import ApiError, ClusterApi, connected
from aletheia_operator.cli.errors import ExitCode, Refused
from aletheia_operator.cli.following import follow
from aletheia_operator.cli.investigation_manifest import LOOKBACK, checked, investigation_of
from aletheia_operator.cli.investigations import PRINTED, Investigation, printed, refusal_of
from aletheia_operator.cli.options import Options, cluster_options, option_command
from aletheia_operator.cli.output import print_message
from aletheia_operator.clients.errors import MISSING

NOTES = """TARGET: pods, as kubectl names them: deploy/payments, sts/db, ds/agent, job/backup, cronjob/backup, pod/web-0,
or only the name of a pod. Logs (also of the previous containers), events and objects of the targets are captured, unless
--logs, --events or --objects choose some of them.

\b
  start deploy/payments --since 2h --metric error_rate --traces --wait
  start -l app=payments --metric 'sum(rate(http_requests_total[5m]))'
  start deploy/payments --dry-run=client -o yaml > investigation.yaml"""


def start(options: Options) -> int:
    """Create the Investigation, and follow it with --wait. Returns its exit code then."""
    resource = checked(investigation_of(options, datetime.now(UTC)))
    if options.dry_run == "client":
        if options.namespace:
            resource["metadata"]["namespace"] = options.namespace
        sys.stdout.write(printed(resource, options.output or "yaml"))
        return ExitCode.OK
    with connected(options) as cluster:
        created = _created(cluster, resource, dry_run=options.dry_run == "server")
        if options.output:
            sys.stdout.write(printed(created.resource, options.output))
            sys.stdout.flush()
        else:
            what = "could be created" if options.dry_run else "created"
            print(f"Investigation {created.reference} {what}")
        if options.dry_run:
            return ExitCode.OK
        if options.wait:
            return follow(cluster, created, options.wait_timeout)
        print_message(f"follow it: {cluster.command('wait', created.reference)}")
    return ExitCode.OK


def _created(cluster: ClusterApi, resource: dict[str, Any], dry_run: bool) -> Investigation:
    namespace = cluster.namespace
    path = f"{API}/namespaces/{quote(namespace, safe='')}/{INVESTIGATIONS}"
    query = {"fieldManager": "kubectl-investigation", "fieldValidation": "Strict"}
    try:
        return Investigation(cluster.create(path, resource, **query, **({"dryRun": "All"} if dry_run else {})))
    except ApiError as e:
        if e.reason == "AlreadyExists":
            name = resource["metadata"]["name"]
            raise Refused(f"there is an Investigation {namespace}/{name} already: choose another --name") from e
        if e.status in MISSING and e.names_object:
            raise Refused(cluster.no_namespace(namespace) or str(e)) from e
        raise refusal_of(e, namespace) from e


def _flag(name: str, about: str) -> click.Option:
    return click.Option([name], is_flag=True, help=about)


def _many(name: str, metavar: str, about: str) -> click.Option:
    return click.Option([name], multiple=True, metavar=metavar, help=f"{about} (repeatable).")


command = option_command(
    "start",
    start,
    "start an Investigation: capture what is about to be lost, and say what broke",
    click.Argument(["targets"], metavar="[TARGET]...", nargs=-1),
    click.Option(["-l", "--selector"], multiple=True, metavar="LABELS", help="Pods with these labels (repeatable)."),
    click.Option(
        ["--since", "--lookback", "since"],
        metavar="DURATION",
        help=f"The window ends now, for example 30m or 2h; default: {LOOKBACK}.",
    ),
    click.Option(["--start"], metavar="TIME", help="Begin of the window, for example 2026-11-22T14:00:00Z."),
    click.Option(["--end"], metavar="TIME", help="End of the window; default: now."),
    _flag("--logs", "Only logs, and what else is named."),
    _flag("--events", "Only events, and what else is named."),
    _flag("--objects", "Only objects, and what else is named."),
    click.Option(["-c", "--container"], metavar="REGEX", help="Logs only of containers with a match in their name."),
    _many("--metric", "METRIC", "A template, error_rate or error_rate,service=payments, or PromQL"),
    _flag("--traces", "Traces of each workload as a service, and those that its logs mention."),
    _many("--trace-service", "NAME", "Traces of this service"),
    _many("--trace-id", "ID", "The trace with this id"),
    _many("--query", "TYPE=QUERY", 'A query for another type of DataSource, for example loki={app="payments"}'),
    click.Option(["--name"], metavar="NAME", help="Name of the Investigation; default: made of the first target and the time."),
    click.Option(["--service-account"], metavar="NAME", help="ServiceAccount that the reads are made as."),
    click.Option(
        ["--password-secret"],
        metavar="NAME",
        help="Encrypt the session by the password in this Secret, which --service-account (or the chart's default) may get.",
    ),
    _many("--recipient", "KEY", "Encrypt the session to this age or SSH public key"),
    click.Option(["--redaction"], type=click.Choice(["off", "secrets", "strict"]), help="What is removed from the data."),
    _flag("--keep", "Keep the session when the Investigation is deleted."),
    click.Option(["--timeout"], metavar="DURATION", help="Longest duration of the capture; default: 10m."),
    _flag("--wait", "Follow it to its end, and show what broke."),
    click.Option(["--wait-timeout"], metavar="DURATION", help="With --wait: give up waiting after this time; default: never."),
    click.Option(
        ["--dry-run"], type=click.Choice(["client", "server"]), help="Create nothing. client: print the manifest for Git."
    ),
    click.Option(["-o", "--output"], type=click.Choice(PRINTED), help="Print the resource in this format."),
    *cluster_options(),
    notes=NOTES,
)
