"""Derives what broke from the evidence: facts that are collected while it is saved, rules, and a ranked verdict. No I/O."""

from aletheia_operator.findings.evidence import Evidence, Reader
from aletheia_operator.findings.kept_entries import kept_entries
from aletheia_operator.findings.own_rules import OwnRules, read_rules
from aletheia_operator.findings.verdict import Verdict, judge

__all__ = ["Evidence", "OwnRules", "Reader", "Verdict", "judge", "kept_entries", "read_rules"]
