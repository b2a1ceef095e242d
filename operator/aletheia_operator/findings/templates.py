"""Groups log lines into templates: lines that differ only in words with digits have the same template. Pure, bounded."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from aletheia_operator.api.expressions import compiled_once
from aletheia_operator.findings.error_categories import CALLS, MAX_TEXT, category_of, peer_of
from aletheia_operator.findings.finding import Link
from aletheia_operator.text.batches import SERIOUS

MAX_TEMPLATES = 1_000
MAX_PLACES = 200  # containers of a template that are counted separately
MAX_SHAPE = 300  # characters of a line that its template is derived from
MAX_CACHED = 4_096
BUCKETS = 24  # equal parts of the window, for the histogram of a template
BEGINNING = 2  # parts of the window that are its beginning
PEERS_OF_ERRORS = 3  # likewise, of other errors
PEERS_LOOKED_FOR = 20  # lines of a template and container that are searched for hosts
_DIGITS = str.maketrans("123456789", "000000000")
SIMILAR = 0.7  # least share of equal words of two templates that are shown as one


_varying = compiled_once(r"[\w.-]*\d[\w.-]*|\b[0-9a-f]{8,}\b|'[^']{40,}'|\"[^\"]{40,}\"")


def shape_of(text: str) -> str:
    """Return the template of a line: `#` stands for each word with a digit."""
    return " ".join(_varying().sub("#", text[:MAX_SHAPE]).split())


def began(histogram: Sequence[int]) -> bool:
    """Return whether there are lines in the beginning of the window. `histogram`: of a template."""
    return any(histogram[:BEGINNING])


def is_steady(histogram: Sequence[int]) -> bool:
    """Return whether lines began with the window, and are not more frequent in its second half. `histogram`: of a template."""
    half = BUCKETS // 2
    return began(histogram) and sum(histogram[half:]) <= 1.5 * sum(histogram[:half])


@dataclass
class Place:
    """Lines of a template in one container."""

    pod: str
    container: str
    link: Link
    first: str
    last: str
    count: int = 0
    peers: dict[str, int] = field(default_factory=dict)
    """Hosts that do not answer according to the lines, with the number of lines."""
    runs: set[int] = field(default_factory=set)

    @property
    def peer(self) -> str:
        """The host that most lines are about; '' if none names one."""
        return max(self.peers, key=lambda peer: self.peers[peer], default="")


@dataclass
class Template:
    """Lines with the same template. `level`: '' if they have none."""

    shape: str
    level: str
    category: str
    example: str
    line: str = ""
    """The example with its logger and fields."""
    trace_id: str = ""
    count: int = 0
    places: dict[tuple[str, str], Place] = field(default_factory=dict)
    histogram: list[int] = field(default_factory=lambda: [0] * BUCKETS)

    @property
    def first(self) -> Place:
        """The place of the first line."""
        return min(self.places.values(), key=lambda place: place.first)

    @property
    def last(self) -> str:
        return max(place.last for place in self.places.values())

    @property
    def pods(self) -> set[str]:
        return {place.pod for place in self.places.values()}


@dataclass
class Templates:
    """The templates of one artifact, or of several."""

    by_shape: dict[tuple[str, str], Template] = field(default_factory=dict)
    left_out: int = 0
    """Number of lines that are not counted, because there were too many templates, or too many containers of one."""
    _shapes: dict[str, str] = field(default_factory=dict)

    def add(
        self, text: str, level: str, place: tuple[str, str], run: int, stamp: str, link: Link, bucket: int, line: str = ""
    ) -> Template | None:
        """Count a line. Returns its template; None if there are too many templates.

        `place`: pod and container; `line`: the whole line, in which hosts are looked for if `text` names none.
        """
        key = text[:MAX_SHAPE].translate(_DIGITS)
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) >= MAX_CACHED:
                self._shapes.clear()
            shape = self._shapes[key] = shape_of(text)
        template = self.by_shape.get((shape, level))
        if template is None:
            if len(self.by_shape) >= MAX_TEMPLATES:
                self.left_out += 1
                return None
            template = self.by_shape[shape, level] = Template(shape, level, category_of(text), text[:MAX_TEXT], line[:MAX_TEXT])
        found = template.places.get(place)
        if found is None:
            if len(template.places) >= MAX_PLACES:
                self.left_out += 1
                return template
            found = template.places[place] = Place(*place, link, stamp, stamp)
        template.count += 1
        template.histogram[bucket] += 1
        found.count += 1
        found.last = max(found.last, stamp)
        if len(found.runs) < 20:
            found.runs.add(run)
        looked_at = PEERS_LOOKED_FOR if template.category in CALLS else PEERS_OF_ERRORS if level in SERIOUS else 0
        if found.count <= looked_at and (peer := peer_of(text) or peer_of(line)):
            found.peers[peer] = found.peers.get(peer, 0) + 1
        return template

    def errors(self) -> list[Template]:
        """Return the templates of errors that have words. Lines that frame a banner have none."""
        serious = (template for template in self.by_shape.values() if template.level in SERIOUS)
        return [template for template in serious if any(map(str.isalpha, template.example))]

    @staticmethod
    def count_again(template: Template, place: Place, stamp: str, bucket: int, count: int) -> None:
        """Count more lines of a template in a container. `stamp`: of the last of them."""
        template.count += count
        template.histogram[bucket] += count
        place.count += count
        if stamp > place.last:
            place.last = stamp

    def merge(self, other: "Templates") -> None:
        """Add the templates of another artifact."""
        self.left_out += other.left_out
        for key, template in other.by_shape.items():
            known = self.by_shape.get(key)
            if known is None:
                if len(self.by_shape) >= MAX_TEMPLATES:
                    self.left_out += template.count
                    continue
                self.by_shape[key] = template
                continue
            known.count += template.count
            known.trace_id = known.trace_id or template.trace_id
            known.histogram = [a + b for a, b in zip(known.histogram, template.histogram, strict=True)]
            for place, found in template.places.items():
                if place in known.places or len(known.places) < MAX_PLACES:
                    known.places.setdefault(place, found)
                else:
                    self.left_out += found.count


def alike(shape: str, other: str) -> bool:
    """Return whether two templates are variants: same number of words, same first word, and most other words equal."""
    words, others = shape.split(), other.split()
    if len(words) != len(others) or not words or words[0] != others[0]:
        return False
    return sum(a == b for a, b in zip(words, others, strict=True)) / len(words) >= SIMILAR


def grouped(templates: Iterable[Template]) -> list[list[Template]]:
    """Group templates that are variants of each other, the most frequent group first."""
    groups: dict[tuple[int, str, str], list[list[Template]]] = {}
    for template in sorted(templates, key=lambda template: (-template.count, template.shape)):
        words = template.shape.split()
        same_start = groups.setdefault((len(words), words[0] if words else "", template.level), [])
        for group in same_start:
            if group[0].category == template.category and alike(group[0].shape, template.shape):
                group.append(template)
                break
        else:
            same_start.append([template])
    found = [group for same_start in groups.values() for group in same_start]
    return sorted(found, key=lambda group: -sum(template.count for template in group))
