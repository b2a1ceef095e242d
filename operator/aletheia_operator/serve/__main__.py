"""The artifacts API's command line: `python -m aletheia_operator.serve`."""

import argparse
import asyncio
from pathlib import Path

from aletheia_operator.serve.catalog import Catalog
from aletheia_operator.serve.server import Server, serve
from aletheia_operator.session.layout import SessionLayout
from aletheia_operator.settings import TLS_CERTIFICATE, TLS_KEY, ArtifactsProcess, add_log_options
from aletheia_operator.text.flag_values import address
from aletheia_operator.text.log_records import configure_logging
from aletheia_operator.version import __version__


def main(arguments: list[str] | None = None) -> None:
    """Serve sessions. `arguments` None: those of the process."""
    options = parser().parse_args(arguments)
    configure_logging(options.log_format, options.log_level)
    catalog = Catalog(SessionLayout(options.session_root), tuple(options.namespaces or ()), options.log_text_in_status)
    asyncio.run(
        serve(
            Server(
                catalog,
                (options.certificates, options.serving_certificate or options.certificates),
                options.listen,
                options.probe_listen,
            )
        )
    )


def parser() -> argparse.ArgumentParser:
    """Return the parser of all flags."""
    made = argparse.ArgumentParser(
        prog="aletheia-artifacts",
        description="Serves sessions to the Kubernetes API server, which decides who may read them.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("--session-root", type=Path, required=True, help="directory of the session volume")
    made.add_argument("--certificates", type=Path, required=True, help="directory that the operator writes certificates to")
    made.add_argument(
        "--serving-certificate", type=Path, help=f"directory of {TLS_CERTIFICATE} and {TLS_KEY}; default: --certificates"
    )
    made.add_argument("--listen", type=address, default=ArtifactsProcess.listen, metavar="HOST:PORT", help="address of the API")
    made.add_argument(
        "--probe-listen",
        type=address,
        default=ArtifactsProcess.probe_listen,
        metavar="HOST:PORT",
        help="address of the probes",
    )
    made.add_argument(
        "--namespace",
        dest="namespaces",
        action="append",
        help="show only sessions of this namespace (repeatable); without it all",
    )
    made.add_argument(
        "--no-log-text-in-status",
        dest="log_text_in_status",
        action="store_false",
        help="show no headlines: they may quote logs",
    )
    add_log_options(made)
    made.add_argument("--version", action="version", version=__version__)
    return made


if __name__ == "__main__":
    main()
