"""The operator's command line: `python -m aletheia_operator`. Turns flags into settings; `settings` has the defaults.

`python -m aletheia_operator capture FLAGS NAMESPACE NAME UID` is the process of a Job: it runs one capture, with the operator's
flags, and without the operator.
"""

import argparse
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NoReturn

from aletheia_operator.findings.quantities import amount_of
from aletheia_operator.session.manifest import InvestigationReference
from aletheia_operator.settings import (
    LeaderElection,
    Limits,
    NodeLogs,
    Process,
    Redaction,
    RequestRates,
    Retention,
    Runner,
    Settings,
    VolumeShares,
    add_log_options,
)
from aletheia_operator.text.flag_values import count, duration, listen, percent, positive, proxy_url, rule, seconds, weight
from aletheia_operator.version import __version__

CAPTURE = "capture"
"""First argument of a Job's process."""


def main(arguments: list[str] | None = None) -> None:
    """Run the operator, or one capture. `arguments` None: those of the process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == [CAPTURE]:
        options = capture_parser().parse_args(arguments[1:])
        owner = InvestigationReference(namespace=options.owner_namespace, name=options.owner_name, uid=options.owner_uid)
        sys.exit(capture(settings_of(options), owner))
    run(settings_of(parser().parse_args(arguments)))


def run(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT."""
    for library in ("kubernetes.client", "pykube"):  # kopf would import them, where they are installed, to know their objects
        sys.modules[library] = None  # type: ignore[assignment]
    from aletheia_operator.handlers import operator  # imported late: a Job does not need kopf, which takes memory

    operator.run(settings)


def capture(settings: Settings, owner: InvestigationReference) -> int:
    """Run the capture of one Investigation. Returns the exit code.

    Process 1 of a container ignores SIGTERM until it has a handler, and is killed 30 s later: in the middle of the capture.
    """
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))  # until the capture begins
    from aletheia_operator.handlers import capture_process

    return capture_process.run(settings, owner)


def capture_parser() -> argparse.ArgumentParser:
    """Return the parser of a Job's arguments: all flags, and the Investigation."""
    made = parser()
    made.prog = f"aletheia-operator {CAPTURE}"
    made.description = "Runs one capture to its end, as the operator would. The operator starts it in a Job."
    for part in ("namespace", "name", "uid"):
        made.add_argument(f"owner_{part}", metavar=part.upper(), help=f"{part} of the Investigation")
    return made


def parser() -> argparse.ArgumentParser:
    """Return the parser of all flags. A flag's destination is the name of its field in its group of `settings`."""
    made = argparse.ArgumentParser(
        prog="aletheia-operator",
        description="Captures evidence for Investigations.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("--session-root", type=Path, required=True, help="directory of the session volume")
    made.add_argument("--metric-templates", type=Path, metavar="FILE", help="YAML with templates for metrics of your own")
    made.add_argument("--finding-rules", type=Path, metavar="FILE", help="YAML with rules for findings of your own")
    made.add_argument(
        "--ca-bundle", type=Path, metavar="FILE", help="PEM with CAs to verify DataSources with, besides public ones"
    )
    made.add_argument("--version", action="version", version=__version__)
    _add_proxy(made.add_argument_group("proxy of DataSources"))
    scope = made.add_argument_group("scope")
    scope.add_argument("--namespace", dest="namespaces", action="append", help="namespace to watch, repeatable; without it all")
    scope.add_argument("--kubeconfig", type=Path, help="how to reach the API server; without it the pod's service account")
    scope.add_argument("--operator-namespace", help="where the Secrets of DataSources are")
    scope.add_argument("--identity", help="marks what this operator captures; without it the session volume's id")
    election = made.add_argument_group("leader election")
    holds = "Lease in the operator's namespace: of several operators, its holder alone works; without it there is no election"
    election.add_argument("--lease", metavar="NAME", help=holds)
    lease_seconds = "without a renewal until another operator leads"
    _add_numbers(election, LeaderElection, ("--lease-seconds", positive, lease_seconds))
    rights = made.add_argument_group("rights")
    rights.add_argument("--default-service-account", help="read as this ServiceAccount where an Investigation names none")
    rights.add_argument(
        "--creator-policy", metavar="NAME", help="ValidatingAdmissionPolicy that checks what creators may read themselves"
    )
    rights.add_argument(
        "--trust-creators", action="store_true", help="capture for everyone, though no policy checks the creator"
    )
    rights.add_argument(
        "--no-log-text-in-status",
        dest="log_text_in_status",
        action="store_false",
        help="quote no logs in status and Events: counts and levels alone",
    )
    _add_redaction(made.add_argument_group("redaction"))
    _add_limits(made.add_argument_group("limits"))
    _add_rates(made.add_argument_group("requests per second"))
    _add_runner(made.add_argument_group("where captures run"))
    _add_retention(made.add_argument_group("retention"))
    _add_volume(made.add_argument_group("shares of the session volume"))
    _add_node_logs(made.add_argument_group("logs from nodes"))
    _add_artifacts_api(made.add_argument_group("artifacts API"))
    _add_metrics(made.add_argument_group("metrics of the operator"))
    _add_process(made.add_argument_group("process"))
    return made


def _add_process(group: Any) -> None:
    group.add_argument("--listen", type=listen, default=Process.listen, metavar="HOST:PORT", help="address of /healthz")
    add_log_options(group)


def _add_redaction(group: Any) -> None:
    levels = ["off", "secrets", "strict"]
    group.add_argument(
        "--redaction-level", dest="level", choices=levels, default=Redaction.level, help="lowest level of redaction"
    )
    group.add_argument(
        "--redaction-allow-off", dest="allow_off", action="store_true", help="let Investigations ask for a lower level"
    )
    group.add_argument(
        "--redaction-rule",
        dest="rules",
        action="append",
        type=rule,
        metavar="NAME=PATTERN",
        help="also remove what this pattern for RE2 matches, repeatable",
    )


def _add_proxy(group: Any) -> None:
    group.add_argument("--proxy", dest="url", type=proxy_url, metavar="URL", help="HTTP proxy of DataSources that name none")
    exempt = "host, domain, address or range that is connected to directly, repeatable"
    group.add_argument("--no-proxy", action="append", metavar="HOST", help=exempt)


def _add_limits(group: Any) -> None:
    _add_numbers(
        group,
        Limits,
        ("--max-investigations", positive, "that run at the same time"),
        ("--max-namespace-investigations", positive, "of one namespace that run at the same time; without it three quarters"),
        ("--max-namespace-queued", positive, "of one namespace in the queue; others stay Pending until it has room"),
        ("--max-timeout-seconds", duration, "of a capture, even if spec.timeout is longer; also with a unit, for example 1h"),
        ("--max-fetches", positive, "of one Investigation at the same time"),
        ("--max-artifact-bytes", _quantity, "of one artifact, for example 1Gi; a larger one is cut"),
        ("--max-session-bytes", _quantity, "of one Investigation's artifacts; without it no limit"),
        ("--max-namespace-bytes", _quantity, "of all artifacts of a namespace; without it its share of the volume"),
        ("--max-namespace-bytes-in-flight", _size, "of a namespace, not saved yet, from which its questions wait; 0: no limit"),
        ("--max-bytes-in-flight", _size, "the same of all namespaces; 0: no limit"),
    )
    group.add_argument(
        "--namespace-weight",
        dest="namespace_weights",
        action="append",
        type=weight,
        metavar="NAME=NUMBER",
        help="start this namespace's Investigations so many times as often as those of others that wait, repeatable",
    )


def _add_rates(group: Any) -> None:
    _add_numbers(
        group,
        RequestRates,
        ("--namespace-api-requests", count, "per second that captures of one namespace send to the API server; 0: no limit"),
        ("--api-requests", count, "the same of all namespaces"),
        ("--namespace-source-requests", count, "per second that captures of one namespace send to a DataSource; 0: no limit"),
        ("--source-requests", count, "the same of all namespaces"),
    )


def _add_runner(group: Any) -> None:
    modes = ["inline", "job", "auto"]
    place = "inline: in this process; job: each in a Job; auto: in Jobs if they are large or would wait long"
    group.add_argument("--runner-mode", dest="mode", choices=modes, default=Runner.mode, help=place)
    template = "PodTemplate in the operator's namespace that Jobs are made from"
    group.add_argument("--job-template", metavar="NAME", help=template)
    _add_numbers(
        group,
        Runner,
        ("--max-jobs", positive, "at the same time"),
        ("--max-namespace-jobs", positive, "of one namespace at the same time; without it three quarters"),
        ("--auto-questions", positive, "above which auto lets a capture go on in a Job"),
        ("--auto-bytes", _quantity, "of logs that a capture may keep, above which auto lets it go on in a Job"),
        ("--auto-wait-seconds", duration, "in the queue after which auto starts a Job"),
    )


def _add_retention(group: Any) -> None:
    _add_numbers(
        group,
        Retention,
        ("--retain-namespace-bytes", _quantity, "cap: the namespace's oldest data expires"),
        (
            "--retain-total-bytes",
            _quantity,
            "cap: the largest namespace's oldest data expires; without it a share of the volume",
        ),
        ("--retain-history-limit", positive, "finished Investigations of a namespace; the oldest are deleted"),
        ("--retain-grace-seconds", seconds, "after the end of a capture, during which caps and limit do not remove it"),
        ("--orphan-grace-seconds", seconds, "until an orphaned session is removed"),
        ("--sweep-seconds", duration, "between two passes over all sessions"),
    )


def _add_volume(group: Any) -> None:
    group.add_argument(
        "--volume-size",
        dest="volume_bytes",
        type=_quantity,
        metavar="QUANTITY",
        help="size of the session volume, for example 10Gi; without it, or if that is less, the size of its file system",
    )
    _add_numbers(
        group,
        VolumeShares,
        ("--namespace-share", percent, "of the volume: quota of a namespace's artifacts; 0: none"),
        ("--total-share", percent, "of the volume: cap from which evidence expires; 0: none"),
    )


def _add_numbers(group: Any, settings: type[Any], *flags: tuple[str, Callable[[str], int], str]) -> None:
    """Add flags, each with its parser and its meaning, for the fields of `settings` with their names, without `retain`."""
    for flag, parse, meaning in flags:
        field = flag.removeprefix("--").removeprefix("retain-").replace("-", "_")
        group.add_argument(flag, dest=field, type=parse, default=getattr(settings, field), help=meaning)


def _add_node_logs(group: Any) -> None:
    group.add_argument(
        "--node-logs", dest="enabled", action="store_true", help="read log files from nodes; needs the right nodes/log"
    )
    kubelets = group.add_mutually_exclusive_group()
    kubelets.add_argument(
        "--kubelet-certificate-authority",
        dest="certificate_authority",
        type=Path,
        default=NodeLogs.certificate_authority,
        help="PEM file that signs the kubelets' certificates",
    )
    kubelets.add_argument(
        "--kubelet-insecure-tls",
        dest="certificate_authority",
        action="store_const",
        const=None,
        help="do not verify the kubelets' certificates",
    )


def _add_artifacts_api(group: Any) -> None:
    certificates = "directory for the API's certificates; without it no API"
    group.add_argument("--artifacts-certificates", dest="certificates", type=Path, metavar="DIR", help=certificates)
    group.add_argument("--artifacts-service", dest="service", help="Service of the API, in the operator's namespace")
    keeps = "Secret to keep the serving certificate in; without it an admin provides one"
    group.add_argument("--artifacts-secret", dest="secret", help=keeps)


def _add_metrics(group: Any) -> None:
    meaning = "address of /metrics; without it none"
    group.add_argument("--metrics-listen", type=listen, dest="address", metavar="HOST:PORT", help=meaning)
    for flag, field, meaning in (
        ("--metrics-certificate", "certificate", "PEM with the server's certificate; without it plain HTTP"),
        ("--metrics-key", "key", "PEM with the certificate's key"),
        ("--metrics-client-authority", "client_authority", "PEM with CAs of scrapers; without it everyone may scrape"),
    ):
        group.add_argument(flag, dest=field, type=Path, metavar="FILE", help=meaning)


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings for parsed flags."""
    given = vars(options)
    for repeated in ("namespaces", "rules", "no_proxy", "namespace_weights"):
        given[repeated] = tuple(given[repeated] or ())

    def instance(kind: Any) -> Any:
        """Return an instance of a group, or of `Settings` with its groups. A field without a flag keeps its default."""
        groups = {field.name: instance(field.type) for field in fields(kind) if is_dataclass(field.type)}
        return kind(**groups, **{field.name: given[field.name] for field in fields(kind) if field.name in given})

    settings: Settings = instance(Settings)
    return settings


def _quantity(text: str) -> int:
    number = int(amount_of(text))
    if number < 1:
        raise argparse.ArgumentTypeError("must be a quantity of at least 1 byte, for example 10Gi")
    return number


def _size(text: str) -> int:
    return 0 if text == "0" else _quantity(text)


def main_process() -> NoReturn:
    """Run `main`, then end the process at once: threads that wait for a hanging source would delay it until their timeout."""
    code: int | str | None = 1
    try:
        main()
        code = 0
    except SystemExit as e:
        code = e.code
    except BaseException:
        traceback.print_exc()
    finally:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    main_process()
