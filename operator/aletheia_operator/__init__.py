"""The flight recorder for Kubernetes incidents: an in-cluster operator that captures evidence before it is lost."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("aletheia-operator")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
