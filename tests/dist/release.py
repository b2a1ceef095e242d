"""`make release`: everything of a release in dist/, from one version. `make dist sbom` have made the command line and the SBOM there.

    image.tar                       the image: for amd64 and arm64 (OCI) if Docker's buildx can build for both (`docker buildx inspect`
                                    lists them), else for this machine alone (docker-archive), as is then said
    aletheia-operator-VERSION.tgz   the chart, see tests/dist/chart.py
    image.digest                    the image's name and digest, if it was pushed
    install.yaml                    the same without Helm: `kubectl apply -f install.yaml`
    NOTES.md                        this version's part of the changelog
    SHA256SUMS                      digests of all files: `sha256sum --check SHA256SUMS`; SHA256SUMS.asc if --sign-key is given

    chart.digest                    the chart's name and digest, if it was pushed

With --push, the image (Docker with buildx alone) and the chart (to --charts) are pushed too, and chart and manifest name the image
by its digest. With --cosign, both are signed in the registry: `cosign verify` checks them.
"""

import argparse
import hashlib
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tests.cluster import images
from tests.cluster.rig import ROOT, RigError, bin_dir, run, say, step
from tests.dist import chart, manifests
from tests.dist.versions import CHART, changes, version

PLATFORMS = "linux/amd64,linux/arm64"
SUMS = "SHA256SUMS"


def why_one_architecture() -> str:
    """Return why no image for all PLATFORMS can be built here; '' if one can."""
    if not images.docker_answers():
        return "no Docker engine answers"
    try:
        builder = run(["docker", "buildx", "inspect", "--bootstrap"], timeout_seconds=120)
    except RigError as e:
        return f"Docker has no buildx, or its builder does not start: {e}"
    able = set(re.findall(r"linux/[a-z0-9]+", "".join(re.findall(r"^Platforms:.*", builder, re.MULTILINE))))
    if missing := set(PLATFORMS.split(",")) - able:
        return f"Docker's builder cannot run {', '.join(sorted(missing))}: install qemu-user-static and binfmt-support"
    return ""


def image(target: Path, source: chart.Source, push: bool) -> str:
    """Write the image's archive. Pushes it if asked. Returns the pushed digest; '' if it was not pushed. Raises RigError."""
    archive = target / "image.tar"
    if why := why_one_architecture():
        if push:
            raise RigError(f"an image that is pushed must be for {PLATFORMS}: {why}")
        say(f"image.tar is for this machine's architecture alone: {why}")
        shutil.copyfile(images.build(images.OPERATOR), archive)
        return ""
    number = version()
    tag = f"{source.image}:{number}"
    arguments = [f"--build-arg=VERSION={number}", f"--build-arg=REVISION={run(['git', 'rev-parse', 'HEAD'], cwd=ROOT).strip()}"]
    build = ["docker", "buildx", "build", f"--platform={PLATFORMS}", f"--tag={tag}", "--sbom=true", "--provenance=mode=max"]
    outputs = [f"--output=type=oci,dest={archive}", *(["--output=type=registry"] if push else [])]  # both of one build
    with tempfile.TemporaryDirectory() as folder, step(f"building {tag} for {PLATFORMS}"):
        facts = Path(folder) / "facts.json"
        run([*build, *arguments, *outputs, f"--metadata-file={facts}", str(ROOT)], timeout_seconds=3600)
        return str(json.loads(facts.read_text())["containerimage.digest"]) if push else ""


def notes(number: str) -> str:
    """Return the release's notes."""
    parts = [f"## {heading}\n\n" + "".join(f"- {entry}\n" for entry in entries) for heading, entries in changes(number).items()]
    return "\n".join(parts)


def sums(folder: Path) -> str:
    """Return the digests of all files of the folder, in the form that `sha256sum --check` reads."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(SUMS))
    return "".join(f"{_digest(path)}  {path.name}\n" for path in files)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def push_chart(package: Path, charts: str) -> str:
    """Push the packaged chart. Returns its name with its digest. Raises RigError."""
    printed = run(["sh", "-c", 'exec "$0" "$@" 2>&1', bin_dir() / "helm", "push", package, charts])  # it reports on stderr
    found = re.search(r"^Digest: (sha256:[0-9a-f]{64})$", printed, re.MULTILINE)
    if found is None:
        raise RigError(f"helm reports no digest of the pushed chart: {printed}")
    return f"{charts.removeprefix('oci://')}/{CHART.name}@{found[1]}"


def sign(references: Iterable[str], flags: str) -> None:
    """Sign what was pushed, by `cosign sign`. `flags`: more of its flags. Raises RigError."""
    for reference in references:
        with step(f"signing {reference}"):
            run(["cosign", "sign", "--yes", *shlex.split(flags), reference], timeout_seconds=300)


def release(
    target: Path, source: chart.Source, tag: str = "", charts: str = "", push: bool = False, cosign: str | None = None
) -> list[Path]:
    """Make everything, and return the files. Raises RigError.

    `tag`: Git tag of the release, checked against the version; empty: none. `charts`: oci:// address to push the chart to.
    `cosign`: flags of `cosign sign`; None: what is pushed is not signed in the registry.
    """
    number = version(tag)
    target.mkdir(parents=True, exist_ok=True)
    digest = image(target, source, push)
    source = replace(source, digest=digest or source.digest)
    package = chart.package(target, source)
    reference = f"{source.image}@{source.digest}" if source.digest else f"{source.image}:{number}"
    (target / "install.yaml").write_text(manifests.installation(reference))
    (target / "NOTES.md").write_text(notes(number))
    pushed = {"image.digest": reference} if source.digest else {}
    if push and charts:
        pushed["chart.digest"] = push_chart(package[0], charts)
    for name, pushed_as in pushed.items():
        (target / name).write_text(f"{pushed_as}\n")
    if cosign is not None:
        sign(pushed.values(), cosign)
    (target / SUMS).write_text(sums(target))
    if source.sign_key:
        (target / f"{SUMS}.asc").unlink(missing_ok=True)
        run(["gpg", "--batch", "--armor", "--local-user", source.sign_key, "--detach-sign", target / SUMS])
    return sorted(path for path in target.iterdir() if path.is_file())


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.dist.release", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    chart.add_options(parser)
    parser.add_argument("--tag", default=os.environ.get("TAG", ""), help="Git tag of the release; it must fit the version")
    parser.add_argument("--charts", default="", metavar="oci://...", help="registry to push the chart to")
    parser.add_argument("--push", action="store_true", help="push image and chart")
    parser.add_argument(
        "--cosign", metavar="FLAGS", help="sign what is pushed by `cosign sign FLAGS`, for example --key=cosign.key"
    )
    options = parser.parse_args()
    more = (options.tag, options.charts, options.push, options.cosign)
    return chart.made(lambda: release(options.to, chart.source_of(options), *more))


if __name__ == "__main__":
    sys.exit(main())
