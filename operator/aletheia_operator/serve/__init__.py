"""The artifacts API: people read sessions with their own rights, through the Kubernetes API server.

An aggregated API (https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/): the API server
authenticates and authorizes each caller, and forwards the request with its own client certificate. This process only reads the
session volume: it has no token, writes nothing and connects to no server.
"""
