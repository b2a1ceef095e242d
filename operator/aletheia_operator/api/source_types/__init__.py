"""The types of DataSources: one line each.

The fields and rules of the resource, the chart's schema, the table in docs/datasources/README.md and the list of fetchers are
generated from them. docs/fetchers.md describes how to add a type.
"""

from typing import TYPE_CHECKING, Literal

from aletheia_operator.api.source_types.base import SourceType
from aletheia_operator.api.source_types.jaeger import JaegerOptions
from aletheia_operator.api.source_types.loki import LokiOptions
from aletheia_operator.api.source_types.prometheus import PrometheusOptions
from aletheia_operator.api.source_types.s3 import S3Options

SOURCE_TYPES: tuple[SourceType, ...] = (
    SourceType("prometheus", spec_field="metrics", options=PrometheusOptions),
    SourceType("jaeger", spec_field="traces", options=JaegerOptions),
    SourceType("loki", spec_field="queries", category="logs", options=LokiOptions, query="LogQL that selects log lines"),
    SourceType("s3", spec_field="session.upload", options=S3Options, has_fetcher=False),
)

if TYPE_CHECKING:
    SourceTypeName = str
    QueryTypeName = str
else:
    SourceTypeName = Literal[*(source_type.name for source_type in SOURCE_TYPES)]
    QueryTypeName = Literal[*(source_type.name for source_type in SOURCE_TYPES if source_type.query)]

__all__ = ["SOURCE_TYPES", "QueryTypeName", "SourceType", "SourceTypeName"]
