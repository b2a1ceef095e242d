"""Finds the helm program."""

import os
import shutil
from pathlib import Path


def find_helm() -> str | None:
    """Path of helm: $ALETHEIA_HELM, the one that the test cluster builds, or the one on the PATH."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = Path(os.environ.get("ALETHEIA_CACHE") or caches / "aletheia-operator") / "bin" / "helm"
    return os.environ.get("ALETHEIA_HELM") or (str(built) if built.is_file() else shutil.which("helm"))
