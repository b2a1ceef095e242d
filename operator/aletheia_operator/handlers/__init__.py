"""kopf handlers. They pass Investigations to the supervisor, which calls `investigate` and writes the status."""

import aletheia_operator.clients  # noqa: F401  # before kopf, which imports the official Kubernetes client
