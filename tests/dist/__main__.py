"""`make dist`: dist/ gets the wheel, the command line as a single file for this platform and Python, and krew's manifest.

    aletheia_operator-VERSION-py3-none-any.whl
    kubectl-investigation-OS-ARCH-pyXY.pyz          the same program as `aletheia`; needs that Python and kubectl
    kubectl-investigation-OS-ARCH-pyXY.tar.gz       what krew installs
    investigation.yaml                              krew's manifest

The program holds compiled packages, so it runs on one platform with one minor version of Python.
"""

import argparse
import hashlib
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

from tests.cluster.rig import ROOT

NAME = "kubectl-investigation"
ENTRY = "aletheia_operator.cli.__main__:entry"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
RELEASES = "https://aletheia-operator.invalid/releases"
"""Where the archives will lie, if --releases does not say it: an address that cannot exist."""
MANIFEST = """apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: investigation
spec:
  version: v{version}
  shortDescription: Capture and read the evidence of an incident
  description: |
    Starts Investigations of the Aletheia operator, follows them, says what broke, and reads their evidence: timeline, findings,
    errors, logs, events, objects, metrics and traces, with your own rights.
  caveats: |
    Needs Python {python} as `python3`. The cluster needs the operator: `kubectl investigation doctor` says what is missing.
  platforms:
    - selector:
        matchLabels:
          os: {os}
          arch: {arch}
      uri: {releases}/v{version}/{archive}
      sha256: {sha256}
      bin: {name}
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.dist", description=__doc__)
    parser.add_argument("--to", type=Path, default=ROOT / "dist", help="folder for the files")
    parser.add_argument("--releases", default=RELEASES, help="address of the folder that the archives are published in")
    options = parser.parse_args()
    for path in make(options.to, options.releases):
        print(f"{path.stat().st_size / 1e6:8.1f} MB  {path}")


def make(target: Path, releases: str = RELEASES) -> list[Path]:
    """Make everything, and return the files. Raises subprocess.CalledProcessError."""
    target.mkdir(parents=True, exist_ok=True)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    system, arch = platform.system().lower(), ARCHITECTURES.get(platform.machine(), platform.machine())
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    stem = f"{NAME}-{system}-{arch}-py{python.replace('.', '')}"
    program, archive = target / f"{stem}.pyz", target / f"{stem}.tar.gz"
    _run("hatchling", "build", "-t", "wheel", "-d", str(target), cwd=ROOT)
    wheel = target / f"aletheia_operator-{version}-py3-none-any.whl"
    with tempfile.TemporaryDirectory() as packages:
        pip = ("pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", f"--target={packages}")
        _run(*pip, "--require-hashes", f"--requirement={ROOT / 'requirements' / 'cli.txt'}")
        _run(*pip, "--no-deps", "--no-index", str(wheel))
        shutil.rmtree(Path(packages) / "bin", ignore_errors=True)
        shiv = ("shiv", "--compressed", "--reproducible", f"--entry-point={ENTRY}", "--python=/usr/bin/env python3")
        _run(*shiv, f"--site-packages={packages}", f"--output-file={program}")
    _archive(archive, program)
    manifest = target / "investigation.yaml"
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    names = {"version": version, "python": python, "os": system, "arch": arch, "name": NAME, "releases": releases}
    manifest.write_text(MANIFEST.format(**names, archive=archive.name, sha256=sha256))
    return [wheel, program, archive, manifest]


def _archive(archive: Path, program: Path) -> None:
    """Write the archive that krew unpacks, the same for the same program."""
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for name, path, mode in ((NAME, program, 0o755), ("LICENSE", ROOT / "LICENSE", 0o644)):
            info = tarfile.TarInfo(name)
            info.size, info.mode = path.stat().st_size, mode
            with path.open("rb") as file:
                tar.addfile(info, file)


def _run(module: str, *arguments: str, cwd: Path | None = None) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, cwd=cwd, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
