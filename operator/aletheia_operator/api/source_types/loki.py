"""Options of DataSources of type loki."""

from pydantic import Field

from aletheia_operator.api.types import LabelName, Model


class LokiOptions(Model):
    """Loki alone: what queries may read."""

    namespace_label: LabelName | None = Field(
        None,
        description="The stream selector of a query is made to match this label with the Investigation's namespace; a query"
        " that cannot be rewritten safely is refused. Default: queries may read every stream.",
    )
