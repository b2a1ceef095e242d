"""The record about the session volume (`volume.json`): its id, and the cluster that its sessions belong to."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import orjson
from pydantic import ValidationError

from aletheia_operator.api.types import Model
from aletheia_operator.session.files import make_directory, replace
from aletheia_operator.session.layout import SessionLayout
from aletheia_operator.session.lock import unlock

MAX_OPERATORS = 100


class Volume(Model):
    """The record about the volume."""

    id: str
    cluster: str | None = None
    """Uid of the namespace kube-system, which identifies a cluster. None: not looked up yet."""
    operators: tuple[str, ...] = ()
    """Identities of the operators that worked on this volume, the latest last."""


def open_volume(layout: SessionLayout) -> Volume:
    """Return the volume's record, made if there is none. Raises OSError, also for a record that cannot be read."""
    return _read(layout) or _change(layout)


def bind_volume(layout: SessionLayout, cluster: str) -> Volume:
    """Record the cluster, unless one was recorded before. Returns the record. Raises OSError."""
    volume = open_volume(layout)
    return volume if volume.cluster else _change(layout, cluster=cluster)


def rebind_volume(layout: SessionLayout, cluster: str) -> Volume:
    """Record another cluster than before. Returns the record. Raises OSError."""
    return _change(layout, cluster=cluster)


def record_operator(layout: SessionLayout, identity: str) -> Volume:
    """Record an operator that works on this volume. Returns the record. Raises OSError."""
    volume = open_volume(layout)
    return volume if volume.operators[-1:] == (identity,) else _change(layout, operator=identity)


def free_bytes(layout: SessionLayout) -> int:
    """Return how many bytes unprivileged processes may still write to the volume. Raises OSError."""
    found = os.statvfs(layout.root)
    return found.f_bavail * found.f_frsize


def usable_bytes(layout: SessionLayout, at_most: int | None) -> int | None:
    """Return the size of the session volume: of its file system, or `at_most` if that is less. Raises OSError.

    None: the file system reports no size, and `at_most` is None.
    """
    found = os.statvfs(layout.root)
    size = found.f_blocks * found.f_frsize
    return min((limit for limit in (size, at_most) if limit), default=None)


def _read(layout: SessionLayout) -> Volume | None:
    try:
        return Volume.model_validate_json(layout.volume.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as e:
        raise OSError(f"{layout.volume} is damaged: delete it if its sessions are of this cluster") from e


def _change(layout: SessionLayout, operator: str | None = None, **changes: str) -> Volume:
    """Change the record, or make it, under a lock: processes that start at once must get the same id."""
    with locked_volume(layout):
        before = _read(layout)
        after = (before or Volume(id=str(uuid4()))).model_copy(update=changes)
        if operator is not None:
            others = [other for other in after.operators if other != operator]
            after = after.model_copy(update={"operators": (*others, operator)[-MAX_OPERATORS:]})
        if after != before:
            replace(layout.volume, orjson.dumps(after.to_json(), option=orjson.OPT_APPEND_NEWLINE))
        return after


@contextmanager
def locked_volume(layout: SessionLayout) -> Iterator[None]:
    """Lock the volume's root within the context, and make it if there is none. Waits for other processes and threads."""
    make_directory(layout.root)
    descriptor = os.open(layout.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        unlock(descriptor)
