"""Links errors of several workloads: those that quote another's error, and statements that a database refuses. Pure.

The functions take the findings and the lines by workload and category of `findings.error_categories`.
"""

import re
from collections.abc import Mapping

from aletheia_operator.findings.category_lines import OF_CLIENTS, OWN, CategoryLines
from aletheia_operator.findings.database_lines import repeats_statement, without_place
from aletheia_operator.findings.finding import Finding, Subject

MOST_COMPARED = 100
LEAST_QUOTED = 30
"""Characters of an error that another workload's error may quote."""
_DIGITS = re.compile(r"\d+")


def link_quoted(findings: Mapping[tuple[Subject, str], Finding], texts: Mapping[tuple[Subject, str], str]) -> None:
    """Make an error that quotes another workload's error a consequence of it: programs repeat what they are answered.

    Not if the other workload may only refuse what it is asked for.
    """
    own = [(key, text) for key, text in texts.items() if key[1] in OWN and key[1] not in OF_CLIENTS]
    plain = {key: _plain(text) for key, text in own[:MOST_COMPARED]}
    for key, text in plain.items():
        for other, quoted in plain.items():
            if key[1] == other[1] and LEAST_QUOTED <= len(quoted) < len(text) and quoted in text:
                finding, cause = findings[key], findings[other]
                finding.callees |= {cause.subject.name}
                finding.depth = max(finding.depth, cause.depth + 1)


def link_statements(
    findings: Mapping[tuple[Subject, str], Finding], found: Mapping[tuple[Subject, str], CategoryLines]
) -> None:
    """Make a database's error about a statement a consequence of the same error of a client: the client asked for it.

    Not if it lacks something itself, as memory: then the client only repeats its answer.
    """
    statements = [
        (key, lines)
        for key, lines in found.items()
        if key[1] not in OWN and all(repeats_statement(template) for template, _ in lines.places)
    ]
    for (database, category), lines in statements[:MOST_COMPARED]:
        words = _plain(without_place(lines.example))
        clients = [
            findings[subject, of]
            for (subject, of), others in found.items()
            if of == category and subject != database and any(words in text for text in map(_plain, others.examples))
        ]
        if clients:
            finding = findings[database, category]
            finding.callees |= {client.subject.name for client in clients}
            finding.depth = max(finding.depth, 1 + max(client.depth for client in clients))


def _plain(text: str) -> str:
    """Return an error in the form in which errors are compared."""
    return _DIGITS.sub("0", text.strip())
