"""The version of a release. It is written in several files, which must agree."""

import re
import tomllib

import yaml

from tests.cluster.rig import ROOT, RigError

CHART = ROOT / "charts" / "aletheia-operator"


def versions() -> dict[str, str]:
    """Return the version in each file that has it, by the file and field."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    dockerfile = re.search(r"^ARG VERSION=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    return {
        "pyproject.toml": tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"],
        "Dockerfile VERSION": dockerfile[1] if dockerfile else "",
        "Chart.yaml version": str(chart["version"]),
        "Chart.yaml appVersion": str(chart["appVersion"]),
    }


def version(tag: str = "") -> str:
    """Return the version. Raises RigError if the files differ, or if `tag` (vX.Y.Z; empty: none) is of another version."""
    found = versions()
    if len(set(found.values())) != 1:
        raise RigError("the versions differ: " + ", ".join(f"{file} {text}" for file, text in found.items()))
    (only,) = set(found.values())
    if tag and tag != f"v{only}":
        raise RigError(f"the tag is {tag}, and the version is {only}: the tag must be v{only}")
    return only


def changes(number: str) -> dict[str, list[str]]:
    """Return the changelog's entries of a version by heading (Added, Fixed, ...); those of [Unreleased] if it has no section."""
    text = (ROOT / "CHANGELOG.md").read_text()
    sections = {match[1]: match[2] for match in re.finditer(r"^## \[([^\]]+)\][^\n]*\n(.*?)(?=^## |\Z)", text, re.M | re.S)}
    section = sections.get(number) or sections.get("Unreleased", "")
    return {
        heading: [re.sub(r"\s+", " ", entry).strip() for entry in re.findall(r"^- (.*?)(?=^- |\Z)", body, re.M | re.S)]
        for heading, body in re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", section, re.M | re.S)
    }
