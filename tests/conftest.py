"""Options and fixtures for every test."""

pytest_plugins = ["tests.cluster.fixtures"]
