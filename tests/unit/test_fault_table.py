"""Tests over recorded sessions of a real cluster, and over written ones: verdict, links, mutation, noise, quiet."""

import json

import pytest

from tests.support.fault_table import Fault, faults, recordings, written
from tests.unit.recorded import recording

MADE, WRITTEN = faults(), written()
TABLE = {fault.name: fault for fault in (*MADE, *WRITTEN) if fault.name in recordings()}
BROKEN = [name for name, fault in TABLE.items() if fault.objects]
HEALTHY = [name for name, fault in TABLE.items() if not fault.objects]
WHOLE_PARTS = 2
LATER: dict[str, str] = {}
"""Faults of which the first finding is a consequence of the cause, with the reason. The cause is among the first three."""


def cited_by(name: str) -> dict[str, set[int]]:
    """The entries that the first finding cites, by path."""
    found: dict[str, set[int]] = {}
    for link in recording(name).judged().findings[0].links:
        found.setdefault(link.artifact.path, set()).add(link.entry)
    return found


def test_the_table_is_whole() -> None:
    """At least thirty faults and ten healthy workloads have a session; so have all written ones, and some of later parts."""
    assert set(TABLE) == set(recordings()) >= {fault.name for fault in MADE if fault.part <= WHOLE_PARTS}
    assert set(TABLE) >= {fault.name for fault in WRITTEN}
    assert len(MADE) + len(WRITTEN) == len({fault.name for fault in (*MADE, *WRITTEN)})
    assert len(BROKEN) >= 30
    assert len(HEALTHY) >= 10
    assert len(LATER) <= 0.1 * len(BROKEN)


@pytest.mark.parametrize("name", BROKEN)
def test_the_first_finding_names_the_faulty_object_and_the_true_cause(name: str) -> None:
    """In nine of ten; the others have it among the first three."""
    fault: Fault = TABLE[name]
    findings = recording(name).findings()
    place = fault.place(findings)
    assert place is not None, [finding["message"] for finding in findings]
    assert place <= (3 if name in LATER else 1), [finding["message"] for finding in findings[:place]]


@pytest.mark.parametrize("name", TABLE)
def test_every_link_resolves_to_an_entry_about_the_finding(name: str) -> None:
    """The entry is there, and it or its artifact names the object, one of its pods, or what it calls."""
    session = recording(name)
    for finding in session.judged().findings:
        assert finding.links, finding.message
        for link in finding.links:
            entry = json.dumps(session.artifacts[link.artifact.path]["data"][link.entry]) + link.artifact.path
            caller = str(finding.details.get("caller") or finding.subject.name)
            names = {finding.subject.name, caller, *finding.pods, *finding.nodes, *finding.callees}
            assert any(name in entry for name in names), (finding.message, entry[:500])


@pytest.mark.parametrize("name", BROKEN)
def test_without_the_entries_that_it_cites_the_first_finding_goes_or_changes(name: str) -> None:
    """No finding says the same without its evidence."""
    first = recording(name).findings()[0]
    again = recording(name).without(cited_by(name)).findings()
    assert not any((finding["rule"], finding["message"]) == (first["rule"], first["message"]) for finding in again)


@pytest.mark.parametrize("name", TABLE)
def test_noise_does_not_move_the_verdict(name: str) -> None:
    """Among 500 unrelated events, pods and error lines the first finding is the same; a healthy workload's is no worse."""
    before, after = recording(name).findings(), recording(name).with_noise().findings()
    if name in BROKEN:
        assert (after[0]["rule"], after[0]["message"]) == (before[0]["rule"], before[0]["message"])
    else:
        assert [finding["message"] for finding in after if finding["severity"] != "info"] == []


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_workloads_are_quiet(name: str) -> None:
    """No finding is above info, and the headline says what was looked at."""
    verdict = recording(name).judged()
    assert [(finding.rule, finding.message) for finding in verdict.findings if finding.severity != "info"] == []
    assert verdict.headline.startswith(("no trouble found:", "no cause found in"))
