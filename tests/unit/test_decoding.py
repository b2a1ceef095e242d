"""Large values that tenants wrote: few are decoded at a time, in any number of threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest

from aletheia_operator.text.decoding import LARGE_BYTES, decoded
from tests.unit.fakes import LONGEST_TEST_SECONDS

LARGE = orjson.dumps(["x" * LARGE_BYTES])


def test_few_large_values_are_decoded_at_a_time() -> None:
    """Others wait; small ones do not."""
    begun, may_end = threading.Semaphore(0), threading.Event()

    def use(text: bytes) -> int:
        with decoded(text) as value:
            begun.release()
            assert may_end.wait(LONGEST_TEST_SECONDS)
            return len(value)

    with ThreadPoolExecutor(8) as threads:
        large = [threads.submit(use, LARGE) for _ in range(4)]
        assert begun.acquire(timeout=LONGEST_TEST_SECONDS)
        assert begun.acquire(timeout=LONGEST_TEST_SECONDS)
        assert not begun.acquire(blocking=False)
        small = threads.submit(use, b"[]")
        assert begun.acquire(timeout=LONGEST_TEST_SECONDS)
        may_end.set()
        assert [future.result(LONGEST_TEST_SECONDS) for future in [*large, small]] == [1, 1, 1, 1, 0]


def test_a_place_is_free_again_after_a_fault() -> None:
    """The text, or the work on its value, may have the fault."""
    for _ in range(5):
        with pytest.raises(orjson.JSONDecodeError), decoded(LARGE + b"]"):
            pass
        with pytest.raises(KeyError), decoded(LARGE):
            raise KeyError
