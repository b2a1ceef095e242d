"""aletheia session list | show: prints the sessions of a folder, or the contents of one session."""

from collections import Counter
from typing import Any

from aletheia_operator.cli.command import folder_command, manifest_of
from aletheia_operator.cli.options import SESSION_HELP, Options, session_argument
from aletheia_operator.cli.output import print_fields, print_json, print_message, print_paragraphs, print_table, readable_time
from aletheia_operator.session import SessionLayout
from aletheia_operator.session.catalog import ListedSession, sessions
from aletheia_operator.session.manifest import Manifest
from aletheia_operator.session.retention_record import read_retention_record
from aletheia_operator.text.sizes import counted, readable_size

MAX_RULES = 5


def list_sessions(options: Options) -> int:
    layout = SessionLayout(options.root)
    found = sorted(sessions(layout), key=_age)
    if options.output == "json":
        print_json([_summary(layout, listed) for listed in found])
        return 0
    if not found:
        print_message(f"there are no sessions in {layout.root}")
        return 0
    header = ("SESSION", "NAMESPACE", "INVESTIGATION", "PHASE", "STARTED", "ARTIFACTS", "GAPS", "SIZE", "NOTES")
    print_table(header, [_row(layout, listed) for listed in found])
    return 0


def show(options: Options) -> int:
    layout = SessionLayout(options.root)
    manifest = manifest_of(options)
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
            ("Redacted", _redacted(manifest)),
            ("Uploaded", manifest.upload.url if manifest.upload else "no"),
            ("Notes", ", ".join(_notes(layout, manifest)) or "none"),
        ]
    )
    print()
    print_table(
        ("ARTIFACT", "TARGET", "COUNT", "SIZE", "SUMMARY"),
        [
            (artifact.path, artifact.target, artifact.count, readable_size(artifact.size_bytes), artifact.summary)
            for artifact in manifest.artifacts
        ],
    )
    for kind, title in (("gap", "GAPS"), ("note", "NOTES")):
        found = [gap for gap in manifest.gaps if gap.severity == kind]
        if found:
            print(f"\n{title}")
            print_paragraphs((f"{gap.reason} {gap.target}", gap.message) for gap in found)
    return 0


def _redacted(manifest: Manifest) -> str:
    """Return how many secrets were removed at which level, with the most frequent rules."""
    record = manifest.redaction
    if record is None:
        return "not known"
    counts: Counter[str] = Counter()
    for artifact in manifest.artifacts:
        counts.update(artifact.redactions)
    rules = ", ".join(f"{number} {rule}" for rule, number in counts.most_common(MAX_RULES))
    copy = f"; a copy of the session with manifest {record.of_manifest}" if record.of_manifest else ""
    return f"level {record.level}: {counted(counts.total(), 'secret')}{f' ({rules})' if rules else ''}{copy}"


def _age(listed: ListedSession) -> tuple[float, str]:
    """Return the sort key: by time; sessions without a readable time come first."""
    return (listed.manifest.start_time.timestamp() if listed.manifest else 0.0, listed.session_id)


def _notes(layout: SessionLayout, manifest: Manifest) -> list[str]:
    record = read_retention_record(layout, manifest.session_id)
    return [
        *([f"sealed ({manifest.encryption.locked_by})"] if manifest.encryption else []),
        *(["expired"] if manifest.expiration_time else []),
        *(["imported"] if record.imported else ["kept"] if record.keep else []),
        *([f"legal hold ({record.hold_reason})"] if record.hold_reason is not None else []),
        *([f"spared ({record.spared})"] if record.spared is not None else []),
        *(["orphaned"] if record.orphaned_since else []),
    ]


def _row(layout: SessionLayout, listed: ListedSession) -> list[object]:
    if (manifest := listed.manifest) is None:
        return [listed.session_id, "", "", "unreadable", "", "", "", "", listed.fault]
    owner, notes = manifest.investigation, ", ".join(_notes(layout, manifest))
    counts = [len(manifest.artifacts), len(manifest.gaps), readable_size(manifest.size_bytes)]
    started = readable_time(manifest.start_time)
    return [listed.session_id, owner.namespace, owner.name, manifest.phase, started, *counts, notes]


def _summary(layout: SessionLayout, listed: ListedSession) -> dict[str, Any]:
    if listed.manifest is None:
        return {"session": listed.session_id, "path": str(listed.path), "fault": listed.fault}
    manifest = listed.manifest.to_json()
    return {
        "session": listed.session_id,
        "path": str(listed.path),
        **{name: manifest[name] for name in ("investigation", "phase", "window", "startTime")},
        **{name: manifest[name] for name in ("completionTime", "expirationTime") if name in manifest},
        "artifactCount": len(listed.manifest.artifacts),
        "gapCount": len(listed.manifest.gaps),
        "sizeBytes": listed.manifest.size_bytes,
        "sealedBy": listed.manifest.encryption.locked_by if listed.manifest.encryption else None,
        "custody": read_retention_record(layout, listed.session_id).to_json(),
    }


list_command = folder_command("list", list_sessions, "list the sessions, the newest last")
show_command = folder_command("show", show, "show what a session holds", session_argument(), notes=SESSION_HELP)
