"""The rules. Each reads a case and yields findings. To add a rule, write a function and add it to RULES."""

from collections.abc import Callable, Iterator

from aletheia_operator.findings.case import Case
from aletheia_operator.findings.finding import Finding
from aletheia_operator.findings.rules.admission import refused
from aletheia_operator.findings.rules.crashes import crashes
from aletheia_operator.findings.rules.deleting import deletions
from aletheia_operator.findings.rules.errors import errors
from aletheia_operator.findings.rules.jobs import jobs, missed
from aletheia_operator.findings.rules.nodes import evictions, nodes
from aletheia_operator.findings.rules.numbers import baselines, numbers
from aletheia_operator.findings.rules.own import own
from aletheia_operator.findings.rules.probes import probes
from aletheia_operator.findings.rules.rollouts import changes, stuck
from aletheia_operator.findings.rules.scaling import autoscalers, disruption_budgets
from aletheia_operator.findings.rules.scheduling import unschedulable
from aletheia_operator.findings.rules.services import scaled_to_zero, services
from aletheia_operator.findings.rules.standing import agents, init_containers, job_sidecars, readiness_gates
from aletheia_operator.findings.rules.traced import failing_services
from aletheia_operator.findings.rules.volumes import claims, mounts
from aletheia_operator.findings.rules.waiting import cannot_start
from aletheia_operator.findings.rules.words import words

Rule = Callable[[Case], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    nodes, evictions, claims, mounts, unschedulable, refused, cannot_start, deletions, crashes, probes, init_containers,
    readiness_gates, job_sidecars, agents, jobs, missed, services,
    scaled_to_zero, autoscalers, disruption_budgets, stuck, words, failing_services, errors, numbers, baselines, own, changes,
)  # fmt: skip
