"""The only makers of Kubernetes and HTTP clients: identity, timeouts, caps, and no credentials across redirects."""
