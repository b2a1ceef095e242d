"""Captures one Investigation, from spec to manifest. The same function serves the operator, a Job and the command line."""

from aletheia_operator.datasources.finder import KubernetesDataSources
from aletheia_operator.investigate.budget import Budget
from aletheia_operator.investigate.capture import investigate
from aletheia_operator.investigate.order import Order, Snapshot, Tools

__all__ = ["Budget", "KubernetesDataSources", "Order", "Snapshot", "Tools", "investigate"]
