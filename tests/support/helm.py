"""Finds the helm program."""

import os
import shutil
from pathlib import Path


def find_helm() -> str | None:
    """Return the path of helm: $ALETHEIA_HELM, the helm that the test cluster builds, or that on the PATH."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = Path(os.environ.get("ALETHEIA_CACHE") or caches / "aletheia-operator") / "bin" / "helm"
    return os.environ.get("ALETHEIA_HELM") or (str(built) if built.is_file() else shutil.which("helm"))
