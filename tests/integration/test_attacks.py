"""Attacks of tenants on a shared cluster, as real users: each is refused or confined, and yields no foreign byte.

Users of namespace `attack-shop`: alice may only write Investigations. bob may also view the namespace. dave may also
impersonate the ServiceAccount `investigator`. carol may end legal holds. erin and victor have Kubernetes' roles `edit` and
`view`. `tenant` is a ServiceAccount. mallory has rights in namespace `attack-bank` only. The policies are the chart's.
docs/threat-model.md has the whole attack table, with the rows that other modules test.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.cluster.provider import Cluster
from tests.cluster.rig import ROOT, RigError, run
from tests.integration.conftest import make_namespace
from tests.support import shared_sources
from tests.support.api import OBJECTS, STRICT, request
from tests.support.http import serving
from tests.support.operator import Kubectl, Operator, check_session, data_source, investigation, pod, until

pytestmark = pytest.mark.cluster

SHOP, BANK, RELEASE = "attack-shop", "attack-bank", "attack-system"
INVESTIGATIONS = f"{OBJECTS}/namespaces/{SHOP}/investigations"
PREFIX = f"it-{RELEASE}"  # of the chart's objects
FOREIGN, OWN = "line-of-the-bank", "line-of-the-shop"
TARGETS = [{"pod": "till"}]
PASSWORD = {"encryption": {"passwordSecretRef": {"name": "incident"}}}
LOKI = [{"type": "loki", "query": '{app="till"}'}]
SILENT = {"logs": {}, "events": {"nodes": False}}


@dataclass(frozen=True)
class Refused:
    """An Investigation that the API server refuses to this user; `word` is in the message."""

    title: str
    user: str
    spec: dict[str, Any]
    word: str


REFUSED = [
    Refused("logs by default", "alice", {"targets": TARGETS}, "may not get pods/log in namespace attack-shop"),
    Refused("logs by name", "alice", {"targets": TARGETS, "logs": {}}, "RoleBinding there to ClusterRole view"),
    Refused("events alone", "alice", {"targets": TARGETS, "events": {}}, "may not list events"),
    Refused("objects alone", "alice", {"targets": TARGETS, "objects": {}}, "may not list pods"),
    Refused("objects by who may list pods alone", "podlister", {"targets": TARGETS, "objects": {}}, "may not"),
    Refused("logs by who may list pods alone", "podlister", {"targets": TARGETS}, "pods/log"),
    Refused("while suspended", "alice", {"targets": TARGETS, "suspend": True}, "pods/log"),
    Refused("logs of a log store", "alice", {"queries": LOKI}, "spec.queries"),
    Refused(
        "logs of a log store, as an account without them", "dave", {"queries": LOKI, "serviceAccountName": "idle"}, "pods/log"
    ),
    Refused("a password that is not theirs", "bob", {"targets": TARGETS, "session": PASSWORD}, "may not get Secret incident"),
    Refused(
        "a password by an account",
        "dave",
        {"targets": TARGETS, "session": PASSWORD, "serviceAccountName": "investigator"},
        "may not get Secret incident",
    ),
    *(
        Refused(f"the account {name}", "bob", {"targets": TARGETS, "serviceAccountName": name}, word)
        for name, word in (
            ("investigator", "may not impersonate ServiceAccount investigator"),
            ("missing", "may not impersonate"),
            ("default", "may not impersonate"),
            (f"{PREFIX}", "may not impersonate"),
            ("system:serviceaccount:attack-bank:default", "serviceAccountName"),
            ("attack-bank/default", "serviceAccountName"),
            ("../../attack-bank/serviceaccounts/default", "serviceAccountName"),
        )
    ),
    Refused("another of dave's account", "dave", {"targets": TARGETS, "serviceAccountName": "other"}, "may not impersonate"),
]
TAKEN = [
    ("alice", {"metrics": [{"query": "up"}]}),
    ("bob", {"targets": TARGETS}),
    ("bob", {"queries": LOKI}),
    ("dave", {"targets": TARGETS, "serviceAccountName": "investigator"}),
    ("admin", {"targets": TARGETS, "session": PASSWORD, "serviceAccountName": "investigator"}),
]
FOREIGN_TARGETS: dict[str, Any] = {
    "pod-of-the-bank": {"targets": [{"pod": "vault"}], **SILENT},
    "selector-of-the-bank": {"targets": [{"selector": {"matchLabels": {"app": "vault"}}}], **SILENT},
    "workload-of-the-bank": {"targets": [{"workload": {"kind": "Deployment", "name": "vault"}}], **SILENT},
}


@dataclass(frozen=True)
class Attacked:
    """The two namespaces, with the operator that watches them."""

    shop: Kubectl
    operator: Operator

    def refusal(self, user: str, *arguments: str, stdin: str | None = None) -> str:
        """Return the API server's error message for this user; '' if it accepts the resource."""
        person = () if user == "admin" else (f"--as={user}",)
        try:
            self.shop(*arguments, *person, stdin=stdin)
        except RigError as e:
            return str(e)
        return ""

    def create(self, user: str, name: str, spec: dict[str, Any], dry_run: bool = False) -> str:
        """Create an Investigation as this user. Returns the API server's error message; '' if it accepts the resource."""
        query = {**STRICT, **({"dryRun": "All"} if dry_run else {})}
        who = None if user == "admin" else user
        try:
            request(self.shop.cluster, "POST", INVESTIGATIONS, investigation(name, **spec), query, who)
        except RigError as e:
            return str(e)
        return ""

    def stored(self) -> bytes:
        """Return all bytes of the session volume."""
        return b"".join(path.read_bytes() for path in self.operator.root.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def attacked(prepared: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    shop, bank = make_namespace(prepared, SHOP), make_namespace(prepared, BANK)
    shop.apply(pod("till", f"echo {OWN}; sleep 3600", {"app": "till"}))
    bank.apply(pod("vault", f"echo {FOREIGN}; sleep 3600", {"app": "vault"}))
    shop.apply(investigation("older", targets=TARGETS))  # before there is a policy
    shop.apply(investigation("older-waits", targets=TARGETS, suspend=True))
    rendered = chart(prepared)
    prepared.run_kubectl("apply", "-f", "-", stdin=rendered)
    policy = re.search(rf"{PREFIX}-creators-[0-9a-f]+[.]{RELEASE}", rendered)
    assert policy is not None
    for account in ("investigator", "idle", "other"):
        shop("create", "serviceaccount", account)
    for user in ("alice", "bob", "dave", "podlister"):
        shop("create", "rolebinding", f"{user}-writes", f"--clusterrole={PREFIX}-investigator.{RELEASE}", f"--user={user}")
    shop("create", "serviceaccount", "tenant")
    writes = f"--clusterrole={PREFIX}-investigator.{RELEASE}"
    shop("create", "rolebinding", "tenant-writes", writes, f"--serviceaccount={SHOP}:tenant")
    shop("create", "rolebinding", "erin-edits", "--clusterrole=edit", "--user=erin")
    shop("create", "rolebinding", "views", "--clusterrole=view", "--user=bob", "--user=victor")
    bank("create", "rolebinding", "mallory-owns", "--clusterrole=admin", "--user=mallory")
    shop("create", "rolebinding", "carol-holds", f"--clusterrole={PREFIX}-custodian.{RELEASE}", "--user=carol")
    shop("create", "role", "become", "--verb=impersonate", "--resource=serviceaccounts", "--resource-name=investigator",
         "--resource-name=idle")  # fmt: skip
    shop("create", "rolebinding", "dave-becomes", "--role=become", "--user=dave")
    shop("create", "role", "lister", "--verb=list", "--resource=pods")
    shop("create", "rolebinding", "podlister-lists", "--role=lister", "--user=podlister")
    reader = f"--clusterrole={PREFIX}-reader.{RELEASE}"
    shop("create", "rolebinding", "investigator-reads", reader, f"--serviceaccount={SHOP}:investigator")
    options = [f"--creator-policy={policy[0]}"]
    root = tmp_path_factory.mktemp("attacked") / "root"
    operator = Operator(prepared, root, [SHOP], options, trusts_creators=False).start()
    attacked = Attacked(shop, operator)
    until(lambda: attacked.create("alice", "x", {"targets": TARGETS}, dry_run=True), 30, "the policy stands")
    for kubectl, name in ((shop, "till"), (bank, "vault")):
        kubectl.wait(f"pod/{name}", "condition=Ready")
    yield attacked
    operator.stop()
    prepared.run_kubectl("delete", "-f", "-", stdin=rendered)
    prepared.run_kubectl("delete", "namespace", SHOP, BANK, "--wait=false")


def chart(cluster: Cluster) -> str:
    """The chart's policies and roles for namespace SHOP."""
    templates = [f"--show-only=templates/{name}.yaml" for name in ("admissionpolicy", "rbac-users")]
    values = f"namespaces={{{SHOP}}},nameOverride={RELEASE},rbac.aggregateToEdit=true,rbac.aggregateToView=true"
    path = ROOT / "charts" / "aletheia-operator"
    return run([cluster.helm, "template", "it", path, f"--namespace={RELEASE}", f"--set={values}", *templates])


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.title)
def test_nobody_reads_by_an_investigation_what_they_cannot_read(attacked: Attacked, row: Refused) -> None:
    """The API server refuses it and names the missing right, also on a dry run; nothing is created."""
    for dry_run in (False, True):
        assert row.word in attacked.create(row.user, "attack", row.spec, dry_run)
    with pytest.raises(RigError, match="NotFound"):
        request(attacked.shop.cluster, "GET", f"{INVESTIGATIONS}/attack")


@pytest.mark.parametrize(("user", "spec"), TAKEN, ids=lambda value: value if isinstance(value, str) else "")
def test_who_may_read_it_may_ask_for_it(attacked: Attacked, user: str, spec: dict[str, Any]) -> None:
    """The policy accepts users with the rights."""
    assert attacked.create(user, "fine", spec, dry_run=True) == ""


def test_who_ends_a_suspension_is_asked_too(attacked: Attacked) -> None:
    """Another user may label, cancel or delete a suspended Investigation, but not make the operator read for it."""
    assert attacked.create("bob", "waits", {"targets": TARGETS, "suspend": True}) == ""
    for patch in ('{"spec": {"suspend": false}}', '{"spec": {"suspend": null}}'):
        for flags in ((), ("--dry-run=server",)):
            refusal = attacked.refusal("alice", "patch", "investigation", "waits", "--type=merge", f"-p={patch}", *flags)
            assert "may not get pods/log" in refusal
    body = json.dumps(investigation("waits", targets=TARGETS, suspend=False))
    for way in (("replace",), ("apply", "--server-side", "--force-conflicts")):
        assert "may not get pods/log" in attacked.refusal("alice", *way, "-f", "-", stdin=body)
    assert attacked.refusal("alice", "label", "investigation", "waits", "team=x") == ""
    patch = '-p={"spec": {"suspend": false}}'
    assert attacked.refusal("bob", "patch", "investigation", "waits", "--type=merge", patch) == ""
    assert attacked.shop.ended("waits")["status"]["phase"] == "Completed"


def test_what_is_older_than_the_policy_is_not_captured(attacked: Attacked) -> None:
    """Its creator was not checked, so it is refused with a reason, before anything is read."""
    status = attacked.shop.ended("older")["status"]
    assert (status["phase"], status["conditions"][0]["reason"]) == ("Failed", "CreatorNotChecked")
    assert "create it again" in status["conditions"][0]["message"]
    assert "session" not in status


def test_what_was_suspended_before_the_policy_stood(attacked: Attacked) -> None:
    """The policy checks who ends the suspension, and the operator knows that it does: then it is captured."""
    patch = ("patch", "investigation", "older-waits", "--type=merge", '-p={"spec": {"suspend": false}}')
    until(lambda: "suspendedUnder" in attacked.shop.get("investigation", "older-waits").get("status", {}), 30, "it is noted")
    assert "may not get pods/log" in attacked.refusal("alice", *patch)
    assert attacked.refusal("bob", *patch) == ""
    assert attacked.shop.ended("older-waits")["status"]["phase"] == "Completed"


def test_other_namespaces_are_out_of_reach(attacked: Attacked) -> None:
    """Names and labels of another namespace are searched only in the Investigation's own; no foreign byte is stored."""
    for name, spec in FOREIGN_TARGETS.items():
        assert attacked.create("bob", name, spec) == ""
    assert attacked.create("bob", "own", {"targets": TARGETS}) == ""
    for name in FOREIGN_TARGETS:
        status = attacked.shop.ended(name)["status"]
        assert {gap["reason"] for gap in status["gaps"]} <= {"NotFound", "NoPods"}, status
    assert attacked.shop.ended("own")["status"]["phase"] == "Completed"
    stored = attacked.stored()
    assert OWN.encode() in stored
    assert FOREIGN.encode() not in stored


FOREIGN_TRACE = "ab" * 16
LABEL = {"namespaceLabel": "namespace"}
OWN_TENANT = {"tenant": {"fromNamespace": True}}
SHARED: dict[str, tuple[str, dict[str, Any]]] = {
    "traces-of-all": ("jaeger", {"allowedNamespaces": None}),
    "traces-of-the-bank": ("jaeger", {"allowedNamespaces": [BANK]}),
    "lines-of-all": ("loki", {"allowedNamespaces": None, "default": True}),
    "lines-of-one-tenant": ("loki", {"allowedNamespaces": None, "tenant": {"value": BANK}}),
    "series-of-all": ("prometheus", {"allowedNamespaces": None, "default": True}),
    "lines-by-label": ("loki", {"allowedNamespaces": None, "loki": LABEL}),
    "lines-by-tenant": ("loki", {"allowedNamespaces": None, **OWN_TENANT}),
    "series-by-label": ("prometheus", {"allowedNamespaces": None, "prometheus": LABEL}),
    "series-by-tenant": ("prometheus", {"allowedNamespaces": None, **OWN_TENANT}),
    "traces-by-tenant": ("jaeger", {"allowedNamespaces": None, "tenant": {"header": "x-tenant", "fromNamespace": True}}),
}
"""DataSources of servers that have data of both namespaces."""
ATTEMPTS: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "traces": ([{"service": "vault"}, {"traceID": FOREIGN_TRACE}], ["traces-of-all", "traces-of-the-bank", "traces-by-tenant"]),
    "metrics": (
        [{"query": query} for query in ('up{namespace="attack-bank"}', '{__name__=~".+"}', 'up or up{namespace=~".+"}')],
        ["series-of-all", "series-by-label", "series-by-tenant"],
    ),
    "queries": (
        [{"query": query, "limit": 1} for query in ('{namespace="attack-bank"}', '{namespace=~".+"}', '{a="} or {b="} |= "l"')],
        ["lines-of-all", "lines-of-one-tenant", "lines-by-label", "lines-by-tenant"],
    ),
}


@pytest.fixture(scope="module")
def shared(attacked: Attacked) -> Iterator[None]:
    with serving() as serve:
        words, traces = {SHOP: OWN, BANK: FOREIGN}, {SHOP: "cd" * 16, BANK: FOREIGN_TRACE}
        url = serve(shared_sources.answers(SHOP, words, traces))
        attacked.shop.apply(*(data_source(name, kind, url, **spec) for name, (kind, spec) in SHARED.items()))
        yield
        attacked.shop("delete", "datasources", *SHARED)


def test_data_of_other_namespaces_in_shared_sources_is_out_of_reach(attacked: Attacked, shared: None) -> None:
    """Sources with data of all namespaces are closed, by name and as the default; others are confined; no byte is foreign."""
    made = []
    for field, (asked, names) in ATTEMPTS.items():
        kind = {"type": "loki"} if field == "queries" else {}
        for name in [*names, *([None] if field != "traces" else [])]:
            reference = {"dataSourceRef": {"name": name}} if name else {}
            made.append((f"{field}-{name or 'by-default'}", f"{name}".rpartition("-by-")[2] in ("label", "tenant")))
            assert attacked.create("bob", made[-1][0], {field: [{**entry, **kind, **reference} for entry in asked]}) == ""
    for name, is_confined in made:
        status = attacked.shop.ended(name)["status"]
        reasons = {gap["reason"] for gap in status["gaps"]}
        artifacts = {artifact["fetcher"] for artifact in status["artifacts"]}
        if is_confined:
            assert reasons <= {"Rejected", "BudgetExceeded", "NotFound", "Empty", "InvalidResponse"}, (name, status["gaps"])
            assert artifacts - {"Report"}, (name, status["gaps"])
        else:
            assert (reasons, artifacts) == ({"NotAllowed"}, {"Report"}), (name, status)
    stored = attacked.stored()
    assert OWN.encode() in stored
    assert FOREIGN.encode() not in stored


def test_a_forged_status_is_not_taken(attacked: Attacked) -> None:
    """A user cannot set the status on creation, by an update or by the subresource; there are no other subresources."""
    forged = investigation("forged", targets=TARGETS, suspend=True)
    forged["status"] = {"phase": "Completed", "operator": "mine", "session": {"id": "INC-0000", "path": "/etc"}}
    forged["metadata"]["annotations"] = {
        "kopf.zalando.org/last-handled-configuration": "{}",
        "aletheia.dev/created-by": "admin",
    }
    assert attacked.refusal("bob", "create", "-f", "-", stdin=json.dumps(forged)) == ""
    assert attacked.refusal("bob", "replace", "-f", "-", stdin=json.dumps(forged)) == ""
    status = json.dumps({"status": forged["status"]})
    refusal = attacked.refusal(
        "bob", "patch", "investigation", "forged", "--subresource=status", "--type=merge", f"-p={status}"
    )
    assert "forbidden" in refusal.lower()
    path = f"/apis/aletheia.dev/v1alpha1/namespaces/{SHOP}/investigations/forged"
    for below in ("status", "scale", "ephemeralcontainers", "log", "proxy"):
        assert attacked.refusal("bob", "replace", "--raw", f"{path}/{below}", "-f", "-", stdin=json.dumps(forged)) != "", below
    found = attacked.shop.get("investigation", "forged").get("status", {})
    assert found.get("phase") in (None, "Pending")
    assert "session" not in found
    assert found.get("operator") != "mine"


WRITERS = ("alice", "erin", f"system:serviceaccount:{SHOP}:tenant")
OTHERS = ("victor", "mallory", f"system:serviceaccount:{BANK}:default")
FORGED: dict[str, Any] = {
    "metadata": {"annotations": {"kopf.zalando.org/last-handled-configuration": "{}", "aletheia.dev/created-by": "admin"}},
    "status": {"phase": "Pending", "session": {"id": "INC-0000", "path": "/etc"}, "operator": "mine", "kopf": {"base": "{}"}},
}


@pytest.mark.parametrize("user", [*WRITERS, *OTHERS])
def test_nobody_forges_the_status_of_what_has_ended(attacked: Attacked, ended: Any, user: str) -> None:
    """Whichever user tries to change the status of a finished Investigation: it stays, and nothing is captured again."""
    before = {path: path.stat().st_mtime_ns for path in attacked.operator.root.rglob("*") if path.is_file()}
    status = json.dumps({"status": FORGED["status"]})
    refusal = attacked.refusal(user, "patch", "investigation", "ended", "--subresource=status", "--type=merge", f"-p={status}")
    assert 'resource "investigations/status" in API group' in refusal
    path = f"/apis/aletheia.dev/v1alpha1/namespaces/{SHOP}/investigations/ended/status"
    whole = json.dumps({**ended, **FORGED, "metadata": ended["metadata"]})
    assert "cannot update resource" in attacked.refusal(user, "replace", "--raw", path, "-f", "-", stdin=whole)
    refusal = attacked.refusal(user, "patch", "investigation", "ended", "--type=merge", f"-p={json.dumps(FORGED)}")
    assert ("is forbidden" in refusal) == (user in OTHERS)
    found = attacked.shop.get("investigation", "ended")["status"]
    assert found == ended["status"]
    assert {path: path.stat().st_mtime_ns for path in attacked.operator.root.rglob("*") if path.is_file()} == before


@pytest.fixture(scope="module")
def ended(attacked: Attacked) -> Any:
    """A finished Investigation of bob's."""
    may = ("auth", "can-i", "create", "investigations", "--as=erin")
    until(lambda: attacked.refusal("admin", *may) == "", 30, "the roles are aggregated")
    assert attacked.create("bob", "ended", {"targets": TARGETS}) == ""
    return attacked.shop.ended("ended")


def test_accounts_that_may_not_read_give_nothing(attacked: Attacked) -> None:
    """A user may impersonate any account, but a missing account, one without rights and the operator's name read no byte."""
    expected = {
        "missing": "ServiceAccountMissing",
        PREFIX: "ServiceAccountMissing",
        "idle": "Forbidden",
        "default": "Forbidden",
    }
    made = [
        investigation(f"by-{name}", targets=TARGETS, logs={}, events={}, objects={}, serviceAccountName=name)
        for name in expected
    ]
    attacked.shop.apply(*made)
    for name, reason in expected.items():
        status = attacked.shop.ended(f"by-{name}")["status"]
        assert {gap["reason"] for gap in status["gaps"]} == {reason}, status["gaps"]
        assert status["phase"] != "Completed"
        session = Path(status["session"]["path"])
        assert OWN.encode() not in b"".join(path.read_bytes() for path in session.rglob("*") if path.is_file())
    for name in ("system:admin", f"system:serviceaccount:{RELEASE}:{PREFIX}", "system:masters"):
        spec = {"targets": TARGETS, "serviceAccountName": name}
        assert "serviceAccountName" in attacked.create("admin", "attack", spec, dry_run=True)


PATHS = ("../../attack-bank/pods/vault", "%2e%2e%2fvault", "/etc/passwd", "till?namespace=attack-bank")


def test_no_name_is_a_path(attacked: Attacked, shared: None) -> None:
    """Path-like names of targets, sources, templates, traces and services lead to no file outside of a session."""
    fields: list[dict[str, Any]] = [
        {"targets": [{"pod": "NAME"}]},
        {"targets": [{"workload": {"kind": "Deployment", "name": "NAME"}}]},
        {"metrics": [{"query": "up", "dataSourceRef": {"name": "NAME"}}]},
    ]
    taken = []
    for number, (field, name) in enumerate(product(fields, PATHS)):
        spec = json.loads(json.dumps(field).replace("NAME", name))
        if number % len(PATHS) < 2 or attacked.create("bob", "path", spec, dry_run=True) == "":
            taken += [f"path-{number}"] if attacked.create("bob", f"path-{number}", spec) == "" else []
    asked = {
        "metrics": [*({"query": f'{{__name__="{name}"}}', **LABELLED} for name in PATHS)],
        "traces": [{"service": name, "dataSourceRef": {"name": "traces-by-tenant"}} for name in PATHS],
    }
    assert attacked.create("bob", "path-of-queries", asked) == ""
    for name in (*taken, "path-of-queries"):
        status = attacked.shop.ended(name)["status"]
        assert "InternalError" not in {gap["reason"] for gap in status["gaps"]}, status["gaps"]
        assert check_session(Path(status["session"]["path"]))
    assert FOREIGN.encode() not in attacked.stored()
    present = {path.name for path in attacked.operator.root.iterdir()}
    assert present <= {"sessions", "volume.json", "redaction.key", ".retention.lock"}


LABELLED = {"dataSourceRef": {"name": "series-by-label"}}
METADATA = (
    "http://169.254.169.254", "http://2852039166", "http://0xa9fea9fe", "http://0251.0376.0251.0376", "http://169.254.43518",
    "http://[::ffff:169.254.169.254]", "http://[::ffff:a9fe:a9fe]", "http://[::a9fe:a9fe]", "http://[64:ff9b::a9fe:a9fe]",
    "http://[2002:a9fe:a9fe::1]", "http://[fd00:ec2::254]", "http://[fe80::1]", "http://100.100.100.200", "http://0.0.0.0",
)  # fmt: skip


def test_no_data_source_leads_to_where_it_must_not(attacked: Attacked) -> None:
    """Metadata services in any form, and a redirect to another server, are refused without a request to them."""
    requests: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        requests.append(request.path)
        return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": [FOREIGN]}})

    with serving() as serve:
        target = serve(elsewhere)

        async def redirecting(request: web.Request) -> web.Response:
            raise web.HTTPTemporaryRedirect(f"{target}{request.path}")

        names = [f"ssrf-{number}" for number in range(len(METADATA))]
        refused = {
            name: attacked.refusal("admin", "create", "-f", "-", stdin=json.dumps(data_source(name, "prometheus", url)))
            for name, url in zip(names, METADATA, strict=True)
        }
        attacked.shop.apply(data_source("ssrf-redirect", "prometheus", serve(redirecting)))
        reached = [name for name in names if not refused[name]]
        metrics = [{"query": "up", "dataSourceRef": {"name": name}} for name in [*reached, "ssrf-redirect"]]
        assert attacked.create("bob", "ssrf", {"metrics": metrics}) == ""
        status = attacked.shop.ended("ssrf")["status"]
        attacked.shop("delete", "datasources", *reached, "ssrf-redirect")
    assert len(status["gaps"]) == len(metrics), status["gaps"]
    assert {gap["reason"] for gap in status["gaps"]} <= {"Rejected", "InvalidResponse", "NoDataSource"}, status["gaps"]
    assert all("link-local" in text or "host" in text for text in refused.values() if text), refused
    assert requests == []


def test_hostile_queries_and_patterns_end(attacked: Attacked, shared: None) -> None:
    """Queries that are costly to parse, and patterns that are costly to match, are refused or finish in time."""
    regex = "(" * 40 + "a" + "+)" * 40
    queries = [
        f'up{{a=~"{"(a|b?)*" * 60}"}}', "up" + " or up" * 1_200, "-" * 3_000 + "up", "(" * 3_000 + "up", f'up{{a=~"{regex}"}}',
        "sum(" * 900 + "up" + ")" * 900,
    ]  # fmt: skip
    lines = [f'{{a="b"}} |~ "{regex}"', '{a="b"}' + ' |= "x"' * 500, '{a="b"' + "}" * 900]
    spec: dict[str, Any] = {
        "targets": TARGETS,
        "metrics": [{"query": query, **LABELLED} for query in queries],
        "queries": [
            {"type": "loki", "query": query, "limit": 1, "dataSourceRef": {"name": "lines-by-label"}} for query in lines
        ],
        "findings": {"rules": [{"name": "Slow", "message": "m", "severity": "info", "log": {"pattern": regex}}]},
        "redaction": {"rules": [{"name": "slow", "pattern": "x(a|aa)+$"}]},
        "timeout": "60s",
    }
    refusal = attacked.create("bob", "hostile", spec)
    assert refusal == "", refusal
    status = attacked.shop.ended("hostile", 30)["status"]
    assert {gap["reason"] for gap in status["gaps"]} <= {
        "Rejected",
        "Empty",
        "NotFound",
        "InvalidResponse",
        "BudgetExceeded",
    }, status["gaps"]
    assert attacked.operator.healthy()
    for field, rule in (("findings", spec["findings"]["rules"][0]), ("redaction", spec["redaction"]["rules"][0])):
        for number, pattern in enumerate(("(?=a)b", "(a{1000}){1000}")):
            worse = {**rule, "log": {"pattern": pattern}} if field == "findings" else {**rule, "pattern": pattern}
            name = f"hostile-{field}-{number}"
            if attacked.create("bob", name, {"targets": TARGETS, field: {"rules": [worse]}}) == "":
                status = attacked.shop.ended(name, 30)["status"]
                assert {gap["reason"] for gap in status.get("gaps", [])} <= {"Rejected"}, (pattern, status)


HOLD = "aletheia.dev/legal-hold"
KEPT = {"metrics": [{"query": "up"}], "suspend": True, "retention": {"keep": True}}


def test_held_evidence_needs_a_right_of_its_own(attacked: Attacked) -> None:
    """Lifting a hold, deleting under it, and ending `keep` under it are refused without the right `releasehold`."""
    assert attacked.create("bob", "held", KEPT) == ""
    assert attacked.refusal("bob", "annotate", "investigation", "held", f"{HOLD}=case-1") == ""
    lifted = investigation("held", **KEPT)
    attacks: list[tuple[str, ...]] = [
        ("annotate", "investigation", "held", f"{HOLD}-"),
        ("annotate", "--overwrite", "investigation", "held", f"{HOLD}=false"),
        ("patch", "investigation", "held", "--type=merge", '-p={"metadata": {"annotations": null}}'),
        ("patch", "investigation", "held", "--type=json", '-p=[{"op": "remove", "path": "/metadata/annotations"}]'),
        ("patch", "investigation", "held", "--type=merge", '-p={"spec": {"retention": {"keep": false}}}'),
        ("patch", "investigation", "held", "--type=merge", '-p={"spec": {"retention": {"keep": null}}}'),
        ("patch", "investigation", "held", "--type=merge", '-p={"spec": {"retention": null}}'),
        ("delete", "investigation", "held"),
        ("delete", "investigation", "held", "--cascade=orphan"),
        ("delete", "investigations", "--field-selector=metadata.name=held"),
        ("replace", "-f", "-"),
        ("replace", "--force", "-f", "-"),
    ]
    for attack in attacks:
        stdin = json.dumps(lifted) if "-f" in attack else None
        assert "releasehold" in attacked.refusal("bob", *attack, stdin=stdin), attack
    assert attacked.refusal("bob", "label", "investigation", "held", "team=x") == ""
    assert attacked.refusal("bob", "annotate", "--overwrite", "investigation", "held", f"{HOLD}=case-2") == ""
    assert attacked.refusal("carol", "annotate", "investigation", "held", f"{HOLD}-") == ""
    assert attacked.refusal("bob", "delete", "investigation", "held") == ""


def test_the_volume_holds_no_way_out(attacked: Attacked) -> None:
    """No link and no name that tenants chose leads out of the session volume."""
    root: Path = attacked.operator.root
    assert not [path for path in root.rglob("*") if path.is_symlink() or ".." in path.parts]
