"""Finds which workload calls which: by environment variables, logs and traces. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from aletheia_operator.findings.case import Case, containers_of
from aletheia_operator.findings.database_lines import repeats_statement
from aletheia_operator.findings.finding import Subject
from aletheia_operator.findings.objects import Object
from aletheia_operator.text.batches import SERIOUS

MAX_VALUE = 500  # characters of an environment variable that are read
LEAST_NAME = 4  # characters of a Service's name that is looked for in parts of words
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

    def behind(self, service: str) -> set[Subject]:
        """Return a Service and its workloads; an empty set for ''."""
        return {Subject("Service", service), *self.workloads(service)} if service else set()

    def exists(self, service: str) -> bool:
        return service in self._selectors

    @property
    def services(self) -> list[str]:
        return sorted(self._selectors)

    def workloads(self, service: str) -> set[Subject]:
        """Return the workloads that a Service selects; the workloads with its name if it selects no known pods."""
        selector = self._selectors.get(service)
        pods = self._case.evidence.objects.matching(selector) if selector else ()
        found = {self._case.workload_of_pod(pod) for pod in pods}
        if not found and service in self._workloads:
            found.add(self._workloads[service])
        return found


def calls_of(case: Case, callees: Callees) -> Mapping[Subject, set[Subject]]:
    """Return the workloads and Services that each workload calls."""
    found: dict[Subject, set[Subject]] = defaultdict(set)

    def add(caller: Subject, service: str) -> None:
        found[caller] |= callees.behind(service) - {caller}

    for caller, names in configured_services(case, callees).items():
        for name in names:
            add(caller, name)
    for caller, called in named_in_errors(case, callees).items():
        found[caller] |= called
    for caller_name, callee_name in case.evidence.traces.edges:
        for caller in callees.workloads(caller_name) or {Subject("Service", caller_name)}:
            add(caller, callee_name)
    return found


def configured_services(case: Case, callees: Callees) -> Mapping[Subject, set[str]]:
    """Return the Services that the environment and arguments of each workload name."""
    found: dict[Subject, set[str]] = defaultdict(set)
    services = set(callees.services)
    for fact, pod in case.pods():
        found[fact.workload.subject or Subject("Pod", fact.name)] |= services.intersection(_mentioned(pod))
    return found


def named_in_part(text: str, services: Iterable[str]) -> str:
    """Return the only one of these Services that is part of a word of `text`; '' otherwise. `MongoServerError` names mongo."""
    named = [name for name in services if len(name) >= LEAST_NAME and name in text.lower()]
    return named[0] if len(named) == 1 else ""


def named_in_errors(case: Case, callees: Callees) -> Mapping[Subject, set[Subject]]:
    """Return the workloads and Services that the errors and warnings of each workload name, and those that do not answer it."""
    found: dict[Subject, set[Subject]] = defaultdict(set)
    services = set(callees.services)
    for template in case.evidence.logs.templates.by_shape.values():
        names_services = (template.level in SERIOUS or template.level == "WARN") and not repeats_statement(template)
        words = template.example.lower() if names_services else ""
        names = services.intersection(_WORDS.findall(words))
        for place in template.places.values():
            caller = case.workload_of_pod(place.pod)
            for name in names.union(map(callees.service, place.peers)):
                found[caller] |= callees.behind(name) - {caller}
    return found


def _mentioned(pod: Object) -> Iterator[str]:
    """Yield words from a pod's environment, arguments and command that may be names of Services."""
    for container, _, _ in containers_of(pod):
        texts = [str(variable.get("value") or "") for variable in container.get("env") or []]
        texts += [str(text) for key in ("command", "args") for text in container.get(key) or []]
        for text in texts:
            yield from _NAMES.findall(text[:MAX_VALUE])
