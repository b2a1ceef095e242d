"""The types of DataSource: models, fetchers and rules derive from one registry."""

import re
from pathlib import Path
from typing import Any

import pytest

import aletheia_operator.fetchers
from aletheia_operator.api import derived
from aletheia_operator.api.datasource import DataSourceSpec
from aletheia_operator.api.source_types import SOURCE_TYPES, SourceType
from aletheia_operator.api.source_types.jaeger import JaegerOptions
from aletheia_operator.api.source_types.prometheus import PrometheusOptions
from aletheia_operator.api.source_types.s3 import S3Options
from aletheia_operator.api.types import Model
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.fetchers import FETCHERS, RemoteFetcher
from aletheia_operator.fetchers.prometheus import PrometheusFetcher
from aletheia_operator.investigate import KubernetesDataSources
from aletheia_operator.session.layout import CATEGORIES
from tests.cluster.rig import ROOT
from tests.support.fetching import fetch, window
from tests.unit.fakes import FakeKubernetes
from tests.unit.loopback import Loopback, reply_json

SCHEMA = ROOT / "charts" / "aletheia-operator" / "values.schema.json"
PAGE = ROOT / "docs" / "datasources" / "README.md"
END = 1_763_000_000
SHARED = {"base", "spill", "kubernetes"}
COMMON_FIELDS = {"type", "endpoint", "auth", "tls", "tenant", "default", "timeout", "max_response_bytes", "max_series"}
WITH_FETCHER = [source_type for source_type in SOURCE_TYPES if source_type.has_fetcher]


def name_of(source_type: SourceType) -> str:
    return source_type.name


@pytest.mark.parametrize("source_type", SOURCE_TYPES, ids=name_of)
def test_a_name_is_a_field_of_the_spec(source_type: SourceType) -> None:
    """It is the same in Python and JSON, and hides no other field."""
    assert re.fullmatch(r"[a-z][a-z0-9]{1,30}", source_type.name)
    assert source_type.name not in COMMON_FIELDS
    assert len({source_type.name for source_type in SOURCE_TYPES}) == len(SOURCE_TYPES)
    field = DataSourceSpec.model_fields.get(source_type.name)
    assert (field is None) == (source_type.options is None)


@pytest.mark.parametrize("source_type", SOURCE_TYPES, ids=name_of)
def test_a_type_has_a_page(source_type: SourceType) -> None:
    """The table of the types links to it."""
    assert (PAGE.parent / f"{source_type.name}.md").exists()


def test_the_committed_schema_and_table_are_those_of_the_models(tmp_path: Path) -> None:
    """`make generate` was run after the last change of a model. Writing them again changes nothing."""
    copies = [tmp_path / path.name for path in (SCHEMA, PAGE)]
    for path, copy in zip((SCHEMA, PAGE), copies, strict=True):
        copy.write_text(path.read_text())
    derived.main(*map(str, copies))
    assert [copy.read_text() for copy in copies] == [path.read_text() for path in (SCHEMA, PAGE)]


def test_a_page_without_a_place_for_the_table_is_an_error(tmp_path: Path) -> None:
    """The table is never left out."""
    (tmp_path / "README.md").write_text("# DataSources\n")
    (tmp_path / "schema.json").write_text(SCHEMA.read_text())
    with pytest.raises(ValueError, match="0 places"):
        derived.main(str(tmp_path / "schema.json"), str(tmp_path / "README.md"))


@pytest.mark.parametrize("source_type", WITH_FETCHER, ids=name_of)
def test_a_type_has_its_fetcher(source_type: SourceType) -> None:
    """It has the name of its type, as its module has. Views find its gaps by that name and the category."""
    (fetcher,) = [
        fetcher for fetcher in FETCHERS if isinstance(fetcher, RemoteFetcher) and fetcher.source_type == source_type.name
    ]
    assert type(fetcher).__module__.startswith(f"aletheia_operator.fetchers.{source_type.name}")
    assert fetcher.name.lower() == source_type.name
    assert source_type.writes in CATEGORIES


def test_every_module_of_fetchers_is_registered() -> None:
    """No unused module is left."""
    (directory,) = aletheia_operator.fetchers.__path__
    modules = {path.stem for path in (ROOT / directory).iterdir() if not path.name.startswith("_")}
    assert modules == SHARED | {source_type.name for source_type in WITH_FETCHER}


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ({"type": "prometheus"}, None),
        ({"type": "prometheus", "prometheus": {}}, PrometheusOptions()),
        ({"type": "prometheus", "prometheus": {"namespaceLabel": "a"}}, PrometheusOptions(namespace_label="a")),
        ({"type": "prometheus", "namespaceLabel": "a"}, PrometheusOptions(namespace_label="a")),
        ({"type": "prometheus", "namespaceLabel": "a", "prometheus": {}}, PrometheusOptions(namespace_label="a")),
        (
            {"type": "prometheus", "namespaceLabel": "a", "prometheus": {"namespaceLabel": "a"}},
            PrometheusOptions(namespace_label="a"),
        ),
        ({"type": "jaeger", "jaeger": {"api": "v3"}}, JaegerOptions(api="v3")),
        ({"type": "jaeger", "api": "v3"}, JaegerOptions(api="v3")),
        ({"type": "loki"}, None),
        ({"type": "s3", "auth": {"accessKey": {"name": "a"}}, "s3": {"bucket": "abc"}}, S3Options(bucket="abc")),
    ],
)
def test_deprecated_fields_count_as_options(spec: dict[str, Any], options: Model | None) -> None:
    """A stored resource keeps its meaning: a label that confines queries is never dropped."""
    assert DataSourceSpec.from_json({"endpoint": "http://a", **spec}).options == options


def test_options_of_another_type_are_an_error() -> None:
    """No default takes the place of options that were set."""
    endpoint = Endpoint("a", "http://a", 5, 1024, options=JaegerOptions())
    with pytest.raises(TypeError, match="DataSource a has JaegerOptions, not PrometheusOptions"):
        endpoint.options_of(PrometheusOptions)
    assert Endpoint("a", "http://a", 5, 1024).options_of(PrometheusOptions) == PrometheusOptions()


@pytest.mark.parametrize(
    "spec", [{"namespaceLabel": "tenant"}, {"prometheus": {"namespaceLabel": "tenant"}}], ids=["the old form", "the new form"]
)
def test_a_label_confines_the_query_that_is_sent(spec: dict[str, Any]) -> None:
    """This holds from the stored resource to the server, in both forms."""
    with Loopback() as server:
        server.answers = (reply_json({"status": "success", "data": {"resultType": "matrix", "result": []}}),)
        stored = {"metadata": {"name": "a"}, "spec": {"type": "prometheus", "endpoint": server.url, "default": True, **spec}}
        kubernetes = FakeKubernetes(lists={"/apis/aletheia.dev/v1alpha1/datasources": [stored]})
        found = KubernetesDataSources(kubernetes.real(), "shop")
        fetch(PrometheusFetcher(), found, window(END - 60, END), metrics=[{"query": "up"}])
        assert server.queries()[0]["query"] == 'up{tenant="shop"}'
