"""The custom resources as pydantic models. No I/O; `crds/` is generated from here."""

from aletheia_operator.api.datasource import DataSourceSpec
from aletheia_operator.api.investigation import InvestigationSpec
from aletheia_operator.api.requests import EventsRequest, LogsRequest, MetricsRequest, ObjectsRequest, TracesRequest
from aletheia_operator.api.status import InvestigationStatus
from aletheia_operator.api.targets import LabelSelector, Target, WorkloadReference
from aletheia_operator.api.times import WindowSpec
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
