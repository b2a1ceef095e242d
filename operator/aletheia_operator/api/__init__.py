"""The custom resources as pydantic models. No I/O; `crds/` is generated from here."""

from aletheia_operator.api.datasource import DataSourceSpec
from aletheia_operator.api.investigation import (
    EventsRequest,
    InvestigationSpec,
    InvestigationStatus,
    LabelSelector,
    LogsRequest,
    MetricsRequest,
    ObjectsRequest,
    Target,
    TracesRequest,
    WindowSpec,
    WorkloadReference,
)
from aletheia_operator.api.types import GROUP, VERSION, parse_bytes, parse_duration

__all__ = [
    "GROUP",
    "VERSION",
    "DataSourceSpec",
    "EventsRequest",
    "InvestigationSpec",
    "InvestigationStatus",
    "LabelSelector",
    "LogsRequest",
    "MetricsRequest",
    "ObjectsRequest",
    "Target",
    "TracesRequest",
    "WindowSpec",
    "WorkloadReference",
    "parse_bytes",
    "parse_duration",
]
