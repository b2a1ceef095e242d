"""Options of DataSources of type prometheus."""

from pydantic import Field

from aletheia_operator.api.types import LabelName, Model


class PrometheusOptions(Model):
    """Prometheus alone: what queries may read."""

    namespace_label: LabelName | None = Field(
        None,
        description="Each selector of a query is made to match this label with the Investigation's namespace; a query that"
        " cannot be rewritten safely is refused. Default: queries may read every series.",
    )
