"""The Dockerfiles: what an image is made of is named by its content."""

import re
from pathlib import Path

import pytest

from tests.cluster.rig import ROOT

DOCKERFILES = [ROOT / "Dockerfile", ROOT / "tests" / "cluster" / "servers" / "Dockerfile"]


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_bases_are_pinned_by_digest(file: Path) -> None:
    """Each stage begins with an image by digest, or with an argument that defaults to one."""
    text = file.read_text()
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
    bases = [
        re.sub(r"^\$\{(\w+)\}$", lambda name: defaults[name[1]], base)
        for base in re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    ]
    assert bases
    assert [base for base in bases if not re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", base)] == []


def test_packages_are_installed_by_digest() -> None:
    """Each `pip install` requires hashes; the one of our own wheel takes nothing from elsewhere."""
    installs = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if "pip install" in line]
    assert installs
    assert [line for line in installs if "--require-hashes" not in line and "--no-deps --no-index" not in line] == []
