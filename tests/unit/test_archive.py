"""Sessions as archives: restored byte for byte, and hostile ones refused whole."""

import gzip
import io
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import orjson
import pytest

from aletheia_operator.cli.__main__ import main
from aletheia_operator.session import SessionLayout
from aletheia_operator.session.archive import export_session, import_session, write_checked
from aletheia_operator.session.manifest_file import read_session
from aletheia_operator.session.retention import expire
from aletheia_operator.session.tar_stream import (
    END,
    ArchiveError,
    file_header,
    folder_header,
    next_file,
    padding,
    read_exactly,
    require_end,
)
from aletheia_operator.session.verify import verify
from tests.support.captures import NOW, Memory, capture

ANSWERS = {"first": [[{"line": "evidence"}]], "b" * 220: [[{"line": "a long name"}]], "last": [[{"line": "the end"}]]}
Member = tuple[tarfile.TarInfo, bytes]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished session of three artifacts, one with a name too long for a plain tar header."""
    return Path(capture(tmp_path_factory.mktemp("volume"), Memory(ANSWERS)).path)


@pytest.fixture(scope="module")
def archive(session: Path) -> bytes:
    written = io.BytesIO()
    export_session(session, written.write)
    return written.getvalue()


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_restored_byte_for_byte(session: Path, archive: bytes, tmp_path: Path) -> None:
    """Export, import and export again: the same files, the same digests, the same archive; tar reads it, too."""
    manifest = import_session(SessionLayout(tmp_path), io.BytesIO(archive))
    restored = SessionLayout(tmp_path).session(manifest.session_id)
    assert verify(restored).intact
    assert verify(restored).manifest_sha256 == verify(session).manifest_sha256
    mine = files_of(restored)
    assert mine.pop("custody.json")
    assert mine == files_of(session)
    again = io.BytesIO()
    export_session(restored, again.write)
    assert again.getvalue() == archive
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert {name.partition("/")[2] for name in tar.getnames()} == set(files_of(session))


def test_imported_twice_is_there_once(
    archive: bytes, session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second import of the same session succeeds, reports that, and changes nothing; archive and folder alike."""
    file, root = tmp_path / "archive.tar", tmp_path / "volume"
    file.write_bytes(archive)
    assert main(["session", "import", f"--root={root}", str(file)]) == 0
    before = files_of(root)
    for source in (file, session):
        capsys.readouterr()
        assert main(["session", "import", f"--root={root}", str(source)]) == 0
        assert "already, whole and the same" in capsys.readouterr().out
        assert main(["session", "import", f"--root={root}", str(source), "-o", "json"]) == 0
        assert orjson.loads(capsys.readouterr().out)["wasThere"] is True
        assert files_of(root) == before


@pytest.mark.parametrize("spoil", [lambda a: a[:-1024], lambda a: a.replace(b"evidence", b"EVIDENCE"), lambda a: a + b"x"])
def test_a_damaged_archive_of_what_is_there_is_refused(spoil: Callable[[bytes], bytes], archive: bytes, tmp_path: Path) -> None:
    """A damaged archive is refused although the session is there, so that nobody trusts the archive."""
    layout = SessionLayout(tmp_path)
    import_session(layout, io.BytesIO(archive))
    before = files_of(tmp_path)
    with pytest.raises(ArchiveError):
        import_session(layout, io.BytesIO(spoil(archive)))
    assert files_of(tmp_path) == before


def _altered(path: Path) -> None:
    _replace(_a_file(path), b"evidence", b"EVIDENCE")


def _file_in_place(path: Path) -> None:
    shutil.rmtree(path)
    path.touch()


def _link_in_place(path: Path) -> None:
    shutil.rmtree(path)
    path.symlink_to("/etc")


TAKEN: list[tuple[str, Callable[[Path], object], str]] = [
    (
        "another Investigation's",
        lambda path: _replace(path / "manifest.json", b'"uid": "6', b'"uid": "7'),
        "Investigation production/payments-500s",
    ),
    (
        "expired",
        lambda path: expire(SessionLayout(path.parent.parent), path.name, NOW),
        "the same session in another state (its data has expired)",
    ),
    ("damaged", _altered, "the same session, damaged"),
    ("without a file", lambda path: _a_file(path).unlink(), "the same session, damaged"),
    ("without a manifest", lambda path: (path / "manifest.json").unlink(), "a session whose manifest cannot be read"),
    ("a file", _file_in_place, "a session whose manifest cannot be read"),
    ("a link", _link_in_place, "a session whose manifest cannot be read"),
]


@pytest.mark.parametrize(("change", "holder"), [row[1:] for row in TAKEN], ids=[row[0] for row in TAKEN])
def test_what_holds_the_id(change: Callable[[Path], object], holder: str, archive: bytes, tmp_path: Path) -> None:
    """Anything else with this id is not changed, and the refusal names it and the remedy."""
    layout = SessionLayout(tmp_path)
    path = layout.session(import_session(layout, io.BytesIO(archive)).session_id)
    layout.retention_record(path.name).unlink()
    change(path)
    before = files_of(tmp_path)
    with pytest.raises(ArchiveError) as refused:
        import_session(layout, io.BytesIO(archive))
    assert f"{path.name} is taken by {holder}" in str(refused.value)
    assert "delete that session first, or import into another root" in str(refused.value)
    assert files_of(tmp_path) == before


def test_a_link_in_place_of_a_file_is_not_exported(session: Path, tmp_path: Path) -> None:
    """Wherever the link leads, even to the same content."""
    artifact = read_session(session)[0].artifacts[0]
    (tmp_path / "link").symlink_to(session / artifact.path)
    written: list[Any] = []
    with pytest.raises(OSError, match="symbolic links"):
        write_checked(tmp_path / "link", artifact, written.append)
    assert written == []


def test_an_export_of_an_altered_file_cannot_be_imported(archive: bytes, tmp_path: Path) -> None:
    """If a file differs from the manifest, the export ends with its name, and its output is refused."""
    layout = SessionLayout(tmp_path)
    path = layout.session(import_session(layout, io.BytesIO(archive)).session_id)
    victim = next((path / "data").rglob("*first*"))
    victim.write_bytes(victim.read_bytes().replace(b"evidence", b"EVIDENCE"))
    written = io.BytesIO()
    with pytest.raises(ArchiveError, match=r"first.*was altered"):
        export_session(path, written.write)
    with pytest.raises(ArchiveError):
        import_session(SessionLayout(tmp_path / "other"), io.BytesIO(written.getvalue()))


def repacked(archive: bytes, change: Callable[[list[Member]], Any], tar_format: Literal[0, 1, 2] = tarfile.PAX_FORMAT) -> bytes:
    """The archive with its members changed."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = [(info, (file.read() if (file := tar.extractfile(info)) else b"")) for info in tar]
    for info, _ in members:
        info.pax_headers = {}
    members = change(members) or members
    written = io.BytesIO()
    for info, content in members:
        written.write(info.tobuf(tar_format) + content + bytes(-len(content) % 512))
    return written.getvalue() + bytes(1024)


def special(kind: bytes, linkname: str = "") -> Callable[[list[Member]], None]:
    def change(members: list[Member]) -> None:
        info, _ = members[1]
        info.type, info.linkname, info.size = kind, linkname, 0
        members[1] = info, b""

    return change


def named(name: str) -> Callable[[list[Member]], None]:
    def change(members: list[Member]) -> None:
        members[1][0].name = name

    return change


def content(number: int, change: Callable[[bytes], bytes]) -> Callable[[list[Member]], None]:
    def work(members: list[Member]) -> None:
        info, old = members[number]
        new = change(old)
        info.size = len(new)
        members[number] = info, new

    return work


def manifest(change: Callable[[dict[str, Any]], Any]) -> Callable[[list[Member]], None]:
    def work(old: bytes) -> bytes:
        document = orjson.loads(old)
        change(document)
        return orjson.dumps(document)

    return content(0, work)


def artifact(**fields: Any) -> Callable[[list[Member]], None]:
    return manifest(lambda document: document["artifacts"][0].update(fields))


def with_pax(record: bytes, size: int | None = None) -> Callable[[bytes], bytes]:
    """The archive with this extended header before its second member."""

    def change(archive: bytes) -> bytes:
        info = tarfile.TarInfo("././@PaxHeader")
        info.type, info.size = tarfile.XHDTYPE, len(record) if size is None else size
        first = tarfile.TarInfo.frombuf(archive[:512], "utf-8", "strict")
        end = 512 + (first.size + 511) // 512 * 512
        return archive[:end] + info.tobuf(tarfile.USTAR_FORMAT) + record + bytes(-len(record) % 512) + archive[end:]

    return change


def members(
    change: Callable[[list[Member]], Any], tar_format: Literal[0, 1, 2] = tarfile.PAX_FORMAT
) -> Callable[[bytes], bytes]:
    return lambda archive: repacked(archive, change, tar_format)


HOSTILE: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("nothing", lambda archive: b"", "it is cut off"),
    ("zeros alone", lambda archive: bytes(1024), "it is empty"),
    ("no archive", lambda archive: b"evidence" * 1000, "not a tar archive"),
    ("compressed", gzip.compress, "not a tar archive"),
    ("a damaged header", lambda archive: archive[:100] + b"\xff" + archive[101:], "a header in it is damaged"),
    ("cut in the manifest", lambda archive: archive[:700], "it is cut off"),
    ("cut in a file", lambda archive: archive[: archive.index(b'"line":"evidence"') + 4], "cut off within 'data/logs/"),
    ("cut in a header", lambda archive: archive[: len(archive) - 1024 - 600], "cut off"),
    ("without its end", lambda archive: archive[:-1024], "it is cut off"),
    ("something after its end", lambda archive: archive + b"more", "something follows its end"),
    ("zeros without end", lambda archive: archive + bytes(2 * 1024 * 1024), "something follows its end"),
    ("a file left out", members(lambda all: all.pop(1) and None), "is not what the manifest lists next"),
    ("the last file left out", members(lambda all: all.pop() and None), "report.html is missing"),
    ("a file besides", members(lambda all: all.append(all[1])), "is not in the manifest"),
    ("a file twice", members(lambda all: all.insert(1, all[1])), "is not what the manifest lists next"),
    ("the manifest twice", members(lambda all: all.insert(0, all[0])), "is not what the manifest lists next"),
    ("the manifest last", members(lambda all: all.append(all.pop(0))), "does not begin with a session's manifest"),
    ("a path upwards", members(named("INC-0000/../../../etc/cron.d/evil")), "is not what the manifest lists next"),
    ("an absolute path", members(named("/etc/passwd")), "is not what the manifest lists next"),
    ("a symbolic link", members(special(tarfile.SYMTYPE, "/etc/passwd")), "is not a regular file"),
    ("a hard link", members(special(tarfile.LNKTYPE, "/etc/passwd")), "is not a regular file"),
    ("a character device", members(special(tarfile.CHRTYPE)), "is not a regular file"),
    ("a block device", members(special(tarfile.BLKTYPE)), "is not a regular file"),
    ("a fifo", members(special(tarfile.FIFOTYPE)), "is not a regular file"),
    ("a directory", members(special(tarfile.DIRTYPE)), "is not a regular file"),
    ("a sparse file", members(special(tarfile.GNUTYPE_SPARSE), tarfile.GNU_FORMAT), "is not a regular file"),
    ("a GNU long name", members(lambda all: None, tarfile.GNU_FORMAT), "is not a regular file"),
    ("a GNU long link", members(special(tarfile.GNUTYPE_LONGLINK, "x" * 300), tarfile.GNU_FORMAT), "is not a regular file"),
    ("a contiguous file", members(special(tarfile.CONTTYPE)), "is not a regular file"),
    ("a global extended header", members(special(tarfile.XGLTYPE)), "is not a regular file"),
    ("a size past 64 bits", with_pax(b"39 size=" + b"9" * 30 + b"\n"), "999 bytes, but"),
    ("a sparse file by extended headers", with_pax(b"22 GNU.sparse.major=1\n"), "holds more than a path or a size"),
    ("a size below zero in a header", with_pax(b"11 size=-1\n"), "has a size below zero"),
    ("an empty extended header", with_pax(b""), "an extended header is"),
    ("a huge extended header", with_pax(b"x", 2**32), "an extended header is larger than 4096 bytes"),
    ("an extended header with another size", with_pax(b"11 size=99\n"), "has 99 bytes"),
    ("an extended header with a target", with_pax(b"20 linkpath=/etc/x\n\n"), "holds more than a path or a size"),
    ("an extended header of no record", with_pax(b"9999 path=x\n"), "holds more than a path or a size"),
    ("an extended header with a name of no text", with_pax(b"10 path=\xff\n"), "is not UTF-8"),
    ("an altered file", members(content(1, lambda old: old.replace(b"evidence", b"EVIDENCE"))), "was altered"),
    ("a longer file", members(content(1, lambda old: old + b"more")), "in the manifest"),
    ("a shorter file", members(content(1, lambda old: old[:-1])), "in the manifest"),
    ("a manifest that is no JSON", members(content(0, lambda old: b"{")), "manifest.json is not a manifest"),
    ("a manifest of another session", members(manifest(lambda m: m.update(sessionId="INC-FFFF"))), "of another session"),
    ("a manifest without an end", members(manifest(lambda m: m.pop("completionTime"))), "has not ended"),
    ("unknown fields", members(manifest(lambda m: m.update(run="rm -rf /"))), "not a manifest: run"),
    ("a bomb of a manifest", members(content(0, lambda old: old + b" " * 2**24)), "its manifest is larger than"),
    ("a path upwards in the manifest", members(artifact(path="data/logs/../../../../evil")), "no path of a data file"),
    ("an absolute path in the manifest", members(artifact(path="/etc/passwd")), "no path of a data file"),
    ("a folder for a file in the manifest", members(artifact(path="data/logs")), "no path of a data file"),
    ("a hidden file in the manifest", members(artifact(path="data/logs/.bashrc")), "no path of a data file"),
    ("the manifest in the manifest", members(artifact(path="manifest.json")), "no path of a data file"),
    ("an escape sequence in the manifest", members(artifact(path="data/logs/\x1b[2J.json")), "no path of a data file"),
    ("a path twice in the manifest", members(manifest(lambda m: m["artifacts"].append(m["artifacts"][0]))), "a path twice"),
    ("more than the disk holds", members(artifact(sizeBytes=2**60)), "bytes are needed"),
    ("a size below zero", members(artifact(sizeBytes=-1)), "a size or count below zero"),
    ("an id upwards", members(lambda all: setattr(all[0][0], "name", "../INC-0000/manifest.json")), "does not begin with"),
]


@pytest.mark.parametrize(("spoil", "message"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_hostile_archives(
    spoil: Callable[[bytes], bytes], message: str, archive: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is refused with one line that says why; nothing is left on the volume, and nothing was written elsewhere."""
    file = tmp_path / "hostile.tar"
    file.write_bytes(spoil(archive))
    root = tmp_path / "volume"
    outside = set(os.listdir("/"))
    assert main(["session", "import", f"--root={root}", str(file)]) == 1
    output = capsys.readouterr()
    assert message in output.err
    assert output.err.startswith("error: ")
    assert output.err.count("\n") == 1
    assert output.out == ""
    assert [path for path in tmp_path.rglob("*") if not path.is_dir() and path != file] == []
    assert list(root.glob("sessions/*")) == []
    assert set(os.listdir("/")) == outside


def test_a_limit_of_bytes(archive: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An archive with more than --max-bytes is refused before anything is written."""
    file = tmp_path / "large.tar"
    file.write_bytes(archive)
    assert main(["session", "import", f"--root={tmp_path / 'volume'}", "--max-bytes=100", str(file)]) == 1
    assert "more than the 100 that are allowed" in capsys.readouterr().err


def test_a_folder_is_imported_like_an_archive(session: Path, tmp_path: Path) -> None:
    """A copy of a session's directory, as it was downloaded, becomes the same session. Files that it does not list are left."""
    copy = tmp_path / "downloaded"
    shutil.copytree(session, copy)
    (copy / "notes.txt").write_text("mine")
    root = tmp_path / "volume"
    assert main(["session", "import", f"--root={root}", str(copy)]) == 0
    restored = SessionLayout(root).session(session.name)
    assert verify(restored).intact
    assert files_of(restored).items() >= files_of(session).items()
    assert not (restored / "notes.txt").exists()


def _link(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


FOLDERS: list[tuple[str, str, Callable[[Path], object], str]] = [
    ("no manifest", "manifest.json", Path.unlink, "manifest.json cannot be read"),
    ("a manifest that is a link", "manifest.json", _link, "manifest.json cannot be read"),
    ("an id upwards", "manifest.json", lambda p: _replace(p, b'"INC-', b'"../INC-'), "as its session"),
    (
        "a capture that has not ended",
        "manifest.json",
        lambda p: _replace(p, b'"completionTime"', b'"expirationTime"'),
        "not ended",
    ),
    ("a path upwards", "manifest.json", lambda p: _replace(p, b'"data/logs/', b'"../logs/'), "no path of a data file"),
    ("a file left out", "data", lambda p: _a_file(p).unlink(), "is missing"),
    ("an altered file", "data", lambda p: _replace(_a_file(p), b"evidence", b"evidEnce"), "digest is not the manifest's"),
    ("a longer file", "data", lambda p: _replace(_a_file(p), b"evidence", b"evidences"), "is not a file of"),
    ("a link in place of a file", "data", lambda p: _link(_a_file(p)), "Too many levels"),
    ("a pipe in place of a file", "data", lambda p: _fifo(_a_file(p)), "is not a file of"),
]


def _a_file(data: Path) -> Path:
    return next(data.rglob("kubernetes_first_*.json"))


def _replace(path: Path, old: bytes, new: bytes) -> None:
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))


@pytest.mark.parametrize(("name", "spoil", "message"), [row[1:] for row in FOLDERS], ids=[row[0] for row in FOLDERS])
def test_hostile_folders(
    name: str,
    spoil: Callable[[Path], object],
    message: str,
    session: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each is refused with one line that says why, and leaves nothing."""
    copy, root = tmp_path / "downloaded", tmp_path / "volume"
    shutil.copytree(session, copy)
    spoil(copy / name)
    assert main(["session", "import", f"--root={root}", str(copy)]) == 1
    output = capsys.readouterr().err
    assert message in output
    assert output.count("\n") == 1
    assert list(root.glob("sessions/*")) == []


@pytest.mark.parametrize(
    ("header", "kind", "mode", "size"),
    [
        (file_header("a/b.json", 513, NOW), tarfile.REGTYPE, 0o640, 513),
        (folder_header("a/b.json", NOW), tarfile.DIRTYPE, 0o750, 0),
    ],
)
def test_what_a_header_says(header: bytes, kind: bytes, mode: int, size: int) -> None:
    """A short name takes one block, and only owner and group may read the unpacked file."""
    info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
    assert (info.name, info.type, info.mode, info.size) == ("a/b.json", kind, mode, size)
    assert (info.mtime, len(header)) == (int(NOW.timestamp()), 512)


@pytest.mark.parametrize(("size", "zeros"), [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511)])
def test_files_end_with_a_block(size: int, zeros: int) -> None:
    """Filled with zeros."""
    assert padding(size) == bytes(zeros)


@pytest.mark.parametrize(
    ("name", "size"), [("a" * 99, 8), ("d/" * 100 + "ü.json", 9), ("x" * 300, 2**33), ("short", 8**11), ("short", 8**11 - 1)]
)
def test_long_names_and_large_sizes_come_back(name: str, size: int) -> None:
    """They need an extended header, or a size that is not an octal number."""
    stream = io.BytesIO(file_header(name, size, NOW) + END)
    assert next_file(stream) == (name, size)
    assert next_file(stream) is None


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (b"", None),
        (bytes(9 * 1024), None),
        (bytes(1024 * 1024), None),
        (b"\1", "follows its end"),
        (bytes(2**20 + 1), "follows"),
    ],
)
def test_what_may_follow_the_end(rest: bytes, message: str | None) -> None:
    """Zeros, up to a bound: tar programs fill their last record with them."""
    stream = io.BytesIO(END[:512] + rest)
    if message is None:
        require_end(stream)
    else:
        with pytest.raises(ArchiveError, match=message):
            require_end(stream)


class Dripping(io.BytesIO):
    """A stream that gives a few bytes at a time."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(3, size or 0))


def test_a_stream_that_comes_in_pieces_is_read_whole() -> None:
    """As from a pipe."""
    assert read_exactly(Dripping(b"0123456789"), 8) == b"01234567"
    assert read_exactly(Dripping(b""), 0) == b""
    with pytest.raises(ArchiveError, match="it is cut off"):
        read_exactly(Dripping(b"0123456789"), 11)
