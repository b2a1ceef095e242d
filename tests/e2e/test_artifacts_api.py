"""Sessions through a real API server: who may read them, that bytes equal the volume's, and that kubectl works."""

import base64
import hashlib
import http.client
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from aletheia_operator.api.paths import ARTIFACTS_ROOT as ROOT
from aletheia_operator.cli.errors import NO_RESOURCE
from aletheia_operator.session.verify import verify
from tests.cluster.provider import Cluster
from tests.cluster.rig import ROOT as ROOT_OF_THE_TREE
from tests.cluster.rig import RigError
from tests.e2e.conftest import RESTRICTED, Installation, namespace, restricted
from tests.support.operator import Kubectl, pod, until

pytestmark = pytest.mark.e2e
ADMIN = "admin"  # of the kubeconfig
ROLE = "aletheia-aletheia-operator-{}.e2e-system"


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: Any


@dataclass(frozen=True)
class Caller:
    """A client of the API server as one user, which sends each path unchanged."""

    cluster: Cluster
    user: str

    def get(self, path: str, **headers: str) -> Answer:
        config = yaml.safe_load(self.cluster.kubeconfig.read_text())
        server = config["clusters"][0]["cluster"]
        context = ssl.create_default_context(cadata=base64.b64decode(server["certificate-authority-data"]).decode())
        url = urlsplit(server["server"])
        assert url.hostname is not None
        connection = http.client.HTTPSConnection(url.hostname, url.port, context=context, timeout=30)
        try:
            identity = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
            if self.user != ADMIN:
                identity["Impersonate-User"] = self.user
            connection.request("GET", path, headers=identity | headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), answer.headers)
        finally:
            connection.close()


@dataclass(frozen=True)
class Evidence:
    """A session in namespace e2e-shop and one in e2e-bank, and their files on the volume."""

    mine: str
    other: str
    files: dict[str, str]
    """Path to SHA-256, for the first session."""


@pytest.fixture(scope="module")
def evidence(cluster: Cluster, installation: Installation, shop: Kubectl) -> Iterator[Evidence]:
    bank = namespace(cluster, "e2e-bank", **RESTRICTED)
    ids = []
    for kubectl in (shop, bank):
        kubectl.apply(restricted(pod("till", "echo ERROR till; sleep 3600")))
        kubectl.wait("pod/till", "condition=Ready")
        until(partial(spoken, kubectl), 30, "the pod has spoken")
        resource = kubectl.investigate("till", targets=[{"pod": "till"}])
        ids.append(resource["status"]["session"]["id"])
        if kubectl is shop:
            files = {path: digest for path, (_, digest) in installation.session(resource).items()}
    for user, role in (("alice", "evidence"), ("victor", "viewer")):
        shop("create", "rolebinding", user, f"--clusterrole={ROLE.format(role)}", f"--user={user}")
    yield Evidence(ids[0], ids[1], files)
    cluster.run_kubectl("delete", "namespace", bank.namespace, "--wait=false")


def spoken(kubectl: Kubectl) -> bool:
    return "till" in kubectl("logs", "till")


def of(namespace: str) -> str:
    return f"{ROOT}/namespaces/{namespace}/sessions"


def test_exactly_those_with_the_right_get_bytes(cluster: Cluster, evidence: Evidence) -> None:
    """For a table of users, verbs and namespaces, only RBAC decides, and all bytes equal the volume's."""
    path = next(path for path in evidence.files if path.startswith("data/logs/"))
    parts = {"": "list", f"/{evidence.mine}": "get", "/till": "get"}
    parts |= {f"/till/{part}": "evidence" for part in ("manifest", f"files/{path}", "archive", "report")}
    allowed = {
        ADMIN: {"list", "get", "evidence"},
        "alice": {"list", "get", "evidence"},
        "victor": {"list", "get"},
        "eve": set(),
    }
    for user, rights in allowed.items():
        caller = Caller(cluster, user)
        for part, right in parts.items():
            answer = caller.get(of("e2e-shop") + part)
            assert answer.status == (200 if right in rights else 403), (user, part, answer.body[:300])
        if user != ADMIN:
            for foreign in (of("e2e-bank"), f"{of('e2e-bank')}/{evidence.other}", f"{ROOT}/sessions"):
                assert caller.get(foreign).status == 403, (user, foreign)
            for foreign in (evidence.other, f"{evidence.other}/archive"):  # through their own namespace
                assert caller.get(f"{of('e2e-shop')}/{foreign}").status in (403, 404)
    for file, digest in evidence.files.items():
        body = Caller(cluster, "alice").get(f"{of('e2e-shop')}/till/files/{file}").body
        assert hashlib.sha256(body).hexdigest() == digest, file


def test_no_spelling_of_a_path_leads_elsewhere(cluster: Cluster, evidence: Evidence) -> None:
    """With dots and encoded slashes in paths, a user of one namespace reads nothing of another."""
    alice = Caller(cluster, "alice")
    for path in (
        f"{of('e2e-shop')}/till/files/../../../e2e-bank/sessions/{evidence.other}/manifest",
        f"{of('e2e-shop')}/till/files/..%2f..%2f{evidence.other}%2fmanifest.json",
        f"{of('e2e-shop')}/..%2f..%2fe2e-bank%2fsessions%2f{evidence.other}/manifest",
        f"{of('e2e-shop')}%2f..%2f..%2fe2e-bank%2fsessions%2f{evidence.other}",
        f"{of('e2e-shop')}/%2e%2e/{evidence.other}/manifest",
        f"{of('e2e-shop')}/till/files/%2e%2e/{evidence.other}/manifest.json",
        f"{ROOT}/namespaces/e2e-shop%2f..%2fe2e-bank/sessions/{evidence.other}/manifest",
    ):
        answer = alice.get(path)
        assert answer.status in (301, 400, 403, 404), (path, answer.status)
        assert b"manifestSha256" not in answer.body and b"sessionId" not in answer.body


def test_a_cluster_without_the_api(cluster: Cluster, evidence: Evidence) -> None:
    """The command line recognises the answer of the API server for an absent group, and then uses `kubectl exec`."""
    answer = Caller(cluster, ADMIN).get(f"{ROOT.replace('artifacts', 'absent')}/namespaces/e2e-shop/sessions/till/manifest")
    assert answer.status == 404
    assert any(words in answer.body.decode() for words in NO_RESOURCE)


def test_ranges_through_the_api_server(cluster: Cluster, evidence: Evidence) -> None:
    """An interrupted download is resumed if the file is unchanged."""
    alice, address = Caller(cluster, "alice"), f"{of('e2e-shop')}/till/archive"
    whole = alice.get(address)
    etag = whole.headers["ETag"]
    rest = alice.get(address, Range="bytes=700-", **{"If-Range": etag})
    assert (rest.status, rest.body) == (206, whole.body[700:])
    assert alice.get(address, Range="bytes=700-", **{"If-Range": '"older"'}).status == 200
    assert alice.get(address, **{"If-None-Match": etag}).status == 304


def test_kubectl_knows_the_resource(cluster: Cluster, evidence: Evidence) -> None:
    """`get` prints a table, `explain` names the fields, `get --raw` reads a file, for tenants with rights in one namespace."""
    name = "sessions.artifacts.aletheia.dev"
    table = cluster.run_kubectl("get", name, "-n", "e2e-shop", "-o", "wide", "--as=victor")
    assert table.split()[:3] == ["NAME", "INVESTIGATION", "PHASE"]
    assert evidence.mine in table and evidence.other not in table
    assert evidence.other in cluster.run_kubectl("get", name, "-A")
    assert "sessions" in cluster.run_kubectl("api-resources", "--api-group=artifacts.aletheia.dev")
    until(lambda: explained(cluster, name), 60, "the API server has taken the schema over")
    with pytest.raises(RigError, match=r"NotFound|not found"):
        cluster.run_kubectl("get", name, "-n", "e2e-shop", "INC-0000")
    raw = cluster.run_kubectl("get", "--raw", f"{of('e2e-shop')}/till/manifest", "--as=alice")
    assert json.loads(raw)["sessionId"] == evidence.mine


def explained(cluster: Cluster, name: str) -> bool:
    try:
        return "headline" in cluster.run_kubectl("explain", name)
    except RigError:
        return False


def test_nobody_else_gets_in(installation: Installation, evidence: Evidence) -> None:
    """A pod that connects directly, without the front proxy's certificate, gets no byte with any headers."""
    code = (
        "import http.client, ssl; c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE\n"
        "h = http.client.HTTPSConnection('aletheia-aletheia-operator-artifacts.e2e-system', 443, context=c, timeout=10)\n"
        "try:\n"
        f"  h.request('GET', '{of('e2e-shop')}', headers={{'X-Remote-User': 'admin'}})\n"
        "  print(h.getresponse().read())\n"
        "except (ssl.SSLError, ConnectionError, http.client.HTTPException) as e: print('REFUSED', type(e).__name__)"
    )
    assert installation.python(code).startswith("REFUSED")


def test_the_container_has_no_rights(installation: Installation) -> None:
    """The process that serves has no token, and cannot write to the volume."""
    run = ("exec", installation.deployment, "-c", "artifacts", "--", "python3", "-c")
    found = "import os; print(os.path.exists('/var/run/secrets/kubernetes.io/serviceaccount/token'))"
    assert installation.system(*run, found).strip() == "False"
    with pytest.raises(RigError, match="Read-only"):
        installation.system(*run, "open('/var/lib/aletheia/x', 'w')")


def test_who_read_what_is_logged(installation: Installation, cluster: Cluster, evidence: Evidence) -> None:
    """The container's log names the user, the session and the bytes."""
    body = Caller(cluster, "alice").get(f"{of('e2e-shop')}/till/manifest").body
    lines = installation.system("logs", installation.deployment, "-c", "artifacts", "--tail=50").splitlines()
    reads = [json.loads(line) for line in lines if '"manifest"' in line]
    assert (reads[-1]["user"], reads[-1]["session"], reads[-1]["bytes"]) == ("alice", evidence.mine, len(body))


def test_a_tenant_fetches_a_session(cluster: Cluster, evidence: Evidence, tmp_path: Path) -> None:
    """`session fetch` with rights in one namespace gets every byte; without the right it names the missing right."""
    environment = {**os.environ, "PATH": f"{Path(cluster.kubectl).parent}:{os.environ['PATH']}", "PYTHONPATH": "operator"}

    def fetch(user: str, name: str) -> subprocess.CompletedProcess[str]:
        program = [
            sys.executable,
            "-m",
            "aletheia_operator.cli",
            "session",
            "fetch",
            f"--root={tmp_path / 'mine'}",
            "-o",
            "json",
        ]
        command = [*program, f"--kubeconfig={cluster.kubeconfig}", f"--as={user}", name]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=environment, cwd=ROOT_OF_THE_TREE, check=False
        )

    done = fetch("alice", "e2e-shop/till")
    assert done.returncode == 0, done.stderr
    session = Path(json.loads(done.stdout)["path"])
    assert {
        str(path.relative_to(session)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in session.rglob("*")
        if path.is_file() and path.name != "custody.json"
    } == evidence.files
    assert verify(session).intact
    for user, name in (("victor", "e2e-shop/till"), ("alice", "e2e-bank/till")):
        refused = fetch(user, name)
        assert refused.returncode == 1
        assert "forbidden" in refused.stderr
