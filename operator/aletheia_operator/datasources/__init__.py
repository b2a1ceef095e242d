"""Which endpoint a question may use, and with which credentials."""
