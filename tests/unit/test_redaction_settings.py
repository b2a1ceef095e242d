"""The redaction of a capture: the spec within the limits of an admin, with the same tokens after a restart."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.api.redaction import RedactionSpec
from aletheia_operator.clients.errors import Rejected
from aletheia_operator.investigate import capture
from aletheia_operator.investigate.redaction import check_settings, key_of, level_for, redactor_for
from aletheia_operator.redact import InvalidRule, Redactor, Rule
from aletheia_operator.session import Session, SessionLayout
from aletheia_operator.settings import Redaction
from tests.unit.capturing import files, gaps, interrupted, on_disk, run
from tests.unit.fakes import FakeFetcher, forever, make_order, make_tools

ROOT = Path(__file__).parents[2]
OTHER_UID = "0" * 8 + "-1111-4222-8333-444444444444"
LEVELS: list[tuple[str, bool, str | None, str, bool]] = [
    ("secrets", False, None, "secrets", False),
    ("secrets", False, "strict", "strict", False),
    ("secrets", False, "off", "secrets", True),
    ("strict", False, "secrets", "strict", True),
    ("strict", True, "secrets", "secrets", False),
    ("secrets", True, "off", "off", False),
    ("off", False, None, "off", False),
    ("off", False, "secrets", "secrets", False),
]


@pytest.mark.parametrize(("least", "allowed", "wanted", "used", "noted"), LEVELS)
def test_the_level(least: str, allowed: bool, wanted: str | None, used: str, noted: bool) -> None:
    """An Investigation may be stricter. It may be laxer only if an admin allows it; otherwise there is a note."""
    spec = None if wanted is None else RedactionSpec.model_validate({"level": wanted})
    level, note = level_for(Redaction(level=least, allow_off=allowed), spec)
    assert level == used
    assert (note is not None) is noted
    assert note is None or (note.severity, note.reason) == ("note", "NotAllowed")


def test_rules_of_an_admin_and_of_the_spec() -> None:
    """Rules of both are used. The error for an unusable rule names its field."""
    settings = Redaction(rules=(("badge", "EMP-[0-9]+"),))
    spec = RedactionSpec.model_validate({"rules": [{"name": "order", "pattern": "ORD(?P<secret>[0-9]+)"}]})
    redactor = redactor_for(settings, spec, b"")
    assert redactor.text("EMP-1 ORD2") == "[redacted:badge] ORD[redacted:order]"
    twice = RedactionSpec.model_validate({"rules": [{"name": "badge", "pattern": "x"}]})
    with pytest.raises(Rejected, match=r"^spec\.redaction\.rules: rule badge: "):
        redactor_for(settings, twice, b"")


HOSTILE = ["(?:.{1,1000})" * 70, r"\pL{1,1000}" * 60, "(?:(?:a|b|c|d[^x]){1,30}){1,30}" * 20, "a.{1,1000}" * 90]


@pytest.mark.parametrize("pattern", HOSTILE)
def test_patterns_that_take_long_to_compile_are_refused(pattern: str) -> None:
    """They are refused at once: compiling blocks the event loop, and takes up to 30 seconds with RE2's default of memory."""
    began = time.process_time()
    with pytest.raises(ValueError, match="RE2"):
        RedactionSpec.model_validate({"rules": [{"name": "badge", "pattern": pattern}]})
    with pytest.raises(InvalidRule):
        Redactor(rules=[Rule("badge", pattern)])
    assert time.process_time() - began < 0.5


def test_rules_that_are_too_large_together_are_refused() -> None:
    """All rules are compiled into one pattern, which must be quick too."""
    rules = [Rule(f"badge-{number}", f"EMP{number}-[^a-f]{{1,90}}") for number in range(50)]
    with pytest.raises(InvalidRule, match="too large"):
        Redactor(rules=rules)
    began = time.process_time()
    assert Redactor(rules=rules[:15]).text("EMP3-123") == "[redacted:badge-3]"
    assert time.process_time() - began < 2


ODD = [
    r"\Aabc", r"abc\z", r"\Qabc", r"\Qa.c\E", r"(?-m)^abc", r"(?m-s:^abc)", r"\(?P<x>abc", r"[(?P<x>]abc", r"\\Aabc", "^abc$",
    r"(?s)abc.x", "(?i)ABC", "abc|x", r"(?P<secret>abc)x?", r"(?<secret>abc)x", r"abc\s*x", r"\babc", "(?U)c+", r"\x61bc",
    "[^b]bc", "a\\b|(?:abc)",
]  # fmt: skip
AROUND = [b"abc", b"xabc x", b"a.c P<x>abc", b"<abc", b"", b"\\Aabc", b"ABC abcx", b"EMP-1 zzz", b"nothing"]


@pytest.mark.parametrize("pattern", ODD)
def test_a_rule_is_applied_to_each_line_alone(pattern: str) -> None:
    """Wherever a line is in a block, and whichever other rules there are."""
    redactor = Redactor(rules=[Rule("badge", "EMP-[0-9]+"), Rule("odd", pattern), Rule("other", "(?P<secret>z)zz")])
    expected = {line: Redactor(rules=[Rule("odd", pattern)]).line(line) for line in AROUND if line != b"EMP-1 zzz"}
    expected[b"EMP-1 zzz"] = b"[redacted:badge] [redacted:other]zz"
    assert [line for line, redacted in expected.items() if redacted != line and b"EMP" not in line]
    for first in range(len(AROUND)):
        lines = AROUND[first:] + AROUND[:first]
        assert redactor.lines().feed(b"\n".join(lines)) == b"\n".join(expected[line] for line in lines)


@pytest.mark.parametrize(
    "pattern", [r"EMP-[0-9]+$", r"^id EMP-[0-9]+$|EMP-[0-9]+x", r"(?m)EMP-[0-9]+$", r"EMP-.*", r"EMP-[^$]+\z"]
)
def test_the_end_of_a_line_is_before_its_carriage_return(pattern: str) -> None:
    """`$` matches there in lines that end in CRLF. The carriage return stays."""
    redactor = Redactor(rules=[Rule("badge", pattern), Rule("other", "zz$")])
    redacted = redactor.lines().feed(b"first\r\nid EMP-7\r\nid EMP-7 x$\r\nzz\r\n")
    first, second, _, last, end = redacted.split(b"\n")
    assert (first, last, end) == (b"first\r", b"[redacted:other]\r", b"")
    assert second in (b"id [redacted:badge]\r", b"[redacted:badge]\r")


STATES = """
import random
from pathlib import Path
from aletheia_operator.redact import Redactor, Rule
rules = [Rule(f"badge-{number}", f"[ab]*a[ab]{{{20 + number}}}") for number in range(20)]
redactor, any_of = Redactor(rules=rules), random.Random(1)
for _ in range(30):
    assert b"[redacted:" in redactor.line("".join(any_of.choices("ab", k=900)).encode())
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


def test_rules_with_many_states_take_little_memory() -> None:
    """An automaton of such a rule has a new state for nearly each character of a hostile line."""
    done = subprocess.run([sys.executable, "-c", STATES], cwd=ROOT / "operator", capture_output=True, text=True, check=True)
    assert int(done.stdout) < 64 * 1024


def test_rules_of_an_investigation_are_compiled_apart() -> None:
    """The automata of the built-in rules take time to compile: they are the same for all Investigations."""
    Redactor().text("x")
    began = time.process_time()
    for number in range(5):
        assert Redactor(rules=[Rule("badge", f"EMP{number}-[0-9]+")]).text(f"EMP{number}-1 a") == "[redacted:badge] a"
    assert time.process_time() - began < 0.2


def test_own_rules_and_built_in_ones_find_secrets_of_one_line() -> None:
    """They are merged, in any order, and a token of an earlier redaction stays."""
    redactor = Redactor(rules=[Rule("badge", "EMP-[0-9]+"), Rule("order", "ORD(?P<secret>[0-9]+)")])
    text = "a EMP-1 password=Xq9vLm3Zw8 ORD7 [redacted:badge:12ab] EMP-2\nplain\nORD8 token EMP-3"
    expected = (
        "a [redacted:badge] password=[redacted:secret] ORD[redacted:order] [redacted:badge:12ab] [redacted:badge]\nplain\n"
        "ORD[redacted:order] token [redacted:badge]"
    )
    assert redactor.text(text) == expected
    assert redactor.counts == {"badge": 3, "named": 1, "order": 2}


@pytest.mark.parametrize("rules", [(("Badge", "x"),), (("badge", "(?=x)"),), (("badge", "x*"),), (("a", "x"), ("a", "y"))])
def test_rules_of_an_admin_are_checked_at_the_start(rules: Any) -> None:
    """The operator does not start with one that it cannot use."""
    with pytest.raises(InvalidRule):
        check_settings(Redaction(rules=rules))


def test_an_operator_without_rules_compiles_no_patterns_at_its_start() -> None:
    """The built-in patterns take memory that an idle operator does not need. Rules of an admin are used once."""
    statement = (
        "from aletheia_operator.investigate.redaction import check_settings\n"
        "from aletheia_operator.redact.engine import _of_level\n"
        "from aletheia_operator.settings import Redaction\n"
        "for rules in ((), (('badge', 'EMP-[0-9]+'),)):\n"
        "    check_settings(Redaction(rules=rules))\n"
        "    print(_of_level.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", statement], cwd=ROOT / "operator", capture_output=True, text=True, check=True)
    assert done.stdout == "0\n1\n"


async def test_nothing_is_captured_with_rules_that_are_no_use(tmp_path: Path) -> None:
    """Evidence without the requested redaction would stay on the volume."""
    order = make_order(redaction={"rules": [{"name": "badge", "pattern": "EMP-[0-9]+"}]})
    fetcher = FakeFetcher({"a": [[1]]})
    tools = make_tools(tmp_path, fetcher, redaction=Redaction(level="strict", rules=(("badge", "x"),)))
    snapshot = await run(order, tools)
    assert (snapshot.manifest.phase, gaps(snapshot)) == ("Failed", [("spec.redaction", "Rejected")])
    assert (fetcher.planned, fetcher.asked) == (0, [])
    record = snapshot.manifest.redaction
    assert record is not None
    assert (record.level, record.rules) == ("strict", ["badge"]), "those of the admin alone"
    assert not [artifact for artifact in snapshot.manifest.artifacts if artifact.path.startswith("data/")]


async def test_the_manifest_says_how_it_was_redacted(tmp_path: Path) -> None:
    """It has the level, the names of the rules, and a gap for a laxer level than allowed."""
    order = make_order(redaction={"level": "off", "rules": [{"name": "badge", "pattern": "EMP-[0-9]+"}]})
    snapshot = await run(order, make_tools(tmp_path, FakeFetcher({"a": [[1]]})))
    record = snapshot.manifest.redaction
    assert record is not None
    assert (record.level, record.rules) == ("secrets", ["badge"])
    assert gaps(snapshot) == [("spec.redaction.level", "NotAllowed")]
    assert [gap.fetcher for gap in snapshot.manifest.gaps] == ["Investigation"]
    assert snapshot.manifest.phase == "Completed"


async def test_words_of_sources_are_redacted(tmp_path: Path) -> None:
    """This holds for gaps, in the manifest and in the artifact's metadata."""
    fault = Rejected("cannot log in with password=Xq9vLm3Zw8", GapReason.REJECTED)
    fetcher = FakeFetcher({"a": [[1], fault]})
    snapshot = await run(make_order(), make_tools(tmp_path, fetcher))
    assert "Xq9vLm3Zw8" not in str(on_disk(snapshot)) + snapshot.manifest.model_dump_json()
    assert snapshot.manifest.gaps[0].message.startswith("cannot log in with password=[redacted:secret:")


async def test_tokens_are_the_same_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is derived from both the volume's secret and the journal. No session has it."""
    keys: list[bytes] = []

    def watched(session: Session) -> bytes:
        keys.append(key_of(session))
        return keys[-1]

    monkeypatch.setattr(capture, "key_of", watched)
    await interrupted(make_order(), make_tools(tmp_path, FakeFetcher({"a": [[1]], "b": [forever]})), after="a")
    tools = make_tools(tmp_path, FakeFetcher({"a": [[1]], "b": [[1]]}))
    snapshots = [await run(make_order(), tools), await run(make_order(uid=OTHER_UID), tools)]
    assert len(keys) == 3
    assert keys[0] == keys[1] != keys[2]
    secret = SessionLayout(tmp_path).redaction_secret
    assert secret.stat().st_mode & 0o777 == 0o600
    for snapshot in snapshots:
        for path in files(snapshot):
            content = (Path(snapshot.path) / path).read_bytes()
            assert not [key for key in (*keys, secret.read_bytes()) if key in content or key.hex().encode() in content]
