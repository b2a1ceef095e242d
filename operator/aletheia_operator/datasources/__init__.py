"""Finds the endpoint that a question may use, and its credentials."""
