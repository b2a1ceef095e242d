"""The operator's command line: `python -m aletheia_operator`."""

import argparse
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import NoReturn

import kopf

from aletheia_operator.handlers.operator import CLUSTER_CA, Settings, run
from aletheia_operator.session.retention import Caps
from aletheia_operator.version import __version__


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="aletheia-operator", description="Captures evidence for Investigations.")
    parser.add_argument("--session-root", type=Path, required=True, help="directory of the session volume")
    parser.add_argument("--kubeconfig", type=Path, help="default: the pod's service account")
    parser.add_argument("--namespace", action="append", default=[], help="watch this namespace (repeatable; default: all)")
    parser.add_argument("--default-service-account", help="read as this ServiceAccount where an Investigation names none")
    parser.add_argument("--listen", default="0.0.0.0:8080", metavar="HOST:PORT", help="address of /healthz")
    parser.add_argument("--max-investigations", type=_positive, default=20, help="that run at the same time")
    parser.add_argument("--max-fetches", type=_positive, default=8, help="of one Investigation at the same time")
    parser.add_argument("--max-artifact-bytes", type=_positive, default=1024**3, help="where an artifact is cut")
    parser.add_argument("--max-session-bytes", type=_positive, help="of one Investigation's artifacts; default: no limit")
    parser.add_argument("--max-namespace-bytes", type=_positive, help="of all artifacts of a namespace; default: no limit")
    parser.add_argument("--retain-namespace-bytes", type=_positive, help="cap: the namespace's oldest data expires")
    parser.add_argument("--retain-total-bytes", type=_positive, help="cap: the volume's oldest data expires")
    parser.add_argument("--retain-grace-seconds", type=_seconds, default=3600, help="what ended since is safe from the caps")
    parser.add_argument("--orphan-grace-seconds", type=_seconds, default=3600, help="until an orphaned session is removed")
    parser.add_argument("--sweep-seconds", type=_positive, default=60, help="between two looks at what has expired")
    parser.add_argument("--node-logs", action="store_true", help="read log files from nodes; needs the right nodes/log")
    kubelets = parser.add_mutually_exclusive_group()
    kubelets.add_argument(
        "--kubelet-certificate-authority", type=Path, default=CLUSTER_CA, help="PEM file that signs the kubelets' certificates"
    )
    kubelets.add_argument("--kubelet-insecure-tls", action="store_true", help="do not verify the kubelets' certificates")
    parser.add_argument("--operator-namespace", help="where the Secrets of DataSources are")
    parser.add_argument("--metric-templates", type=Path, metavar="FILE", help="YAML with templates for metrics of your own")
    parser.add_argument("--log-format", choices=["plain", "json"], default="plain")
    parser.add_argument("--log-level", choices=["debug", "info", "warning"], default="info")
    parser.add_argument("--version", action="version", version=__version__)
    options = parser.parse_args(arguments)
    kopf.configure(
        debug=options.log_level == "debug",
        quiet=options.log_level == "warning",
        log_format=kopf.LogFormat.JSON if options.log_format == "json" else kopf.LogFormat.FULL,
    )
    for chatty in ("kopf.objects", "kopf.activities", "aiohttp.access"):  # a line for every event and every probe
        logging.getLogger(chatty).setLevel(logging.DEBUG if options.log_level == "debug" else logging.WARNING)
    if options.kubeconfig is not None:
        os.environ["KUBECONFIG"] = str(options.kubeconfig)  # the only way to name one to kopf
    run(
        Settings(
            session_root=options.session_root,
            kubeconfig=options.kubeconfig,
            namespaces=tuple(options.namespace),
            default_service_account=options.default_service_account,
            listen=options.listen,
            max_investigations=options.max_investigations,
            max_fetches=options.max_fetches,
            max_artifact_bytes=options.max_artifact_bytes,
            max_session_bytes=options.max_session_bytes,
            max_namespace_bytes=options.max_namespace_bytes,
            caps=Caps(options.retain_namespace_bytes, options.retain_total_bytes, options.retain_grace_seconds),
            orphan_grace_seconds=options.orphan_grace_seconds,
            sweep_seconds=options.sweep_seconds,
            node_logs=options.node_logs,
            kubelet_certificate_authority=None if options.kubelet_insecure_tls else options.kubelet_certificate_authority,
            operator_namespace=options.operator_namespace,
            metric_templates=options.metric_templates,
        )
    )


def _seconds(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be at least 0")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def main_process() -> NoReturn:
    """`main`, and the end of the process: threads that wait for a source that hangs would hold it until their timeout."""
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
