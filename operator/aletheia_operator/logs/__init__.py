"""Parsing beside the event loop: worker processes, since one interpreter parses on one core only."""
