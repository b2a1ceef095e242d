"""The artifacts API's command line: `python -m aletheia_operator.serve`."""

import argparse
import asyncio
import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path

from aletheia_operator.serve.catalog import Catalog
from aletheia_operator.serve.server import Server, serve
from aletheia_operator.session.layout import SessionLayout
from aletheia_operator.settings import TLS_CERTIFICATE, TLS_KEY, ArtifactsProcess, add_log_options
from aletheia_operator.text.log_records import make_inert
from aletheia_operator.version import __version__


def main(arguments: list[str] | None = None) -> None:
    """Serve sessions. `arguments` None: those of the process."""
    options = parser().parse_args(arguments)
    log_as(options.log_format, options.log_level)
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
    made.add_argument(
        "--listen", type=_address, default=ArtifactsProcess.listen, metavar="HOST:PORT", help="address of the API"
    )
    made.add_argument(
        "--probe-listen",
        type=_address,
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


class JsonFormatter(logging.Formatter):
    """Writes one JSON object per line, with a record's `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "severity": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)  # all but ASCII is escaped


class PlainFormatter(logging.Formatter):
    """Writes one line for people. Fields are shown as JSON, so no caller can forge a line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        fields = getattr(record, "fields", None)
        return line if fields is None else f"{line} {json.dumps(fields)}"


def log_as(form: str, level: str) -> None:
    """Write the log to stderr. `form`: plain or json; `level`: the lowest that is logged."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else PlainFormatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    make_inert(logging.getLogger())


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdigit():
        raise argparse.ArgumentTypeError("must be HOST:PORT")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - the container has its own network


if __name__ == "__main__":
    main()
