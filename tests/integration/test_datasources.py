"""Credentials of DataSources are sent only to the endpoint, read again when they change, and never repeated."""

import base64
import ssl
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.cluster.rig import run
from tests.support.http import Serve, serving
from tests.support.operator import Kubectl, Operator, data_source, evidence_of, session_of, until

pytestmark = pytest.mark.cluster

CANARY = "canary-7f3a-do-not-repeat"
SERIES = {"status": "success", "data": {"resultType": "matrix", "result": []}}


def secret(name: str, **values: str) -> dict[str, Any]:
    data = {key.replace("_", "."): base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def reachable(kubectl: Kubectl, name: str, reason: str) -> Any:
    """Wait until the condition Reachable has this reason. Returns the status."""

    def status() -> Any:
        found = kubectl.get("datasource", name).get("status") or {}
        reasons = {condition["type"]: condition["reason"] for condition in found.get("conditions", [])}
        return found if reasons.get("Reachable") == reason else None

    return until(status, 30, f"{name} is {reason}")


AUTH = {
    "basic": ({"basic": {"name": "i5-basic"}}, "Authorization", f"Basic {base64.b64encode(f'me:{CANARY}'.encode()).decode()}"),
    "bearer": ({"bearer": {"name": "i5-key", "key": "token"}}, "Authorization", f"Bearer {CANARY}"),
    "header": ({"header": {"name": "X-Api-Key", "secretRef": {"name": "i5-key", "key": "token"}}}, "X-Api-Key", CANARY),
}


@pytest.mark.parametrize("kind", AUTH)
def test_what_the_endpoint_is_shown(kubectl: Kubectl, operator: Operator, serve: Serve, kind: str) -> None:
    """The endpoint gets each kind of credential and the tenant header; the status has its version."""
    auth, header, expected = AUTH[kind]
    asked: list[tuple[str | None, str | None]] = []

    async def server(request: web.Request) -> web.Response:
        asked.append((request.headers.get(header), request.headers.get("X-Scope-OrgID")))
        if request.path.endswith("buildinfo"):
            return web.json_response({"status": "success", "data": {"version": "9.8.7"}})
        return web.json_response(SERIES)

    kubectl.apply(secret("i5-basic", username="me", password=CANARY), secret("i5-key", token=CANARY + "\n"))
    name = f"i5-{kind}"
    kubectl.apply(data_source(name, "prometheus", serve(server), auth=auth, tenant={"value": "team-a"}))
    status = reachable(kubectl, name, "Answered")
    assert status["version"] == "9.8.7"
    resource = kubectl.investigate(f"auth-{kind}", metrics=[{"query": "up", "dataSourceRef": {"name": name}}])
    assert resource["status"]["phase"] == "Completed", resource["status"]
    assert set(asked) == {(expected, "team-a")}
    kubectl("delete", "datasource", name)


def test_a_rotated_secret_counts_at_once(kubectl: Kubectl, operator: Operator, serve: Serve) -> None:
    """The next question uses the new value; a deleted Secret is a gap that names it."""
    seen: list[str] = []

    async def server(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.json_response(SERIES)

    bearer = {"bearer": {"name": "i5-rotated", "key": "token"}}
    kubectl.apply(secret("i5-rotated", token="first"), data_source("i5-rotated", "prometheus", serve(server), auth=bearer))
    metrics = [{"query": "up", "dataSourceRef": {"name": "i5-rotated"}}]
    kubectl.investigate("rotation-1", metrics=metrics)
    kubectl.apply(secret("i5-rotated", token="second"))
    kubectl.investigate("rotation-2", metrics=metrics)
    assert seen[-1] == "Bearer second"
    kubectl("delete", "secret", "i5-rotated")
    resource = kubectl.investigate("rotation-3", metrics=metrics)
    (gap,) = resource["status"]["gaps"]
    assert gap["reason"] == "NoDataSource"
    assert "Secret i5-rotated" in gap["message"]
    kubectl("delete", "datasource", "i5-rotated")


def test_the_canary_is_repeated_nowhere(kubectl: Kubectl, operator: Operator, serve: Serve) -> None:
    """The credential appears nowhere, even if a server repeats it or redirects, or if it breaks the header."""
    elsewhere: list[str] = []

    async def second(request: web.Request) -> web.Response:
        elsewhere.append(str(request.headers))
        return web.json_response(SERIES)

    other = serve(second)

    async def echo(request: web.Request) -> web.Response:
        if "redirect" in request.query.get("query", ""):
            raise web.HTTPTemporaryRedirect(other + request.path_qs)
        return web.json_response({"error": f"bad credential {request.headers['Authorization']}"}, status=401)

    kubectl.apply(
        secret("i5-canary", token=CANARY),
        secret("i5-broken", token=f"{CANARY}\r\nX-Injected: 1"),
        data_source("i5-echo", "prometheus", serve(echo), auth={"bearer": {"name": "i5-canary", "key": "token"}}),
        data_source("i5-broken", "prometheus", serve(echo), auth={"bearer": {"name": "i5-broken", "key": "token"}}),
    )
    asked = [("up", "i5-echo"), ("redirect", "i5-echo"), ("up", "i5-broken")]
    metrics = [{"query": query, "dataSourceRef": {"name": name}} for query, name in asked]
    resource = kubectl.investigate("canary", metrics=metrics)
    assert [gap["reason"] for gap in resource["status"]["gaps"]] == ["Forbidden", "InvalidResponse", "NoDataSource"]
    until(lambda: resource["status"]["phase"] in kubectl.reasons("canary"), 15, "the end is logged and posted")
    status = reachable(kubectl, "i5-echo", "Forbidden")
    assert "***" in status["lastError"]
    assert elsewhere == []
    everything = [
        kubectl("get", "events,investigations,datasources", "-o", "yaml"),
        operator.log_path.read_text(),
        *(file.read_text() for file in session_of(resource).rglob("*") if file.is_file()),
    ]
    assert all(CANARY not in text for text in everything)
    kubectl("delete", "datasource", "i5-echo", "i5-broken")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, and certificates that it signed for the server at 127.0.0.1 and for the client."""
    directory = tmp_path_factory.mktemp("certificates")
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    run(["openssl", "req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca"], cwd=directory)
    for name in ("server", "client"):
        extension = ["-addext", "subjectAltName=IP:127.0.0.1", "-CA", "ca.crt", "-CAkey", "ca.key"]
        arguments = ["-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}"]
        run(["openssl", "req", "-x509", *new, *extension, *arguments], cwd=directory)
    return directory


def test_client_certificate_and_ca(kubectl: Kubectl, operator: Operator, certificates: Path) -> None:
    """An endpoint with a private CA that requires a client certificate answers; without the CA the check fails."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates / "ca.crt"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")

    async def server(request: web.Request) -> web.Response:
        return web.json_response(SERIES)

    read = {name: (certificates / name).read_text() for name in ("ca.crt", "client.crt", "client.key")}
    kubectl.apply(
        secret("i5-ca", ca_crt=read["ca.crt"]), secret("i5-client", tls_crt=read["client.crt"], tls_key=read["client.key"])
    )
    client = {"clientSecretRef": {"name": "i5-client"}}
    with serving(context) as serve:
        url = serve(server)
        kubectl.apply(
            data_source("i5-tls", "prometheus", url, tls={**client, "caSecretRef": {"name": "i5-ca", "key": "ca.crt"}}),
            data_source("i5-no-ca", "prometheus", url, tls=client),
        )
        metrics = [{"query": "up", "dataSourceRef": {"name": name}} for name in ("i5-tls", "i5-no-ca")]
        resource = kubectl.investigate("tls", metrics=metrics)
    assert len(evidence_of(resource)) == 1
    assert [gap["reason"] for gap in resource["status"]["gaps"]] == ["Unavailable"]
    kubectl("delete", "datasource", "i5-tls", "i5-no-ca")
