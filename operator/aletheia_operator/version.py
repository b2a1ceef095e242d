"""The version of this package. A separate module, because `importlib.metadata` takes 7 MB, which parsers do not need."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("aletheia-operator")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
