"""Shared parts of tests of logs: strange lines, kubectl's output for them, and verification of kubelets."""

import base64
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.support.operator import Kubectl

STRANGE = r"""
printf 'plain\n'
printf '\n\n'
printf 'täglich 日本語 🚀 عربى\n'
printf '{"level":"error","msg":"quote \\" and backslash \\\\ in JSON"}\n'
printf 'control \001 \033[31mred\033[0m tab\tbell\007\n'
printf 'invalid \377\376 utf-8 \303\n'
printf 'carriage\r return\r\n'
printf '   leading and trailing spaces   \n'
head -c 1048576 /dev/zero | tr '\0' x; printf '\n'
head -c 40000 /dev/zero | tr '\0' y; printf '\n'
sleep 1  # or the runtime may write the line on stderr in the midst of one on stdout, which the API then joins to it
printf 'to stderr\n' >&2
sleep 1
printf 'NUL \000 inside\n'
printf 'no newline at the end'
"""


def as_kubectl_prints(entries: list[dict[str, Any]]) -> bytes:
    """Return what `kubectl logs --timestamps` prints for these entries."""
    printed = b""
    for entry in entries:
        line = base64.b64decode(entry["line_base64"]) if "line_base64" in entry else entry["line"].encode()
        printed += entry["timestamp"].encode() + b" " + line + (b"" if entry.get("partial") else b"\n")
    return printed


def kubectl_logs(kubectl: Kubectl, *arguments: str) -> bytes:
    command = [kubectl.cluster.kubectl, f"--kubeconfig={kubectl.cluster.kubeconfig}", "-n", kubectl.namespace, "logs"]
    return subprocess.run([*map(str, command), "--timestamps", *arguments], capture_output=True, check=True, timeout=60).stdout


def verification(kubectl: Kubectl, directory: Path) -> list[str]:
    """Return the cluster's CA if it signs the kubelet's certificate, as on the rig's own node; else None."""
    config = yaml.safe_load(kubectl.cluster.kubeconfig.read_text())
    authority = directory / "ca.crt"
    authority.write_bytes(base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]))
    address = kubectl("get", "nodes", "-o", "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}")
    context = ssl.create_default_context(cafile=str(authority))
    try:
        urllib.request.urlopen(f"https://{address}:10250/healthz", context=context, timeout=10)
    except urllib.error.HTTPError:
        return [f"--kubelet-certificate-authority={authority}"]
    except urllib.error.URLError:
        return ["--kubelet-insecure-tls"]
    return [f"--kubelet-certificate-authority={authority}"]
