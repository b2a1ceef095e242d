"""Literal credentials in pod specs go; what only looks a little like one stays."""

import pytest

from aletheia_operator.redact.credentials import REDACTED, redact_spec, redact_text, redact_value

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("DB_PASSWORD", "hunter2", REDACTED),
        ("dbPassword", "hunter2", REDACTED),
        ("AWS_SECRET_ACCESS_KEY", "x/y", REDACTED),
        ("GITHUB_TOKEN", "x", REDACTED),
        ("STRIPE_API_KEY", "x", REDACTED),
        ("Authorization", "Bearer abcdefgh", REDACTED),
        ("DATABASE_URL", "postgres://app:hunter2@db:5432/shop", f"postgres://app:{REDACTED}@db:5432/shop"),
        ("SETTINGS", f"jwt {JWT}", f"jwt {REDACTED}"),
        ("CERT", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", REDACTED),
        ("PASSWORD_FILE", "/run/secrets/password", "/run/secrets/password"),
        ("SECRET_NAME", "database", "database"),
        ("TOKENIZERS_PARALLELISM", "false", "false"),
        ("PWD", "/app", "/app"),
        ("DB_PWD", "x", REDACTED),
        ("LEDGER_URL", "http://ledger:8080", "http://ledger:8080"),
        ("EMPTY_PASSWORD", "", ""),
    ],
)
def test_variables(name: str, value: str, kept: str) -> None:
    """By name, or by a value that can be nothing else."""
    assert redact_value(name, value) == kept


def test_specs_at_any_depth() -> None:
    """Variables, headers, commands and arguments, in place, counted; everything else stays as it was."""
    spec = {
        "containers": [
            {
                "name": "app",
                "env": [{"name": "A_TOKEN", "value": "x"}, {"name": "B_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
                "args": ["--password=x", "--token", "x", "--secret", "--verbose", "--level=debug", "-c", "echo hi"],
                "livenessProbe": {"httpGet": {"httpHeaders": [{"name": "Authorization", "value": "x"}]}},
            }
        ]
    }
    assert redact_spec(spec) == 4
    (container,) = spec["containers"]
    assert container["env"][0]["value"] == REDACTED  # type: ignore[index]
    assert container["args"] == [
        f"--password={REDACTED}", "--token", REDACTED, "--secret", "--verbose", "--level=debug", "-c", "echo hi",
    ]  # fmt: skip
    assert redact_spec(None) == 0


@pytest.mark.parametrize("hostile", ["eyJ-", "-", "://a", "-----BEGIN ", "a", "password", "bearer "])
def test_hostile_text_is_read_once(hostile: str) -> None:
    """Arguments are written by tenants: megabytes of almost-credentials end soon, where backtracking would take hours."""
    text = hostile * (2_000_000 // len(hostile))
    assert redact_text(text) == text
