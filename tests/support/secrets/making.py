"""Random secrets and harmless values of many forms."""

# ruff: noqa: E501, SIM905  (each row of the table of tokens is one provider)

import base64
import json
import random
import string
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

ALNUM = string.ascii_letters + string.digits
UPPER = string.ascii_uppercase + string.digits
LOWER = string.ascii_lowercase + string.digits
HEX = "0123456789abcdef"
URLSAFE = ALNUM + "-_"
WORDS = (
    """
    amber anchor autumn bamboo basil birch bishop blossom bronze canyon cedar cobalt comet copper coral crimson
    dagger dolphin dragon ember falcon fern galaxy garnet glacier granite harbor hazel indigo ivory jasper
    juniper lantern lilac lotus maple meadow nectar nickel oasis olive onyx opal orchid pepper phantom pine
    prairie quartz raven saffron sapphire shadow sierra silver summit thunder tiger tulip velvet violet walnut
    willow winter wolf zephyr
    """
).split()


Case = tuple[str, str, list[str]]
"""Kind, text, and the secrets in it."""


class Maker:
    """Makes random values; the same `seed` gives the same values."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)

    def some(self, alphabet: str, length: int) -> str:
        """Return a string from an alphabet; with a digit and both cases if the alphabet has them."""
        while True:
            text = "".join(self.draw.choice(alphabet) for _ in range(length))
            wanted = [
                kind for kind in (string.digits, string.ascii_lowercase, string.ascii_uppercase) if set(kind) & set(alphabet)
            ]
            if length < 8 or all(set(kind) & set(text) for kind in wanted):
                return text

    def alnum(self, length: int) -> str:
        return self.some(ALNUM, length)

    def hex(self, length: int) -> str:
        return self.some(HEX, length)

    def urlsafe(self, length: int) -> str:
        return self.some(URLSAFE, length - 1) + self.draw.choice(ALNUM)

    def b64(self, size: int) -> str:
        return base64.b64encode(self.draw.randbytes(size)).decode()

    def uuid(self) -> str:
        text = self.hex(32)
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"

    def word(self) -> str:
        return self.draw.choice(WORDS)

    def number(self, low: int, high: int) -> int:
        return self.draw.randint(low, high)

    def password(self, style: str | None = None) -> str:
        """Return a password as people choose them: weak, a word, random, or of symbols."""
        style = style or self.draw.choice(["weak", "weak", "word", "random", "symbols", "long", "digits"])
        match style:
            case "weak":
                return f"{self.word()}{self.number(1, 99)}"
            case "word":
                return self.word() + self.draw.choice(["", self.word(), self.word().title()])
            case "random":
                return self.alnum(self.number(10, 24))
            case "symbols":
                body = list(self.alnum(8) + "".join(self.draw.choice("!#$%^*@+?~.-_") for _ in range(3)))
                self.draw.shuffle(body)
                return "Z" + "".join(body) + "q"
            case "digits":
                return str(self.number(100_000, 99_999_999))
        return self.urlsafe(self.number(32, 48))

    def jwt(self) -> str:
        def part(value: object) -> str:
            return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")

        return ".".join(
            [part({"alg": "HS256", "typ": "JWT"}), part({"sub": self.hex(8), "exp": 1_800_000_000}), self.urlsafe(43)]
        )

    def pem(self, kind: str = "RSA PRIVATE KEY", lines: int = 6) -> str:
        body = [self.some(ALNUM + "+/", 64) for _ in range(lines)] + [self.some(ALNUM + "+/", 22) + "=="]
        return "\n".join([f"-----BEGIN {kind}-----", *body, f"-----END {kind}-----"])

    def card(self) -> str:
        prefix = self.draw.choice(["4" + str(self.number(100, 999)), "5" + str(self.number(100, 599)), "6011"])
        digits = prefix + "".join(self.draw.choice(string.digits) for _ in range(11))
        for check in string.digits:
            total = 0
            for position, digit in enumerate(reversed(digits + check)):
                number = int(digit) * (1 + position % 2)
                total += number - 9 if number > 9 else number
            if total % 10 == 0:
                return digits + check
        raise AssertionError


def tokens(make: Maker) -> dict[str, str]:
    """Return one token of each provider's form."""
    n, h, u = make.alnum, make.hex, make.urlsafe
    upper = partial(make.some, UPPER)
    return {
        "github-classic": "ghp_" + n(36), "github-oauth": "gho_" + n(36), "github-app": "ghs_" + n(36),
        "github-fine-grained": "github_pat_" + n(22) + "_" + n(59), "gitlab-pat": "glpat-" + u(20),
        "gitlab-runner": "glrt-" + u(20), "gitlab-deploy": "gldt-" + u(20),
        "slack-bot": f"xoxb-{make.number(10**11, 10**12)}-{make.number(10**12, 10**13)}-{n(24)}",
        "slack-user": f"xoxp-{make.number(10**11, 10**12)}-{make.number(10**11, 10**12)}-{make.number(10**11, 10**12)}-{h(32)}",
        "slack-app": f"xapp-1-A{upper(10)}-{make.number(10**12, 10**13)}-{h(64)}",
        "stripe-secret": "sk_live_" + n(24), "stripe-restricted": "rk_live_" + n(24), "stripe-webhook": "whsec_" + n(32),
        "aws-access-key-id": "AKIA" + make.some("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
        "aws-temporary-key-id": "ASIA" + make.some("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
        "google-api-key": "AIza" + u(35), "google-oauth-token": "ya29." + u(120), "google-client-secret": "GOCSPX-" + u(28),
        "azure-client-secret": n(3) + "8Q~" + n(34), "npm": "npm_" + n(36), "pypi": "pypi-AgEIcHlwaS5vcmc" + u(120),
        "dockerhub": "dckr_pat_" + u(27), "vault-service": "hvs." + u(90), "vault-batch": "hvb." + u(130),
        "vault-legacy": "s." + n(24), "telegram": f"{make.number(10**9, 9 * 10**9)}:AA{u(33)}", "openai-project": "sk-proj-" + u(120),
        "openai-legacy": "sk-" + n(20) + "T3BlbkFJ" + n(20), "anthropic": "sk-ant-api03-" + u(93) + "AA",
        "huggingface": "hf_" + make.some(string.ascii_letters, 34), "sendgrid": f"SG.{u(22)}.{u(43)}", "mailgun": "key-" + h(32),
        "mailchimp": h(32) + "-us" + str(make.number(1, 21)), "twilio": "SK" + h(32), "digitalocean": "dop_v1_" + h(64),
        "shopify": "shpat_" + h(32), "square": "EAAA" + u(60), "square-oauth": "sq0csp-" + u(43),
        "discord-bot": f"M{n(25)}.{u(6)}.{u(38)}", "grafana-service": f"glsa_{n(32)}_{h(8)}", "newrelic": "NRAK-" + upper(27),
        "atlassian": "ATATT3xFfGF0" + u(180), "linear": "lin_api_" + n(40), "databricks": "dapi" + h(32),
        "terraform-cloud": f"{n(14)}.atlasv1.{u(67)}", "heroku-prefixed": "HRKU-" + make.uuid(), "sentry-user": "sntryu_" + h(64),
        "cloudflare-ca": f"v1.0-{h(24)}-{h(146)}", "fastly-like-long": "sq0atp-" + u(22), "okta": "00" + n(1) + u(39),
        "notion": "secret_" + n(43), "notion-new": "ntn_" + n(46), "figma": "figd_" + u(43), "doppler": "dp.st.prd." + n(43),
        "doppler-personal": "dp.pt." + n(43), "age": "AGE-SECRET-KEY-1" + make.some("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58),
        "tailscale": f"tskey-auth-{n(12)}CNTRL-{n(32)}", "postman": f"PMAK-{h(24)}-{h(34)}", "pulumi": "pul-" + h(40),
        "rubygems": "rubygems_" + h(48), "airtable": f"pat{n(14)}.{h(64)}", "dynatrace": f"dt0c01.{upper(24)}.{upper(64)}",
        "jfrog": "AKCp" + n(69), "planetscale": "pscale_tkn_" + u(43), "groq": "gsk_" + n(52), "replicate": "r8_" + n(37),
        "supabase": "sbp_" + h(40), "netlify": "nfp_" + n(40), "sonarqube": "squ_" + h(40), "buildkite": "bkua_" + h(40),
        "circleci": f"CCIPAT_{n(22)}_{h(40)}", "posthog": "phx_" + n(43), "hubspot": f"pat-na1-{make.uuid()}",
        "alibaba": "LTAI" + n(20), "brevo": f"xkeysib-{h(64)}-{n(16)}", "langsmith": f"lsv2_pt_{h(32)}_{h(10)}",
        "razorpay": "rzp_live_" + n(14), "1password": "ops_eyJ" + n(200), "jwt": make.jwt(), "nvidia": "nvapi-" + u(64),
    }  # fmt: skip


def free(make: Maker, templates: Sequence[str]) -> Iterator[Case]:
    """Yield each token of a provider three times, in other templates each time."""
    for turn in range(3):
        for number, (kind, token) in enumerate(tokens(make).items()):
            yield kind, templates[(number + 5 * turn) % len(templates)].format(s=token), [token]


def filled(kind: str, template: str, values: Mapping[str, str]) -> Case:
    """Return the template with its values, each of which is a secret."""
    return kind, template.format(**values), [value for name, value in values.items() if f"{{{name}}}" in template]
