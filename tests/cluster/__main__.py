"""python -m tests.cluster: the rig on the command line. Results go to stdout, progress to stderr."""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.cluster import images, programs, provider, servers
from tests.cluster.rig import RigError

PROGRAMS: dict[str, Callable[[], object]] = {
    "node": programs.node,
    "clients": programs.clients,
    "checks": lambda: programs.build(programs.CHECKS),
    "jaeger": lambda: programs.build(programs.JAEGER),
    "prometheus": programs.prometheus,
    "kind": lambda: programs.build(programs.KIND),
    "stern": lambda: programs.build(programs.STERN),
}
USUAL_PROGRAMS = ("node", "checks", "jaeger", "prometheus")
IMAGES = {"operator": images.OPERATOR, "servers": images.SERVERS}


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    try:
        run(options)
    except RigError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    return 0


def run(options: argparse.Namespace) -> None:
    match options.command:
        case "install":
            for what in options.what or USUAL_PROGRAMS:
                PROGRAMS[what]()
        case "images":
            for what in options.what or IMAGES:
                print(images.build(IMAGES[what]))
        case "up":
            print(provider.start(options.name, options.kubeconfig).kubeconfig)
        case "load":
            cluster = provider.start(options.name, options.kubeconfig)
            for what in options.what or IMAGES:
                cluster.load_image(images.build(IMAGES[what]))
        case "servers":
            servers.deploy(provider.start(options.name, options.kubeconfig), options.namespace)
        case "env":
            cluster = provider.start(options.name, options.kubeconfig)
            print(f"export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}")
            print(f"export PATH={shlex.quote(str(cluster.kubectl.parent))}:$PATH")
        case "down":
            provider.stop(options.name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description="Clusters for the tests and the demo.")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(
        name: str, about: str, what: Iterable[str] = (), cluster: bool = False, named: bool = False
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=about, description=about)
        if choices := tuple(what):
            made.add_argument("what", nargs="*", type=_one_of(choices), metavar="|".join(choices))
        if cluster:
            made.add_argument("--name", default="test", help="which cluster (default: test)")
        if named:
            made.add_argument("--kubeconfig", type=Path, help="this cluster, which is neither created nor deleted")
        return made

    command("install", f"make the programs that the rig needs (default: {', '.join(USUAL_PROGRAMS)})", what=PROGRAMS)
    command("images", "build images where they are not built yet; print their archives", what=IMAGES)
    command("up", "start a cluster, or leave a healthy one as it is; print its kubeconfig", cluster=True, named=True)
    command("load", "build images and load them into the cluster", what=IMAGES, cluster=True, named=True)
    deploy = command("servers", "run Prometheus and Jaeger in the cluster", cluster=True, named=True)
    deploy.add_argument("--namespace", required=True, help="where; it exists already")
    command("env", "print the shell variables that lead to the cluster", cluster=True, named=True)
    command("down", "stop the cluster and remove its state", cluster=True)
    return parser


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def check(word: str) -> str:
        if word not in choices:
            raise argparse.ArgumentTypeError(f"{word} is none of {', '.join(choices)}")
        return word

    return check


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
