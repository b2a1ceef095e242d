"""Models for redaction: which secrets are removed from captured data."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from aletheia_operator.api.expressions import compiled
from aletheia_operator.api.types import Model, require, rules

MAX_PATTERN_MEMORY = 256 * 1024  # bytes for compiling a pattern; with RE2's default, that may take half a minute
RedactionLevel = Literal["off", "secrets", "strict"]


class RedactionRule(Model):
    """A pattern for secrets that the operator does not know."""

    name: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] = Field(
        description="Name of the rule, unique. A match becomes `[redacted:NAME:xxxx]`."
    )
    pattern: Annotated[str, Field(min_length=1, max_length=1000)] = Field(
        description="Regular expression for RE2: no look-around, no back-references, one line at a time. The group"
        " `(?P<secret>...)` is replaced; without that group, the whole match."
    )


class RedactionSpec(Model):
    """Removes secrets from everything that is captured, before it is written."""

    NAMES: ClassVar[str] = "the names of rules must differ"
    PATTERNS: ClassVar[str] = "the pattern of a rule must be one for RE2, and must not match an empty text"
    model_config = rules(
        ("!has(self.rules) || self.rules.all(rule, self.rules.exists_one(other, other.name == rule.name))", NAMES),
        ("!has(self.rules) || self.rules.all(rule, !''.matches(rule.pattern))", PATTERNS),
    )

    level: RedactionLevel | None = Field(
        None,
        description="off: keep everything, if an admin allows that. secrets: remove passwords, tokens and keys. strict: also"
        " e-mail addresses, IP addresses and phone numbers. Unset: the level that an admin has set, which is the least that is"
        " used.",
    )
    rules: list[RedactionRule] | None = Field(
        None, min_length=1, max_length=20, description="Rules in addition to the built-in ones and to those of an admin."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [rule.name for rule in self.rules or ()]
        require(len(set(names)) == len(names), self.NAMES)
        require(all(_is_usable(rule.pattern) for rule in self.rules or ()), self.PATTERNS)
        return self


def _is_usable(pattern: str) -> bool:
    try:
        return compiled(pattern, memory=MAX_PATTERN_MEMORY).search("") is None
    except ValueError:
        return False
