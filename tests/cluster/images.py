"""Container images for the tests and the demo: built by Docker if its engine runs, otherwise by buildah.

Without Docker the Python base image is made from Debian packages. The machine's settings for pip and apt (mirrors, proxies, a
private CA) are mounted while an image is built, and are not part of it.
"""

import configparser
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.cluster import programs
from tests.cluster.rig import HERE, ROOT, RigError, bin_dir, cache_dir, exclusively, run, step

DEBIAN = "bookworm"
PYTHON_IMAGE = f"localhost/python-slim:{DEBIAN}"
PYTHON_PACKAGES = ("python3", "python3-venv", "ca-certificates")
INPUTS_LABEL = "dev.aletheia.inputs"
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "cert", "proxy", "default-timeout", "retries")


@dataclass(frozen=True)
class Image:
    """An image to build. `from_cache` are programs of the cache that its Dockerfile copies from the build context."""

    tag: str
    dockerfile: Path
    context: Path
    from_cache: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.tag.rpartition("/")[2].partition(":")[0]


OPERATOR = Image("localhost/aletheia-operator:dev", ROOT / "Dockerfile", ROOT)
SERVERS = Image("localhost/aletheia-servers:dev", HERE / "servers/Dockerfile", HERE / "servers", from_cache=("jaeger",))


def build(image: Image) -> Path:
    """Build the image unless one with the same inputs exists. Returns its archive in Docker's format."""
    if "jaeger" in image.from_cache:
        programs.build(programs.JAEGER)
    builder: Builder = Docker() if docker_answers() else Buildah()
    with exclusively("images"):
        inputs = _inputs(image, builder.python_image())
        if builder.label(image.tag) != inputs:
            with step(f"building image {image.tag}"), _context(image) as context:
                builder.build(image, context, f"{INPUTS_LABEL}={inputs}")
        return _exported(image, builder)


def prepare() -> None:
    """Make the builder's programs and the base image in advance."""
    builder: Builder = Docker() if docker_answers() else Buildah()
    with exclusively("images"):
        builder.python_image()


def identity(archive: Path) -> tuple[str, str]:
    """Return the tag and the image id (the digest of its configuration) in an archive of Docker's format."""
    (entry,) = json.loads(run(["tar", "-xOf", archive, "manifest.json"]))
    config = str(entry["Config"]).removeprefix("blobs/sha256/").removesuffix(".json")
    return entry["RepoTags"][0], f"sha256:{config}"


def docker_answers() -> bool:
    """Return whether a Docker engine runs here; its client alone is not enough."""
    try:
        run(["docker", "info", "--format", "{{.ServerVersion}}"], timeout_seconds=10)
    except RigError:
        return False
    return True


class Builder(Protocol):
    def python_image(self) -> str:
        """Return the identity of the base image, made here if it cannot be pulled; '' for the Dockerfile's default."""

    def build(self, image: Image, context: Path, label: str) -> None: ...

    def label(self, tag: str) -> str | None:
        """Return the image's INPUTS_LABEL; None if the image does not exist."""

    def id(self, tag: str) -> str: ...

    def export(self, tag: str, archive: Path) -> None: ...


class Docker:
    def python_image(self) -> str:
        return ""

    def build(self, image: Image, context: Path, label: str) -> None:
        run(["docker", "build", "--tag", image.tag, "--file", image.dockerfile, "--label", label, context])

    def label(self, tag: str) -> str | None:
        try:
            return str(self._inspect(tag)["Config"]["Labels"][INPUTS_LABEL])
        except (RigError, KeyError, TypeError):
            return None

    def id(self, tag: str) -> str:
        return str(self._inspect(tag)["Id"])

    def export(self, tag: str, archive: Path) -> None:
        run(["docker", "save", "--output", archive, tag])

    def _inspect(self, tag: str) -> Any:
        return json.loads(run(["docker", "image", "inspect", tag]))[0]


class Buildah:
    """buildah with its own storage in the cache, as root, without a container engine: RUN steps run in a chroot."""

    def __init__(self) -> None:
        programs.debian(programs.IMAGE_COMMANDS)
        storage = cache_dir() / "containers"
        self._buildah = ["buildah", "--root", str(storage / "root"), "--runroot", str(storage / "run")]

    def python_image(self) -> str:
        try:
            return self.id(PYTHON_IMAGE)
        except RigError:
            with step(f"making the base image {PYTHON_IMAGE} of Debian packages"):
                self._make_python_image()
            return self.id(PYTHON_IMAGE)

    def build(self, image: Image, context: Path, label: str) -> None:
        # Docker's format, so that the image keeps its id in the archive and on the node
        command = [*self._buildah, "build", "--isolation=chroot", "--layers", "--format=docker", "--pull=false"]
        options = ["--tag", image.tag, "--file", str(image.dockerfile), "--label", label]
        with _machine_settings() as mounts:
            volumes = [f"--volume={file}:{target}:ro" for target, file in mounts.items()]
            run([*command, *options, f"--build-arg=PYTHON_IMAGE={PYTHON_IMAGE}", *volumes, context])

    def label(self, tag: str) -> str | None:
        try:
            return str(self._inspect(tag)["Docker"]["config"]["Labels"][INPUTS_LABEL])
        except (RigError, KeyError, TypeError):
            return None

    def id(self, tag: str) -> str:
        return f"sha256:{self._inspect(tag)['FromImageID']}"

    def export(self, tag: str, archive: Path) -> None:
        run([*self._buildah, "push", "--quiet", tag, f"docker-archive:{archive}:{tag}"])

    def _inspect(self, tag: str) -> Any:
        return json.loads(run([*self._buildah, "inspect", "--type=image", tag]))

    def _make_python_image(self) -> None:
        with tempfile.TemporaryDirectory(dir=cache_dir()) as folder, _machine_settings() as settings:
            root = Path(folder) / "root.tar"
            excluded = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale", "info")]
            sources, apt = settings[SOURCES_LIST], settings[APT_CONF]
            # sources and settings of this machine: builds mount them, the image does not contain them
            forget = "--customize-hook=rm -f $1/etc/apt/sources.list $1/etc/apt/apt.conf.d/99mmdebstrap"
            include = f"--include={','.join(PYTHON_PACKAGES)}"
            run(["mmdebstrap", "--variant=minbase", include, *excluded, f"--aptopt={apt}", forget, DEBIAN, root, sources])
            container = run([*self._buildah, "from", "scratch"]).strip()
            run([*self._buildah, "add", "--quiet", container, root, "/"])
            run([*self._buildah, "config", "--cmd=python3", "--env=LANG=C.UTF-8", container])
            run([*self._buildah, "commit", "--quiet", "--rm", "--format=docker", container, PYTHON_IMAGE])


SOURCES_LIST, APT_CONF, PIP_CONF = "/etc/apt/sources.list", "/etc/apt/apt.conf.d/99machine", "/etc/pip.conf"


@contextmanager
def _machine_settings() -> Iterator[Mapping[str, Path]]:
    """Return this machine's configuration of pip and apt: path in a container → file here."""
    with tempfile.TemporaryDirectory(dir=cache_dir()) as folder:
        mounts = {target: Path(folder) / target.rsplit("/", 1)[-1] for target in (SOURCES_LIST, APT_CONF, PIP_CONF)}
        mounts[SOURCES_LIST].write_text(_debian_sources())
        mounts[APT_CONF].write_text(run(["apt-config", "dump", "Acquire"]))
        mounts[PIP_CONF].write_text(_pip_settings())
        certificates = Path("/etc/ssl/certs")
        yield {**mounts, str(certificates): certificates}


def _debian_sources() -> str:
    """Return this machine's Debian mirrors, for the release of the base image."""
    query = [
        "apt-get",
        "indextargets",
        "--format",
        "$(REPO_URI) $(CODENAME) $(COMPONENT)",
        "Created-By: Packages",
        "Origin: Debian",
    ]
    found = run(query)
    if not found.strip():
        run(["apt-get", "update", "-qq"])
        found = run(query)
    here = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    lines = {f"deb {line}\n".replace(here[1] if here else DEBIAN, DEBIAN) for line in found.splitlines()}
    if not lines:
        raise RigError("apt names no Debian mirror to make the base image from")
    return "".join(sorted(lines))


def _pip_settings() -> str:
    """Return pip.conf of this machine, overridden by the settings in its environment."""
    config = configparser.RawConfigParser()
    user_config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    config.read(["/etc/pip.conf", user_config / "pip/pip.conf"])
    if not config.has_section("global"):
        config.add_section("global")
    for setting in PIP_SETTINGS:
        if value := os.environ.get(f"PIP_{setting.upper().replace('-', '_')}"):
            config.set("global", setting, value)
    with tempfile.TemporaryFile("w+") as text:
        config.write(text)
        text.seek(0)
        return text.read()


def _inputs(image: Image, base: str) -> str:
    """Return a digest of all inputs of the image: the Dockerfile, the files that it copies, and its base."""
    dockerfile = image.dockerfile.read_text()
    digest = hashlib.sha256(f"{base}\0{dockerfile}".encode())
    for line in re.sub(r"\\\n", " ", dockerfile).splitlines():
        words = line.split()
        if not words or words[0].upper() not in ("COPY", "ADD") or any(word.startswith("--from=") for word in words):
            continue
        for pattern in [word for word in words[1:] if not word.startswith("--")][:-1]:
            if pattern in image.from_cache:
                _add_tree(digest, bin_dir() / pattern)
            for found in sorted(image.context.glob(pattern.strip("/") or "*")):
                _add_tree(digest, found)
    return digest.hexdigest()


def _add_tree(digest: "hashlib._Hash", path: Path) -> None:
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    for file in files:
        if file.is_file() and "__pycache__" not in file.parts:
            executable = os.access(file, os.X_OK)
            digest.update(f"{file.relative_to(path.parent)}\0{executable}\0{file.stat().st_size}\0".encode())
            digest.update(file.read_bytes())


@contextmanager
def _context(image: Image) -> Iterator[Path]:
    """Yield the build context: a copy with the programs, if the image needs programs of the cache."""
    if not image.from_cache:
        yield image.context
        return
    with tempfile.TemporaryDirectory(dir=cache_dir()) as folder:
        context = Path(folder) / "context"
        shutil.copytree(image.context, context)
        for program in image.from_cache:
            shutil.copy(bin_dir() / program, context / program)
        yield context


def _exported(image: Image, builder: Builder) -> Path:
    folder = cache_dir() / "images"
    folder.mkdir(exist_ok=True)
    archive = folder / f"{image.name}-{builder.id(image.tag).removeprefix('sha256:')[:12]}.tar"
    if not archive.exists():
        for old in folder.glob(f"{image.name}-*.tar*"):
            old.unlink()
        with step(f"exporting {image.tag}"):
            new = archive.with_suffix(".tar.new")
            builder.export(image.tag, new)
            new.rename(archive)
    return archive
