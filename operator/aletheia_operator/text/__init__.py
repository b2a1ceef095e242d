"""Text of logs and answers: timestamps, trace ids, quoting, escaping for display."""
