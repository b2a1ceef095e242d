"""Settings of the unit tests: hypothesis with bounded work, the same cases each time, and nothing written to disk."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.unit.loopback import Loopback

settings.register_profile("unit", deadline=None, max_examples=60, derandomize=True, database=None)
settings.load_profile("unit")


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    """A real HTTP server on the loopback interface, told by the test what to answer."""
    with Loopback() as server:
        yield server
