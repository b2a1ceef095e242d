"""Formats times: as the time of day on a terminal, in full elsewhere. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """`has_days`: the window spans several days, so each time has its day. `whole`: times are shown in full."""

    has_days: bool = False
    whole: bool = False

    @classmethod
    def of(cls, window: tuple[str, str], whole: bool) -> "Times":
        """Return the form of times for a window."""
        return cls(window[0][:10] != window[1][:10], whole)

    def __call__(self, stamp: object) -> str:
        """Return a time to the second; `-` for None."""
        text = str(stamp or "-")
        if self.whole or text[10:11] != "T":
            return text[:40]
        return f"{text[5:10]} {text[11:19]}" if self.has_days else text[11:19]

    def fine(self, stamp: object) -> str:
        """Return a time to the millisecond."""
        text = str(stamp or "")
        if self.whole:
            return text or "-"
        fraction = text[20:23] if text[19:20] == "." else ""
        shown = f"{self(text)}.{fraction.rstrip('Z').ljust(3, '0')}" if text else "-"
        return shown.ljust(18 if self.has_days else 12)
