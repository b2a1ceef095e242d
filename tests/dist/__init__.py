"""Makes what people install: the wheel, a single-file program, and krew's manifest."""
