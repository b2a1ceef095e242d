"""The nearest names: right for typical misspellings, and fast for names that are slow to compare."""

import time

import pytest

from aletheia_operator.text.nearest import hint, nearest


@pytest.mark.parametrize(
    ("name", "names", "expected"),
    [
        ("chekout", ["cart", "checkout", "checkin"], ["checkout"]),
        ("wbe", ["db", "web", "worker"], ["web"]),
        ("CHECKOUT", ["Checkout"], ["Checkout"]),
        ("http_request_total", [*(f"http_{n}_total" for n in range(500)), "http_requests_total"], ["http_requests_total"]),
        ("x", ["y"], []),
        ("", ["y"], []),
        ("x", [], []),
    ],
)
def test_the_nearest(name: str, names: list[str], expected: list[str]) -> None:
    """The first is the nearest."""
    assert nearest(name, names)[: len(expected)] == expected


def test_a_hint() -> None:
    """It has the nearest names, or is empty if none is near."""
    assert hint("wbe", ["web"]) == "; the nearest names: web"
    assert hint("wbe", ["payments"]) == ""


@pytest.mark.parametrize(
    ("name", "other"),
    [("a" * 100, "{}" + "a" * 36 + "b" * 30 + "a" * 30), ("ab" * 5_000, "ba" * 30 + "{}" + "ab" * 5_000)],
    ids=["one letter", "two letters, very long"],
)
def test_names_that_are_slow_to_compare(name: str, other: str) -> None:
    """Repeated letters make difflib's time grow with the square of the length: 2,000 such names took five seconds."""
    names = [other.format(f"{number:04d}") for number in range(2_000)]
    before = time.thread_time()
    assert len(nearest(name, names)) == 3
    assert time.thread_time() - before < 1
