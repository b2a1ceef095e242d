"""The demo: a shop that breaks, in a real cluster, and the Investigation that captures why."""
