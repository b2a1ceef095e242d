"""Formats sizes, durations and counts for people. Pure."""


def readable_size(size_bytes: int) -> str:
    """Return a size with a unit of Kubernetes quantities, for example 79.3Ki."""
    size = float(size_bytes)
    for unit in ("", "Ki", "Mi", "Gi"):
        if size < 1024:
            return f"{size:.4g}{unit}"
        size /= 1024
    return f"{size:.4g}Ti"


def readable_duration(seconds: float) -> str:
    """Format a duration: in its largest unit, with seconds added below ten minutes."""
    left = max(0, int(seconds))
    if left < 120:
        return f"{left}s"
    if left < 600:
        return f"{left // 60}m{left % 60}s" if left % 60 else f"{left // 60}m"
    if left < 3 * 3600:
        return f"{left // 60}m"
    if left < 2 * 86_400:
        return f"{left // 3600}h"
    return f"{left // 86_400}d"


def counted(number: int, noun: str, form: str = "") -> str:
    """Return a number and its noun, for example: 1 entry, 3 entries. `noun`: for one. `form`: of the number; ',': 12,400."""
    if number != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:{form}} {noun}"
