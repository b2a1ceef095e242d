"""What a release is made of: one version, the packaged chart, the plain manifests, the checksums, and the workflows."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from aletheia_operator.api import DataSourceSpec, InvestigationSpec
from aletheia_operator.api.types import Model
from tests.cluster import images, programs
from tests.cluster.rig import ROOT, RigError, bin_dir, run
from tests.dist import chart, manifests, release
from tests.dist.versions import CHART, changes, version, versions
from tests.support.helm import find_helm

needs_helm = pytest.mark.skipif(find_helm() is None, reason="no helm: set ALETHEIA_HELM, or build the test cluster's")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
SOURCE = chart.Source("https://git.example/team/aletheia", "registry.example/aletheia-operator")


def test_every_file_has_the_same_version() -> None:
    """The package, the image, the chart and its appVersion."""
    assert len(set(versions().values())) == 1, versions()


def test_a_tag_of_another_version_is_refused() -> None:
    """The release is built from one version alone."""
    assert version(f"v{version()}") == version()
    with pytest.raises(RigError, match=r"the tag is v9\.9\.9, and the version is"):
        version("v9.9.9")


def test_the_changelog_is_read_by_heading() -> None:
    """Entries over several lines become one; a version without a section has the unreleased entries."""
    found = changes("no such version")
    assert found["Added"]
    assert all("\n" not in entry and "  " not in entry for entries in found.values() for entry in entries)


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged chart, unpacked."""
    folder = tmp_path_factory.mktemp("chart")
    (archive,) = chart.package(folder, SOURCE)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / "aletheia-operator"


@needs_helm
def test_the_package_says_what_artifact_hub_shows(packaged: Path) -> None:
    """Links, icon, licence, changes, images, definitions, and examples that our models accept."""
    written: dict[str, Any] = yaml.safe_load((packaged / "Chart.yaml").read_text())
    notes = {key.removeprefix("artifacthub.io/"): value for key, value in written["annotations"].items()}
    assert written["home"] == SOURCE.repository
    assert written["icon"].startswith(SOURCE.repository)
    assert (ROOT / written["icon"].partition(f"/v{version()}/")[2]).is_file()
    assert (notes["license"], notes["operator"]) == ("Apache-2.0", "true")
    links = [link["url"].partition(f"/v{version()}/")[2] for link in yaml.safe_load(notes["links"])]
    assert [link for link in links if not (ROOT / link).is_file()] == []
    kinds = {"added", "changed", "deprecated", "removed", "fixed", "security"}
    described = yaml.safe_load(notes["changes"])
    assert described
    assert all(change["kind"] in kinds and change["description"] for change in described)
    (image,) = yaml.safe_load(notes["images"])
    assert image["image"] == f"registry.example/aletheia-operator:{version()}"
    assert {crd["kind"] for crd in yaml.safe_load(notes["crds"])} == {"Investigation", "DataSource"}
    models: dict[str, type[Model]] = {"Investigation": InvestigationSpec, "DataSource": DataSourceSpec}
    examples = yaml.safe_load(notes["crdsExamples"])
    assert {example["kind"] for example in examples} == set(models)
    for example in examples:
        models[example["kind"]].from_json(example["spec"])


@needs_helm
def test_the_package_installs_the_released_image(packaged: Path) -> None:
    """Its default image is the released one; the licence is in it, and what only makes the README is not."""
    helm = find_helm()
    assert helm is not None
    rendered = run([helm, "template", "flight", packaged])
    images = {text.strip('"') for text in re.findall(r"^\s+image: (\S+)$", rendered, re.MULTILINE)}
    assert images == {f"registry.example/aletheia-operator:{version()}"}
    assert (packaged / "LICENSE").is_file()
    assert not (packaged / "README.md.gotmpl").exists()
    run([helm, "lint", "--strict", packaged])


@needs_helm
@pytest.mark.skipif(not shutil.which("gpg"), reason="no gpg")
def test_a_signed_package_verifies_until_it_is_changed(tmp_path: Path) -> None:
    """`helm verify` accepts it with the public key alone, and refuses a changed one. The chart names its key."""
    home, helm = tmp_path / "gpg", find_helm()
    home.mkdir(mode=0o700)
    environment = {"GNUPGHOME": str(home)}
    gpg = ["gpg", "--batch", "--quiet", "--pinentry-mode=loopback", "--passphrase="]
    run([*gpg, "--quick-generate-key", "Release <release@example.com>", "rsa2048", "sign", "never"], env=environment)
    for name, command in (("secret", "--export-secret-keys"), ("public", "--export")):
        run([*gpg, "--output", tmp_path / name, command], env=environment)
    signed = chart.Source(sign_key="Release", keyring=tmp_path / "secret", sign_key_url="https://example.com/key.asc")
    archive, provenance = chart.package(tmp_path / "dist", signed)
    assert helm is not None
    assert hashlib.sha256(archive.read_bytes()).hexdigest() in provenance.read_text()
    run([helm, "verify", archive, "--keyring", tmp_path / "public"])
    named = yaml.safe_load(yaml.safe_load(run([helm, "show", "chart", archive]))["annotations"]["artifacthub.io/signKey"])
    assert named["url"] == signed.sign_key_url
    assert named["fingerprint"] in run([*gpg, "--list-keys", "--with-colons"], env=environment)
    archive.write_bytes(archive.read_bytes() + b"\0")
    with pytest.raises(RigError, match=r"sha256|digest|hash|sum"):
        run([helm, "verify", archive, "--keyring", tmp_path / "public"])
    run(["gpgconf", "--kill", "gpg-agent"], env=environment)


def test_a_signature_needs_its_keyring(tmp_path: Path) -> None:
    """The message says how to make one, before anything is made."""
    with pytest.raises(RigError, match="gpg --export-secret-keys"):
        chart.package(tmp_path, chart.Source(sign_key="Release"))
    assert list(tmp_path.iterdir()) == []


def objects_of(text: str) -> list[dict[str, Any]]:
    return [item for item in yaml.safe_load_all(text) if item]


@needs_helm
def test_the_plain_manifests_are_what_the_chart_installs() -> None:
    """deploy/ is generated from the chart: it is up to date, and has every object of the default values."""
    files = manifests.manifests()
    assert {path.name: path.read_text() for path in (ROOT / "deploy").iterdir()} == files
    helm = find_helm()
    assert helm is not None
    options = ("--namespace=aletheia-system", "--set=tests.enabled=false")
    rendered = run([helm, "template", "aletheia-operator", CHART, *options])
    wanted = {(item["kind"], item["metadata"]["name"]) for item in objects_of(rendered)}
    kubectl = bin_dir() / "kubectl"
    found = objects_of(run([kubectl, "kustomize", ROOT / "deploy"]))
    assert {(item["kind"], item["metadata"]["name"]) for item in found} == wanted | {("Namespace", "aletheia-system")}
    text = yaml.safe_dump(found)
    assert ("helm.sh/" in text, "managed-by: Helm" in text) == (False, False)


@needs_helm
def test_one_manifest_has_the_released_image() -> None:
    """install.yaml is deploy/ in one file, with the image by digest, and with the annotations that keep what evidence needs."""
    reference = "registry.example/aletheia-operator@sha256:" + "0" * 64
    found = objects_of(manifests.installation(reference))
    (deployment,) = [item for item in found if item["kind"] == "Deployment"]
    assert [container["image"] for container in deployment["spec"]["template"]["spec"]["containers"]] == [reference]
    assert found[0]["kind"] == "Namespace"
    built = objects_of(run([bin_dir() / "kubectl", "kustomize", ROOT / "deploy"]))

    def by_name(objects: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
        named = {(item["kind"], item["metadata"]["name"]): item for item in objects if item["kind"] != "Deployment"}
        assert len(named) == len(objects) - 1
        return named

    assert by_name(found) == by_name(built)


@needs_helm
def test_a_pushed_release_names_its_image_by_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Manifest, chart and image.digest have the digest that the registry reported; the checksums cover all files."""
    digest = "sha256:" + "a" * 64
    monkeypatch.setattr(release, "image", lambda *_: digest)
    files = {path.name for path in release.release(tmp_path, SOURCE, tag=f"v{version()}")}
    reference = f"registry.example/aletheia-operator@{digest}"
    assert (tmp_path / "image.digest").read_text() == f"{reference}\n"
    assert f"image: {reference}\n" in (tmp_path / "install.yaml").read_text()
    with tarfile.open(tmp_path / f"aletheia-operator-{version()}.tgz") as tar:
        values = tar.extractfile("aletheia-operator/values.yaml")
        assert values is not None
        assert yaml.safe_load(values)["image"]["digest"] == digest
    listed = {line.split("  ")[1] for line in (tmp_path / "SHA256SUMS").read_text().splitlines()}
    assert (
        listed == files - {"SHA256SUMS"} == {f"aletheia-operator-{version()}.tgz", "image.digest", "install.yaml", "NOTES.md"}
    )


COSIGN = """#!/bin/sh
echo "$@" >>{log}
"""


@needs_helm
def test_what_is_pushed_is_signed_by_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Image and chart, with the flags that cosign needs."""
    digest, log, dist = "sha256:" + "a" * 64, tmp_path / "log", tmp_path / "dist"
    (tmp_path / "cosign").write_text(COSIGN.format(log=log))
    (tmp_path / "cosign").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(release, "image", lambda *_: digest)
    pushed = f"registry.example/charts/aletheia-operator@{digest}"
    monkeypatch.setattr(release, "push_chart", lambda *_: pushed)
    release.release(dist, SOURCE, charts="oci://registry.example/charts", push=True, cosign="--key=k --tlog-upload=false")
    image = f"registry.example/aletheia-operator@{digest}"
    assert log.read_text().splitlines() == [f"sign --yes --key=k --tlog-upload=false {what}" for what in (image, pushed)]
    assert (dist / "chart.digest").read_text() == f"{pushed}\n"


def test_checksums_are_those_that_sha256sum_reads(tmp_path: Path) -> None:
    """Each file of a release, but not the list itself."""
    for name in ("a.tgz", "b c.yaml", "SHA256SUMS", "SHA256SUMS.asc"):
        (tmp_path / name).write_text(name)
    (tmp_path / "SHA256SUMS").write_text(release.sums(tmp_path))
    done = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["a.tgz: OK", "b c.yaml: OK"]


DOCKER = """#!/usr/bin/env python3
import json, pathlib, sys
pathlib.Path("{log}").open("a").write(json.dumps(sys.argv[1:]) + "\\n")
for argument in sys.argv[1:]:
    if argument.startswith("--metadata-file="):
        pathlib.Path(argument.partition("=")[2]).write_text('{{"containerimage.digest": "sha256:12"}}')
if "inspect" in sys.argv:
    print("Name: default\\nDriver: docker-container\\n\\nNodes:\\nPlatforms: linux/amd64*, {more}linux/386\\n")
print("28.0")
"""


def with_docker(folder: Path, monkeypatch: pytest.MonkeyPatch, more: str) -> Path:
    """Let a Docker stand in the path that notes its commands. `more`: platforms that its builder has besides."""
    log = folder / "log"
    (folder / "docker").write_text(DOCKER.format(log=log, more=more))
    (folder / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return log


@pytest.mark.parametrize("push", [False, True])
def test_the_image_is_built_once_for_all_architectures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, push: bool) -> None:
    """If Docker's builder can. The archive and the pushed image are of one build, with provenance and SBOM."""
    log = with_docker(tmp_path, monkeypatch, "linux/arm64, linux/arm64/v8, ")
    assert release.image(tmp_path, SOURCE, push) == ("sha256:12" if push else "")
    builds = [command for command in map(json.loads, log.read_text().splitlines()) if command[:2] == ["buildx", "build"]]
    (build,) = builds
    assert {"--platform=linux/amd64,linux/arm64", "--sbom=true", "--provenance=mode=max"} <= set(build)
    outputs = [argument.partition("=")[2] for argument in build if argument.startswith("--output")]
    assert outputs == [f"type=oci,dest={tmp_path}/image.tar", *(["type=registry"] if push else [])]
    assert f"--tag=registry.example/aletheia-operator:{version()}" in build


def test_a_builder_for_one_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is pushed. A local archive is made, and it is said why it is for this machine alone."""
    log = with_docker(tmp_path, monkeypatch, "")
    archive = tmp_path / "built.tar"
    archive.write_bytes(b"image")
    monkeypatch.setattr(images, "build", lambda image: archive)
    why = "Docker's builder cannot run linux/arm64: install qemu-user-static"
    with pytest.raises(RigError, match=f"must be for linux/amd64,linux/arm64: {why}"):
        release.image(tmp_path, SOURCE, True)
    assert release.image(tmp_path, SOURCE, False) == ""
    assert (tmp_path / "image.tar").read_bytes() == b"image"
    assert f"image.tar is for this machine's architecture alone: {why}" in "".join(capsys.readouterr())
    assert not [command for command in log.read_text().splitlines() if '"build"' in command]


@pytest.mark.skipif(not shutil.which("go"), reason="no Go to build actionlint with")
def test_workflows_are_valid() -> None:
    """By actionlint: syntax, expressions, types of inputs and outputs."""
    programs.build(programs.ACTIONLINT)
    assert run([bin_dir() / "actionlint", "-no-color", *WORKFLOWS], cwd=ROOT) == ""


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_pin_actions_and_call_make(workflow: Path) -> None:
    """Each action is GitHub's own, by commit with its version; rights are read-only by default; each make target exists."""
    text = workflow.read_text()
    uses = re.findall(r"uses: (\S+)(.*)", text)
    assert uses
    for action, comment in uses:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action
    loaded = yaml.safe_load(text)
    assert loaded["permissions"] == {"contents": "read"}
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    jobs = loaded["jobs"].values()
    commands = "\n".join(step.get("run", "") for job in jobs for step in job["steps"])
    rows = [row for job in jobs for row in job.get("strategy", {}).get("matrix", {}).get("target", [])]
    called = {word for line in [*re.findall(r"\bmake ([a-z0-9 -]+)", commands), *rows] for word in line.split()}
    assert called
    assert called <= targets, called - targets
