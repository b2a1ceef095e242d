"""aletheia session list | show | verify | export | import | delete | reseal | decrypt."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from aletheia_operator.cli.keys import Refused, add_key_options, read_password, session_key
from aletheia_operator.cli.output import print_fields, print_json, print_table, readable_time, say
from aletheia_operator.session import SessionLayout, age
from aletheia_operator.session.aletheia_archive import export_for_aletheia
from aletheia_operator.session.archive import export_session, import_directory, import_session
from aletheia_operator.session.catalog import Entry, sessions
from aletheia_operator.session.lock import locked
from aletheia_operator.session.manifest import Manifest
from aletheia_operator.session.manifest_file import read_session
from aletheia_operator.session.names import is_session_id
from aletheia_operator.session.retention import remove
from aletheia_operator.session.retention_record import read_retention_record
from aletheia_operator.session.seal import reseal
from aletheia_operator.session.unseal import decrypt_artifact, decrypt_session, replace_encryption
from aletheia_operator.session.verify import Verification, verify
from aletheia_operator.text.display import one_line
from aletheia_operator.text.sizes import readable_size

Command = Callable[[argparse.Namespace], int]
DEFAULT_ROOT = Path("/var/lib/aletheia")


def add_commands(commands: Any) -> None:
    """Every command on sessions, each with its function as `run`."""

    def command(name: str, run: Command, about: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = commands.add_parser(name, help=about, description=about)
        root = Path(os.environ.get("ALETHEIA_ROOT") or DEFAULT_ROOT)
        parser.add_argument("--root", type=Path, default=root, help=f"folder that holds sessions/ ($ALETHEIA_ROOT, now {root})")
        parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="for people or for programs")
        parser.set_defaults(run=run)
        return parser

    def one_session(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
        parser.add_argument("session", type=_session_id, help="id such as INC-7F3A")
        return parser

    command("list", list_sessions, "list the sessions")
    one_session(command("show", show, "show what a session holds"))
    check = command("verify", verify_sessions, "hold sessions against their manifests: every hash, every file")
    check.add_argument("session", type=_session_id, nargs="*", help="ids; default: every session")
    add_key_options(check)
    export = one_session(command("export", export_one, "write a session as one archive"))
    export.add_argument("-f", "--file", type=Path, help="where to; default: standard output")
    export.add_argument("--format", choices=["tar", "aletheia"], default="tar", help="aletheia: what its command line imports")
    export.add_argument("--archive-password-file", type=Path, metavar="FILE", help="password of an archive for Aletheia")
    add_key_options(export)
    take = command("import", import_one, "restore a session from an archive or a folder, whole or not at all")
    take.add_argument("file", type=Path, help="the archive, - for standard input, or a folder with manifest.json and data/")
    take.add_argument("--max-bytes", type=_positive, help="refuse an archive that holds more")
    one_session(command("delete", delete, "delete a session and its evidence")).add_argument(
        "--yes", action="store_true", help="do not ask"
    )
    again = one_session(command("reseal", reseal_one, "put a sealed session under another password or other recipients"))
    add_key_options(again)
    new = again.add_mutually_exclusive_group(required=True)
    new.add_argument("--new-password-file", type=Path, metavar="FILE", help="the new password")
    new.add_argument(
        "--recipient", action="append", type=_public_key, default=[], metavar="KEY", help="age or SSH public key (repeatable)"
    )
    plain = one_session(command("decrypt", decrypt, "write a sealed session as plain files into a new folder"))
    plain.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="is created; must not exist")
    add_key_options(plain)


def list_sessions(options: argparse.Namespace) -> int:
    layout = SessionLayout(options.root)
    entries = list(sessions(layout))
    if options.output == "json":
        print_json([_summary(layout, entry) for entry in entries])
        return 0
    header = ("SESSION", "NAMESPACE", "INVESTIGATION", "PHASE", "STARTED", "ARTIFACTS", "GAPS", "SIZE", "NOTES")
    print_table(header, [_row(layout, entry) for entry in entries])
    return 0


def show(options: argparse.Namespace) -> int:
    layout = SessionLayout(options.root)
    manifest = _manifest(options)
    if options.output == "json":
        print_json(manifest.to_json())
        return 0
    owner = manifest.investigation
    print_fields(
        [
            ("Session", manifest.session_id),
            ("Investigation", f"{owner.namespace}/{owner.name}"),
            ("Window", " to ".join(manifest.window)),
            ("Phase", manifest.phase),
            ("Started", readable_time(manifest.start_time)),
            ("Ended", readable_time(manifest.completion_time)),
            ("Size", readable_size(manifest.size_bytes)),
            ("Uploaded", manifest.upload.url if manifest.upload else "no"),
            ("Notes", ", ".join(_notes(layout, manifest)) or "none"),
        ]
    )
    print()
    print_table(
        ("ARTIFACT", "TARGET", "COUNT", "SIZE", "SUMMARY"),
        [(one.path, one.target, one.count, readable_size(one.size_bytes), one.summary) for one in manifest.artifacts],
    )
    if manifest.gaps:
        print()
        rows = [(gap.severity, gap.reason, gap.target, gap.message) for gap in manifest.gaps]
        print_table(("SEVERITY", "REASON", "TARGET", "MESSAGE"), rows)
    return 0


def verify_sessions(options: argparse.Namespace) -> int:
    layout = SessionLayout(options.root)
    ids = options.session or [entry.session_id for entry in sessions(layout)]
    results = [_verified(options, session_id) for session_id in ids]
    if options.output == "json":
        print_json(results)
    else:
        for result in results:
            _print_verification(result)
    return 0 if all(result["intact"] for result in results) else 1


def export_one(options: argparse.Namespace) -> int:
    directory = _directory(options)
    if options.output == "json" and options.file is None:
        raise Refused("standard output is the archive's: name a file with -f for -o json")
    with _target(options.file) as file:
        manifest = _export(options, directory, file.write)
    if options.output == "json":
        print_json({"session": manifest.session_id, "path": str(options.file), "sizeBytes": options.file.stat().st_size})
    else:
        say(f"{manifest.session_id}: {len(manifest.artifacts)} artifacts, {readable_size(manifest.size_bytes)} exported")
    return 0


def _export(options: argparse.Namespace, directory: Path, write: Callable[[bytes | memoryview], object]) -> Manifest:
    if options.format == "tar":
        return export_session(directory, write)
    if options.archive_password_file is None:
        raise Refused("an archive for Aletheia is locked by a password: name a file with --archive-password-file")
    manifest = _manifest(options)
    key = session_key(manifest, options) if manifest.encryption else None
    return export_for_aletheia(directory, read_password(options.archive_password_file), key, write)


def import_one(options: argparse.Namespace) -> int:
    layout = SessionLayout(options.root)
    if str(options.file) == "-":
        imported = import_session(layout, sys.stdin.buffer, options.max_bytes)
    elif options.file.is_dir():
        imported = import_directory(layout, options.file, options.max_bytes)
    else:
        with options.file.open("rb") as archive:
            imported = import_session(layout, archive, options.max_bytes)
    path, session_id = layout.session(imported.session_id), imported.session_id
    answer = {
        "session": session_id,
        "path": str(path),
        "sizeBytes": imported.manifest.size_bytes,
        "wasThere": imported.was_there,
    }
    done = (
        f"{session_id} is in {path} already, whole and the same" if imported.was_there else f"{session_id} imported to {path}"
    )
    return _said(options, done, answer)


def delete(options: argparse.Namespace) -> int:
    layout = SessionLayout(options.root)
    _directory(options)
    if hold := read_retention_record(layout, options.session).hold_reason:
        raise Refused(f"{options.session} is under legal hold ({hold}): take the annotation off its Investigation first")
    if not options.yes and not _confirmed(f"Delete {options.session} and its evidence?"):
        raise Refused("nothing was deleted; --yes deletes without asking")
    remove(layout, options.session, by_hand=True)
    return _said(options, f"{options.session} deleted", {"session": options.session})


def reseal_one(options: argparse.Namespace) -> int:
    manifest = _manifest(options)
    key = session_key(manifest, options)
    password = read_password(options.new_password_file) if options.new_password_file else None
    assert manifest.encryption is not None
    encryption = reseal(manifest.encryption, key, password=password, recipients=options.recipient)
    with locked(_directory(options)):
        replace_encryption(SessionLayout(options.root), manifest, encryption)
    locked_by = encryption.locked_by
    said = f"{manifest.session_id} sealed anew: by {'a password' if locked_by == 'password' else 'recipients'}"
    return _said(options, said, {"session": manifest.session_id, "sealedBy": locked_by})


def decrypt(options: argparse.Namespace) -> int:
    manifest = _manifest(options)
    key = session_key(manifest, options)
    if options.to.exists():
        raise Refused(f"{options.to} exists: name a folder that does not")
    decrypt_session(_directory(options), manifest, key, options.to)
    said = f"{len(manifest.artifacts)} artifacts of {manifest.session_id} decrypted to {options.to}"
    return _said(options, said, {"session": manifest.session_id, "path": str(options.to)})


def _said(options: argparse.Namespace, text: str, answer: dict[str, Any]) -> int:
    """What was done, for people or for programs."""
    if options.output == "json":
        print_json(answer)
    else:
        print(text)
    return 0


def _session_id(text: str) -> str:
    if not is_session_id(text):
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a session id such as INC-7F3A")
    return text


def _public_key(text: str) -> str:
    try:
        age.check_recipient(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(str(e)) from e
    return text


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a number of bytes of at least 1")
    return int(text)


def _directory(options: argparse.Namespace) -> Path:
    directory = SessionLayout(options.root).session(options.session)
    if not directory.is_dir():
        raise Refused(f"there is no session {options.session} in {options.root}; `aletheia session list` shows those there are")
    return directory


def _manifest(options: argparse.Namespace) -> Manifest:
    return read_session(_directory(options))[0]


def _notes(layout: SessionLayout, manifest: Manifest) -> list[str]:
    record = read_retention_record(layout, manifest.session_id)
    return [
        *([f"sealed ({manifest.encryption.locked_by})"] if manifest.encryption else []),
        *(["expired"] if manifest.expiration_time else []),
        *(["imported"] if record.imported else ["kept"] if record.keep else []),
        *([f"legal hold ({record.hold_reason})"] if record.hold_reason else []),
        *(["orphaned"] if record.orphaned_since else []),
    ]


def _row(layout: SessionLayout, entry: Entry) -> list[object]:
    if (manifest := entry.manifest) is None:
        return [entry.session_id, "", "", "unreadable", "", "", "", "", entry.fault]
    owner, notes = manifest.investigation, ", ".join(_notes(layout, manifest))
    counts = [len(manifest.artifacts), len(manifest.gaps), readable_size(manifest.size_bytes)]
    started = readable_time(manifest.start_time)
    return [entry.session_id, owner.namespace, owner.name, manifest.phase, started, *counts, notes]


def _summary(layout: SessionLayout, entry: Entry) -> dict[str, Any]:
    if entry.manifest is None:
        return {"session": entry.session_id, "path": str(entry.path), "fault": entry.fault}
    manifest = entry.manifest.to_json()
    return {
        "session": entry.session_id,
        "path": str(entry.path),
        **{name: manifest[name] for name in ("investigation", "phase", "window", "startTime")},
        **{name: manifest[name] for name in ("completionTime", "expirationTime") if name in manifest},
        "artifactCount": len(entry.manifest.artifacts),
        "gapCount": len(entry.manifest.gaps),
        "sizeBytes": entry.manifest.size_bytes,
        "sealedBy": entry.manifest.encryption.locked_by if entry.manifest.encryption else None,
        "custody": read_retention_record(layout, entry.session_id).to_json(),
    }


def _verified(options: argparse.Namespace, session_id: str) -> dict[str, Any]:
    directory = _directory(argparse.Namespace(root=options.root, session=session_id))
    result: Verification = verify(directory)
    if result.intact and (options.identity or options.password_file):
        key = session_key(result.manifest, options)
        for artifact in result.manifest.artifacts:
            decrypt_artifact(directory, artifact, key, lambda block: None)
    return {
        "session": session_id,
        "intact": result.intact,
        "finished": result.manifest.finished,
        "manifestSha256": result.manifest_sha256,
        **{kind: list(getattr(result, kind)) for kind in ("missing", "extra", "altered")},
    }


def _print_verification(result: dict[str, Any]) -> None:
    if result["intact"]:
        print(f"{result['session']}: intact, manifest sha256 {result['manifestSha256']}")
        return
    print(f"{result['session']}: NOT intact" + ("" if result["finished"] else ": its capture has not ended"))
    for kind in ("missing", "extra", "altered"):
        for path in result[kind]:
            print(f"  {kind}: {one_line(path, 500)}")


@contextmanager
def _target(path: Path | None) -> Iterator[BinaryIO]:
    """Where an export goes; a file that could not be written whole is removed."""
    if path is None:
        if sys.stdout.isatty():
            raise Refused("an archive is not for a terminal: name a file with -f, or pipe it")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with path.open("xb") as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            with suppress(OSError):
                path.unlink()
            raise


def _confirmed(question: str) -> bool:
    return sys.stdin.isatty() and input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
