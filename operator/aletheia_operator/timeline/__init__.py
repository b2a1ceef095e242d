"""What a person reads first of a session. Made of its artifacts; no I/O."""

from aletheia_operator.timeline.timeline import Reader, Timeline

__all__ = ["Reader", "Timeline"]
