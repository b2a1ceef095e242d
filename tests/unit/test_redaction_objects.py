"""Literal credentials in pod specs are removed; similar values are kept."""

import copy
import re
import time
import tracemalloc
from typing import Any

import pytest

from aletheia_operator.redact import Redactor
from aletheia_operator.redact.documents import redact_document
from aletheia_operator.redact.named import find_named
from aletheia_operator.redact.objects import redact_object
from aletheia_operator.redact.specs import redact_spec

REDACTED = "[redacted]"


def bare(text: str) -> str:
    """Return the text with tokens that do not name their rule."""
    return re.sub(r"\[redacted:[a-z0-9-]+\]", REDACTED, text)


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("DB_PASSWORD", "hunter2", REDACTED),
        ("dbPassword", "hunter2", REDACTED),
        ("AWS_SECRET_ACCESS_KEY", "x/y", REDACTED),
        ("GITHUB_TOKEN", "x", REDACTED),
        ("STRIPE_API_KEY", "x", REDACTED),
        ("Authorization", "Bearer abcdefgh", f"Bearer {REDACTED}"),
        ("DATABASE_URL", "postgres://app:hunter2@db:5432/shop", f"postgres://app:{REDACTED}@db:5432/shop"),
        ("SETTINGS", f"jwt {JWT}", f"jwt {REDACTED}"),
        ("CERT", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "\n".join([REDACTED] * 3)),
        ("PASSWORD_FILE", "/run/secrets/password", "/run/secrets/password"),
        ("SECRET_NAME", "database", "database"),
        ("TOKENIZERS_PARALLELISM", "false", "false"),
        ("PWD", "/app", "/app"),
        ("DB_PWD", "x", REDACTED),
        ("LEDGER_URL", "http://ledger:8080", "http://ledger:8080"),
        ("EMPTY_PASSWORD", "", ""),
        ("DB_PASS", "hunter2", REDACTED),
        ("dbPass", "hunter2", REDACTED),
        ("PASS", "hunter2", REDACTED),
        ("REDISCLI_AUTH", "hunter2", REDACTED),
        ("spring.datasource.password", "hunter2", REDACTED),
        ("SECRET_KEY", "x", REDACTED),
        ("SECRET_KEY_BASE", "x", REDACTED),
        ("ENCRYPTION_KEY", "x", REDACTED),
        ("APP_KEY", "base64:x", REDACTED),
        ("AZURE_STORAGE_KEY", "x", REDACTED),
        ("AccountKey", "x", REDACTED),
        ("GRAFANA_CREDS", "x", REDACTED),
        ("X-Api-Key", "x", REDACTED),
        ("OLD_PASSWORD_2", "x", REDACTED),
        ("CONN", "Server=db;User Id=sa;Pwd=hunter2;", f"Server=db;User Id=sa;Pwd={REDACTED};"),
        ("AZURE", "AccountName=shop;AccountKey=aGk=;Endpoint=x", f"AccountName=shop;AccountKey={REDACTED};Endpoint=x"),
        ("DSN_OF_DB", "app:hunter2@tcp(db:3306)/shop", f"app:{REDACTED}@tcp(db:3306)/shop"),
        ("URL", "postgres://app:p@ss:word@db/shop", f"postgres://app:{REDACTED}@db/shop"),
        ("URL", "redis://:hunter2@db", f"redis://:{REDACTED}@db"),
        ("URL", "https://0123456789abcdef0123@sentry.example/4", f"https://{REDACTED}@sentry.example/4"),
        ("SAS", "https://shop.blob.example/c?sv=1&sig=a%2Bb&se=2", f"https://shop.blob.example/c?sv=1&sig={REDACTED}&se=2"),
        ("HOOK", "https://hooks.slack.com/services/T0/B0/xyz", f"https://hooks.slack.com/services/{REDACTED}"),
        ("JSON", '{"password": "hunter2", "user": "app"}', f'{{"password": "{REDACTED}", "user": "app"}}'),
        ("YAML", "user: app\npassword: hunter2\n", f"user: app\npassword: {REDACTED}\n"),
        ("JAVA_OPTS", "-Xmx1g -Djavax.net.ssl.keyStorePassword=x", f"-Xmx1g -Djavax.net.ssl.keyStorePassword={REDACTED}"),
        ("PASSWORD", "$(DB_PASSWORD)", "$(DB_PASSWORD)"),
        ("TLS_PRIVATE_KEY", "/etc/tls/server.key", "/etc/tls/server.key"),
        ("MAX_TOKENS", "512", "512"),
        ("AUTH", "oidc", "oidc"),
        ("COMPASS", "north", "north"),
        ("BYPASS", "x", "x"),
        ("PARTITION_KEY", "customer", "customer"),
        ("PUBLIC_KEY", "x", "x"),
        ("AUTHOR", "me", "me"),
        ("PINNED", "x", "x"),
        (
            "CERT",
            "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
            "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
        ),
        ("ENDPOINT", "http://ledger:8080/x@y", "http://ledger:8080/x@y"),
        ("FLAGS", "-XX:+UseG1GC -Dfile.encoding=UTF-8 key=1", "-XX:+UseG1GC -Dfile.encoding=UTF-8 key=1"),
        ("IMAGE", "registry.example/app@sha256:" + "ab" * 32, "registry.example/app@sha256:" + "ab" * 32),
    ],
)
def test_variables(name: str, value: str, kept: str) -> None:
    """They are recognised by name, or by a value of an unmistakable form."""
    assert bare(Redactor().value(name, value)) == kept


def test_specs_at_any_depth() -> None:
    """Variables, headers, commands and arguments are redacted in place and counted. Everything else is unchanged."""
    spec: dict[str, Any] = {
        "containers": [
            {
                "name": "app",
                "env": [{"name": "A_TOKEN", "value": "x"}, {"name": "B_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
                "args": ["--password=x", "--token", "x", "--secret", "--verbose", "--level=debug", "-c", "echo hi"],
                "livenessProbe": {"httpGet": {"httpHeaders": [{"name": "Authorization", "value": "x"}]}},
            }
        ]
    }
    assert redact_spec(spec, Redactor()) == 4
    (container,) = spec["containers"]
    assert bare(container["env"][0]["value"]) == REDACTED
    assert [*map(bare, container["args"])] == [
        f"--password={REDACTED}", "--token", REDACTED, "--secret", "--verbose", "--level=debug", "-c", "echo hi",
    ]  # fmt: skip
    assert redact_spec(None, Redactor()) == 0


@pytest.mark.parametrize(
    "token",
    [
        "ghp_" + "a1B2" * 9,
        "github_pat_" + "a1B2" * 9,
        "glpat-" + "a1B2" * 5,
        "xoxb-123456789012-abcdefABCDEF",
        "sk_live_" + "a1B2" * 6,
        "sk-proj-" + "a1B2" * 10,
        "AKIA" + "A1B2" * 4,
        "AIza" + "a1B2" * 9,
        "SG." + "a1B2" * 5 + "." + "a1B2" * 10,
        "npm_" + "a1B2" * 9,
        "hvs." + "a1B2" * 6,
        "dckr_pat_" + "a1B2" * 6,
        "AGE-SECRET-KEY-1" + "A2B3" * 12,
        "123456789:AA" + "a1B2" * 8 + "x",
        JWT,
    ],
)
def test_tokens_known_by_their_form(token: str) -> None:
    """They are found at any place of a text."""
    for text in (token, f"push {token}", f'key="{token}", x', f"https://api.example/{token}/x"):
        assert bare(Redactor().text(text)) == text.replace(token, REDACTED)


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["redis-server", "--requirepass", "x"], ["redis-server", "--requirepass", REDACTED]),
        (["redis-server", "--masterauth=x"], ["redis-server", f"--masterauth={REDACTED}"]),
        (["/usr/bin/redis-cli", "-a", "x", "ping"], ["/usr/bin/redis-cli", "-a", REDACTED, "ping"]),
        (["curl", "-u", "app:x", "http://a"], ["curl", "-u", f"app:{REDACTED}", "http://a"]),
        (["curl", "--user", "app:x"], ["curl", "--user", f"app:{REDACTED}"]),
        (["curl", "-H", "X-Api-Key: abc"], ["curl", "-H", f"X-Api-Key: {REDACTED}"]),
        (["curl", "-H", "Authorization: token abcd"], ["curl", "-H", f"Authorization: token {REDACTED}"]),
        (["mysqldump", "-uroot", "-phunter2", "shop"], ["mysqldump", "-uroot", f"-p{REDACTED}", "shop"]),
        (["mysql", "-pTOP_SECRET"], ["mysql", f"-p{REDACTED}"]),
        (["mysql", "-p$(TOP_SECRET)"], ["mysql", "-p$(TOP_SECRET)"]),
        (["sh", "-c", "curl -u app:x http://a; sleep 1"], ["sh", "-c", f"curl -u app:{REDACTED} http://a; sleep 1"]),
        (["sh", "-c", "exec redis-server --requirepass x"], ["sh", "-c", f"exec redis-server --requirepass {REDACTED}"]),
        (["sh", "-c", "mysql -h db -phunter2 shop"], ["sh", "-c", f"mysql -h db -p{REDACTED} shop"]),
        (["sh", "-c", "curl -H 'X-Api-Key: abc' x"], ["sh", "-c", f"curl -H 'X-Api-Key: {REDACTED}' x"]),
        (["app", "--password", "$(DB_PASSWORD)"], ["app", "--password", "$(DB_PASSWORD)"]),
        (["app", "--password=$(DB_PASSWORD)"], ["app", "--password=$(DB_PASSWORD)"]),
        (["id", "-u"], ["id", "-u"]),
        (["api", "--auth=true", "--authorization-mode=RBAC"], ["api", "--auth=true", "--authorization-mode=RBAC"]),
        (["app", "--token-file=/run/token", "--secret-name=db"], ["app", "--token-file=/run/token", "--secret-name=db"]),
        (["docker", "-u", "1000:1000"], ["docker", "-u", "1000:1000"]),
        (["app", "-p", "8080", "--pwd=/home"], ["app", "-p", "8080", "--pwd=/home"]),
    ],
    ids=lambda words: " ".join(words),
)
def test_command_lines(words: list[str], kept: list[str]) -> None:
    """Each program's own way to pass a password is known, as arguments and inside the text of a shell."""
    spec = {"args": list(words)}
    redact_spec(spec, Redactor())
    assert [*map(bare, spec["args"])] == kept


@pytest.mark.parametrize(
    "text",
    [
        "Back-off restarting failed container app in pod web-0_shop(11111111-2222-3333-4444-555555555555)",
        'MountVolume.SetUp failed for volume "keys" : secret "db-password" not found',
        "failed to fetch anonymous token: unexpected status from GET request to https://auth.example/token: 401 Unauthorized",
        "Readiness probe failed: HTTP probe failed with statuscode: 503",
        "password is required; basic authentication is off, no token required",
        "couldn't find key password in Secret shop/credentials",
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
    ],
)
def test_what_kubernetes_says_stays(text: str) -> None:
    """Its messages mention secrets but contain none."""
    assert Redactor().text(text) == text


def test_copies_of_what_was_applied_never_stay() -> None:
    """They are removed from annotations of any object and its templates. Other annotations lose only their credentials."""
    copies = {
        "kubectl.kubernetes.io/last-applied-configuration": '{"password": "canary"}',
        "objectset.rio.cattle.io/applied": "H4sIcanary",
        "kapp.k14s.io/original": "canary",
    }
    others = {
        "example.com/db-password": "canary",
        "example.com/settings": '{"env": [{"name": "DB_PASS", "value": "canary"}, {"name": "LEVEL", "value": "debug"}]}',
        "example.com/login": "--requirepass canary",
        "example.com/team": "payments",
        "kubernetes.io/config.mirror": "1e38abf0c0ffee",
    }
    for kind in ("Pod", "Service", "Deployment", "PersistentVolumeClaim", "Ingress", "Secret", "ConfigMap", "Node"):
        template = {"metadata": {"annotations": copies | others}}
        item: dict[str, Any] = {
            "kind": kind,
            "metadata": {"name": "x", "annotations": copies | others},
            "spec": {"template": template},
        }
        redact_object(item, Redactor())
        annotations = item["metadata"].get("annotations", {})
        assert "canary" not in str(annotations)
        assert not copies.keys() & annotations.keys()
        if kind in ("Pod", "Deployment"):
            assert "canary" not in str(item)
            assert annotations["example.com/team"] == "payments"
            assert annotations["kubernetes.io/config.mirror"] == "1e38abf0c0ffee"
            assert '"value":"debug"' in annotations["example.com/settings"]


def test_what_a_container_said_when_it_ended() -> None:
    """Its message is written by the program, which may print what it was given."""
    ended = {"terminated": {"reason": "Error", "message": "cannot connect to postgres://app:canary@db/shop"}}
    pod: dict[str, Any] = {
        "kind": "Pod",
        "metadata": {"name": "x"},
        "spec": {},
        "status": {"containerStatuses": [{"state": ended}]},
    }
    assert redact_object(pod, Redactor()) == 1
    assert "canary" not in str(pod)


def test_a_config_map_has_no_digest_of_a_password() -> None:
    """A short password can be found from its digest."""
    item: dict[str, Any] = {"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"db-password": "hunter2", "settings": "a"}}
    redact_object(item, Redactor())
    assert item["dataSha256"]["db-password"] == REDACTED
    assert len(item["dataSha256"]["settings"]) == 64


def test_a_deeply_nested_annotation_is_no_end() -> None:
    """A tenant's JSON of any depth is walked without recursion."""
    item: dict[str, Any] = {"kind": "Pod", "metadata": {"name": "x", "annotations": {"deep": "[" * 900 + "]" * 900}}}
    assert redact_object(item, Redactor()) == 1
    assert item["metadata"]["annotations"] == {"deep": REDACTED}


@pytest.mark.parametrize(
    "hostile",
    [
        "eyJ-",
        "-",
        "://a",
        "-----BEGIN ",
        "a",
        "password",
        "bearer ",
        "token=",
        "--token ",
        "x-pass: ",
        "mysql -p",
        "-u a:",
        "ghp_",
        "\\",
        "a.b-",
        "'\"",
        "insert into t (password) values ('x') ",
        "update t set password = $1 param $1 = 'x', ",
        "cookies: {a: ",
        'password is "a" -> "b" ',
        "set key=? ",
        "insert into t (password) values (",
        '"secrets": {',
        "cookie: a ",
        "token: “",
        '"secrets": {"a": "bbbbbbbbbbbbbbbbbbbbbb1" ',
    ],
)
def test_hostile_text_is_read_once(hostile: str) -> None:
    """Tenants write arguments: long texts that nearly look like credentials are read fast. Backtracking would take hours."""
    began = time.process_time()
    Redactor().text(hostile * (200_000 // len(hostile)))
    assert time.process_time() - began < 5


@pytest.mark.parametrize("filler", ["cookie: a ", "token: a "])
def test_secrets_after_very_many_names(filler: str) -> None:
    """Only a part of a long line is read after the ten-thousandth name; a secret is found all the same, whatever its size."""
    secret = "aB3x" * 5_000
    lead = filler * (300_000 // len(filler))
    redactor = Redactor()
    for text in ("password=hunter2-Zq9 and more", f'password="{secret}" and more', f"cookie: sid={secret} "):
        redacted = redactor.text(lead + text)
        assert "hunter2" not in redacted
        assert "aB3xaB3x" not in redacted
        assert redacted.startswith(lead[:1000])


def test_names_of_secrets_are_not_kept_whole() -> None:
    """A name may be a whole line, and the kinds of thousands of names are kept."""
    lines = [b"x" * 200_000 + b"%d-token=a" % number for number in range(10)]
    list(find_named(b"token=a"))  # compiles
    tracemalloc.start()
    try:
        for line in lines:
            list(find_named(line))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 500_000


EVENT = {
    "metadata": {"name": "web-1.17b3", "namespace": "shop-1", "uid": "9c6e7c1b-5067-4494-921b-0dd7ef43da35"},
    "involvedObject": {"kind": "Pod", "namespace": "shop-1", "name": "web-1", "fieldPath": "spec.containers{web}"},
    "reason": "Pulled",
    "message": 'Container image "registry.example/web:1" already present on machine',
    "source": {"component": "kubelet", "host": "node-1"},
    "firstTimestamp": "2026-11-22T12:00:00Z",
}


class Searches(Redactor):
    """Counts the texts that are searched one by one."""

    searched = 0

    def value(self, name: str, value: str) -> str:
        self.searched += 1
        return super().value(name, value)


def test_the_texts_of_an_ordinary_event_are_searched_together() -> None:
    """One after the other, two names look like a name and its value."""
    redactor, event = Searches(), copy.deepcopy(EVENT)
    redact_document(event, redactor)
    assert (event, redactor.searched) == (EVENT, 0)


@pytest.mark.parametrize("place", ["metadata", "involvedObject", "source", ""])
@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("postgres://app:hunter2@db:5432/shop", f"postgres://app:{REDACTED}@db:5432/shop"),
        ("db_password hunter2", f"db_password {REDACTED}"),
        (f"token: {JWT}", f"token: {REDACTED}"),
        ("password=hunter2", f"password={REDACTED}"),
    ],
)
def test_a_secret_in_any_text_of_an_event(place: str, text: str, kept: str) -> None:
    event: dict[str, Any] = copy.deepcopy(EVENT)
    holder = event[place] if place else event
    for key in [key for key, value in holder.items() if isinstance(value, str)]:
        holder[key] = text
        redact_document(event, Redactor())
        assert bare(holder[key]) == kept
        holder[key] = "plain"
