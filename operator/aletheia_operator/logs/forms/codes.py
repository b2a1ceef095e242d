"""Codes of messages that state a severity: IBM's `IEF450I`, OpenVMS' `%RMS-E-FNF`, Cisco's `%LINK-3-UPDOWN` and its like.

IBM's and OpenVMS' codes count only at the head of a line: at its beginning, or behind times and the number of a job.
"""

import re

from aletheia_operator.logs.forms.recognised import HEAD_LENGTH, Recognised, named
from aletheia_operator.logs.levels import LETTERS, SYSLOG

_IBM = re.compile(
    r"[A-Z]{3}[A-Z\d]{0,2}\d{3,5}(?:([EWIS])(?:(?<=\d{4}[EWIS]): "
    r"| {1,12}(?!(?:is|are|was|were|has|have|and|or|of|in|for|from|with|to) )(?=\S{1,60}(?: {1,20}\S|,\S)))"
    r"|-([EWISU]) (?=\S))"
)
_BEFORE = re.compile(
    r"(?:\d[\d:./T-]{7,30}Z? {1,3}){1,2}(?:(?:JOB|STC|TSU)\d{5,7} {1,3})?(?=[A-Z]{3}[A-Z\d]{0,2}\d{3,5}[EWIS-])"
)
_VMS = re.compile(r"[%-][A-Z][A-Z\d$_]{1,30}-([SIWEF])-[A-Z][A-Z\d$_]{1,30}, (?=\S)")
_CISCO = re.compile(  # Cisco, Huawei, H3C
    r"%[A-Z][A-Z0-9_-]{1,60}?-([0-7])-[A-Z0-9_]{2,60} ?:"
    r"|(?:[ \]]|%%\d\d)[A-Z][A-Z0-9_]{1,40}/([0-7])/[A-Z][A-Z0-9_]{2,60}(?:\(\w{1,3}\))?(?:\[\d{1,9}\])?: ?"
)
_INGRES = re.compile(r" ([EWI])_[A-Z]{2}[0-9A-F]{4}(?:_[A-Z\d_]{1,60})?(?=\s)")
_SLASHED = re.compile(r"/[0-7]/[A-Z]")
_OF_IBM = {"S": "FATAL", "U": "FATAL"}  # severe, unrecoverable


def read_ibm(line: str) -> Recognised | None:
    """Read the code of a message of IBM's programs at the line's beginning."""
    if match := _IBM.match(line, 0, HEAD_LENGTH):
        letter = match[1] or match[2]
        return named(_OF_IBM.get(letter) or LETTERS[letter], line[match.end() :])
    return None


def read_timed_ibm(line: str) -> Recognised | None:
    """Read the same behind a time, and behind the number of a job of JES."""
    if before := _BEFORE.match(line, 0, HEAD_LENGTH):
        found = read_ibm(line[before.end() :])
        return found and named(found.level, found.message, time=before[0].split(" ")[0])
    return None


def read_vms(line: str) -> Recognised | None:
    """Read a message of OpenVMS."""
    if match := _VMS.match(line, 0, HEAD_LENGTH):
        level = "INFO" if match[1] == "S" else LETTERS[match[1]]  # S is success
        return named(level, line[match.end() :])
    return None


def read_network_code(line: str, window: int) -> Recognised | None:
    """Read a code of network equipment with syslog's severity, or of Ingres, anywhere in the first `window` characters."""
    if ("%" in line or ("/" in line and _SLASHED.search(line, 0, window))) and (found := _CISCO.search(line, 0, window)):
        return named(SYSLOG[int(found[1] or found[2])], line[found.end() :].lstrip())
    if "_" in line[:window] and (found := _INGRES.search(line, 0, window)):
        return named(LETTERS[found[1]], line[found.end() :].lstrip())
    return None
