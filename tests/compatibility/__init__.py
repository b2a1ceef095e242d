"""The tests that need only an API server, against several minors of Kubernetes."""
