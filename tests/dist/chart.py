"""`make chart`: packages the chart for a registry, with what Artifact Hub shows (https://artifacthub.io/docs/topics/annotations/helm/).

aletheia-operator-VERSION.tgz           for `helm push`, or `helm install` from a file
aletheia-operator-VERSION.tgz.prov      its signature, if --sign-key is given: `helm verify`
"""

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import programs
from tests.cluster.rig import ROOT, RigError, bin_dir, run
from tests.dist.versions import CHART, changes, version

EXAMPLES = ("investigation.yaml", "datasources.yaml")
CHANGE_KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
LONGEST_CHANGE = 300


@dataclass(frozen=True)
class Source:
    """Where a release comes from."""

    repository: str = ""
    """Address of the Git repository, for links. Empty: no links."""
    image: str = "aletheia-operator"
    """The image without tag. It becomes the default of the chart's `image.repository`."""
    digest: str = ""
    """Digest of the image, sha256:... Empty: the chart uses the tag."""
    sign_key: str = ""
    """Name of the key in `keyring` to sign with. Empty: no signature."""
    keyring: Path | None = None
    """Secret keyring in the format of GnuPG 1: `gpg --export-secret-keys > FILE`. Needed with `sign_key`."""
    sign_key_url: str = ""
    """Address of the public key, for Artifact Hub. Empty: the chart does not name its key."""
    passphrase_file: Path | None = None
    """File with the key's passphrase. None: helm asks for it."""


def metadata(source: Source) -> dict[str, Any]:
    """Return Chart.yaml of the packaged chart."""
    number = version()
    chart: dict[str, Any] = yaml.safe_load((CHART / "Chart.yaml").read_text())
    reference = f"{source.image}@{source.digest}" if source.digest else f"{source.image}:{number}"
    added: dict[str, Any] = {
        "artifacthub.io/changes": _changes(number),
        "artifacthub.io/crds": _definitions(),
        "artifacthub.io/crdsExamples": [
            item for name in EXAMPLES for item in yaml.safe_load_all((ROOT / "examples" / name).read_text())
        ],
        "artifacthub.io/images": [
            {"name": "aletheia-operator", "image": reference, "platforms": ["linux/amd64", "linux/arm64"]}
        ],
        "artifacthub.io/prerelease": str("-" in number or number.startswith("0.")).lower(),
    }
    if source.repository:
        chart |= {"home": source.repository, "sources": [source.repository]}
        chart["icon"] = f"{source.repository}/raw/v{number}/docs/images/icon.svg"
        pages = {"Documentation": "README.md", "Changelog": "CHANGELOG.md", "Security": "SECURITY.md"}
        added["artifacthub.io/links"] = [
            {"name": name, "url": f"{source.repository}/blob/v{number}/{file}"} for name, file in pages.items()
        ]
    if source.sign_key_url:
        added["artifacthub.io/signKey"] = {"fingerprint": _fingerprint(source), "url": source.sign_key_url}
    annotations = chart["annotations"] | {
        key: value if isinstance(value, str) else _yaml(value) for key, value in added.items()
    }
    return {**chart, "annotations": annotations}


def package(target: Path, source: Source) -> list[Path]:
    """Make the package, and its signature. Returns the files. Raises RigError."""
    signing = _signing(source)
    programs.clients()
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / CHART.name
        shutil.copytree(CHART, copy)
        (copy / "Chart.yaml").write_text(_yaml(metadata(source)))
        shutil.copy(ROOT / "LICENSE", copy)
        values = copy / "values.yaml"
        values.write_text(_with_image(values.read_text(), source))
        run([bin_dir() / "helm", "package", copy, "--destination", target, *signing])
    archive = target / f"{CHART.name}-{version()}.tgz"
    return [archive, *target.glob(f"{archive.name}.prov")]


def _with_image(values: str, source: Source) -> str:
    """Return the text of values.yaml with the image as default."""
    for field, default, value in (("repository", "aletheia-operator", source.image), ("digest", '""', source.digest)):
        line = f"  {field}: {default}\n"
        if line not in values:
            raise RigError(f"values.yaml has no line {line.strip()!r}")
        if value:
            values = values.replace(line, f"  {field}: {value}\n", 1)
    return values


def _signing(source: Source) -> list[str]:
    if not source.sign_key and source.sign_key_url:
        raise RigError("--sign-key-url needs --sign-key")
    if not source.sign_key:
        return []
    if source.keyring is None:
        raise RigError("--sign-key needs --keyring: a file made by `gpg --export-secret-keys`")
    passphrase = [f"--passphrase-file={source.passphrase_file}"] if source.passphrase_file else []
    return ["--sign", f"--key={source.sign_key}", f"--keyring={source.keyring}", *passphrase]


def _fingerprint(source: Source) -> str:
    """Return the fingerprint of the only key in the keyring. Raises RigError."""
    _signing(source)
    shown = run(["gpg", "--batch", "--show-keys", "--with-colons", str(source.keyring)])
    return str(re.findall(r"^fpr:+([0-9A-F]{40}):", shown, re.MULTILINE)[0])


def _changes(number: str) -> list[dict[str, str]]:
    """Return each entry of the changelog, cut after a sentence if it is long."""
    return [
        {"kind": heading.lower(), "description": _shortened(entry)}
        for heading, entries in changes(number).items()
        if heading in CHANGE_KINDS
        for entry in entries
    ]


def _shortened(text: str) -> str:
    if len(text) <= LONGEST_CHANGE:
        return text
    sentences = re.findall(r".+?[.:;](?= |$)", text[:LONGEST_CHANGE])
    return "".join(sentences) if sentences else text[: LONGEST_CHANGE - 1] + "…"


def _definitions() -> list[dict[str, str]]:
    found = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]
    return [
        {
            "kind": crd["spec"]["names"]["kind"],
            "version": served["name"],
            "name": crd["metadata"]["name"],
            "displayName": crd["spec"]["names"]["kind"],
            "description": served["schema"]["openAPIV3Schema"]["description"],
        }
        for crd in found
        for served in crd["spec"]["versions"]
    ]


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, width=120, allow_unicode=True)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a `Source`."""
    parser.add_argument("--to", type=Path, default=ROOT / "dist", help="folder for the files")
    parser.add_argument("--repository", default="", metavar="URL", help="address of the Git repository, for links")
    parser.add_argument(
        "--image", default=Source.image, help="the image without tag, for example registry.example/aletheia-operator"
    )
    parser.add_argument("--image-digest", default="", dest="digest", metavar="sha256:...", help="digest of the image")
    parser.add_argument("--sign-key", default="", metavar="NAME", help="sign the chart with this key")
    parser.add_argument("--keyring", type=Path, metavar="FILE", help="secret keyring with the key (gpg --export-secret-keys)")
    parser.add_argument("--sign-key-url", default="", metavar="URL", help="address of the public key, for Artifact Hub")
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help="passphrase of the key")


def source_of(options: argparse.Namespace) -> Source:
    return Source(**{name: getattr(options, name) for name in Source.__dataclass_fields__})


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.dist.chart", description=__doc__)
    add_options(parser)
    parser.add_argument(
        "--push", default="", metavar="oci://...", help="push the package, with its signature, to this registry"
    )
    parser.add_argument("--plain-http", action="store_true", help="reach the registry without TLS")
    options = parser.parse_args()

    def make() -> list[Path]:
        files = package(options.to, source_of(options))
        if options.push:
            plain = ["--plain-http"] if options.plain_http else []
            print(run([bin_dir() / "helm", "push", files[0], options.push, *plain]))
        return files

    return made(make)


def made(make: Callable[[], Iterable[Path]]) -> int:
    """Make files, print their sizes, and return the exit code."""
    try:
        files = make()
    except RigError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    for path in files:
        print(f"{path.stat().st_size / 1e6:8.3f} MB  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
