"""The examples of README and docs work unchanged on a real cluster with real servers."""

import json
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import servers
from tests.cluster.provider import Cluster
from tests.cluster.rig import ROOT
from tests.integration.conftest import make_namespace
from tests.support.helm import find_helm
from tests.support.operator import Kubectl, Operator, artifact_of, container, evidence_of, session_of, until
from tests.support.traces import span

pytestmark = pytest.mark.cluster

PAGES = ROOT / "docs/datasources"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
IN_LOGS = "0af7651916cd43dd8448eb211c80319c"
STEP = 15


def examples(page: str) -> list[dict[str, Any]]:
    """Return the resources in a page's YAML."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", (PAGES / page).read_text(), re.DOTALL | re.MULTILINE)
    found = [resource for block in blocks for resource in yaml.safe_load_all(block)]
    resources: list[dict[str, Any]] = json.loads(json.dumps(found, default=lambda moment: f"{moment:%Y-%m-%dT%H:%M:%SZ}"))
    return resources


def section(title: str) -> str:
    """Return the text of a section of README.md."""
    text = (ROOT / "README.md").read_text()
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of one language in Markdown."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def console(block: str) -> list[tuple[list[str], str]]:
    """Return the commands in a console block, each with its output."""
    typed = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    return [(shlex.split(command), printed) for command, printed in typed]


def without_chance(printed: str) -> str:
    """Replace what differs in each run: the session, its size, the age, and the width of columns."""
    text = re.sub(r"INC-[0-9A-F]{4,}", "INC-7F3A", printed)
    text = re.sub(r"\b[0-9.]+[KM]i\b", "SIZE", text)
    text = re.sub(r"\b[0-9]+s\b", "AGE", text)
    return re.sub(r" +", " ", text)


@pytest.fixture
def production(prepared: Cluster, tmp_path: Path) -> Iterator[Kubectl]:
    """Namespace production with the Deployment that README names, an operator, and the chart's roles for people."""
    kubectl = make_namespace(prepared, "production")
    helm = find_helm()
    assert helm is not None
    chart = [helm, "template", "aletheia", str(ROOT / "charts/aletheia-operator")]
    chart += ["--namespace=aletheia-system", "--set=image.repository=x"]
    rendered = subprocess.run(chart, check=True, capture_output=True, text=True).stdout
    reader = {"kind": "ClusterRole", "name": "aletheia-aletheia-operator-reader.aletheia-system"}
    roles = [
        document
        for document in yaml.safe_load_all(rendered)
        if document and {"kind": document["kind"], "name": document["metadata"]["name"]} == reader
    ]
    assert len(roles) == 1
    kubectl.apply(*roles, a_deployment("payments", "echo ERROR 500: the ledger does not answer; sleep 3600 & wait"))
    kubectl("rollout", "status", "deployment/payments", "--timeout=60s")
    operator = Operator(prepared, tmp_path / "root", [kubectl.namespace]).start()
    yield kubectl
    operator.stop()
    kubectl("delete", "clusterrole", roles[0]["metadata"]["name"])
    prepared.run_kubectl("delete", "namespace", kubectl.namespace, "--wait=false")


def test_the_first_example_of_the_readme(production: Kubectl, tmp_path: Path) -> None:
    """Unchanged, with the chart's role, it ends Completed and prints what README shows."""
    investigate = section("Investigate with YAML")
    (grant,) = blocks(investigate, "sh")
    for line in grant.replace("\\\n", " ").splitlines():
        program, *arguments = shlex.split(line)
        assert program == "kubectl"
        production.cluster.run_kubectl(*arguments)
    file = tmp_path / "investigation.yaml"
    file.write_text(blocks(investigate, "yaml")[0])
    (typed,) = blocks(investigate, "console")
    printed = ""
    for (program, *arguments), expected in console(typed):
        assert program == "kubectl"
        printed = production.cluster.run_kubectl(*(str(file) if argument == file.name else argument for argument in arguments))
        assert without_chance(printed) == without_chance(expected), printed
    resource = production.get("investigation", "payments-500s")
    assert [(gap["severity"], gap["reason"]) for gap in resource["status"]["gaps"]] == [("note", "Forbidden")] * 2
    read_the_evidence(production, resource)


def read_the_evidence(kubectl: Kubectl, resource: Any) -> None:
    """Run the commands of the page on jq."""
    status, _, files = blocks((ROOT / "docs/jq.md").read_text(), "sh")[:3]

    def run_line(command: str, stdin: str = "") -> str:
        shell = ["sh", "-ec", command]
        ran = subprocess.run(shell, cwd=session_of(resource), input=stdin, text=True, capture_output=True, check=True)
        assert ran.stderr == "", command
        return ran.stdout

    for line in status.splitlines():
        assert run_line(line.partition("|")[2], json.dumps(resource))
    present = [f"data/{name}/" for name in ("logs", "events", "objects")] + ["data/timeline.json", "data/findings.json"]
    for line in files.replace("\\\n", " ").splitlines():
        if line.startswith("jq") and any(folder in line for folder in present):
            run_line(line)


def adapted(page: str, namespace: str, url: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a page's DataSource and Investigation; only endpoint and namespaces are changed."""
    source, investigation = examples(page)
    source["spec"]["endpoint"] = url
    if "allowedNamespaces" in source["spec"]:
        source["spec"]["allowedNamespaces"] = [namespace]
    investigation["metadata"]["namespace"] = namespace
    return source, investigation


def run(kubectl: Kubectl, page: str, url: str) -> Any:
    """Apply a page's example, and check that its DataSource is reachable. Returns the Investigation when it has ended."""
    source, investigation = adapted(page, kubectl.namespace, url)
    name = source["metadata"]["name"]
    kubectl.apply(source)
    try:

        def reachable() -> bool:
            status = kubectl.get("datasource", name).get("status") or {}
            found = {condition["type"]: condition["status"] for condition in status.get("conditions", [])}
            return found.get("Reachable") == "True"

        until(reachable, 30, f"DataSource {name} is reachable")
        kubectl.apply(investigation)
        return kubectl.ended(investigation["metadata"]["name"])
    finally:
        kubectl("delete", "datasource", name)


def openmetrics(namespace: str) -> str:
    """Return two hours of the metrics that the page on Prometheus queries."""
    end = int(time.time()) // STEP * STEP
    moments = range(end - 7200, end + 1, STEP)
    common = f'namespace="{namespace}"'
    series = [
        ("http_requests", "counter", f'{common},service="checkout",status="200"', 9.0),
        ("http_requests", "counter", f'{common},service="checkout",status="503"', 1.0),
        ("container_cpu_cfs_throttled_periods", "counter", f'{common},pod="checkout-1",container="app"', 1.0),
        ("container_cpu_cfs_periods", "counter", f'{common},pod="checkout-1",container="app"', 4.0),
        ("http_request_duration_seconds_bucket", "counter", f'{common},le="0.5"', 9.0),
        ("http_request_duration_seconds_bucket", "counter", f'{common},le="+Inf"', 10.0),
        ("kube_pod_status_phase", "gauge", f'{common},pod="checkout-1",phase="Running"', 1.0),
    ]
    lines = []
    for name in dict.fromkeys(sample[0] for sample in series):
        bucket = name.endswith("_bucket")
        kind = next(sample[1] for sample in series if sample[0] == name)
        lines.append(f"# TYPE {name.removesuffix('_bucket')} {'histogram' if bucket else kind}")
        for _, _, labels, number in (sample for sample in series if sample[0] == name):
            suffix = "_total" if kind == "counter" and not bucket else ""
            for moment in moments:
                value = number if kind == "gauge" else (moment - moments[0]) * number
                lines.append(f"{name}{suffix}{{{labels}}} {value} {moment}")
    return "\n".join([*lines, "# EOF", ""])


def test_the_example_of_prometheus(kubectl: Kubectl, operator: Operator, tmp_path: Path) -> None:
    """Every query of the page has series, below a path prefix."""
    flags = ["--web.external-url=http://prometheus.example/team/a/", "--enable-feature=exemplar-storage"]
    text = openmetrics(kubectl.namespace)
    with servers.prometheus(tmp_path, openmetrics=text, flags=flags, path="/team/a") as server:
        resource = run(kubectl, "prometheus.md", server.url)
    assert resource["status"]["phase"] == "Completed", resource["status"]
    summaries = [artifact["summary"] for artifact in evidence_of(resource)]
    assert summaries[0].startswith("error_rate: 1 series, max 0.1 at ")
    assert summaries[1] == "error_rate, 24h before: 0 series, no samples"
    assert summaries[2].startswith("cpu_throttling: 1 series, max 0.25 at ")
    assert "1 series" in summaries[3]
    assert summaries[4].endswith("exemplars of 0 series")
    assert "1 series, max 1 at " in summaries[5]


def a_deployment(name: str, script: str) -> dict[str, Any]:
    """A Deployment of one container `app` that runs a shell script."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container("app", f"trap exit TERM; {script}")]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def checkout(kubectl: Kubectl) -> Iterator[None]:
    """The Deployment that the page on Jaeger names; it logs a trace id."""
    kubectl.apply(a_deployment("checkout", f"echo ERROR paying failed trace_id={IN_LOGS}; sleep 3600 & wait"))
    kubectl("rollout", "status", "deployment/checkout", "--timeout=60s")
    yield
    kubectl("delete", "deployment", "checkout")


@pytest.mark.usefixtures("checkout")
def test_the_example_of_jaeger(kubectl: Kubectl, operator: Operator, tmp_path: Path) -> None:
    """The search finds slow payments that fail; the traces by id and from the logs are captured."""
    with servers.jaeger(tmp_path) as server:
        for trace_id, milliseconds in ((TRACE_ID, 250), (IN_LOGS, 20)):
            failing_span = span(trace_id, "POST /pay", time.time_ns() - 10**9, milliseconds, failing=True)
            failing_span["attributes"] = [{"key": "http.status_code", "value": {"intValue": "500"}}]
            attributes = [{"key": "service.name", "value": {"stringValue": "checkout"}}]
            server.send(
                {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": [failing_span]}]}]}
            )
        until(lambda: servers.answers(f"{server.url}/api/traces/{IN_LOGS}"), 30, "Jaeger has the traces")
        resource = run(kubectl, "jaeger.md", server.url)
    assert resource["status"]["phase"] == "Completed", resource["status"]
    numbers = [number for number, artifact in enumerate(evidence_of(resource)) if artifact["fetcher"] == "Jaeger"]
    found = [[trace["traceID"] for trace in artifact_of(resource, number)["data"]] for number in numbers]
    assert found == [[TRACE_ID], [TRACE_ID], [IN_LOGS]]


def test_the_example_of_loki(kubectl: Kubectl, operator: Operator, tmp_path: Path) -> None:
    """The lines within the window that contain the word are captured, from the tenant on the page."""
    moment = int(datetime(2026, 11, 20, 14, 30, tzinfo=UTC).timestamp()) * 10**9
    lines = [[str(moment), "level=error msg=refused"], [str(moment + 1), "level=info msg=paid"]]
    with servers.loki(tmp_path) as server:
        server.push(kubectl.namespace, [{"stream": {"namespace": "shop", "app": "checkout"}, "values": lines}])
        server.flush()
        resource = run(kubectl, "loki.md", server.url)
    assert resource["status"]["phase"] == "Completed", resource["status"]
    assert [entry["line"] for entry in artifact_of(resource)["data"]] == ["level=error msg=refused"]


def test_the_example_of_everything_a_data_source_has(kubectl: Kubectl) -> None:
    """The API server accepts it unchanged."""
    (source,) = examples("README.md")
    kubectl("apply", "--dry-run=server", "--filename=-", stdin=yaml.safe_dump(source))
