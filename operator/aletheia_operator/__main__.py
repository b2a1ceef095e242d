"""The operator's command line: `python -m aletheia_operator`. Turns flags into settings; `settings` has the defaults."""

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from aletheia_operator.findings.quantities import amount_of
from aletheia_operator.handlers.operator import run
from aletheia_operator.settings import (
    ArtifactsApi,
    Limits,
    Metrics,
    NodeLogs,
    Privacy,
    Process,
    Redaction,
    Retention,
    Rights,
    Scope,
    Settings,
    VolumeShares,
    add_log_options,
)
from aletheia_operator.version import __version__


def main(arguments: list[str] | None = None) -> None:
    """Run the operator. `arguments` None: those of the process."""
    run(settings_of(parser().parse_args(arguments)))


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
    scope = made.add_argument_group("scope")
    scope.add_argument("--namespace", dest="namespaces", action="append", help="namespace to watch, repeatable; without it all")
    scope.add_argument("--kubeconfig", type=Path, help="how to reach the API server; without it the pod's service account")
    scope.add_argument("--operator-namespace", help="where the Secrets of DataSources are")
    scope.add_argument("--identity", help="marks what this operator captures; without it the session volume's id")
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
    _add_retention(made.add_argument_group("retention"))
    _add_volume(made.add_argument_group("shares of the session volume"))
    _add_node_logs(made.add_argument_group("logs from nodes"))
    _add_artifacts_api(made.add_argument_group("artifacts API"))
    _add_metrics(made.add_argument_group("metrics of the operator"))
    process = made.add_argument_group("process")
    process.add_argument("--listen", default=Process.listen, metavar="HOST:PORT", help="address of /healthz")
    add_log_options(process)
    return made


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
        type=_rule,
        metavar="NAME=PATTERN",
        help="also remove what this pattern for RE2 matches, repeatable",
    )


def _rule(text: str) -> tuple[str, str]:
    name, _, pattern = text.partition("=")
    if not name or not pattern:
        raise argparse.ArgumentTypeError("must be NAME=PATTERN")
    return name, pattern


def _add_limits(group: Any) -> None:
    for flag, meaning in {
        "--max-investigations": "that run at the same time",
        "--max-namespace-investigations": "of one namespace that run at the same time; without it three quarters",
        "--max-timeout-seconds": "of a capture, even if spec.timeout is longer",
        "--max-fetches": "of one Investigation at the same time",
        "--max-artifact-bytes": "of one artifact; a larger one is cut",
        "--max-session-bytes": "of one Investigation's artifacts; without it no limit",
        "--max-namespace-bytes": "of all artifacts of a namespace; without it its share of the volume",
    }.items():
        _add_number(group, Limits, flag, _positive, meaning)


def _add_retention(group: Any) -> None:
    for flag, kind, meaning in (
        ("--retain-namespace-bytes", _positive, "cap: the namespace's oldest data expires"),
        (
            "--retain-total-bytes",
            _positive,
            "cap: the largest namespace's oldest data expires; without it a share of the volume",
        ),
        ("--retain-grace-seconds", _seconds, "after the end of a capture, during which the caps do not expire it"),
        ("--orphan-grace-seconds", _seconds, "until an orphaned session is removed"),
        ("--sweep-seconds", _positive, "between two passes over all sessions"),
    ):
        _add_number(group, Retention, flag, kind, meaning)


def _add_volume(group: Any) -> None:
    group.add_argument(
        "--volume-size",
        dest="volume_bytes",
        type=_quantity,
        metavar="QUANTITY",
        help="size of the session volume, for example 10Gi; without it, or if that is less, the size of its file system",
    )
    _add_number(group, VolumeShares, "--namespace-share", _percent, "of the volume: quota of a namespace's artifacts; 0: none")
    _add_number(group, VolumeShares, "--total-share", _percent, "of the volume: cap from which evidence expires; 0: none")


def _add_number(group: Any, settings: type[Any], flag: str, kind: Callable[[str], int], meaning: str) -> None:
    """Add a flag for the field of `settings` with the flag's name, without `retain`."""
    field = flag.removeprefix("--").removeprefix("retain-").replace("-", "_")
    group.add_argument(flag, dest=field, type=kind, default=getattr(settings, field), help=meaning)


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
    group.add_argument("--metrics-listen", dest="address", metavar="HOST:PORT", help="address of /metrics; without it none")
    for flag, field, meaning in (
        ("--metrics-certificate", "certificate", "PEM with the server's certificate; without it plain HTTP"),
        ("--metrics-key", "key", "PEM with the certificate's key"),
        ("--metrics-client-authority", "client_authority", "PEM with CAs of scrapers; without it everyone may scrape"),
    ):
        group.add_argument(flag, dest=field, type=Path, metavar="FILE", help=meaning)


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings for parsed flags."""
    given = vars(options)
    for repeated in ("namespaces", "rules"):
        given[repeated] = tuple(given[repeated] or ())

    def group(kind: type[Any]) -> Any:
        return kind(**{name: given[name] for name in kind.__dataclass_fields__ if name in given})

    return Settings(
        session_root=options.session_root,
        metric_templates=options.metric_templates,
        finding_rules=options.finding_rules,
        ca_bundle=options.ca_bundle,
        scope=group(Scope),
        rights=group(Rights),
        privacy=group(Privacy),
        redaction=group(Redaction),
        limits=group(Limits),
        retention=group(Retention),
        volume=group(VolumeShares),
        node_logs=group(NodeLogs),
        artifacts_api=group(ArtifactsApi),
        metrics=group(Metrics),
        process=group(Process),
    )


def _seconds(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be at least 0")
    return number


def _percent(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError("must be a number of percent from 0 to 100")
    return number


def _quantity(text: str) -> int:
    number = int(amount_of(text))
    if number < 1:
        raise argparse.ArgumentTypeError("must be a quantity of at least 1 byte, for example 10Gi")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


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
