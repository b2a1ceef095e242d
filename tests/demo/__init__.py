"""The demo: a shop that breaks, in a real cluster, and an Investigation that captures the evidence."""
