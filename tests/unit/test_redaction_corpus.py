"""The labelled corpus of tests/data/secrets: nearly all secrets are found, nearly all harmless values are not changed."""

import random

import pytest

from aletheia_operator.redact import Level, Redactor
from tests.support.secrets import HALVES, LOOKALIKES, STORED, STORED_LOOKALIKES
from tests.support.secrets.measuring import by_kind, missed, touched
from tests.support.secrets.stored import read, read_lookalikes

MIN_RECALL = 0.99
MIN_UNTOUCHED = 0.995
ONE_BLOCK = frozenset({"private-key-tail"})
"""Found only within one block: the lines of a private key are recognised by its end."""


def test_the_corpus_is_large() -> None:
    """At least 500 secrets of 60 kinds, and 3,000 look-alikes."""
    cases = [case for name in HALVES for case in read(name)]
    assert sum(len(secrets) for _, _, secrets in cases) >= 500
    assert len({kind for kind, _, _ in cases}) >= 60
    assert sum(len(read_lookalikes(name)) for name in LOOKALIKES) >= 3000


@pytest.mark.parametrize("name", [*HALVES, *STORED])
def test_secrets_are_found(name: str) -> None:
    """This holds for each part of the corpus."""
    count, survived = missed(read(name), Redactor(b"key"))
    assert 1 - len(survived) / count >= MIN_RECALL, by_kind(survived)


@pytest.mark.parametrize("name", [*LOOKALIKES, *STORED_LOOKALIKES])
def test_look_alikes_stay(name: str) -> None:
    """This holds for each part of the corpus."""
    count, changed = touched(read_lookalikes(name), Redactor(b"key"))
    assert 1 - len(changed) / count >= MIN_UNTOUCHED, changed[:10]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('- --password\n- "correct horse battery"', "correct horse battery"),
        ("- --password\n- hunter2 # prod", "hunter2"),
        ('- --token\n- "-Xq7vT2mK9sLw"', "Xq7vT2mK9sLw"),
        ('"Client Secret": 8675309123', "8675309123"),
        ("token: 482913.77", "482913.77"),
        ("DB_PASSWORD=0xc0ffee1234", "0xc0ffee1234"),
        ("net use x: /password 123-Sommer", "123-Sommer"),
        (r"--password Win\0ter99", "ter99"),
        ("cs1Label=secretKey cs1=hunter2abc cs2Label=passwd2 cs2=winter99", "hunter2abc"),
    ],
)
def test_exemptions_are_narrow(text: str, secret: str) -> None:
    """Flags on two lines, codes of errors, decimals, pointers, statuses of requests, and words that end with a NUL."""
    assert secret not in Redactor(b"key").text(text)


@pytest.mark.parametrize("name", HALVES)
def test_the_corpus_is_what_its_maker_makes(name: str) -> None:
    """`python -m tests.support.secrets --write` writes it."""
    assert list(read(name)) == [(kind, text, secrets) for kind, text, secrets in HALVES[name]()]


def test_redacting_twice_changes_nothing() -> None:
    """Redacted text has no secrets."""
    once, again = Redactor(b"key"), Redactor(b"other")
    for name in HALVES:
        for kind, text, _ in read(name):
            redacted = once.text(text)
            assert again.text(redacted) == redacted, kind


@pytest.mark.parametrize("seed", range(3))
def test_secrets_are_found_wherever_blocks_end(seed: int) -> None:
    """A third of the corpus as one stream, in blocks of any number of lines: the same lines come out."""
    draw = random.Random(seed)
    cases = [case for name in HALVES for case in read(name) if case[0] not in ONE_BLOCK]
    random.Random(0).shuffle(cases)
    cases = cases[seed::3]
    text = "".join(f"{text}\n----\n" for _, text, _ in cases).encode()
    whole = Redactor(b"key").lines().feed(text)
    lines = text.splitlines(keepends=True)
    redactor = Redactor(b"key")
    stream, parts, at = redactor.lines(), [], 0
    while at < len(lines):
        size = draw.randint(1, 40)
        parts.append(stream.feed(b"".join(lines[at : at + size])))
        stream = redactor.lines(stream.state)  # as if the read was taken up again
        at += size
    assert whole.count(b"\n") == text.count(b"\n")
    pieces = b"".join(parts)
    assert pieces.count(b"\n") == text.count(b"\n")
    lost = [kind for kind, _, secrets in cases for secret in secrets if len(secret) > 7 and secret.encode() in pieces]
    assert len(lost) <= 0.01 * len(cases), lost


def test_strict_finds_all_that_secrets_finds() -> None:
    """It finds as large a share of them."""
    count, survived = missed(read("first"), Redactor(b"key", Level.STRICT))
    assert 1 - len(survived) / count >= MIN_RECALL
