"""Dates and times, in the spellings of logs."""

import re

CLOCK = r"\d{1,2}:\d\d(?::\d\d)?"
DATE = (
    r"(?:\d{4}[-/.]\d\d[-/.]\d\d|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{4} [A-Z][a-z]{2} \d{1,2}"
    r"|(?:\d{1,2}[-/ ])?[A-Z][a-z]{2,8}[-/ ] ?\d{1,4}(?:, \d{4})?)"
)
TIME = re.compile(
    rf"(?=[\dA-Z])(?:(?<!\d)(?:{DATE}[T ,:_-]{{1,2}})?(?<!\d){CLOCK}(?:(?<=\d\d:\d\d:\d\d)|(?<=\d:\d\d:\d\d)|(?= ?[AP]M))"
    r"(?:[.,:]\d{1,9})?(?: ?[AP]M\b)?"
    r"(?:Z| ?[+-]\d\d:?\d\d(?!\d)| [+-]\d\d(?= )| (?:UTC|GMT)\b(?: [+-]\d{4}\b)?| [A-Z]{3,4}(?= \d{4}))?(?: \d{4}(?=[\s\]]))?"
    r"|\d{8}[-_.T]\d{6}(?:\.\d{1,9})?Z?"
    r"|(?<!\d)20\d{12}(?:\d{3}|\.\d{1,9})?(?!\d)|(?<!\d)1\d{9}(?:\d{3}|\.\d{1,9})?(?!\d)|\d{1,9}\.\d{3,6}(?=[\]s]))"
)
NEAR_TIME = re.compile(rf"[^\n]{{0,24}}?(?:{DATE}[T\s,]{{1,2}})?{CLOCK}:\d\d")
"""A time close to the beginning of a text."""
