"""The demo: `python -m tests.demo up` and `python -m tests.demo down`."""

import argparse
import sys
from pathlib import Path

from tests.cluster.rig import RigError
from tests.demo.down import down
from tests.demo.steps import DemoError, inert
from tests.demo.up import up


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description="A real incident, and its evidence.")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start a cluster, let a shop misbehave in it, and capture the evidence")
    stop = commands.add_parser("down", help="remove what `up` made; its own cluster is stopped")
    for command in (start, stop):
        command.add_argument(
            "--kubeconfig",
            type=Path,
            metavar="FILE",
            help="use the cluster of this file's current context (default: a cluster of the demo's own)",
        )
    start.add_argument("--image", metavar="IMAGE", help="the operator's image, instead of one built here")
    start.add_argument("--servers-image", metavar="IMAGE", help="the image with python3, prometheus and jaeger, likewise")
    parsed = parser.parse_args(argv)
    if parsed.command == "up" and parsed.kubeconfig and not (parsed.image and parsed.servers_image):
        parser.error("images cannot be loaded into a cluster named with --kubeconfig: name --image and --servers-image")
    return parsed


def main() -> int:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    asked = arguments()
    try:
        if asked.command == "down":
            down(asked.kubeconfig)
            return 0
        return 0 if up(asked.kubeconfig, asked.image, asked.servers_image) else 1
    except (DemoError, RigError) as e:
        print("\n" + "\n".join(map(inert, f"demo: {e}".splitlines())), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
