"""Streams of lines, and `aletheia redact`: the same lines come out, for any pieces."""

import subprocess
import sys
import time
from base64 import b64encode
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aletheia_operator.cli.redact_text import MAX_LINE_BYTES, redact_stream
from aletheia_operator.redact import Level, Redactor
from aletheia_operator.redact.reach import Before
from tests.support.secrets import HALVES
from tests.support.secrets.making import Maker
from tests.support.secrets.stored import read

TEXTS = [text.encode() for name in HALVES for kind, text, _ in read(name) if "private-key-tail" not in kind]
PLAIN = b"2026-11-29T03:02:11Z INFO order accepted"
STREAMS = st.lists(st.sampled_from([*TEXTS, PLAIN, b"", b"\xff\x00 ", b"\r"]), max_size=12).map(b"\n".join)
ROOT = Path(__file__).parents[2]


class Dripping:
    """A source of bytes in pieces of given sizes, in turn."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data, self._sizes = data, sizes

    def read1(self, _: int) -> bytes:
        size = self._sizes[0]
        self._sizes = [*self._sizes[1:], size]
        piece, self._data = self._data[:size], self._data[size:]
        return piece


def filtered(data: bytes, sizes: list[int], level: Level = Level.SECRETS) -> bytes:
    """Return what `aletheia redact` makes of data that comes in pieces."""
    target = BytesIO()
    assert redact_stream(Redactor(b"key", level), Dripping(data, sizes), target) == 0
    return target.getvalue()


def command(data: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command."""
    call = [sys.executable, "-m", "aletheia_operator.cli", "redact", *arguments]
    return subprocess.run(call, input=data, capture_output=True, check=True, cwd=ROOT / "operator", timeout=120)


@settings(max_examples=80, deadline=None)
@given(STREAMS, st.lists(st.integers(1, 90), min_size=1, max_size=5))
def test_pieces_make_no_difference(data: bytes, sizes: list[int]) -> None:
    """The same bytes are written wherever reads end, also within a line or a character."""
    drips = filtered(data, sizes)
    assert drips.count(b"\n") == data.count(b"\n")
    assert filtered(data, [1 << 20]) == drips


@settings(max_examples=80, deadline=None)
@given(STREAMS)
def test_a_second_pass_changes_nothing(data: bytes) -> None:
    """Text of an earlier pass has no secrets, whatever key made its tokens."""
    once = filtered(data, [1 << 20])
    again = BytesIO()
    redact_stream(Redactor(b"another"), BytesIO(once), again)
    assert again.getvalue() == once


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=2000), st.sampled_from(list(Level)))
def test_any_bytes_pass(data: bytes, level: Level) -> None:
    """No bytes fail, no line is lost, and level `off` changes nothing."""
    redacted = filtered(data, [13], level)
    assert redacted.count(b"\n") == data.count(b"\n")
    assert level is not Level.OFF or redacted == data


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_a_secret_has_one_token_in_a_session(seed: int) -> None:
    """All forms of the secret have it. Another secret has another token, and so has another session."""
    secret = Maker(seed).password("random")
    shapes = [b"password=%s", b'{"password":"%s"}', b"postgres://shop:%s@db/shop", b"--password %s", b"    db_password: %s"]
    redactor = Redactor(b"key")
    texts = [redactor.line(shape % secret.encode()) for shape in shapes]
    tokens = {text[text.index(b"[redacted") : text.index(b"]") + 1] for text in texts}
    assert len(tokens) == 1
    assert tokens != {Redactor(b"other").line(b"password=" + secret.encode()).removeprefix(b"password=")}


def test_the_command_keeps_lines_and_counts() -> None:
    """Standard output has the lines. Standard error has the number of removed secrets for each rule."""
    secret = Maker(5).password("random").encode()
    done = command(b"one\npassword=%s\r\n10.1.2.3 last" % secret)
    assert secret not in done.stdout
    assert [line[:9] for line in done.stdout.split(b"\n")] == [b"one", b"password=", b"10.1.2.3 "]
    assert done.stdout.split(b"\n")[1].endswith(b"]\r")
    assert done.stderr.startswith(b"1 secret redacted: named 1")
    assert b"10.1.2.3" not in command(b"10.1.2.3 last", "--level", "strict").stdout
    assert command(b"password=%s" % secret, "--level", "off").stdout == b"password=%s" % secret


def test_many_hits_take_time_in_proportion() -> None:
    """A block of sixteen times the length takes about sixteen times as long: no hit searches the rest of its block.

    If each did, it would take about 256 times as long.
    """
    line = b"2026-11-29T03:02:01.000000001Z login of user 7 with password=hunter7x done\n"
    redactor = Redactor(b"key")
    redactor.lines().feed(line)  # compiles
    short, long = (min(_seconds(redactor, line * number) for _ in range(3)) for number in (250, 4_000))
    assert long < 64 * short


@given(st.text("{\"'ab", max_size=40).map(str.encode), st.lists(st.integers(0, 40), max_size=8))
def test_what_is_before_a_name_is_counted_on(line: bytes, places: list[int]) -> None:
    """The result is that of a count from the line's begin, in any order of places."""
    before = Before(line)
    for at in places:
        assert before.opens(b'"', at) == (line.count(b'"', 0, at) % 2 == 1)
        assert before.opens(b"'", at) == (line.count(b"'", 0, at) % 2 == 1)
        assert before.has_brace(at) == (b"{" in line[:at])


def _seconds(redactor: Redactor, block: bytes) -> float:
    began = time.process_time()
    redactor.lines().feed(block)
    return time.process_time() - began


def test_a_line_without_an_end_is_cut_and_said() -> None:
    """The part after the limit is not printed, since it was not searched. The next line is printed."""
    endless = b"x" * (MAX_LINE_BYTES + 300_000) + b" password=ember42\nnext password=ember42\n"
    done = command(endless)
    first, second, rest = done.stdout.split(b"\n")
    assert first.endswith(b"[redacted:too-long]") and len(first) < MAX_LINE_BYTES + 200_000
    assert second.startswith(b"next password=[redacted:") and rest == b""
    assert b"longer than 4 MiB: 1 line;" in done.stderr


def test_memory_is_flat() -> None:
    """A stream of 96 MiB takes as much memory as a short one: the program and its patterns."""
    piece = b"2026-11-29T03:02:11Z INFO order accepted for customer 42\n" * 20_000
    call = [sys.executable, "-m", "aletheia_operator.cli", "redact"]
    child = subprocess.Popen(
        call,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT / "operator",
    )
    assert child.stdin is not None
    for _ in range(90):
        child.stdin.write(piece)
    peak = Path(f"/proc/{child.pid}/status").read_text().partition("VmHWM:")[2].split()[0]  # rusage counts the parent's too
    child.stdin.close()
    assert child.wait(timeout=120) == 0
    assert int(peak) < 250 * 1024


@pytest.mark.parametrize(
    "card", ["3004 179646 8849", "3004-179646-8849", "30041796468849", "4111 1111 1111 1111", "4111111111111111"]
)
def test_cards_in_groups_or_in_one_piece(card: str) -> None:
    """The groups are those that are printed on cards."""
    assert card not in Redactor().text(f"paid with {card} today")


@pytest.mark.parametrize("numbers", ["3004 1796468849", "411111111111 1111", "3004-1796468849", "4111 11111111 1111"])
def test_numbers_side_by_side_are_no_card(numbers: str) -> None:
    """For example, a counter before a time stamp is none, even if all digits together pass Luhn's check."""
    assert Redactor().text(f"chaos: {numbers} seen") == f"chaos: {numbers} seen"


KEY = f"-----{'BEGIN'} RSA PRIVATE KEY-----\n    {'Ab3/' * 16}\n    Qx==\n    -----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
def test_a_private_key_in_the_data_of_an_object(kind: str) -> None:
    """No line of the key is left. The data goes on after the key."""
    redacted = Redactor().text(
        f"kind: {kind}\ndata:\n  tls.key: |\n    {KEY}\n  other: c2VjcmV0IHRleHQ=\nmetadata:\n  name: web"
    )
    assert "Ab3/" not in redacted
    assert "Qx==" not in redacted
    assert "c2VjcmV0IHRleHQ=" not in redacted
    assert redacted.endswith("metadata:\n  name: web")


def test_quoted_lines_are_redacted_as_lines() -> None:
    """A variable of a container and the data of a Secret in a text with escaped line breaks; what is no secret stays."""
    text = r'{"msg":"env:\n- name: DB_PASSWORD\n  value: \"hunter2\"\n- name: MODE\n  value: fast","level":"info"}'
    assert Redactor().text(text) == text.replace("hunter2", "[redacted:secret]")
    text = r'msg="kind: Secret\nstringData:\n  conn: plain words\nmetadata:\n  name: web" took=3ms'
    assert Redactor().text(text) == text.replace("plain words", "[redacted:secret]")


@pytest.mark.parametrize(
    "text",
    [
        '{"kind":"Secret","metadata":{"name":"postgres-auth"}}',
        'level=info msg="Enter password:" attempt=2',
        "passwordSecret: postgres-auth",
        "usage: app [-h] [--api-key API_KEY]",
        "deleted expired token 5ed94fe8-74b9-4d55-b240-ac0012d3a508",
        "go: downloading github.com/acme/token v0.0.0-20250101120000-38194c7bb56e",
        "cursor dSkVZ-fK8wQlOaLruKL9bclhlQ7rDulstGlSEkmFVKBQLmGeBWnf6CI2xbOxdYjQpeKUmmoBFedj",
    ],
)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    """Names of Secrets, prompts, usage, ids of tokens, versions of modules, and random texts without a name."""
    assert Redactor().text(text) == text


@pytest.mark.parametrize("rest", ['"}', '","x":1}', '" end', "'}", r"\"}", "", '"'])
@pytest.mark.parametrize("text", ["admin:hunter", "admin:hunter2", "admin:hunter22"])
def test_what_follows_a_header_stays(text: str, rest: str) -> None:
    """The padding of base64 before a quote does not begin a field of the header."""
    header = f'{{"msg": "authorization: Basic {b64encode(text.encode()).decode()}{rest}'
    assert Redactor().text(header) == f'{{"msg": "authorization: Basic [redacted:secret]{rest}'


@pytest.mark.parametrize("name", ["csrf", "mnemonic", "salt", "dockerconfigjson"])
@pytest.mark.parametrize("before", ['form-data; name="{}"', "property={},"])
def test_values_below_their_names(before: str, name: str) -> None:
    """The first look finds the line of each name that has a meaning."""
    lines = f"{before.format(name)}\n{'value: ' if before[0] == 'p' else ''}Xq9vLm3ZkT71\n"
    assert "Xq9vLm3ZkT71" not in Redactor().text(lines)


def test_parameters_in_the_next_block() -> None:
    """What a statement says about its parameters is kept in the state between two reads."""
    redactor = Redactor(b"key")
    first = redactor.lines()
    first.feed(b"LOG:  execute S_1: UPDATE accounts SET nick = $1, password = $2 WHERE id = $3\n")
    second = redactor.lines(first.state).feed(b"DETAIL:  parameters: $1 = 'kim', $2 = 'rainy-day', $3 = '7'\n")
    assert b"rainy-day" not in second
    assert b"$1 = 'kim'" in second


def test_an_echo_is_redacted_only_before_a_command_that_reads_a_password() -> None:
    """The shell's trace writes both parts of a pipe as lines of their own."""
    text = b"+ echo starting\n+ date\n+ ls\n+ echo silver-spoon\n+ sudo -S id\nready\n"
    redacted = Redactor(b"key").lines().feed(text)
    assert b"silver-spoon" not in redacted
    assert b"+ echo starting\n+ date\n+ ls\n+ echo [" in redacted
    assert redacted.endswith(b"\n+ sudo -S id\nready\n")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Authorization: Basic \v", "Authorization: Basic \v"),
        ("Authorization: Bearer \v,", "Authorization: Bearer \v,"),
        ("Authorization: Bearer \vé", "Authorization: Bearer \v[redacted:secret]"),
        ("Authorization: Bearer \vS3cr3t-9f8e7d6c5b4a", "Authorization: Bearer \v[redacted:secret]"),
    ],
)
def test_a_header_with_a_vertical_tab(text: str, clean: str) -> None:
    """RE2 takes it for a part of a word, and Python for a blank."""
    assert Redactor().text(text) == clean
