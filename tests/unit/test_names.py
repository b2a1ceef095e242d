"""Names of files and sessions: safe on every file system, readable in every script."""

import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aletheia_operator.session import names
from aletheia_operator.session.layout import CATEGORIES, SessionLayout
from aletheia_operator.session.names import MAX_NAME_BYTES, artifact_name, generate_timestamp, sanitize_filename, session_id

NOW = datetime(2025, 10, 21, 14, 30, 45, tzinfo=UTC)
ANY_TEXT = st.text(st.characters(), max_size=300) | st.text("./\\ \0._-aé\u0301\ud800", max_size=300)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("web-0", "web-0", id="a pod's name stays"),
        pytest.param("kubernetes_web.v1-2_shop", "kubernetes_web.v1-2_shop", id="dots, dashes and underscores inside stay"),
        pytest.param("خدمة-الدفع", "خدمة-الدفع", id="Arabic stays"),
        pytest.param("भुगतान सेवा", "भुगतान_सेवा", id="Hindi keeps its combining vowels"),
        pytest.param("支払いサービス", "支払いサービス", id="Japanese stays"),
        pytest.param("결제", "결제", id="Korean stays"),
        pytest.param("caf\u0065\u0301", "caf\u00e9", id="a letter and its accent become one character"),
        pytest.param("pay🔥now", "pay_now", id="an emoji becomes an underscore"),
        pytest.param("🔥🔥🔥", "_", id="emoji alone become one underscore"),
        pytest.param("a/b\\c", "a_b_c", id="path separators become underscores"),
        pytest.param("../../etc/passwd", "_._etc_passwd", id="a climbing path goes nowhere"),
        pytest.param("..", "_", id="the parent directory is no name"),
        pytest.param(".", "_", id="the directory itself is no name"),
        pytest.param("...hidden", "hidden", id="a hidden file becomes visible"),
        pytest.param("a..b", "a.b", id="two dots inside become one"),
        pytest.param("ends.", "ends", id="a dot at the end goes"),
        pytest.param("a\0b", "a_b", id="NUL becomes an underscore"),
        pytest.param("a\r\nb", "a_b", id="a line's end becomes one underscore"),
        pytest.param("", "_", id="nothing becomes an underscore"),
        pytest.param("   ", "_", id="blanks become one underscore"),
        pytest.param("a\ud800b", "a_b", id="half a surrogate pair becomes an underscore"),
        pytest.param("a\u202eb", "a_b", id="a change of writing direction becomes an underscore"),
        pytest.param('rate(x{a="b"}[5m])', "rate_x_a_b_5m_", id="a query is spelled with underscores"),
        pytest.param("a__b", "a__b", id="underscores of the text itself stay"),
    ],
)
def test_a_file_name_keeps_letters_and_digits_of_any_script(text: str, name: str) -> None:
    """All other characters become an underscore or are dropped."""
    assert sanitize_filename(text) == name


@given(ANY_TEXT, st.integers(16, 260))
def test_every_text_becomes_a_safe_name(text: str, max_bytes: int) -> None:
    """A name is never empty, hidden, a path or too long, and has no control characters. A safe name stays the same."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(names, "MAX_NAME_BYTES", max_bytes)
        name = sanitize_filename(text)
        assert sanitize_filename(name) == name
    assert 0 < len(name.encode()) <= max_bytes
    assert not name.startswith(".") and not name.endswith(".") and ".." not in name
    assert all(c in "-_." or unicodedata.category(c)[0] in "LMN" for c in name)
    assert Path(name).name == name


@pytest.mark.parametrize("letter", ["a", "é", "支", "𐍈"], ids=["1 byte", "2 bytes", "3 bytes", "4 bytes"])
def test_a_long_name_is_cut_between_characters_and_stays_distinct(letter: str) -> None:
    """Two long texts with the same beginning get names that differ, each within the limit."""
    first, second = sanitize_filename(letter * 500 + "1"), sanitize_filename(letter * 500 + "2")
    assert first != second
    assert first.startswith(letter * 40)
    assert MAX_NAME_BYTES - 4 <= len(first.encode()) <= MAX_NAME_BYTES


def test_a_name_that_just_fits_is_not_cut() -> None:
    """The limit itself is allowed."""
    assert sanitize_filename("a" * MAX_NAME_BYTES) == "a" * MAX_NAME_BYTES


@pytest.mark.parametrize(
    "moment",
    [NOW, NOW.astimezone(timezone(timedelta(hours=5, minutes=30))), NOW.replace(microsecond=999_999)],
    ids=["UTC", "another zone", "a fraction of a second"],
)
def test_a_timestamp_is_utc_to_the_second(moment: datetime) -> None:
    """The zone is converted, the fraction dropped."""
    assert generate_timestamp(moment) == "2025-10-21T14-30-45"


def test_artifacts_of_one_second_get_names_of_their_own() -> None:
    """The second and third file get a number."""
    taken: set[str] = set()
    for _ in range(3):
        taken.add(artifact_name(("kubernetes", "web-0", "shop"), NOW, taken.__contains__))
    stem = "kubernetes_web-0_shop_2025-10-21T14-30-45"
    assert taken == {f"{stem}.json", f"{stem}-2.json", f"{stem}-3.json"}


def test_a_long_artifact_name_fits_the_file_system_with_its_suffixes() -> None:
    """255 bytes hold the name, its timestamp, a number and the temporary suffix."""
    name = artifact_name(("prometheus", "支" * 500), NOW, lambda name: not name.endswith("-1000.json"))
    assert name.endswith("_2025-10-21T14-30-45-1000.json")
    assert len(f"{name}.part".encode()) <= 255


def test_a_session_id_follows_from_the_uid() -> None:
    """The same uid gives the same id, a longer one begins with the shorter."""
    assert session_id("a", 4) == session_id("a", 4) != session_id("b", 4)
    assert session_id("a", 6).startswith(session_id("a", 4))
    prefix, digits = session_id("a", 4).split("-")
    assert prefix == "INC" and len(digits) == 4 and digits == digits.upper() and int(digits, 16) >= 0


def test_everything_of_a_session_lies_in_its_directory(tmp_path: Path) -> None:
    """The layout equals the documented one."""
    layout = SessionLayout(tmp_path)
    session = tmp_path / "sessions" / "INC-7F3A"
    assert layout.session("INC-7F3A") == session
    assert layout.manifest("INC-7F3A") == session / "manifest.json"
    assert layout.journal("INC-7F3A").parent == session
    assert [layout.data("INC-7F3A", category) for category in CATEGORIES] == [
        session / "data" / name for name in ("logs", "metrics", "traces", "events", "objects")
    ]
