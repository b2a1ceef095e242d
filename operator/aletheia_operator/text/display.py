"""Foreign text made safe to show on one line. Pure."""


def one_line(text: str, limit: int = 120) -> str:
    """Text made inert and short: no control characters (they could move a terminal's cursor), at most `limit` long."""
    inert = "".join(c if c.isprintable() else " " for c in text[: limit * 2])
    short = " ".join(inert.split())
    return short if len(short) <= limit else short[: limit - 1] + "…"
