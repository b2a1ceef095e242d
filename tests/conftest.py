"""Options and fixtures for every test."""

from collections.abc import Iterator

import pytest

from tests.support.http import Serve, serving

pytest_plugins = ["tests.cluster.fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lives", type=int, default=15, help="sequences that the state machine of a session's life tries")


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Starts HTTP servers on the loopback interface, each with its handler. They end with the module."""
    with serving() as serve:
        yield serve
