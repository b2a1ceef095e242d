"""Rules for the place of a level: each has a line for which it is the first to answer."""

import pytest

from aletheia_operator.logs.forms.place import Place, place_of
from aletheia_operator.logs.forms.places import RULES_OF_CAPITALS, RULES_OF_SMALL_WORDS, is_level

FOR_ALL = [
    ("_is_topic", "10:30:02 system,‹error› login failure for user admin", True),
    ("_precedes_colon_and_two_blanks", "2026-05-11 10:30:02 UTC [7] ‹ERROR›:  relation does not exist", True),
    ("_is_in_sentence", "10:30:02 the queue ‹ERROR› came back", False),
    ("_is_in_sentence", "10:30:02 ‹ERROR›, WARN and INFO are written", False),
    ("_precedes_colon_of_message", "10:30:02 :FSAL :‹CRIT› :Cannot open", True),
    ("_is_without_time", "worker ‹ERROR›: boom", False),
    ("_is_in_quotes", '"2026-05-11 10:30:02","‹ERROR›","boom"', True),
    ("_is_in_brackets", "10:30:02 [‹ERROR›] boom", True),
    ("_is_in_brackets", "10:30:02 boom (‹error›)", False),
    ("_is_foreign", "10:30:02 ‹Fehler›: kaputt", True),
    ("_follows_host", "May 11 10:30:02 switch-1 ‹NOTICE› orchagent: boom", True),
    ("_is_msg_of_process", "10:30:02 ‹msg› worker[7]: boom", True),
    ("_is_common_word", "10:30:02 ‹event›: boom", False),
    ("_ends_namespace", "10:30:02 app:worker:‹error› Cannot connect", True),
    ("_follows_slash", "10:30:02 worker/‹ERROR›: boom", True),
    ("_is_column", "10:30:02;‹ERROR›;main;boom", True),
    ("_ends_line", "10:30:02 worker ‹ERROR›", False),
]
FOR_CAPITALS = [
    ("_is_of_talk", "10:30:02 <bob> ‹ERROR› again, what now?", False),
    ("_follows_word", "10:30:02 worker ‹ERROR› Cannot connect", True),
    ("_follows_word", "10:30:02 many ‹ERROR› frames", False),
    ("_ends_dotted_name", "10:30:02 worker.‹ERROR› boom", True),
    ("_precedes_small_letter", "10:30:02 ‹ERROR› cannot connect", True),
    ("_precedes_small_letter", "10:30:02 - 3 ‹ERROR› frames", False),
    ("_precedes_sign", "10:30:02 *‹ERROR›* boom", True),
    ("_is_no_value", "10:30:02 ‹ERROR› Cannot connect", True),
    ("_is_no_value", "10:30:02 state=‹ERROR› Stopped", False),
]
FOR_SMALL_WORDS = [
    ("_is_directly_behind_time", "10:30:02 ‹warn› retrying", True),
    ("_is_directly_behind_time", "10:30:02 ‹debug› server listening", False),
    ("_is_of_talk", "10:30:02 <bob> ‹error› again", False),
    ("_precedes_wide_colon", "10:30:02 ‹error›：boom", True),
    ("_precedes_colon", "10:30:02 ‹error›: boom", True),
    ("_precedes_colon", "10:30:02 the ‹error›: boom", False),
    ("_closes_bracket", "[10:30:02 ‹error›] boom", True),
    ("_precedes_column", "10:30:02 worker ‹error›  boom", True),
    ("_precedes_bracket", "10:30:02 worker ‹error› [main] boom", True),
    ("_precedes_process", "10:30:02 host1 ‹error› worker[7]: boom", True),
    ("_precedes_sign", "10:30:02 ‹error›/worker: boom", True),
    ("_precedes_sign", "10:30:02 ‹error›-prone", False),
    ("_precedes_source", "10:30:02 ‹error› main.c:12: boom", True),
    ("_precedes_pair", "10:30:02 ‹error› code=7 boom", True),
    ("_is_among_words", "10:30:02 the ‹error› Cannot", False),
    ("_precedes_arrow", "10:30:02 ‹error› (7) boom", True),
    ("_is_far_from_head", "10:30:02 a1-b ‹error› Cannot", False),
    ("_precedes_name", "10:30:02 ‹error› app.Worker: boom", True),
    ("_begins_message", "10:30:02 ‹Error› Cannot connect", True),
    ("_begins_message", "10:30:02 ‹Error› cannot connect", False),
]


def place_in(marked: str) -> Place:
    """The place of the word between the marks."""
    before, word, _ = marked.replace("›", "‹").split("‹")
    return place_of(marked.replace("‹", "").replace("›", ""), len(before), len(before) + len(word))


@pytest.mark.parametrize(("name", "marked", "answer"), [*FOR_ALL, *FOR_CAPITALS, *FOR_SMALL_WORDS])
def test_a_rule_answers_first(name: str, marked: str, answer: bool) -> None:
    """No earlier rule answers for its line."""
    place = place_in(marked)
    rules = RULES_OF_CAPITALS if place.capitals else RULES_OF_SMALL_WORDS
    answers = ((rule.__name__, rule(place)) for rule in rules)
    assert next(found for found in answers if found[1] is not None) == (name, answer)
    assert is_level(place) == answer


@pytest.mark.parametrize(
    ("rules", "rows"), [(RULES_OF_CAPITALS, FOR_CAPITALS), (RULES_OF_SMALL_WORDS, FOR_SMALL_WORDS)], ids=["capitals", "small"]
)
def test_every_rule_has_a_line(rules: tuple[object, ...], rows: list[tuple[str, str, bool]]) -> None:
    """In the order of the rules."""
    names = [name for name, _, _ in (*FOR_ALL, *rows)]
    assert [rule.__name__ for rule in rules] == list(dict.fromkeys(names))  # type: ignore[attr-defined]
