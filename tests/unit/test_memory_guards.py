"""Servers that refuse requests before they are out of memory, and warnings of which only the stack trace says so."""

import pytest

from aletheia_operator.findings.error_categories import category_of
from tests.unit.evidence import pod, running, workloads


def every_minute(*lines: str, since: int = 0) -> list[str]:
    """Return these lines once a minute, until the end of the window."""
    return [f"{minute} {line}" for minute in range(since, 60) for line in lines]


@pytest.mark.parametrize(
    "text",
    [
        "CircuitBreakingException: [parent] Data too large, data for [<http_request>] would be [1023481290/976mb]",
        'RequestError(429, "circuit_breaking_exception")',
        "DB::Exception: Memory limit (total) exceeded: would use 7.21 GiB",
        "Memory limit (for query) exceeded: would use 9.32 GiB",
        "root: memory budget exceeded: 10240 bytes requested, 134217728 currently allocated",
        "memory resource limit alarm set on node rabbit@mq-0.",
    ],
)
def test_a_guard_of_a_servers_memory_is_a_shortage_of_memory(text: str) -> None:
    """The server refuses the request before it is out of memory."""
    assert category_of(text) == "memory"


def test_a_warning_that_gives_no_reason_has_that_of_its_stack_trace() -> None:
    """So a search server that only warns is named before its client, which reports the error."""
    trace = (
        "org.opensearch.action.search.SearchPhaseExecutionException: all shards failed",
        "\tat org.opensearch.action.search.AbstractSearchAsyncAction.onPhaseFailure(AbstractSearchAsyncAction.java:782)",
        "Caused by: org.opensearch.common.breaker.CircuitBreakingException: [parent] Data too large, data for [<http_request>]",
    )
    incident = workloads("search")
    warned = every_minute("[2026-11-22T14:30:00,000][WARN ][r.suppressed] [search-0] path: /a/_search, params: {}", *trace)
    incident.log("search-1-a", *warned[4 * 30 :])
    api = pod("api-1-a", running(spec={"env": [{"name": "URL", "value": "http://search:9200"}]}), of="api-1")
    incident.add(api, of=("Deployment", "api"))
    incident.log(
        "api-1-a", *every_minute("ERROR TransportError(429, 'circuit_breaking_exception', 'Data too large')", since=30)
    )
    first, second = incident.judged().findings[:2]
    assert (first.subject.name, first.rule, second.subject.name, second.because) == ("search", "OutOfMemory", "api", first)


def test_a_warning_about_another_attempt_keeps_its_own_words() -> None:
    """The program goes on after the exception, however often it is logged."""
    lines = every_minute(
        "WARN reconnecting to the feed", "java.io.IOException: No space left on device", "\tat a.B.c(B.java:1)"
    )
    incident = workloads("web").log("web-1-a", *lines)
    assert incident.judged().findings == []
