"""kopf handlers: thin. They hand Investigations to the supervisor, which calls `investigate` and projects status."""
