"""Options and fixtures for every test."""

import pytest

pytest_plugins = ["tests.cluster.fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lives", type=int, default=15, help="sequences that the state machine of a session's life tries")
