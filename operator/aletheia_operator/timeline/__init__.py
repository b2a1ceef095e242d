"""Makes the timeline of a session from its artifacts. No I/O."""

from aletheia_operator.timeline.timeline import Reader, Timeline

__all__ = ["Reader", "Timeline"]
