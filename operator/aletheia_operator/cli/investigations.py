"""Finds Investigations by name, and prints them in kubectl's own formats."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import click

from aletheia_operator.api.paths import API, INVESTIGATIONS
from aletheia_operator.api.paths import investigation as path_of
from aletheia_operator.api.reasons import ConditionReason
from aletheia_operator.cli.cluster import ApiError, ClusterApi
from aletheia_operator.cli.errors import ExitCode, Refused, with_remedy
from aletheia_operator.cli.name_completion import investigation_names
from aletheia_operator.cli.reference import Reference, parsed
from aletheia_operator.clients.errors import FORBIDDEN, MISSING
from aletheia_operator.text.display import for_terminal
from aletheia_operator.text.sizes import readable_duration
from aletheia_operator.text.timestamps import parse_time
from aletheia_operator.text.yaml_text import yaml_text

RESOURCE = "investigations.aletheia.dev"
EXIT_CODES = {
    "Completed": ExitCode.OK,
    "PartiallyCompleted": ExitCode.PARTIAL,
    "Failed": ExitCode.FAILED,
    "Cancelled": ExitCode.FAILED,
    "TimedOut": ExitCode.TIMEOUT,
}
"""The exit code for each final phase."""
EXPIRED = ConditionReason.ARTIFACTS_EXPIRED.value
UNSEEN_SECONDS = 15
"""If no operator has seen an Investigation after this time, that is reported."""
PRINTED = ("json", "yaml", "name")
INVESTIGATION_HELP = "INVESTIGATION: NAME, NAMESPACE/NAME, or the id of its session, for example INC-7F3A."


@dataclass(frozen=True)
class Investigation:
    """An Investigation as the API server has it. Its texts come from tenants: escape them before printing."""

    resource: dict[str, Any]

    @property
    def namespace(self) -> str:
        return str(self.resource["metadata"]["namespace"])

    @property
    def name(self) -> str:
        return str(self.resource["metadata"]["name"])

    @property
    def reference(self) -> str:
        return for_terminal(f"{self.namespace}/{self.name}")

    @property
    def path(self) -> str:
        return path_of(quote(self.namespace, safe=""), quote(self.name, safe=""))

    @property
    def uid(self) -> str:
        return str(self.resource["metadata"]["uid"])

    @property
    def status(self) -> dict[str, Any]:
        return self.resource.get("status") or {}

    @property
    def phase(self) -> str:
        return str(self.status.get("phase") or "Pending")

    @property
    def ended(self) -> bool:
        return self.phase in EXIT_CODES

    @property
    def headline(self) -> str:
        """What broke; of one that ended without a headline, its first gap; empty else."""
        if self.status.get("headline"):
            return str(self.status["headline"])
        gap = next(iter(self.status.get("gaps") or []), None)
        if gap is None or not self.ended or self.phase == "Completed":
            return ""
        return f"{gap.get('target', '')}: {gap.get('message', '')}"

    @property
    def session_id(self) -> str:
        """The id of its session; empty if it has none yet."""
        return str((self.status.get("session") or {}).get("id") or "")

    @property
    def is_readable(self) -> bool:
        """Whether it has ended with a session of which the data was not removed."""
        expired = any(
            each.get("type") == EXPIRED and each.get("status") == "True" for each in self.status.get("conditions") or []
        )
        return self.ended and bool(self.session_id) and not expired

    @property
    def has_recipients(self) -> bool:
        """Whether its session is sealed to public keys."""
        session = (self.resource.get("spec") or {}).get("session") or {}
        return bool((session.get("encryption") or {}).get("recipients"))

    @property
    def annotations(self) -> dict[str, str]:
        return self.resource["metadata"].get("annotations") or {}

    @property
    def suspended(self) -> bool:
        return bool((self.resource.get("spec") or {}).get("suspend"))


def why_not_begun(investigation: Investigation, seconds: float) -> str:
    """Return why a capture has not begun after so many seconds; '' if an operator works on it, or soon will."""
    if investigation.suspended:
        return "suspended: it starts when spec.suspend is false"
    is_unseen = (investigation.status.get("observedGeneration") or -1) < 0
    return "no operator has seen it yet: `doctor` says why" if is_unseen and seconds > UNSEEN_SECONDS else ""


def investigation_argument() -> click.Argument:
    return click.Argument(["investigation"], metavar="INVESTIGATION", shell_complete=investigation_names)


def print_option(*formats: str) -> click.Option:
    """Return the option -o. `formats`: allowed besides kubectl's."""
    known = (*formats, *PRINTED, "jsonpath=...")

    def check(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
        if value is None or value in known or re.match(r"jsonpath(-as-json)?=", value):
            return value
        raise click.BadParameter(f"{value[:40]!r} is not one of {', '.join(known)}")

    return click.Option(["-o", "--output"], metavar="FORMAT", callback=check, help=f"One of {', '.join(known)}.")


def listed(cluster: ClusterApi, namespace: str | None) -> list[Investigation]:
    """Return the Investigations of a namespace, or of all if it is None, the oldest first. Raises Refused."""
    path = f"{API}/{INVESTIGATIONS}" if namespace is None else f"{API}/namespaces/{quote(namespace, safe='')}/{INVESTIGATIONS}"
    try:
        found = [Investigation(resource) for resource in cluster.items(path)]
    except ApiError as e:
        raise refusal_of(e, namespace) from e
    return sorted(found, key=lambda each: (each.resource["metadata"]["creationTimestamp"], each.namespace, each.name))


def find(cluster: ClusterApi, text: str) -> Investigation:
    """Return the Investigation with this name. Raises Refused, with the nearest names if there is none."""
    reference = parsed(text)
    namespace = reference.namespace or cluster.namespace
    if not reference.is_id:
        try:
            return Investigation(cluster.get(path_of(quote(namespace, safe=""), quote(reference.name, safe=""))))
        except ApiError as e:
            if e.status not in MISSING or e.reason != "NotFound" or not e.names_object:
                raise refusal_of(e, namespace) from e
    return _among(cluster, reference, namespace)


def _among(cluster: ClusterApi, reference: Reference, namespace: str) -> Investigation:
    from aletheia_operator.text.nearest import hint

    found = listed(cluster, namespace)
    if reference.is_id:
        everywhere = found
        if not reference.namespace and all(each.session_id != reference.name for each in found):
            try:
                everywhere = listed(cluster, None)
            except Refused:  # a tenant may list only its own namespace
                everywhere = found
        owner = next((each for each in everywhere if each.session_id == reference.name), None)
        if owner is not None:
            return owner
        ids = [each.session_id for each in everywhere if each.session_id]
        where = f" in namespace {namespace}" if everywhere is found else ""
        raise Refused(f"no Investigation{where} has the session {reference.name}{hint(reference.name, ids)}")
    if not found and (fault := cluster.no_namespace(namespace)):
        raise Refused(fault)
    near = hint(reference.name, [each.name for each in found])
    raise Refused(f"there is no Investigation {for_terminal(reference.name, 100)} in namespace {namespace}{near}")


def reading_commands(cluster: ClusterApi, investigation: Investigation, *names: str) -> list[str]:
    """Return the command lines of some commands that read the evidence. Those of a session with recipients need a key."""
    key = ["--identity", "FILE"] if investigation.has_recipients else []
    return [cluster.command(name, investigation.reference, *key) for name in names]


def refusal_of(error: ApiError, namespace: str | None) -> Refused:
    """Return the error with a remedy, if one is known for this answer of the API server."""
    if error.status in MISSING and not error.names_object:
        return Refused("this cluster has no Investigations: install the operator's chart; `doctor` says what is missing")
    if error.status in FORBIDDEN:
        where = "in all namespaces (or name one with -n)" if namespace is None else f"in namespace {namespace}"
        return Refused(with_remedy(str(error), where))
    return error


def print_objects(cluster: ClusterApi, output: str, namespace: str | None, names: Sequence[str] = ()) -> int:
    """Print Investigations as kubectl does, in one of its formats. `namespace` None: of all namespaces."""
    where = ["--all-namespaces"] if namespace is None else ["-n", namespace]
    command = ["kubectl", *cluster.flags, "get", RESOURCE, *where, f"--output={output}", "--", *names]
    sys.stdout.flush()
    try:
        return ExitCode.OK if subprocess.run(command, check=False).returncode == 0 else ExitCode.ERROR  # noqa: S603
    except OSError as e:
        raise Refused(f"kubectl cannot be run: {e.strerror}") from e


def printed(resource: dict[str, Any], output: str) -> str:
    """Return a resource as text, in one of PRINTED."""
    if output == "name":
        return f"investigation.aletheia.dev/{resource['metadata']['name']}\n"
    if output == "json":
        return json.dumps(resource, indent=4) + "\n"
    return yaml_text(resource)


def age(text: object) -> str:
    """Return the time since `text` as kubectl prints it; '' if `text` is no time."""
    moment = parse_time(text)
    return "" if moment is None else readable_duration((datetime.now(UTC) - moment).total_seconds())
