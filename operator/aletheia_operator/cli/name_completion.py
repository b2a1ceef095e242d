"""Suggests names of Investigations and ids of sessions, for the completion of arguments."""

import re
import subprocess
from typing import Any

import click

COMPLETION_SECONDS = 3
_NAME = re.compile(r"[A-Za-z0-9][-.A-Za-z0-9]*")
"""Names that mean nothing to a shell."""
_FIELDS = "jsonpath={range .items[*]}{.metadata.name}{'\\n'}{.status.session.id}{'\\n'}{end}"


def investigation_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Return names and session ids in the namespace that the command line names; [] if kubectl does not answer in 3 s."""
    inherited = context.find_root().params
    flags = []
    for name, flag in (("namespace", "namespace"), ("context", "context"), ("kubeconfig", "kubeconfig"), ("as_user", "as")):
        value = context.params.get(name) or inherited.get(name)
        if value:
            flags.append(f"--{flag}={value}")
    prefix, slash, rest = incomplete.rpartition("/")
    where = [f"--namespace={prefix}"] if slash else []
    command = ["kubectl", *flags, *where, "get", "investigations.aletheia.dev", f"--output={_FIELDS}", "--request-timeout=2s"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPLETION_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = [line for line in done.stdout.splitlines() if _NAME.fullmatch(line) and line.startswith(rest)]
    return [f"{prefix}{slash}{name}" for name in dict.fromkeys(found)]
