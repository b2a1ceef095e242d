"""The version of this package. In a separate module, because `importlib.metadata` takes 7 MB, which log parsers save."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("aletheia-operator")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
