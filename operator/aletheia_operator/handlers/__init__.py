"""kopf handlers. They pass Investigations to the supervisor, which calls `investigate` and writes the status."""
