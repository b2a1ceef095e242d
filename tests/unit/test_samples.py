"""Sessions and objects as earlier versions left them, in tests/data: today's version reads them."""

import io
import json
import shutil
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from aletheia_operator.api import DataSourceSpec, InvestigationSpec
from aletheia_operator.api.datasource import DataSourceStatus
from aletheia_operator.api.status import InvestigationStatus
from aletheia_operator.api.types import Model
from aletheia_operator.cli.__main__ import main
from aletheia_operator.session.manifest_file import SCHEMA_VERSION
from tests.cluster.rig import ROOT

SESSIONS = sorted((ROOT / "tests" / "data" / "sessions").glob("schema-*/INC-*"))
OBJECTS = sorted((ROOT / "tests" / "data" / "objects").glob("*/*.yaml"))
MODELS: dict[str, tuple[type[Model], type[Model]]] = {
    "Investigation": (InvestigationSpec, InvestigationStatus),
    "DataSource": (DataSourceSpec, DataSourceStatus),
}


@dataclass(frozen=True)
class Volume:
    """A session root with one sample."""

    root: Path
    session: str
    capsys: pytest.CaptureFixture[str]

    @property
    def manifest(self) -> Path:
        return self.root / "sessions" / self.session / "manifest.json"

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command on this root. Returns what it prints."""
        found = main([*arguments, f"--root={self.root}"])
        printed = self.capsys.readouterr()
        assert found == code, printed.err
        return printed.out + printed.err


@pytest.fixture(params=SESSIONS, ids=lambda path: path.parent.name)
def volume(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Volume:
    shutil.copytree(request.param, tmp_path / "volume" / "sessions" / request.param.name)
    return Volume(tmp_path / "volume", request.param.name, capsys)


def test_there_is_a_sample_of_each_schema() -> None:
    """Each schema version up to today's has one."""
    assert {path.parent.name for path in SESSIONS} == {f"schema-{number}" for number in range(1, SCHEMA_VERSION + 1)}


def test_an_earlier_session_is_whole(volume: Volume) -> None:
    """Each file has the size and digest of the manifest."""
    assert volume.session in volume.run("session", "verify", volume.session)
    assert json.loads(volume.run("session", "list", "-o", "json"))[0]["session"] == volume.session


@pytest.mark.parametrize("command", ["findings", "timeline", "errors", "logs", "events", "objects", "traces"])
def test_an_earlier_session_is_shown(volume: Volume, command: str) -> None:
    """Each command that shows evidence has something to show."""
    assert volume.run(command, volume.session).strip()


def test_an_earlier_session_is_archived_and_imported(volume: Volume, tmp_path: Path) -> None:
    """It moves to another volume, whole."""
    volume.run("session", "export", volume.session, f"--file={tmp_path}/archive")
    other = replace(volume, root=tmp_path / "other")
    other.run("session", "import", str(tmp_path / "archive"))
    assert volume.session in other.run("session", "verify")


def test_a_session_of_a_later_schema_is_refused_and_left_alone(volume: Volume, tmp_path: Path) -> None:
    """Each command says which version can read it; an archive of it writes nothing."""
    volume.run("session", "export", volume.session, f"--file={tmp_path}/archive")
    later = json.dumps(json.loads(volume.manifest.read_bytes()) | {"schemaVersion": SCHEMA_VERSION + 1}).encode()
    volume.manifest.write_bytes(later)
    newer = tmp_path / "newer"
    with tarfile.open(tmp_path / "archive") as old, tarfile.open(newer, "w") as new:
        for member in old:
            content = later if member.name.endswith("manifest.json") else b"" if member.isdir() else _read(old, member)
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    words = f"schema version {SCHEMA_VERSION + 1}, and this version of aletheia reads up to {SCHEMA_VERSION}"
    for command in (("session", "verify"), ("session", "show"), ("session", "export"), ("logs",), ("findings",)):
        assert words in volume.run(*command, volume.session, code=1)
    assert words in volume.run("session", "list")
    assert volume.manifest.read_bytes() == later
    other = replace(volume, root=tmp_path / "other")
    assert words in other.run("session", "import", str(newer), code=1)
    assert [path for path in other.root.rglob("*") if path.is_file()] == []


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_earlier_object_is_read(path: Path) -> None:
    """Its spec and status are those that the models read, and keep when they write."""
    item = yaml.safe_load(path.read_text())
    spec, status = MODELS[item["kind"]]
    assert spec.from_json(item["spec"])
    read = status.from_json(item["status"]).to_json()
    assert {name: read.get(name) for name in item["status"] if name != "kopf"} == {
        name: value for name, value in item["status"].items() if name != "kopf"
    }
