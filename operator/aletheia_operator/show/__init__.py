"""Evidence for a terminal: pure functions from a session's artifacts to tables, lines and JSON. Streams; memory is flat."""
