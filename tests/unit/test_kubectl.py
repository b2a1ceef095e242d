"""What kubectl reports: servers that it does not reach, and what its credential plugin tells the user."""

from pathlib import Path

import pytest

from aletheia_operator.cli import reference
from aletheia_operator.cli.__main__ import main
from aletheia_operator.cli.kubectl import failure_of_proxy
from aletheia_operator.cli.pod import _error_line
from tests.unit.proxies import connect, lying, program

EXPIRED = "getting credentials: exec: executable aws failed with exit code 255"
PROXY = f'''
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(next(word for word in sys.argv if word.startswith("--unix-socket=")).partition("=")[2])
listener.listen()
while True:
    connection, _ = listener.accept()
    if connection.recv(65536):
        print("Error loading SSO Token: run aws sso login", file=sys.stderr)
        print("E1129 22:33:09.331645   18481 proxy_server.go:147] Error while proxying request", file=sys.stderr, flush=True)
        body = b"{EXPIRED}"
        connection.sendall(b"HTTP/1.1 500 Error\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    connection.close()
'''


def test_a_credential_plugin_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its own words reach the user, for example how to log in; kubectl's log lines, which repeat the error, do not."""
    program(tmp_path, PROXY, monkeypatch)
    assert main(["-n", "shop", "list"]) == 1
    assert capfd.readouterr().err.splitlines() == [
        "Error loading SSO Token: run aws sso login",
        f"error: kubectl does not reach the cluster: {EXPIRED}",
    ]


def test_a_proxy_that_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """kubectl's reason is in the error."""
    program(tmp_path, "import sys; sys.exit('error: context \"prd\" does not exist')", monkeypatch)
    assert main(["-n", "shop", "list"]) == 1
    assert capfd.readouterr().err == 'error: kubectl proxy did not start: error: context "prd" does not exist\n'


@pytest.mark.parametrize(
    ("status", "text", "failure"),
    [
        (500, "dial tcp 10.0.0.1:6443: connect: connection refused", "connection refused"),
        (502, "tls: failed to verify certificate: x509: certificate has expired", "certificate has expired"),
        (502, "dial tcp [::1]:8080: connect: connection refused", "Is there a kubeconfig?"),
        (500, '{"kind": "Status", "message": "etcdserver: leader changed"}', None),
        (502, "<html>Bad Gateway</html>", None),
        (503, "error trying to reach service: dial tcp 10.1.2.3:8443: connect: connection refused", None),
        (502, " ", None),
    ],
)
def test_servers_that_are_not_reached(status: int, text: str, failure: str | None) -> None:
    """kubectl's own words are told from an answer of the API server, of a gateway, and of the proxy to the artifacts API."""
    found = failure_of_proxy(status, text)
    assert found is None if failure is None else failure in str(found)


def test_evidence_of_a_cluster_that_is_not_reached(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The error has one cause: without a cluster `kubectl exec` is not tried."""
    monkeypatch.setattr(reference, "READING_DELAYS", ())
    connect(monkeypatch, lying(500, b"dial tcp 10.0.0.1:6443: connect: connection refused"))
    assert main(["-n", "shop", "findings", "hunt"]) == 1
    reached = "error: kubectl does not reach the cluster: dial tcp 10.0.0.1:6443: connect: connection refused\n"
    assert capsys.readouterr().err == reached


def test_the_line_with_kubectls_error() -> None:
    """It is not one of kubectl's log lines, which come first."""
    log_line = b'E1129 22:33:08.300675   18424 memcache.go:265] "Unhandled Error" err="couldn\'t get"\n'
    refused = b"The connection to the server 127.0.0.1:9 was refused - did you specify the right host or port?\n"
    assert _error_line(log_line * 4 + refused) == refused.decode().strip()
    assert _error_line(log_line + b"Warning: old\nerror: no such pod\n") == "no such pod"
