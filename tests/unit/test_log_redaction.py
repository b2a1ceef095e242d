"""Secrets in logs: removed before an entry is made of the line, for any form of the runtime and any size of the reads."""

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from aletheia_operator.logs.framing import Form
from aletheia_operator.logs.run_parser import RunParser
from aletheia_operator.logs.run_settings import RunSettings
from aletheia_operator.redact import Level, Redactor, Rule

PASSWORD = "hunter2-" + "Xq9vLm3Z"
TOKEN = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"
KEY_LINES = [
    "-----BEGIN RSA PRIVATE KEY-----",
    *("MIIEpAIBAAKCAQEAx" + letter * 47 for letter in "abcdefghij"),
    "c2hvcnQ=",  # shorter than a line of text
    "-----END RSA PRIVATE KEY-----",
]


def at(number: int) -> str:
    """A time, in which the node leaves out zeros at the end."""
    return f"2026-11-22T11:00:{number % 60:02d}.{f'{number:09d}'[::-1].rstrip('0') or '0'}Z"


def of_api(lines: Iterable[str]) -> bytes:
    return "".join(f"{at(number)} {line}\n" for number, line in enumerate(lines)).encode()


def of_cri(lines: Iterable[str], part: int = 10**6) -> bytes:
    """Lines as containerd writes them: in parts of at most `part` characters."""

    def parts() -> Iterator[str]:
        for number, line in enumerate(lines):
            cut = [line[begin : begin + part] for begin in range(0, len(line), part)] or [""]
            for piece in cut[:-1]:
                yield f"{at(number)} stdout P {piece}\n"
            yield f"{at(number)} stdout F {cut[-1]}\n"

    return "".join(parts()).encode()


def of_docker(lines: Iterable[str], part: int = 10**6) -> bytes:
    def parts() -> Iterator[str]:
        for number, line in enumerate(lines):
            text = line + "\n"
            for begin in range(0, len(text), part):
                log = text[begin : begin + part]
                yield json.dumps({"log": log, "stream": "stdout", "time": at(number)}) + "\n"

    return "".join(parts()).encode()


def parse(content: bytes, form: Form, size: int = 10**9, limit: int = 1 << 20, redactor: Redactor | None = None) -> list[Any]:
    """Entries of a log that is read in blocks of whole lines of about `size` bytes."""
    settings = RunSettings(
        container="web",
        run=0,
        previous=False,
        start="2026-11-22T10:00:00.000000000Z",
        end="2026-11-22T12:00:00.000000000Z",
        max_line_bytes=limit,
        form=form,
        redactor=redactor or Redactor(b"k" * 32),
    )
    parser = RunParser(settings)
    blocks = []
    begin = 0
    while begin < len(content):
        end = content.find(b"\n", begin + size)
        end = len(content) if end < 0 else end + 1
        blocks.append(parser.feed(content[begin:end]).block)
        begin = end
    blocks.append(parser.end_run().block)
    return [json.loads(entry) for block in blocks if block for entry in block.split(b",\n")]


def lines_of(entries: Iterable[Any]) -> list[str]:
    return [entry["line"] for entry in entries]


FORMS: list[tuple[str, Any, Form]] = [
    ("the API", of_api, "api"),
    ("CRI", of_cri, "file"),
    ("CRI in parts", lambda lines: of_cri(lines, 7), "file"),
    ("docker", of_docker, "file"),
    ("docker in parts", lambda lines: of_docker(lines, 11), "file"),
]
SIZES = [1, 100, 10**9]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("written", "form"), [row[1:] for row in FORMS], ids=[row[0] for row in FORMS])
def test_secrets_are_gone_in_every_form(written: Any, form: Form, size: int) -> None:
    """Secrets across two parts of a line are removed too. Other text keeps its exact bytes, and the level its meaning."""
    lines = [
        "INFO starting: all is well",
        f"ERROR login: password={PASSWORD} refused",
        "INFO served: /index.html",
        f"INFO fetched: with {TOKEN}",
        f'{{"level":"warn","msg":"retry","dsn":"postgres://shop:{PASSWORD}@db/shop"}}',
    ] * 3
    entries = parse(written(lines), form, size)
    text = json.dumps(entries)
    assert PASSWORD not in text
    assert TOKEN not in text
    assert [entry.get("level") for entry in entries] == ["INFO", "ERROR", "INFO", "INFO", "WARN"] * 3
    found = lines_of(entries)
    assert [found[0], found[2]] == [lines[0], lines[2]]
    assert found[1].startswith("ERROR login: password=[redacted:")
    assert found[1].endswith("] refused")
    assert found[1] == found[6], "the same secret is the same token"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("written", "form"), [row[1:] for row in FORMS], ids=[row[0] for row in FORMS])
def test_a_key_over_many_lines_is_gone(written: Any, form: Form, size: int) -> None:
    """It is removed wherever reads end, with its short last line, and with lines of other writers inside it."""
    lines = ["INFO before: it", *KEY_LINES[:4], "INFO between: them", *KEY_LINES[4:], "INFO behind: it"]
    found = lines_of(parse(written(lines), form, size))
    assert len(found) == len(lines)
    assert found[0] == lines[0]
    assert found[5] == lines[5]
    assert found[-1] == lines[-1]
    assert not [line for line in KEY_LINES[1:-1] if any(line in item for item in found)]


def test_the_way_of_writing_may_change_within_a_key() -> None:
    """Blocks with long lines are read in another way than others."""
    content = of_cri(KEY_LINES[:5]) + of_cri(["x" * 30], 7) + of_cri(KEY_LINES[5:])
    for size in SIZES:
        found = lines_of(parse(content, "file", size))
        assert not [line for line in KEY_LINES[1:-1] if any(line in item for item in found)]


def test_bytes_that_are_no_text_hide_nothing() -> None:
    """`line_base64` has the redacted bytes."""
    content = of_api(["x"]) + f"{at(1)} ".encode() + b"\xff password=" + PASSWORD.encode() + b" \xfe\n"
    (_, entry) = parse(content, "api")
    exact = base64.b64decode(entry["line_base64"])
    assert PASSWORD.encode() not in exact
    assert exact.startswith(b"\xff password=[redacted:")
    assert exact.endswith(b" \xfe")


@pytest.mark.parametrize("before", range(70, 105, 5))
def test_a_secret_at_the_limit_of_a_line_is_gone(before: int) -> None:
    """The whole secret is recognised before the line is cut, and the line is still marked as cut."""
    line = "x" * before + f" {TOKEN} " + "y" * 200
    (entry,) = parse(of_api([line]), "api", limit=100)
    assert entry["truncated"] is True
    assert "ghp_A1" not in entry["line"]
    assert len(entry["line"]) <= 100


def test_a_line_that_becomes_short_is_still_cut() -> None:
    """The limit applies to the line as the container wrote it."""
    line = f"password={'Zq8' * 60}!"
    (entry,) = parse(of_api([line]), "api", limit=100)
    assert entry["truncated"] is True
    assert "Zq8" not in json.dumps(entry)


def test_an_error_of_the_node_is_redacted() -> None:
    """It becomes a gap's message, and an entry without a time."""
    (entry,) = parse(f"cannot open https://shop:{PASSWORD}@node/log".encode(), "api")
    assert PASSWORD not in json.dumps(entry)


OWN = [
    Rule("date", r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    Rule("first", r"\Aabc|{"),
    Rule("caret", r"(^|\^)abc|^{"),
    Rule("class", r"[^^x]bc|[[:^alpha:]^]{2}drop|[]^]x|\[?^plain"),
    Rule("whole", ".*drop.*"),
    Rule("stdout", "F x"),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rules", [OWN, *([rule] for rule in OWN)], ids=["all", *(rule.name for rule in OWN)])
@pytest.mark.parametrize(("written", "form"), [row[1:] for row in FORMS], ids=[row[0] for row in FORMS])
def test_own_rules_see_what_the_container_wrote(written: Any, form: Form, rules: list[Rule], size: int) -> None:
    """They match neither the time that the runtime wrote before a line, nor its other words; `^` is the text's beginning."""
    texts = ["abc", "x abc", "born 1999-01-02", "please drop this", "{", "F x", "plain", KEY_LINES[0], *KEY_LINES[1:], "plain"]
    redactor = Redactor(b"k" * 32, rules=rules)
    entries = parse(written(texts), form, size, redactor=redactor)
    expected = redactor.lines().feed("\n".join(texts).encode()).decode().split("\n")
    assert lines_of(entries) == expected
    assert expected != Redactor(b"k" * 32).lines().feed("\n".join(texts).encode()).decode().split("\n")
    assert [entry["timestamp"][:17] for entry in entries] == ["2026-11-22T11:00:"] * len(texts)


def test_off_keeps_everything() -> None:
    """An admin may allow that level."""
    lines = [f"password={PASSWORD}", *KEY_LINES]
    assert lines_of(parse(of_api(lines), "api", redactor=Redactor(level=Level.OFF))) == lines


def test_secrets_are_counted_by_rule() -> None:
    """Each secret counts once, in every form of the log."""
    for _, written, form in FORMS:
        redactor = Redactor(b"k" * 32)
        parse(written([f"x {TOKEN}", f"y {TOKEN}", f"password={PASSWORD}"]), form, redactor=redactor)
        assert redactor.counts == {"github-token": 2, "named": 1}


def test_a_further_read_within_a_key_reveals_nothing() -> None:
    """After a broken connection some lines are read a second time: these neither begin nor end a key."""
    content = of_api(KEY_LINES).splitlines(keepends=True)
    settings = RunSettings("web", 0, False, "2026-11-22T10:00:00.000000000Z", "2026-11-22T12:00:00.000000000Z", 1 << 20)
    for broken_at in range(1, len(content)):
        parser = RunParser(RunSettings(**{**vars(settings), "redactor": Redactor(b"k" * 32)}))
        blocks = [parser.feed(b"".join(content[:broken_at])).block]
        parser.read_again()
        begin = max(0, broken_at - 2)
        blocks.append(parser.feed(b"".join(content[begin:])).block)
        blocks.append(parser.end_run().block)
        text = b",\n".join(blocks).decode()
        assert not [line for line in KEY_LINES[1:-1] if line in text]


PLAIN = [f"2026-11-22 11:00:00,{number:03d} INFO  [main] org.example.App: order {number} paid" for number in range(100, 140)]
OKTA = "Xq9vLm3ZkT7wRb2NcY5hJd8FgP4sVe6MuQ1xAoDi"
LATER = {
    "another word": ("order 7 password=hunter2-Xq9vLm3Z paid", "hunter2-Xq9vLm3Z"),
    "a card like a counter": ("card 4111 1111 1111 1111 paid", "4111 1111 1111 1111"),
    "a token like an id": (f"id 00{OKTA} paid", f"00{OKTA}"),
}
EARLIER = ["card 4111 1111 1111 1112 paid", f"id 10{OKTA} paid", *KEY_LINES[1:4]]


@pytest.mark.parametrize("form", ["api", "file"])
@pytest.mark.parametrize(("line", "secret"), LATER.values(), ids=LATER)
@pytest.mark.parametrize("size", [50, 1500, 10**9])
def test_a_secret_after_many_lines_like_it_is_gone(line: str, secret: str, size: int, form: Form) -> None:
    """Lines without secrets are remembered without their digits. A number of the same length may be one."""
    lines = [*PLAIN, *EARLIER, *PLAIN, f"{PLAIN[0]} {line}", line, *PLAIN]
    content = (of_api if form == "api" else of_cri)(lines)
    entries = parse(content, form, size)
    kept = [entry["line"] for entry in entries]
    assert [line for line in kept if secret in line] == []
    assert [line for line in kept if "[redacted" not in line] == [*PLAIN, *EARLIER, *PLAIN, *PLAIN]


@pytest.mark.parametrize("size", [50, 1500, 10**9])
def test_a_key_of_lines_that_were_no_secret_before_is_gone(size: int) -> None:
    """What its lines are depends on the lines around them."""
    lines = [*KEY_LINES[1:-2], *PLAIN, *KEY_LINES, *PLAIN]
    kept = [entry["line"] for entry in parse(of_api(lines), "api", size)]
    assert kept[: len(KEY_LINES) - 3 + len(PLAIN)] == lines[: len(KEY_LINES) - 3 + len(PLAIN)]
    assert not any(line in kept[len(KEY_LINES) - 3 + len(PLAIN) :] for line in KEY_LINES[1:-1])
    assert kept[-len(PLAIN) :] == PLAIN
