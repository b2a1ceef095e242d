"""Faults by the logs of public reports: what the first finding says, and that it says it because of these lines."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.evidence import Incident, ended, pod, running, waiting

REPORTED: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parents[1] / "data" / "reported_faults.yaml").read_text())
BROKEN = [name for name, fault in REPORTED.items() if "cause" in fault]
UNKNOWN = {
    "collector-settings": "the line about the settings has no reason, so the missing file is reported",
    "consumer-leaves": "the warning beside the error has the setting",
    "sas": "the right line, with other words than were written before",
    "shared-memory": "reported as killed processes, by the line before",
    "sip": "the notice beside the warning has the reason",
    "too-large": "the right line, with other words than were written before",
    "snmp": "errors that a program logs as INFO are not read",
    "two-versions": "the right line, with other words than were written before",
}
"""Faults of which the first finding does not say the cause, and why."""


def incident(name: str) -> Incident:
    """Return a workload that logs these lines, and ends or runs."""
    fault = REPORTED[name]
    lines = fault["log"].rstrip("\n").split("\n")
    if "exit" in fault:
        crashed = waiting("CrashLoopBackOff", restarts=4, last=ended(fault["exit"]))
        return Incident().add(pod("web-1-a", crashed)).log("web-1-a", *(f"28 {line}" for line in lines), run=4)
    minutes = range(30 if name in BROKEN else 1, 60)
    repeated = (
        f"{minute} {line.replace('{n}', str(minute)).replace('{m}', str(minute * 7))}" for minute in minutes for line in lines
    )
    return Incident().add(pod("web-1-a", running())).log("web-1-a", *repeated)


@pytest.mark.parametrize("name", BROKEN)
def test_the_first_finding_says_the_cause(name: str) -> None:
    """It has the words that a person would point at, and goes or changes without the lines that it cites."""
    broken = incident(name)
    findings = broken.judged().findings
    if not findings:
        assert name in UNKNOWN
        return
    first = findings[0]
    told = first.severity != "info" and re.search(REPORTED[name]["cause"], first.message, re.IGNORECASE)
    assert bool(told) is (name not in UNKNOWN), first.message
    cited: dict[str, set[int]] = {}
    for link in first.links:
        cited.setdefault(link.artifact.path, set()).add(link.entry)
    again = broken.without(cited).judged().findings
    assert not any((finding.rule, finding.message) == (first.rule, first.message) for finding in again)


@pytest.mark.parametrize("name", [name for name in REPORTED if name not in BROKEN])
def test_normal_operation_is_quiet(name: str) -> None:
    """No finding is above info."""
    findings = incident(name).judged().findings
    assert [finding.message for finding in findings if finding.severity != "info"] == []
