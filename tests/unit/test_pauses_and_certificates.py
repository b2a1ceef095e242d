"""Long pauses of garbage collectors, and servers that present another certificate than their own."""

import pytest

from aletheia_operator.findings.error_categories import category_of
from tests.unit.evidence import Incident, found, pod, rules_of, running, workloads


@pytest.mark.parametrize(
    ("line", "long"),
    [
        ("[info][gc] GC(7) Pause Full (Ergonomics) 900M->890M(1024M) 1204.113ms", True),
        ("[info][gc] GC(7) Pause Young (Normal) 900M->90M(1024M) 104.113ms", False),
        ("[Full GC (Ergonomics) [PSYoungGen: 1K->1K(2K)] 3K->3K(4K), 2.0413340 secs]", True),
        ("1.5: GC pause (G1 Evacuation Pause) (young), 1.2041000 secs", True),
        ("Total time for which application threads were stopped: 2.3451 seconds", True),
        ("Total time for which application threads were stopped: 0.0451 seconds", False),
        ("[GC (Allocation Failure) 3K->3K(4K), 0.0413340 secs]", False),
        ("[1:0x5] 61221 ms: Mark-Compact 2046.1 (2082.2) -> 2045.9 (2083.0) MB, 1914.7 / 0.0 ms allocation failure", True),
        ("INFO GCInspector.java:294 - G1 Old Generation GC in 5102ms. G1 Old Gen: 1 -> 2", True),
        ("INFO GCInspector.java:294 - G1 Young Generation GC in 210ms. G1 Eden Space: 1 -> 0", False),
        ("WARN [gc][4711] overhead, spent [6.3s] collecting in the last [7s]", True),
        ("WARN Detected pause in JVM or host machine (e.g. GC): pause of approximately 4120ms", True),
        ("INFO GC took 12 ms", False),
        ("[info][gc] GC(31) Concurrent Mark Cycle 1812.345ms", False),
        ("[info][gc] GC(9) Pause Full (G1 Compaction Pause) 2M->1M(3M) 1999.113ms", True),
        ("[GC concurrent-mark-end, 12.3450000 secs]", False),
        ("[GC cleanup 3K->3K(4K), 1.2041000 secs]", True),
        ("[GC 3K->3K(4K), 2.0413340 secs]", True),
        ("INFO major GC took 2.5 s", True),
        ("INFO TTL GC took 2500 ms, 100 rows are deleted", False),
        ("INFO blob store: GC finished, took 15 s", False),
        ("INFO GC of container images took 12 s", False),
    ],
)
def test_which_pauses_are_long(line: str, long: bool) -> None:
    """A second or more, in the words of collectors of several languages."""
    assert (category_of(line) == "pauses") is long


@pytest.mark.parametrize(("every", "severity"), [(1, "error"), (4, "warning")])
def test_a_program_that_collects_for_seconds_explains_that_callers_wait(every: int, severity: str) -> None:
    """Though it reports its pauses at INFO. Often: at least one a minute."""
    incident = workloads("shop", "rates")
    pause = "INFO GCInspector.java:294 - G1 Old Generation GC in 4120ms. G1 Old Gen: 1 -> 2"
    incident.log("rates-1-a", *(f"{at} {pause}" for at in range(0, 60, every)))
    incident.log("shop-1-a", *(f"{at} ERROR no rate: http://rates:80/eur: read timed out" for at in range(60)))
    first = incident.judged().findings[0]
    assert (first.rule, first.severity, str(first.subject)) == ("CollectionPauses", severity, "deployment/rates")


def test_short_pauses_are_no_finding() -> None:
    """Nor other lines with the collector's name."""
    incident = Incident().add(pod("web-1-a", running()))
    lines = (f"{at} INFO GC in 40ms, GCS bucket is well" for at in range(60))
    of_store = (f"{at} INFO blob store: GC finished, took 15 s" for at in range(60))
    assert rules_of(incident.log("web-1-a", *lines, *of_store)) == []


@pytest.mark.parametrize(
    "said",
    [
        "WARN secret shop/edge-cert does not exist, falling back to the self-signed certificate",
        "ERROR cannot parse shop/edge-cert: no key. Serving the placeholder TLS keypair",
        "WARN secret shop/edge-cert not found, the default certificate will be used",
        "WARN no certificate for www.shop.io: presenting a built-in default cert",
    ],
)
def test_a_server_that_presents_another_certificate_is_blamed_for_refusals(said: str) -> None:
    """Its clients only say that they do not accept it."""
    incident = workloads("client", "edge")
    refused = "PUT https://www.shop.io: x509: certificate signed by unknown authority"
    incident.log("client-1-a", *(f"{at} ERROR {refused}" for at in range(60)))
    incident.log("edge-1-a", f"0.2 {said}", f"30 {said}")
    first, *others = incident.judged().findings
    assert (first.rule, str(first.subject), first.severity) == ("FallbackCertificate", "deployment/edge", "error")
    assert "(2x since 14:00, while client does not accept a certificate)" in first.message
    assert all(finding.because is first for finding in others if finding.severity != "info")


def test_such_a_server_is_not_blamed_for_another_one() -> None:
    """The client names a Service that is not the server's. Without a refusal it is no finding at all."""
    quiet = workloads("edge").log("edge-1-a", "1 WARN using the default certificate")
    assert "FallbackCertificate" not in rules_of(quiet)
    incident = workloads("client", "edge", "vault").log("edge-1-a", "1 WARN using the default certificate")
    refused = "x509: certificate is valid for a, not vault"
    incident.log("client-1-a", *(f"{at} ERROR GET https://vault:8200/v1: {refused}" for at in range(60)))
    assert "FallbackCertificate" not in rules_of(incident)


def test_writes_are_refused_while_a_cluster_elects_its_leader() -> None:
    """So what the cluster lacks leads, though its clients report errors too."""
    incident = workloads("shop", "db")
    incident.log("db-1-a", *(f"{at} ERROR DCS is not accessible" for at in range(30, 60)))
    refused = "cannot execute UPDATE in a read-only transaction"
    incident.log("shop-1-a", *(f"{at} ERROR not saved: {refused}" for at in range(31, 60)))
    assert incident.judged().findings[0].rule == "NoQuorum"
    assert found(incident, "ReadOnly").because is not None
