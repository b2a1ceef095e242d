"""The flight recorder for Kubernetes incidents: an in-cluster operator that captures evidence before it is lost."""
