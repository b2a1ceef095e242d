"""Real clusters and servers for the tests and the demo.

`provider` starts a cluster (kind if Docker runs, otherwise the Debian node of the script `node`), `programs` builds the
programs for it, `images` builds and exports container images, `servers` runs Prometheus and Jaeger, `fixtures` is for pytest.
On the command line: python -m tests.cluster.
"""
