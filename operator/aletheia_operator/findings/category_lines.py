"""A workload's log lines of one category of `findings.error_categories`. Pure."""

from dataclasses import dataclass, field

from aletheia_operator.findings.case import seconds_between
from aletheia_operator.findings.reason_lines import calls_itself_warning, gives_reason, is_statement
from aletheia_operator.findings.templates import Place, Template
from aletheia_operator.text.batches import SERIOUS

PERSISTENT = 10
"""Least number of warnings, or of lines without a level that name an error, that are a problem while they go on."""
PAUSES_PER_MINUTE = 1.0
"""Long pauses per minute and pod from which on a program does little else than to collect garbage."""
OWN = frozenset(
    {
        "connections",
        "overload",
        "memory",
        "pauses",
        "workers",
        "processes",
        "disk",
        "files",
        "clock",
        "readonly",
        "corrupt",
        "certificate",
    }
)
"""Categories that are never the fault of a program's clients."""
OF_CLIENTS = frozenset({"missing", "permission", "credentials", "limited", "certificate", "absent"})
"""Categories of lines that may report what a client asked for."""
_DAMAGE = frozenset({"workers", "corrupt", "pauses"})
"""Categories of lines that report an error in any words."""


@dataclass
class CategoryLines:
    """A workload's lines of one category."""

    count: int = 0
    places: list[tuple[Template, Place]] = field(default_factory=list)

    @property
    def first(self) -> Place:
        return min((place for _, place in self.places), key=lambda place: place.first)

    @property
    def last(self) -> str:
        return max(place.last for _, place in self.places)

    @property
    def example(self) -> str:
        return max(self.places, key=lambda place: (place[0].level in SERIOUS, place[1].count))[0].example

    @property
    def examples(self) -> set[str]:
        """One line of each template."""
        return {template.example for template, _ in self.places}

    @property
    def serious(self) -> bool:
        return any(template.level in SERIOUS for template, _ in self.places)

    @property
    def hosts(self) -> set[str]:
        return {host for _, place in self.places for host in place.peers}

    @property
    def persistent(self) -> bool:
        """Whether many lines without a level name an error, or many warnings name a resource that the program lacks."""
        counts = (
            place.count
            for template, place in self.places
            if (not template.level and (template.category in _DAMAGE or _reports(template.example)))
            or (template.level == "WARN" and template.category in OWN)
        )
        return sum(counts) >= PERSISTENT

    @property
    def pauses_often(self) -> bool:
        """Whether a garbage collector stops the program again and again."""
        minutes = (seconds_between(self.first.first, self.last) or 0.0) / 60.0
        of_pods = sum(place.count for template, place in self.places if template.category == "pauses")
        return of_pods > 0 and of_pods >= PAUSES_PER_MINUTE * minutes * len({place.pod for _, place in self.places})

    def add(self, template: Template, place: Place) -> None:
        self.count += place.count
        self.places.append((template, place))


def _reports(text: str) -> bool:
    """Return whether a line without a level reports an error, and is no SQL statement or warning with such words."""
    return gives_reason(text) and not is_statement(text) and not calls_itself_warning(text)
