"""The rules. Each reads a case and yields findings. To add a rule, write a function and add it to RULES or LATER_RULES."""

from collections.abc import Callable, Iterator, Sequence

from aletheia_operator.findings.case import Case
from aletheia_operator.findings.finding import Finding
from aletheia_operator.findings.rules.admission import refused
from aletheia_operator.findings.rules.categories import categories
from aletheia_operator.findings.rules.certificates import fallback_certificates
from aletheia_operator.findings.rules.crashes import crashes
from aletheia_operator.findings.rules.deleting import deletions
from aletheia_operator.findings.rules.errors import errors
from aletheia_operator.findings.rules.jobs import jobs, missed
from aletheia_operator.findings.rules.metrics import baselines, metrics
from aletheia_operator.findings.rules.nodes import evictions, nodes
from aletheia_operator.findings.rules.own import own
from aletheia_operator.findings.rules.probes import probes
from aletheia_operator.findings.rules.repeated import warning_events
from aletheia_operator.findings.rules.rollouts import changes, stuck
from aletheia_operator.findings.rules.scaling import autoscalers, disruption_budgets, shared_budgets
from aletheia_operator.findings.rules.scheduling import unschedulable
from aletheia_operator.findings.rules.services import scaled_to_zero, services, shared_services
from aletheia_operator.findings.rules.stalled import agents, init_containers, job_sidecars, readiness_gates
from aletheia_operator.findings.rules.traces import failing_services
from aletheia_operator.findings.rules.unexplained import unready
from aletheia_operator.findings.rules.unlabelled import unlabelled_errors
from aletheia_operator.findings.rules.volumes import claims, mounts
from aletheia_operator.findings.rules.waiting import cannot_start, sandboxes
from aletheia_operator.findings.rules.warnings import warnings_of_callees

Rule = Callable[[Case], Iterator[Finding]]
LaterRule = Callable[[Case, Sequence[Finding]], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    nodes, evictions, claims, mounts, unschedulable, refused, cannot_start, sandboxes, deletions, crashes, probes,
    init_containers,
    readiness_gates, job_sidecars, agents, jobs, missed, services,
    scaled_to_zero, autoscalers, disruption_budgets, shared_budgets, stuck, categories, failing_services, errors, metrics,
    baselines, own, changes,
)  # fmt: skip
LATER_RULES: tuple[LaterRule, ...] = (
    shared_services, fallback_certificates, warnings_of_callees, warning_events, unready, unlabelled_errors,
)  # fmt: skip
"""Rules that read the findings of the rules before them."""
