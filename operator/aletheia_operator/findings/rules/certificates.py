"""Rule for servers that present a default or self-signed certificate in place of their own.

Reads the findings of other rules.
"""

import re
from collections.abc import Iterator, Sequence

from aletheia_operator.findings.calls import Callees
from aletheia_operator.findings.case import Case, clock
from aletheia_operator.findings.excerpts import excerpt
from aletheia_operator.findings.finding import Finding, Subject
from aletheia_operator.findings.templates import Place, Template

MAX_QUOTED = 150
_FALLBACK = re.compile(
    r"\b(?:us(?:e[sd]?|ing)|serv(?:e[sd]?|ing)|present(?:s|ed|ing)?|generat(?:e[sd]?|ing)|fall(?:s|ing)? back (?:to|on)"
    r"|fell back (?:to|on)|creat(?:e[sd]?|ing)|with|continu(?:es|ing) with|revert(?:s|ed|ing)? to)"
    r" (?:an? |the |its |our )?(?:\w{1,20} )?(?:default|fall-?back|self-?signed|fake|dummy|placeholder"
    r"|temporary|snake-?oil|built-?in)"
    r" (?:\w{1,20} ){0,2}(?:certificate|cert|keypair|TLS)\b"
    r"|\b(?:default|fall-?back|fake|self-?signed|placeholder) cert(?:ificate)?"
    r" (?:will be|is being|is|was) (?:used|served|presented)\b",
    re.IGNORECASE,
)
_OTHER_CERTIFICATE = re.compile(
    r"valid for|self[- ]signed|unknown (?:authority|ca|issuer)|match|altname|alternative|unable to (?:get|verify)|PKIX"
    r"|verify failed|not trusted|hostname|unknown_ca|expired",
    re.IGNORECASE,
)
"""Words of a client that was presented with the certificate of another name or issuer."""


def fallback_certificates(case: Case, found: Sequence[Finding]) -> Iterator[Finding]:
    """Yield the servers that say so, if clients do not accept a certificate of theirs. `found`: all findings."""
    refused = [
        finding
        for finding in found
        if finding.rule == "CertificateInvalid" and finding.severity != "info" and _OTHER_CERTIFICATE.search(finding.message)
    ]
    servers = _servers(case) if refused else {}
    if not servers:
        return
    callees = Callees(case)
    for server, (template, place, count) in servers.items():
        clients = [finding for finding in refused if finding.subject != server and _may_call(case, callees, finding, server)]
        if not clients:
            continue
        for finding in clients:
            finding.callees |= {server.name}
        yield Finding(
            rule="FallbackCertificate",
            severity="error",
            confidence="likely",
            subject=server,
            message=f"{server.name}: {excerpt(template.example, MAX_QUOTED)}"
            f" ({count}x since {clock(place.first)}, while {clients[0].subject.name} does not accept a certificate)",
            depth=11,
            first_seen=place.first,
            links=(place.link, *clients[0].links[:1]),
            pods=frozenset([place.pod]),
            details={"count": count, "caller": clients[0].subject.name},
        )


def _servers(case: Case) -> dict[Subject, tuple[Template, Place, int]]:
    """Return the first line of each workload that says so, and the number of such lines."""
    servers: dict[Subject, tuple[Template, Place, int]] = {}
    for template in case.evidence.logs.templates.by_shape.values():
        if not _FALLBACK.search(template.example):
            continue
        for place in template.places.values():
            subject = case.workload_of_pod(place.pod)
            known = servers.get(subject, (template, place, 0))
            first = known if known[1].first <= place.first else (template, place, 0)
            servers[subject] = (first[0], first[1], known[2] + place.count)
    return servers


def _may_call(case: Case, callees: Callees, refused: Finding, server: Subject) -> bool:
    """Return whether a client may have called this server: no error of the client names another known Service."""
    for template in case.evidence.logs.templates.by_shape.values():
        for place in template.places.values() if template.category == "certificate" else ():
            if place.pod in refused.pods:
                services = {callees.service(host) for host in place.peers}
                if any(callees.exists(name) and server not in callees.behind(name) for name in services):
                    return False
    return True
