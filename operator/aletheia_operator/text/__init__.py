"""Text of logs and of answers: timestamps, levels, one-line summaries. Pure."""
