"""What finished Investigations leave: resources in the cluster and sessions on the volume, made without capturing."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aletheia_operator.api import GROUP, VERSION, InvestigationSpec
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.handlers.status import of_snapshot
from aletheia_operator.investigate import Snapshot
from aletheia_operator.session import Artifact, InvestigationReference, Manifest, SessionLayout
from aletheia_operator.session.manifest_file import manifest_bytes
from aletheia_operator.session.names import MAX_SESSION_ID_DIGITS, session_id
from aletheia_operator.session.volume import open_volume
from aletheia_operator.text.timestamps import format_time
from aletheia_operator.version import __version__

AT_ONCE = 24
SPEC = {"targets": [{"pod": "speaker"}], "window": {"lookback": "10m"}}
_PATHS = (
    ("KubernetesLogs", "data/logs/kubernetes_speaker_{namespace}_2026-11-22T12-00-00.json"),
    ("KubernetesEvents", "data/events/kubernetes_{namespace}_2026-11-22T12-00-00.json"),
    ("KubernetesObjects", "data/objects/kubernetes_pod_speaker_{namespace}_2026-11-22T12-00-00.json"),
    ("Timeline", "data/timeline.json"),
    ("Findings", "data/findings.json"),
    ("Report", "report.html"),
)


async def leave(kubernetes: Kubernetes, root: Path, namespaces: Sequence[str], number: int) -> None:
    """Make `number` finished Investigations, spread over the namespaces, and their sessions, without their artifacts."""
    layout = SessionLayout(root)
    layout.sessions.mkdir(parents=True)
    operator = (await asyncio.to_thread(open_volume, layout)).id
    gate = asyncio.Semaphore(AT_ONCE)

    async def make(index: int) -> None:
        namespace, name = namespaces[index % len(namespaces)], f"left-{index:05}"
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/investigations"
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Investigation", "metadata": {"name": name}, "spec": SPEC}
        async with gate:
            resource = await kubernetes.create(path, body)
            status = _left(layout, resource["metadata"], operator)
            await kubernetes.patch_status(f"{path}/{name}", status, resource["metadata"]["uid"])

    async with asyncio.TaskGroup() as group:
        for index in range(number):
            group.create_task(make(index))


def _left(layout: SessionLayout, metadata: Mapping[str, Any], operator: str) -> dict[str, Any]:
    """Write a session's manifest, and return the status that belongs to it."""
    now = datetime.now(UTC)
    window = format_time(now - timedelta(minutes=10)), format_time(now)
    artifacts = [
        Artifact(
            path=path.format(namespace=metadata["namespace"]),
            fetcher=fetcher,
            target="pod/speaker",
            count=100,
            summary="100 lines (100 INFO)",
            time_range=list(window),
            size_bytes=20_000,
            sha256=hashlib.sha256(path.encode()).hexdigest(),
            complete=True,
        )
        for fetcher, path in _PATHS
    ]
    manifest = Manifest(
        session_id="",
        investigation=InvestigationReference(namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"]),
        spec=InvestigationSpec.model_validate(SPEC).to_json(),
        window=window,
        phase="Completed",
        start_time=now,
        completion_time=now,
        operator_version=__version__,
        questions=3,
        headline="no cause found: 100 lines of pod/speaker, 5 events",
        artifacts=artifacts,
    )
    for digits in range(4, MAX_SESSION_ID_DIGITS):
        manifest = manifest.model_copy(update={"session_id": session_id(metadata["uid"], digits)})
        directory = layout.session(manifest.session_id)
        try:
            directory.mkdir()
        except FileExistsError:
            continue
        break
    content = manifest_bytes(manifest)
    layout.manifest(manifest.session_id).write_bytes(content)
    snapshot = Snapshot(manifest, str(directory), 3, 3, hashlib.sha256(content).hexdigest())
    status = of_snapshot(snapshot, metadata["generation"], {}, now)
    return status | {"operator": operator, "operatorTime": format_time(now)}
