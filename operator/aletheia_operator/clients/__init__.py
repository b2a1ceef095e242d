"""The only makers of Kubernetes and HTTP clients: identity, timeouts, caps, and no credentials across redirects."""

import sys
from importlib.util import find_spec, module_from_spec


def _import_parts_alone(package: str, part: str) -> None:
    """Let modules of the official client be imported without its packages, which import more: OAuth, WebSockets, urllib3.

    An unexecuted package has a path, so its modules are found. Does nothing if it was imported, or is not installed.
    """
    if package in sys.modules or (outer := find_spec(package)) is None:
        return
    sys.modules[package] = module_from_spec(outer)
    if (inner := find_spec(f"{package}.{part}")) is not None:
        sys.modules[f"{package}.{part}"] = module_from_spec(inner)
        setattr(sys.modules[package], part, sys.modules[f"{package}.{part}"])


_import_parts_alone("kubernetes", "aio")
