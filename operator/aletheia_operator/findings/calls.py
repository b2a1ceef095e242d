"""Finds which workload calls which: by environment variables, logs and traces. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from aletheia_operator.findings.case import Case, containers_of
from aletheia_operator.findings.finding import Subject
from aletheia_operator.findings.objects import Object

MAX_VALUE = 500  # characters of an environment variable that are read
_WORDS = re.compile(r"[a-z0-9-]{3,63}")
_NAMES = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Callees:
    """Finds the Service and the workloads behind a host name or address."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._selectors: dict[str, Mapping[str, str]] = {}
        for fact, service in case.objects("Service"):
            self._selectors[fact.name] = (service.get("spec") or {}).get("selector") or {}
        self._workloads = {
            workload.subject.name: workload.subject
            for workload in case.evidence.objects.workloads
            if workload.subject is not None
        }

    def service(self, host: str) -> str:
        """Return the name of a host's Service, with its namespace if that is not the Investigation's.

        An external host is returned as it is; '' for an address of no known object.
        """
        known = self._case.evidence.objects.addresses.get(host)
        if known is not None:
            return known.name
        if host.replace(".", "").isdigit() or ":" in host:
            return ""
        first, _, rest = host.partition(".")
        namespace = rest.partition(".")[0]
        if not rest or namespace == self._case.namespace or first in self._selectors:
            return first
        return f"{first}.{namespace}" if ".svc" in rest else host

    def exists(self, service: str) -> bool:
        return service in self._selectors

    @property
    def services(self) -> list[str]:
        return sorted(self._selectors)

    def workloads(self, service: str) -> set[Subject]:
        """Return the workloads that a Service selects; the workloads with its name if it selects no known pods."""
        selector = self._selectors.get(service)
        objects = self._case.evidence.objects
        found = set()
        if selector:
            for pod, labels in objects.labels.items():
                if all(labels.get(key) == value for key, value in selector.items()):
                    found.add(self._case.workload_of_pod(pod))
        if not found and service in self._workloads:
            found.add(self._workloads[service])
        return found


def calls_of(case: Case, callees: Callees) -> Mapping[Subject, set[Subject]]:
    """Return the workloads and Services that each workload calls."""
    found: dict[Subject, set[Subject]] = defaultdict(set)

    def add(caller: Subject, service: str) -> None:
        if service:
            found[caller] |= {Subject("Service", service), *callees.workloads(service)} - {caller}

    services = set(callees.services)
    for fact, pod in case.pods():
        caller = fact.workload.subject or Subject("Pod", fact.name)
        for name in _mentioned(pod):
            if name in services:
                add(caller, name)
    for template in case.evidence.logs.templates.by_shape.values():
        for place in template.places.values():
            for peer in place.peers:
                add(case.workload_of_pod(place.pod), callees.service(peer))
            if template.level in ("ERROR", "FATAL"):
                for name in services.intersection(_WORDS.findall(template.example.lower())):
                    add(case.workload_of_pod(place.pod), name)
    for caller_name, callee_name in case.evidence.traces.edges:
        for caller in callees.workloads(caller_name) or {Subject("Service", caller_name)}:
            add(caller, callee_name)
    return found


def _mentioned(pod: Object) -> Iterator[str]:
    """Yield words from a pod's environment, arguments and command that may be names of Services."""
    for container, _, _ in containers_of(pod):
        texts = [str(variable.get("value") or "") for variable in container.get("env") or []]
        texts += [str(text) for key in ("command", "args") for text in container.get(key) or []]
        for text in texts:
            yield from _NAMES.findall(text[:MAX_VALUE])
