"""One Investigation, from spec to manifest. The same function for the operator, a Job and the command line."""

from aletheia_operator.datasources.finder import KubernetesDataSources
from aletheia_operator.investigate.budget import Budget
from aletheia_operator.investigate.capture import Order, Snapshot, Tools, investigate

__all__ = ["Budget", "KubernetesDataSources", "Order", "Snapshot", "Tools", "investigate"]
