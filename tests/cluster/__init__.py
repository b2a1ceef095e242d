"""Real clusters and servers for the tests and the demo.

`provider` starts a cluster (kind where Docker runs, otherwise the Debian node of the script `node`), `programs` builds what
that needs, `images` builds and exports container images, `servers` runs Prometheus and Jaeger, `fixtures` is for pytest.
On the command line: python -m tests.cluster.
"""
