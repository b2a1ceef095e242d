"""`helm test`: capture something, hold it against its digests, and look whether every DataSource answers. Exit code 1 if not.

Environment: NAMESPACE and DEPLOYMENT (what to capture), SESSIONS (folder of the session volume; empty: it is not mounted here).
"""

import hashlib
import json
import os
import pathlib
import ssl
import subprocess
import sys
import time
import urllib.request
import uuid

ACCOUNT = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
API = "https://kubernetes.default.svc/apis/aletheia.dev/v1alpha1"
WAIT_SECONDS = 120
ENDED = ("Completed", "PartiallyCompleted", "Failed", "TimedOut", "Cancelled")


def call(method, path, body=None):
    headers = {"Authorization": "Bearer " + (ACCOUNT / "token").read_text(), "Content-Type": "application/json"}
    request = urllib.request.Request(API + path, body and json.dumps(body).encode(), headers, method=method)
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        return json.load(answer)


def until(look, what):
    """Return the first result of `look` that is not None. Ends the process if there is none in time."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
        time.sleep(0.5)
    sys.exit(f"FAILED: {what} within {WAIT_SECONDS} s")


def capture(name):
    """Create an Investigation of the operator; return its status when it has ended."""
    namespace = os.environ["NAMESPACE"]
    path = f"/namespaces/{namespace}/investigations"
    spec = {
        "window": {"lookback": "10m"},
        "targets": [{"workload": {"kind": "Deployment", "name": os.environ["DEPLOYMENT"]}}],
        "logs": {"previous": False},
    }
    kind = {"apiVersion": "aletheia.dev/v1alpha1", "kind": "Investigation"}
    call("POST", path, {**kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec})

    def ended():
        status = call("GET", f"{path}/{name}").get("status", {})
        return status if status.get("phase") in ENDED else None

    status = until(ended, f"Investigation {name} has not ended")
    for gap in status.get("gaps", []):
        print(f"gap: {gap['reason']} {gap['target']}: {gap['message']}")
    return status


def verify(status):
    """Check the session that the status names, if its volume is mounted here."""
    session = status["session"]
    print(f"captured: session {session['id']}, {status.get('artifactCount', 0)} files, manifest {session['manifestSha256']}")
    if not os.environ["SESSIONS"]:
        print("not verified: the session volume is not mounted here")
        return
    root = pathlib.Path(os.environ["SESSIONS"])
    manifest = (root / "sessions" / session["id"] / "manifest.json").read_bytes()
    if hashlib.sha256(manifest).hexdigest() != session["manifestSha256"]:
        sys.exit("FAILED: the manifest's digest is not the one in the status")
    if subprocess.run(["aletheia", "session", "verify", "--root", str(root), session["id"]], check=False).returncode:
        sys.exit("FAILED: the session is not intact")


def unreachable():
    """Print what the operator says of each DataSource; return the names of those that do not answer."""
    silent = []
    for source in call("GET", "/datasources")["items"]:
        name = source["metadata"]["name"]

        def checked(name=name):
            found = call("GET", f"/datasources/{name}")
            return found if (found.get("status") or {}).get("conditions") else None

        status = until(checked, f"DataSource {name} was not checked")["status"]
        answers = any(one["type"] == "Reachable" and one["status"] == "True" for one in status["conditions"])
        print(f"DataSource {name}: {'answers' if answers else status.get('lastError')}")
        if not answers:
            silent.append(name)
    return silent


def main():
    name = f"helm-test-{uuid.uuid4().hex[:8]}"
    status = capture(name)
    if status["phase"] not in ("Completed", "PartiallyCompleted"):
        sys.exit(f"FAILED: Investigation {name} is {status['phase']}")
    verify(status)
    call("DELETE", f"/namespaces/{os.environ['NAMESPACE']}/investigations/{name}")
    silent = unreachable()
    if silent:
        sys.exit(f"FAILED: these DataSources do not answer: {', '.join(silent)}")
    print("passed")


if __name__ == "__main__":
    main()
