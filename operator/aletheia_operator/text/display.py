"""Makes untrusted text safe to show on one line. Pure."""


def one_line(text: str, limit: int = 120) -> str:
    """Return `text` on one line of at most `limit` characters, without control characters, which could steer a terminal."""
    inert = "".join(c if c.isprintable() else " " for c in text[: limit * 2])
    short = " ".join(inert.split())
    return short if len(short) <= limit else short[: limit - 1] + "…"
