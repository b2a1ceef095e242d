"""What may not be kept: credentials, other people's business, and noise."""
