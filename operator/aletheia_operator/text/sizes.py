"""Formats sizes and counts for people. Pure."""


def readable_size(size_bytes: int) -> str:
    """Return a size with a unit of Kubernetes quantities, for example 79.3Ki."""
    size = float(size_bytes)
    for unit in ("", "Ki", "Mi", "Gi"):
        if size < 1024:
            return f"{size:.4g}{unit}"
        size /= 1024
    return f"{size:.4g}Ti"


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, which gets an `s` unless the number is 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
