"""Settings: each is documented and has its flag, and their defaults are the same."""

import ast
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from aletheia_operator import __main__ as command_line
from aletheia_operator import settings as module
from aletheia_operator.settings import ArtifactsProcess, Settings

GROUPS = [value for value in vars(module).values() if isinstance(value, type) and dataclasses.is_dataclass(value)]
REQUIRED = ["--session-root=/sessions"]


def documented(name: str) -> set[str]:
    """Return the fields of a class of the module with a docstring under them."""
    tree = ast.parse(Path(module.__file__).read_text())
    (group,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    pairs = zip(group.body, group.body[1:], strict=False)
    return {
        field.target.id
        for field, text in pairs
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and str(text.value.value).strip().endswith(".")
    }


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_every_setting_says_what_it_means(group: Any) -> None:
    """A docstring stands under each field. Settings cannot be changed once made."""
    assert documented(group.__name__) == {field.name for field in dataclasses.fields(group)}
    assert group.__dataclass_params__.frozen


def test_without_flags_every_setting_has_its_default() -> None:
    """No default is repeated on the command line."""
    parsed = command_line.settings_of(command_line.parser().parse_args(REQUIRED))
    assert parsed == Settings(session_root=Path("/sessions"))


def test_every_flag_is_a_setting_and_every_setting_has_a_flag() -> None:
    """Flags that change nothing, and settings that nobody can change, are found here."""
    flags = {action.dest for action in command_line.parser()._actions} - {"help", "version"}
    groups = {field.name for field in dataclasses.fields(Settings) if dataclasses.is_dataclass(field.default_factory)}
    own = [group for group in GROUPS if group is not ArtifactsProcess]  # which has a command line of its own
    fields = [field.name for group in own for field in dataclasses.fields(group) if field.name not in groups]
    assert sorted(fields) == sorted(flags)


FLAGS: list[tuple[str, str, object]] = [
    ("--session-root=/other", "session_root", Path("/other")),
    ("--metric-templates=/templates", "metric_templates", Path("/templates")),
    ("--finding-rules=/rules", "finding_rules", Path("/rules")),
    ("--ca-bundle=/ca", "ca_bundle", Path("/ca")),
    ("--proxy=http://proxy:3128", "proxy.url", "http://proxy:3128"),
    ("--no-proxy=.svc --no-proxy=10.0.0.0/8", "proxy.no_proxy", (".svc", "10.0.0.0/8")),
    ("--namespace=a --namespace=b", "scope.namespaces", ("a", "b")),
    ("--kubeconfig=/config", "scope.kubeconfig", Path("/config")),
    ("--operator-namespace=here", "scope.operator_namespace", "here"),
    ("--identity=one", "scope.identity", "one"),
    ("--lease=leader", "leader_election.lease", "leader"),
    ("--lease-seconds=1", "leader_election.lease_seconds", 1),
    ("--default-service-account=reader", "rights.default_service_account", "reader"),
    ("--creator-policy=policy", "rights.creator_policy", "policy"),
    ("--trust-creators", "rights.trust_creators", True),
    ("--no-log-text-in-status", "privacy.log_text_in_status", False),
    ("--redaction-level=strict", "redaction.level", "strict"),
    ("--redaction-allow-off", "redaction.allow_off", True),
    ("--redaction-rule=a=x=[0-9]+ --redaction-rule=b=y", "redaction.rules", (("a", "x=[0-9]+"), ("b", "y"))),
    ("--max-investigations=1", "limits.max_investigations", 1),
    ("--max-namespace-investigations=2", "limits.max_namespace_investigations", 2),
    ("--max-namespace-queued=3", "limits.max_namespace_queued", 3),
    ("--namespace-weight=a=3 --namespace-weight=b=1", "limits.namespace_weights", (("a", 3), ("b", 1))),
    ("--max-timeout-seconds=3", "limits.max_timeout_seconds", 3),
    ("--max-fetches=4", "limits.max_fetches", 4),
    ("--max-artifact-bytes=5", "limits.max_artifact_bytes", 5),
    ("--max-session-bytes=6", "limits.max_session_bytes", 6),
    ("--max-namespace-bytes=7", "limits.max_namespace_bytes", 7),
    ("--max-namespace-bytes-in-flight=0", "limits.max_namespace_bytes_in_flight", 0),
    ("--max-bytes-in-flight=1Ki", "limits.max_bytes_in_flight", 1024),
    ("--namespace-api-requests=0", "rates.namespace_api_requests", 0),
    ("--api-requests=1", "rates.api_requests", 1),
    ("--namespace-source-requests=2", "rates.namespace_source_requests", 2),
    ("--source-requests=3", "rates.source_requests", 3),
    ("--runner-mode=auto", "runner.mode", "auto"),
    ("--job-template=captures", "runner.job_template", "captures"),
    ("--max-jobs=1", "runner.max_jobs", 1),
    ("--max-namespace-jobs=1", "runner.max_namespace_jobs", 1),
    ("--auto-questions=1", "runner.auto_questions", 1),
    ("--auto-bytes=1Ki", "runner.auto_bytes", 1024),
    ("--auto-wait-seconds=1m", "runner.auto_wait_seconds", 60),
    ("--retain-namespace-bytes=1", "retention.namespace_bytes", 1),
    ("--retain-total-bytes=1Ki", "retention.total_bytes", 1024),
    ("--retain-history-limit=7", "retention.history_limit", 7),
    ("--retain-grace-seconds=0", "retention.grace_seconds", 0),
    ("--retain-grace-seconds=1h30m", "retention.grace_seconds", 5400),
    ("--orphan-grace-seconds=0", "retention.orphan_grace_seconds", 0),
    ("--sweep-seconds=1", "retention.sweep_seconds", 1),
    ("--volume-size=1.5Ki", "volume.volume_bytes", 1536),
    ("--namespace-share=0", "volume.namespace_share", 0),
    ("--total-share=100", "volume.total_share", 100),
    ("--node-logs", "node_logs.enabled", True),
    ("--kubelet-certificate-authority=/ca", "node_logs.certificate_authority", Path("/ca")),
    ("--kubelet-insecure-tls", "node_logs.certificate_authority", None),
    ("--artifacts-certificates=/shared", "artifacts_api.certificates", Path("/shared")),
    ("--artifacts-service=artifacts", "artifacts_api.service", "artifacts"),
    ("--artifacts-secret=artifacts-tls", "artifacts_api.secret", "artifacts-tls"),
    ("--metrics-listen=:1", "metrics.address", "0.0.0.0:1"),
    ("--metrics-certificate=/tls.crt", "metrics.certificate", Path("/tls.crt")),
    ("--metrics-key=/tls.key", "metrics.key", Path("/tls.key")),
    ("--metrics-client-authority=/ca.crt", "metrics.client_authority", Path("/ca.crt")),
    ("--listen=0.0.0.0:1", "process.listen", "0.0.0.0:1"),
    ("--log-format=json", "process.log_format", "json"),
    ("--log-level=warning", "process.log_level", "warning"),
]


@pytest.mark.parametrize(("arguments", "path", "value"), FLAGS, ids=[row[0] for row in FLAGS])
def test_a_flag_reaches_its_setting(arguments: str, path: str, value: object) -> None:
    """It has the right type, and the lowest allowed value is accepted. No other setting changes."""
    found = command_line.settings_of(command_line.parser().parse_args([*REQUIRED, *arguments.split()]))
    expected: Any = Settings(session_root=Path("/sessions"))
    group, _, name = path.rpartition(".")
    if group:
        expected = dataclasses.replace(expected, **{group: dataclasses.replace(getattr(expected, group), **{name: value})})
    else:
        expected = dataclasses.replace(expected, **{name: value})
    assert found == expected
    assert type(found) is type(expected)


def test_every_flag_is_tried_above() -> None:
    """Each flag has a row."""
    tried = {part.partition("=")[0] for row in FLAGS for part in row[0].split()}
    flags = {option for action in command_line.parser()._actions for option in action.option_strings}
    assert tried == flags - {"-h", "--help", "--version"}


def test_every_flag_says_what_it_means() -> None:
    """Each has a text in `--help`."""
    assert [action.dest for action in command_line.parser()._actions if not (action.help or "").strip()] == []


@pytest.mark.parametrize(
    "flag",
    [
        *(
            f"--{name}=0"
            for name in ("lease-seconds", "max-investigations", "max-session-bytes", "sweep-seconds", "retain-total-bytes")
        ),
        *(f"--{name}=-1" for name in ("retain-grace-seconds", "orphan-grace-seconds", "namespace-share")),
        *(f"--{name}=1y" for name in ("max-timeout-seconds", "sweep-seconds", "orphan-grace-seconds")),
        "--max-timeout-seconds=0",
        *(f"--{name}=101" for name in ("namespace-share", "total-share")),
        *(f"--volume-size={size}" for size in ("0", "-1Gi", "10Gigs", "", "1m")),
        *(f"--{name}=many" for name in ("max-fetches", "retain-namespace-bytes", "retain-grace-seconds", "log-level")),
        *(f"--proxy={url}" for url in ("proxy:3128", "https://proxy:1", "http://user@proxy:1", "http://proxy/a")),
        *(
            f"--{name}={address}"
            for name in ("listen", "metrics-listen")
            for address in ("9090x", "127.0.0.1", "[::]:", ":65536", ":0", "::1", "a..b:1", "http://a:1", "a/b:1", "a:\u0661")
        ),
        "--log-format=xml",
        "--redaction-level=none",
        "--redaction-rule=nameless",
        *(f"--namespace-weight={weight}" for weight in ("a", "=1", "a=0", "a=1001", "a=-1", "a=1.5", "a=")),
        "--max-namespace-queued=0",
        *(f"--{name}=-1" for name in ("max-bytes-in-flight", "api-requests", "source-requests")),
        "--runner-mode=remote",
        *(f"--{name}=0" for name in ("max-jobs", "auto-questions", "auto-bytes", "auto-wait-seconds")),
        "--redaction-rule==pattern",
        "--redaction-rule=name=",
        "--kubelet-insecure-tls --kubelet-certificate-authority=/ca",
    ],
)
def test_a_value_that_makes_no_sense_is_refused(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The error comes before anything starts, and has the flag's name."""
    with pytest.raises(SystemExit):
        command_line.parser().parse_args([*REQUIRED, *flag.split()])
    assert flag.split("=")[0].split()[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "listens"),
    [(":8080", "0.0.0.0:8080"), ("[::]:8080", "[::]:8080"), (":::8080", "[::]:8080"), ("[::1]:08080", "[::1]:8080")],
)
def test_an_address_to_listen_at_is_the_same_for_every_server(given: str, listens: str) -> None:
    """The leader's /healthz reads it as a part of a URL: without a host it would listen at localhost only."""
    found = command_line.settings_of(command_line.parser().parse_args([*REQUIRED, f"--listen={given}"]))
    assert found.process.listen == listens


def test_the_session_root_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    """No default would be right for everybody."""
    with pytest.raises(SystemExit):
        command_line.parser().parse_args([])
    assert "--session-root" in capsys.readouterr().err
