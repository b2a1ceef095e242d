"""Tells whether a database's refused sessions hurt another captured workload. Pure."""

from collections.abc import Mapping
from functools import cached_property

from aletheia_operator.findings.calls import Callees, calls_of
from aletheia_operator.findings.case import Case
from aletheia_operator.findings.category_lines import OF_CLIENTS
from aletheia_operator.findings.error_categories import CALLS
from aletheia_operator.findings.finding import Subject
from aletheia_operator.findings.templates import began
from aletheia_operator.text.batches import SERIOUS


class Clients:
    """The workloads of a case, as clients of a database. What is known of them is looked up once for all databases."""

    def __init__(self, case: Case, callees: Callees) -> None:
        self._case = case
        self._callees = callees

    def are_well(self, subject: Subject) -> bool:
        """Return whether no other captured workload is a client that a database has refused all the time.

        All are healthy. In the beginning of the window those that call it logged no error, and the others none that a refused
        session brings. False if there is no other workload.
        """
        refused, failing = self._early
        if not self._workloads - {subject} or (self._unhealthy | refused) - {subject}:
            return False
        return not any(subject in self._calls.get(other, ()) for other in failing - {subject})

    @cached_property
    def _workloads(self) -> set[Subject]:
        return {self._case.workload_of_pod(pod) for pod in self._case.evidence.objects.pods}

    @cached_property
    def _unhealthy(self) -> set[Subject]:
        return {workload for workload in self._workloads if not self._case.is_healthy(workload)}

    @cached_property
    def _early(self) -> tuple[set[Subject], set[Subject]]:
        """Return the workloads with lines in the beginning: those that a refused session brings, and errors."""
        refused, failing = set[Subject](), set[Subject]()
        for template in self._case.evidence.logs.templates.by_shape.values():
            if not began(template.histogram):
                continue
            if template.category in OF_CLIENTS | CALLS:
                refused |= self._logging(template.pods)
            elif template.level in SERIOUS:
                failing |= self._logging(template.pods)
        return refused, failing

    def _logging(self, pods: set[str]) -> set[Subject]:
        return {self._case.workload_of_pod(pod) for pod in pods} & self._workloads

    @cached_property
    def _calls(self) -> Mapping[Subject, set[Subject]]:
        return calls_of(self._case, self._callees)
