"""What the session volume knows of itself (`volume.json`): its own id, and the cluster that its sessions are of."""

from uuid import uuid4

import orjson
from pydantic import ValidationError

from aletheia_operator.api.types import Model
from aletheia_operator.session.files import make_directory, replace
from aletheia_operator.session.layout import SessionLayout


class Volume(Model):
    """The volume's own record."""

    id: str
    cluster: str | None = None
    """Uid of the namespace kube-system, which is a cluster's own; None until it was looked up."""


def open_volume(layout: SessionLayout) -> Volume:
    """The volume's record, which is made if there is none. Raises OSError, also for a record that cannot be read."""
    try:
        return Volume.model_validate_json(layout.volume.read_bytes())
    except FileNotFoundError:
        return _write(layout, Volume(id=str(uuid4())))
    except ValidationError as e:
        raise OSError(f"{layout.volume} is damaged: delete it if its sessions are of this cluster") from e


def bind_volume(layout: SessionLayout, cluster: str) -> Volume:
    """Note the cluster, if none was noted before; the record as it is then. Raises OSError."""
    volume = open_volume(layout)
    return volume if volume.cluster else _write(layout, volume.model_copy(update={"cluster": cluster}))


def rebind_volume(layout: SessionLayout, cluster: str) -> Volume:
    """Note another cluster than before; the record as it is then. Raises OSError."""
    return _write(layout, open_volume(layout).model_copy(update={"cluster": cluster}))


def _write(layout: SessionLayout, volume: Volume) -> Volume:
    make_directory(layout.volume.parent)
    replace(layout.volume, orjson.dumps(volume.to_json(), option=orjson.OPT_APPEND_NEWLINE))
    return volume
