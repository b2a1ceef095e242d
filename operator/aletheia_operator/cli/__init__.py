"""The command line: `kubectl investigation`, also `aletheia`."""
