"""Sizes for people. Pure."""


def readable_size(size_bytes: int) -> str:
    """Such as 79.3Ki; the units of Kubernetes quantities."""
    size = float(size_bytes)
    for unit in ("", "Ki", "Mi", "Gi"):
        if size < 1024:
            return f"{size:.4g}{unit}"
        size /= 1024
    return f"{size:.4g}Ti"
