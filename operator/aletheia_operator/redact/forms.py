"""Recognises secrets by their form alone: tokens of providers, JWTs, hashes of passwords, webhook URLs.

Each form has a label for its tokens, and a pattern. The list of forms was compared with gitleaks' rules (MIT);
docs/redaction.md lists the other sources.
"""

_BOUND = r"(?:^|[^A-Za-z0-9_-]|\\[nrt]|%[0-9A-Fa-f]{2}|\x1b\[[0-9;]{0,8}m|\\u[0-9a-fA-F]{4})"
"""Characters before a form that has no characteristic prefix."""

DISTINCT = (
    ("github-token", r"gh[opsur]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,}"),
    ("gitlab-token", r"gl(?:pat|dt|rt|rtr|ptt|soat|cbt|ft|ffct|imt|agent|oas|wt)-[\w.-]{20,}|GR1348941[\w-]{20}"),
    ("slack-token", r"xox[abcdeoprs](?:\.xox[bp])?-[\w-]{10,}|xapp-\d-[\w-]{20,}"),
    ("stripe-key", r"(?:sk|rk)_(?:live|test|prod)_\w{10,}|whsec_[\w+/=]{20,}"),
    ("anthropic-key", r"sk-ant-[a-z]+\d{2}-[\w-]{20,}"),
    ("openai-key", r"sk-(?:proj|svcacct|admin|None)-[\w-]{20,}|sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}|sess-[A-Za-z0-9]{40}"),
    ("openrouter-key", r"sk-or-v1-[0-9a-f]{40,}"),
    ("huggingface-token", r"(?:hf_|api_org_)[A-Za-z0-9]{30,}"),
    ("replicate-token", r"r8_[A-Za-z0-9]{37}"),
    ("groq-key", r"gsk_[A-Za-z0-9]{40,}"),
    ("perplexity-key", r"pplx-[A-Za-z0-9]{40,}"),
    ("xai-key", r"xai-[A-Za-z0-9]{60,}"),
    ("tavily-key", r"tvly-(?:dev-|prod-)?[A-Za-z0-9]{20,}"),
    ("mapbox-token", r"\b[st]k\.eyJ[\w-]{20,}\.[\w-]{20,}"),
    ("wallet-key", r"\b[xyztuv]prv[1-9A-HJ-NP-Za-km-z]{100,112}\b"),
    ("k3s-token", r"\bK10[0-9a-f]{64}::(?:\w+:)?[\w.]{10,}"),
    ("nvidia-key", r"nvapi-[\w-]{40,}"),
    ("langsmith-key", r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"),
    ("langfuse-key", r"sk-lf-[0-9a-f]{8}-[0-9a-f-]{27}"),
    ("google-api-key", r"AIza[\w-]{35,40}"),
    ("google-oauth", r"ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,40}|\b[14]//0[\w-]{20,}|\b4/0A[\w-]{30,}"),
    ("google-hmac-key", r"GOOG1?E?[A-Z0-9]{57,}\b"),
    ("azure-secret", r"[\w~.]{3}[78]Q~[\w~.-]{31,34}|[A-Za-z0-9+/]{76}(?:ACDb|AIoT|AzFu|AzCa|AzSe|APIM|ACRA"
                     r"|JQQJ)[A-Za-z0-9+/]{5,6}={0,2}"),
    ("sendgrid-key", r"SG\.[\w-]{16,32}\.[\w-]{16,}"),
    ("mailgun-key", r"\bkey-[0-9a-f]{32}\b|\b[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}\b|pubkey-[0-9a-f]{32}"),
    ("mailchimp-key", r"\b[0-9a-f]{32}-us\d{1,2}\b"),
    ("brevo-key", r"xkeysib-[0-9a-f]{64}-[A-Za-z0-9]{16}|xsmtpsib-[0-9a-f]{64}-[A-Za-z0-9]{16}"),
    ("resend-key", r"\bre_[A-Za-z0-9]{6,10}_[A-Za-z0-9]{20,40}"),
    ("mandrill-key", r"\bmd-[A-Za-z0-9]{22}\b"),
    ("npm-token", r"npm_[A-Za-z0-9]{30,}"),
    ("pypi-token", r"pypi-(?:AgE|AgEIc)[\w-]{40,}"),
    ("rubygems-key", r"rubygems_[0-9a-f]{48}"),
    ("nuget-key", r"\boy2[a-z0-9]{43}\b"),
    ("crates-token", r"\bcio[A-Za-z0-9]{32}\b"),
    ("docker-token", r"dckr_(?:pat|oat)_[\w-]{20,}"),
    ("jfrog-token", r"\bAKCp[A-Za-z0-9]{60,}\b|\bcmVmd[A-Za-z0-9]{59}\b"),
    ("artifactory-key", r"\bAKC[a-zA-Z0-9]{64,}\b"),
    ("digitalocean-token", r"do[opr]_v1_[0-9a-f]{64}"),
    ("vault-token", r"\bhv[sbr]\.[\w-]{20,}|\b[sb]\.[A-Za-z0-9]{24}\b"),
    ("terraform-token", r"[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{50,}"),
    ("telegram-token", r"\b\d{8,10}:A[A-H][\w-]{32,34}\b|\bbot\d{8,10}:[\w-]{35}"),
    ("discord-token", r"\b[MNO][A-Za-z\d_-]{23,27}\.[\w-]{6}\.[\w-]{27,40}|mfa\.[\w-]{80,}"),
    ("shopify-token", r"shp(?:at|ca|pa|ss|tka)_[a-fA-F0-9]{32}"),
    ("square-token", r"\bEAAA[\w-]{58,}|\bsq0(?:atp|csp|idp)-[\w-]{22,}"),
    ("paypal-token", r"access_token\$(?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32}"),
    ("facebook-token", r"\bEAA[A-Z][A-Za-z0-9]{80,}\b|\b\d{15,16}\|[\w-]{27,40}"),
    ("linear-key", r"lin_(?:api|oauth)_[A-Za-z0-9]{32,}"),
    ("notion-token", r"\bsecret_[A-Za-z0-9]{43}\b|\bntn_[A-Za-z0-9]{40,}"),
    ("figma-token", r"fig[dour]_[\w-]{40,}"),
    ("airtable-token", r"\bpat[A-Za-z0-9]{14}\.[0-9a-f]{64}\b"),
    ("atlassian-token", r"AT(?:ATT|CTT|BB|STT)[A-Za-z0-9]?[\w=-]{24,}"),
    ("databricks-token", r"\bdapi[0-9a-f]{32}(?:-\d)?"),
    ("grafana-token", r"glsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}|glc_[A-Za-z0-9+/]{32,}={0,3}|\beyJrIjoi[A-Za-z0-9+/]{60,}={0,3}"),
    ("newrelic-key", r"NRAK-[A-Z0-9]{27}|NRI[IQ]-[\w-]{32}|NRJS-[0-9a-f]{19}|NRRA-[0-9a-f]{42}|\b[0-9a-f]{36}NRAL\b"),
    ("datadog-key", r"\bddp?_(?:api|app)_[A-Za-z0-9]{30,}"),
    ("dynatrace-token", r"dt0[a-z]\d{2}\.[A-Z0-9]{8,24}\.[A-Z0-9]{64}"),
    ("sentry-token", r"sntry[su]_[\w+/=-]{40,}"),
    ("honeycomb-key", r"\bhc[abxik]{1,3}[ki]{0,1}_[a-z0-9]{58}\b"),
    ("posthog-key", r"ph[cx]_[A-Za-z0-9]{40,}"),
    ("heroku-key", r"HRKU-[\w-]{36,}"),
    ("flyio-token", r"fo1_[\w-]{43}|fm[12][ar]?_[A-Za-z0-9+/=]{80,}"),
    ("netlify-token", r"nfp_[A-Za-z0-9]{36,}"),
    ("vercel-token", r"\bvc[prka]_[A-Za-z0-9]{24,}|vercel_blob_rw_\w{30,}"),
    ("supabase-key", r"sbp_[0-9a-f]{40}|sb_secret_[\w-]{20,}"),
    ("planetscale-token", r"pscale_(?:tkn|pw|oauth)_[\w=.-]{32,}"),
    ("neon-key", r"\bnapi_[a-z0-9]{60,}"),
    ("cloudflare-token", r"v1\.0-[0-9a-f]{24}-[0-9a-f]{146}|\bcf(?:ut|at|k)_[A-Za-z0-9]{40,}"),
    ("okta-token", r"\b00[A-Za-z0-9][\w-]{39}\b"),
    ("doppler-token", r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[\w-]{2,35}\.)?[A-Za-z0-9]{40,44}"),
    ("nkey-seed", r"\bS[ACNOUX][A-Z2-7]{56}\b"),
    ("age-key", r"AGE-SECRET-KEY-1[0-9A-Z]{40,}|AGE-PLUGIN-[A-Z0-9-]{20,}"),
    ("tailscale-key", r"tskey-(?:[a-z]+-)?[A-Za-z0-9]{8,30}-[A-Za-z0-9]{20,50}"),
    ("postman-key", r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    ("pulumi-token", r"pul-[0-9a-f]{40}"),
    ("prefect-token", r"pnu_[a-z0-9]{36}"),
    ("buildkite-token", r"\bbk(?:ua|aj|cc)?_[0-9a-f]{40}\b"),
    ("circleci-token", r"CCIPAT_[A-Za-z0-9]{22}_[0-9a-f]{40}"),
    ("sonar-token", r"\bsq[uap]_[0-9a-f]{40}\b"),
    ("snyk-token", r"snyk_(?:uat|sat)\.[0-9a-f]{8}\.[\w.-]{40,}"),
    ("launchdarkly-key", r"\b(?:sdk|mob)-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b"),
    ("1password-token", r"ops_eyJ[\w+/=-]{100,}|\bA3-[A-Z0-9]{6}-[A-Z0-9]{6}-?[A-Z0-9]{5}(?:-[A-Z0-9]{5}){2,3}\b"),
    ("alibaba-key", r"\bLTAI[A-Za-z0-9]{12,26}\b"),
    ("tencent-key", r"\bAKID[A-Za-z0-9]{32,48}\b"),
    ("ibm-key", r"\bApiKey-[0-9a-f-]{36}\b"),
    ("yandex-key", r"\bAQVN[\w-]{35,38}|\by[0-3]_[\w-]{50,}|\bt1\.[A-Z0-9a-z_-]+={0,2}\.[\w-]{86}={0,2}"),
    ("easypost-key", r"EZ[AT]K[A-Za-z0-9]{54}"),
    ("flutterwave-key", r"FLWSECK(?:_TEST)?-[A-Za-z0-9-]{12,40}"),
    ("razorpay-key", r"\brzp_(?:live|test)_[A-Za-z0-9]{14,24}"),
    ("plaid-token", r"access-(?:sandbox|development|production)-[0-9a-f-]{36}"),
    ("adyen-key", r"\bAQE[mhr][A-Za-z0-9+/=-]{60,}"),
    ("gocardless-token", r"\blive_[A-Za-z0-9_=-]{40}\b"),
    ("duffel-token", r"duffel_(?:test|live)_[\w=-]{43}"),
    ("shippo-token", r"shippo_(?:live|test)_[0-9a-f]{40}"),
    ("frameio-token", r"fio-u-[\w=-]{64}"),
    ("typeform-token", r"tfp_[\w.=-]{59}"),
    ("readme-token", r"rdme_[a-z0-9]{70}"),
    ("contentful-token", r"CFPAT-[\w-]{43}"),
    ("hubspot-token", r"\bpat-(?:na|eu)\d-[0-9a-f]{8}-[0-9a-f-]{27}\b"),
    ("intercom-token", r"\bdG9rO[A-Za-z0-9+/]{54,}={0,2}"),
    ("asana-token", r"\b[012]/\d{15,17}(?:/\d{15,17})?:[0-9a-f]{32}\b"),
    ("dropbox-token", r"\bsl\.(?:u\.)?[\w-]{100,}"),
    ("twitch-token", r"\boauth:[a-z0-9]{30}\b"),
    ("infracost-key", r"\bico-[A-Za-z0-9]{32}\b"),
    ("codecov-token", r"\bsgp_[0-9a-f]{40}\b|\bsgp_[0-9a-f]{16}_[0-9a-f]{40}\b"),
    ("clojars-token", r"CLOJARS_[a-z0-9]{60}"),
    ("scalingo-token", r"\btk-us-[\w-]{48}"),
    ("ngrok-token", r"\b2[A-Za-z0-9]{26}_[A-Za-z0-9]{20,22}\b"),
    ("elastic-key", r"\bessu_[A-Za-z0-9+/=]{40,}"),
    ("aiven-token", r"\bAIV[EN]?N?S?_[\w-]{20,}"),
    ("defined-token", r"dnkey-[a-z0-9=_-]{26}-[a-z0-9=_-]{52}"),
    ("kubernetes-bootstrap-token", r"\b[a-f0-9]{6}\.[a-f0-9]{16}\b"),
    ("gitea-token", r"\bgto_[a-z0-9]{40,}"),
    ("slack-webhook", r"hooks\.slack(?:-gov)?\.com(?:/|\\/)(?:services|workflows|triggers)(?:/|\\/)(?P<secret>[\w/\\-]{8,})"),
    ("discord-webhook", r"(?:discord|discordapp)\.com(?:/|\\/)api(?:/v\d+)?(?:/|\\/)webhooks(?:/"
                        r"|\\/)(?P<secret>[\w/\\-]{20,})"),
    ("teams-webhook", r"(?:webhook\.office\.com|outlook\.office(?:365)?\.com)/webhook(?:b2)?/(?P<secret>[\w@./-]{30,})"),
    ("zapier-webhook", r"hooks\.zapier\.com/hooks/catch/(?P<secret>[\w/]{6,})"),
    ("webhook", r"/(?:api/)?(?:incoming-)?webhooks?/(?P<secret>[A-Za-z0-9]{1,30}/[\w-]{20,}|[a-z0-9]{26}\b)"),
    ("log-intake", r"(?:loggly\.com/(?:inputs|bulk)|sumologic\.com/receiver/v1/http)/(?P<secret>[\w=-]{30,})"),
    ("pagerduty-webhook", r"events\.pagerduty\.com/integration/(?P<secret>[0-9a-f]{32})"),
    ("google-chat-webhook", r"chat\.googleapis\.com/v1/spaces/(?P<secret>[\w-]+/messages\?key=[\w-]+&token=[\w%-]+)"),
    ("private-key", r"LS0tLS1CRUdJTi[A-Za-z0-9+/]{0,20}(?:UFJJVkFURS|BSSVZBVEUg|QUklWQVRFI)[A-Za-z0-9+/]{20,}={0,2}"),
    ("putty-key", r"Private-MAC: (?P<secret>[0-9a-f]{40,})"),
    ("password-hash", r"\$(?:2[abxy]|5|6|1|apr1|y|gy|7)\$[./A-Za-z0-9$=,]{18,}|\$argon2(?:id|i|d)\$[./A-Za-z0-9$=,+-]{30,}"
     r"|\$(?:scrypt|pbkdf2-sha\d{1,3}|md5|sha1)\$[./A-Za-z0-9$=,+-]{20,}|pbkdf2_sha\d+\$\d+\$[\w+/$=.-]{20,}"
     r"|\{(?:SSHA|SHA|SMD5|MD5|CRYPT|ARGON2|SSHA\d{3}|SHA\d{3}|PBKDF2-SHA\d{3})\}[A-Za-z0-9+/$=.]{16,}"
     r"|SCRAM-SHA-256\$\d+:[\w+/=]+\$[\w+/=]+:[\w+/=]+"),
)  # fmt: skip
"""Forms with a characteristic prefix."""

BOUND = (
    ("jwt", r"ey[JKI][\w-]{8,}\.(?:[\w-]{4,})?\.[\w-]*(?:\.[\w-]*){0,2}"),
    ("aws-access-key", r"(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16}\b"),
    ("aws-bedrock-key", r"ABSK[A-Za-z0-9+/]{100,}={0,2}|bedrock-api-key-[A-Za-z0-9+/=]{50,}"),
    ("aws-session-token", r"(?:FwoGZXIvYXdz|IQoJb3JpZ2lu)[A-Za-z0-9+/=%]{50,}"),
    ("twilio-key", r"SK[0-9a-f]{32}\b"),
    ("openai-key", r"sk-[A-Za-z0-9]{32,}\b"),
    ("deepseek-key", r"sk-(?:[a-z]{2,8}-)?[0-9a-f]{32,}\b"),
)  # fmt: skip
"""Forms without a characteristic prefix: they must follow a character that is no part of a secret."""


def patterns() -> list[tuple[str, str]]:
    """Return (name, pattern) of every form. The group `secret` of a pattern is replaced."""
    rows = []
    for name, pattern in DISTINCT:
        if "?P<secret>" in pattern:
            rows.append((name, pattern))
        elif r"\b" not in pattern:
            rows.append((name, f"(?P<secret>{pattern})"))
        else:  # patterns that begin at a word boundary; for RE2 there is none after the escape code of a colour
            rows.append((name, f"(?:{_BOUND}|\\b)(?P<secret>{_unbound(pattern)})"))
    return [*rows, *((name, f"{_BOUND}(?P<secret>{pattern})") for name, pattern in BOUND)]


def _unbound(pattern: str) -> str:
    return pattern.removeprefix(r"\b").replace(r"|\b", "|").replace(r"(?:\b", "(?:")


def is_real(secret: bytes) -> bool:
    """Return whether a text may be a real secret: it has a digit or letters of both cases, and no long run of one character."""
    body = secret[4:]
    return len(set(body)) > 3 and not (body.isalpha() and (body.islower() or body.isupper()))
