"""The status of a DataSource: when it is checked, and what is reported about it."""

import base64
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator.api import paths
from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import SourceError, Unavailable
from aletheia_operator.clients.http import Http
from aletheia_operator.fetchers.loki import LokiFetcher
from aletheia_operator.handlers.datasources import CHECK_INTERVAL, RETRY_INTERVAL, check, check_due, is_due
from tests.unit.fakes import NOW, FakeKubernetes, make_tools


def source(**status: Any) -> dict[str, Any]:
    spec = {"type": "loki", "endpoint": "http://loki:3100", "timeout": "1h"}
    return {"metadata": {"name": "logs", "generation": 2, "uid": "u"}, "spec": spec, "status": status}


FRESH = (NOW - timedelta(seconds=1)).isoformat()
OLD = (NOW - CHECK_INTERVAL).isoformat()
RECENT = (NOW - RETRY_INTERVAL).isoformat()


@pytest.mark.parametrize(
    ("item", "due"),
    [
        pytest.param(source(), True, id="new, or not looked at since the operator started"),
        pytest.param(source(observedGeneration=2, lastCheck=FRESH), False, id="just looked at"),
        pytest.param(source(observedGeneration=1, lastCheck=FRESH), True, id="changed"),
        pytest.param(source(observedGeneration=2, lastCheck=OLD), True, id="a while ago"),
        pytest.param(source(observedGeneration=2, lastCheck=RECENT), False, id="half a minute ago"),
        pytest.param(source(observedGeneration=2, lastCheck=RECENT, lastError="x"), True, id="half a minute ago, in vain"),
    ],
)
def test_when_it_is_looked_at(item: dict[str, Any], due: bool) -> None:
    """When it is new or changed, and then every few minutes; sooner if it could not be used."""
    assert is_due(item, NOW) is due


@dataclass
class Probed(LokiFetcher):
    """Answers the check without a server."""

    version: str | None = "3.7.8"
    error: SourceError | None = None
    asked: list[Endpoint] = field(default_factory=list)

    async def probe(self, endpoint: Endpoint, http: Http) -> str | None:
        self.asked.append(endpoint)
        if self.error is not None:
            raise self.error
        return self.version


async def status_of(tmp_path: Path, fetcher: Probed, item: dict[str, Any]) -> dict[str, Any]:
    kubernetes = FakeKubernetes()
    await check(item, make_tools(tmp_path, fetcher, kubernetes=kubernetes))
    (status,) = kubernetes.statuses
    return status


async def test_an_endpoint_that_answers(tmp_path: Path) -> None:
    """It has its version, no error, and a time limit independent of its own timeout."""
    fetcher = Probed()
    status = await status_of(tmp_path, fetcher, source())
    condition, _ = status["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Reachable", "True", "Answered")
    assert (status["version"], status["lastError"], status["observedGeneration"]) == ("3.7.8", None, 2)
    assert fetcher.asked[0].timeout_seconds == 10


async def test_an_endpoint_that_does_not(tmp_path: Path) -> None:
    """It has the reason and the message, inert. The condition's time changes only with its status."""
    fetcher = Probed(error=Unavailable("no route\x1b[2J", GapReason.TIMED_OUT))
    status = await status_of(tmp_path, fetcher, source())
    condition, _ = status["conditions"]
    assert (condition["status"], condition["reason"], status["lastError"]) == ("False", "TimedOut", "no route\\x1b[2J")
    earlier = replace(fetcher)
    before = source(conditions=[{**condition, "lastTransitionTime": "2026-11-22T10:00:00Z"}])
    again, _ = (await status_of(tmp_path, earlier, before))["conditions"]
    assert again["lastTransitionTime"] == "2026-11-22T10:00:00Z"


async def test_a_spec_that_is_invalid(tmp_path: Path) -> None:
    """A spec that an older definition let in is reported, and nothing is requested."""
    fetcher = Probed()
    item = source()
    item["spec"]["endpoint"] = "file:///etc/passwd"
    status = await status_of(tmp_path, fetcher, item)
    assert [condition["reason"] for condition in status["conditions"]] == ["NoDataSource"]
    assert fetcher.asked == []


@pytest.mark.parametrize(
    ("spec", "status", "reason", "remedy"),
    [
        ({}, "False", "NotConfined", "Set namespaceLabel of its type, tenant.fromNamespace"),
        ({"tenant": {"value": "a"}}, "False", "NotConfined", "allowedNamespaces"),
        ({"allowedNamespaces": ["shop"]}, "False", "NamedNamespaces", "To confine them, set namespaceLabel"),
        ({"allowedNamespaces": ["*"]}, "False", "AllNamespaces", "or name the namespaces"),
        ({"loki": {"namespaceLabel": "namespace"}}, "True", "NamespaceLabel", ""),
        ({"loki": {"namespaceLabel": "namespace"}, "allowedNamespaces": ["*"]}, "True", "NamespaceLabel", ""),
        ({"tenant": {"fromNamespace": True}}, "True", "NamespaceTenant", "must enforce tenants"),
        ({"tenant": {"template": "a-{namespace}"}}, "True", "NamespaceTenant", "must enforce tenants"),
    ],
)
async def test_whether_it_is_confined(tmp_path: Path, spec: dict[str, Any], status: str, reason: str, remedy: str) -> None:
    """A condition says whether namespaces are kept apart, and if not, what an admin can set; also if nothing answers."""
    item = source()
    item["spec"] |= spec
    for fetcher in (Probed(), Probed(error=Unavailable("no route", GapReason.TIMED_OUT))):
        _, condition = (await status_of(tmp_path, fetcher, item))["conditions"]
        assert (condition["type"], condition["status"], condition["reason"]) == ("Confined", status, reason)
        assert remedy in condition["message"]


@pytest.mark.parametrize("tenant", [{"fromNamespace": True}, {"template": "a-{namespace}"}])
async def test_the_check_asks_for_the_tenant_of_the_operators_namespace(tmp_path: Path, tenant: dict[str, Any]) -> None:
    """Some servers answer no request without a tenant; nothing of a user's namespace is asked for."""
    item, fetcher, kubernetes = source(), Probed(), FakeKubernetes()
    item["spec"]["tenant"] = tenant
    await check(item, make_tools(tmp_path, fetcher, kubernetes=kubernetes, operator_namespace="operators"))
    (asked,) = fetcher.asked
    assert asked.credentials.headers == (("X-Scope-OrgID", "operators" if "fromNamespace" in tenant else "a-operators"),)
    assert asked.namespace == ""


@pytest.mark.logs_errors("checking DataSource broken failed")
async def test_a_fault_of_one_check_leaves_the_others_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with the DataSource's name; the status of the others is written."""
    broken = source()
    broken["metadata"] = {"name": "broken", "generation": 2}  # without a uid
    kubernetes = FakeKubernetes(lists={paths.DATA_SOURCES: [broken, source()]})
    await check_due(make_tools(tmp_path, Probed(), kubernetes=kubernetes))
    assert [path for path, _, _ in kubernetes.patches] == [f"{paths.DATA_SOURCES}/logs"]
    assert "checking DataSource broken failed" in caplog.text


async def test_a_version_does_not_repeat_a_credential(tmp_path: Path) -> None:
    """A server may repeat a credential as its version. It is removed before the version is cut."""
    item = source()
    item["spec"]["auth"] = {"bearer": {"name": "login", "key": "token"}}
    canary = "canary-0123456789"
    secret = {"data": {"token": base64.b64encode(canary.encode()).decode()}}
    kubernetes = FakeKubernetes({"/api/v1/namespaces/operators/secrets/login": secret})
    fetcher = Probed(version="v" * 95 + canary)
    await check(item, make_tools(tmp_path, fetcher, kubernetes=kubernetes, operator_namespace="operators"))
    (status,) = kubernetes.statuses
    assert status["version"] == "v" * 95 + "***"
