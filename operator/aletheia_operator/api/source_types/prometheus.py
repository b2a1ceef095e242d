"""Options of DataSources of type prometheus."""

from pydantic import Field

from aletheia_operator.api.types import LabelName, Model


class PrometheusOptions(Model):
    """Options of type prometheus."""

    namespace_label: LabelName | None = Field(
        None,
        description="Label that limits queries to the Investigation's namespace: a matcher for it is added to each selector."
        " A query that cannot be rewritten safely is refused. Unset: queries can read all series.",
    )
