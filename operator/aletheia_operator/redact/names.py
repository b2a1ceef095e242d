"""Derives the kind of a value from the name of its variable, field, header or option.

A name is split into words (`dbPasswordOld`, `X-Api-Key`, `spring.datasource.password`), and the last words decide: the values
of `password_file`, `secretName` and `token_count` are no secrets.
"""

from enum import Enum
from functools import lru_cache

from aletheia_operator.redact.patterns import compiled, words


class Kind(Enum):
    """What a name says about its value."""

    PASSWORD = "password"  # noqa: S105  # any text is a password
    SECRET = "secret"  # noqa: S105  # a token or key: any text except words about tokens and keys
    PASS = "pass"  # noqa: S105  # a password, or a number of tests that passed
    WEAK = "weak"  # only a value that looks like a secret
    CODE = "code"  # a few digits
    HASH = "hash"  # the hash of a password
    OBJECT = "object"  # also the name of a Kubernetes Secret: a value shaped like such a name is kept
    AUTHORIZATION = "authorization"
    KEY = "key"  # only a long value that looks random: `client_key=`, `node_key=`
    COOKIE = "cookie"
    SET_COOKIE = "set-cookie"


MAX_NAME = 200  # only the last characters of a longer name are read

_KEYS = words(
    """
    access account acct admin aes age api app application auth authentication backup cert certificate cipher client
    consumer cookie crypt crypto customer data decrypt decryption deploy deployment des developer device dkim ecdsa
    ed25519 encrypt encryption enc exchange fernet function functions git github gitlab gpg grafana hash hmac host idp
    ingest ingestion insert instrumentation integration jwt kms launch license licence live lock login mac master merchant
    mgmt node oauth openai openssl operator owner paseto pass payment pem personal pgp pki preshared private prod project
    provisioning query read recovery routing registration restricted root rsa sandbox sas sealing secret secure security sdk
    sealed sendgrid server service session shared sign signature signing skip snowflake ssh ssl storage stripe
    subscription superuser symmetric system tls token transport unlock unseal user vapid vault vpn webhook wep wg wifi wpa
    write x509 anthropic datadog dd fastly cf consul nomad linode vultr hetzner azure aws gcp mailgun twilio algolia maps
    mandrill pagerduty rollbar newrelic segment amplitude mixpanel firebase fcm apns sonar bugsnag cohere mistral groq
    deepseek gemini telegram sec register enroll enrollment enrolment provision bootstrap join runner agent symm props snyk
    heroku hubspot twitter adafruit airtable asana atlassian beamer bittrex bitbucket codecov coinbase confluent
    contentful dropbox droneci etsy finicity finnhub flickr freshbooks gitter intercom jfrog kraken kucoin lob
    mattermost messagebird meraki netlify nytimes plaid rapidapi sendbird squarespace sumo sumologic travis twitch
    zendesk yandex circleci buildkite pulumi rubygems npm pypi huggingface replicate pinecone perplexity openrouter
    elevenlabs mapbox amplitude klaviyo mailerlite postmark sparkpost resend loggly honeycomb lightstep splunk elastic
    instana appdynamics dynatrace opsgenie victorops statuspage cloudinary imgix pusher ably pubnub stripe adyen
    braintree square paypal mollie razorpay shopify salesforce notion figma linear clickup trello monday
    """
)
"""Words before `key` that make its value a secret. Public, primary, partition, cache and routing keys are no secrets."""
_AMBIGUOUS_KEYS = words(
    """
    service host node data project customer user server owner operator live lock query read write function functions login
    system product object member routing hash
    """
)
"""Words before `key` that make its value a secret if it looks random: other values are names."""
_VERBS = words(
    "allow allows enable enabled disable disabled require requires show hide has is use uses needs skip check validate"
)
"""First words of options that are on or off: `allowOldPasswords=1`."""
_HASHES = words("hash digest hashed sha sha1 sha2 sha256 sha512 md5 hex bcrypt")
_NO_KEYS = words("public pub publishable")
_PASSWORDS = (
    "password", "passwd", "passphrase", "passwort", "kennwort", "passcode", "passwrd", "pwrd", "passwds", "passwords",
    "contraseña", "contrasena", "senha", "wachtwoord", "motdepasse", "пароль", "密码", "密碼", "パスワード", "비밀번호",
    "requirepass", "masterauth", "parola", "şifre", "sifre", "hasło", "haslo", "passphrases", "salasana", "authtok",
    "lösenord", "losenord", "passord", "adgangskode", "heslo", "geslo", "jelszó", "jelszo", "lozinka", "mậtkhẩu",
    "парола", "slaptažodis", "slaptazodis", "parool", "sandi",
)  # fmt: skip
_SECRETS = (
    "secret", "secrets", "token", "tokens", "apikey", "apikeys", "credential", "credentials", "creds", "accesskey", "secretkey",
    "privatekey", "authkey", "accesskeyid", "encryptionkey", "signingkey", "masterkey", "sharedkey", "apitoken",
        "sharedaccesskey",
    "accountkey", "primarykeysecret", "appkey", "licensekey", "sshkey", "dockerconfigjson", "dockercfg", "kubeconfigdata",
)  # fmt: skip
_WORDS = {
    "pass": Kind.PASSWORD, "pwd": Kind.PASSWORD, "pw": Kind.PASSWORD, "pswd": Kind.PASSWORD, "psw": Kind.PASSWORD,
    "psk": Kind.PASSWORD, "userpass": Kind.PASSWORD, "passw": Kind.PASSWORD, "passkey": Kind.SECRET, "pws": Kind.PASSWORD,
    "mnemonic": Kind.PASSWORD, "seedphrase": Kind.PASSWORD, "salt": Kind.WEAK, "passwordsalt": Kind.WEAK, "pepper": Kind.WEAK,
    "jwt": Kind.SECRET,
    "bearer": Kind.SECRET, "setcookie": Kind.SECRET, "cred": Kind.SECRET, "auth": Kind.WEAK, "sas": Kind.WEAK, "pat": Kind.WEAK,
    "dsn": Kind.WEAK, "otp": Kind.CODE,
    "totp": Kind.CODE, "pin": Kind.CODE, "cvv": Kind.CODE, "cvc": Kind.CODE, "cvv2": Kind.CODE,
    "authorization": Kind.AUTHORIZATION,
    "cookie": Kind.COOKIE, "cookies": Kind.COOKIE, "jsessionid": Kind.WEAK, "phpsessid": Kind.WEAK, "sessid": Kind.WEAK,
    "sessionid": Kind.KEY, "tlspsk": Kind.PASSWORD,
    "xsrf": Kind.SECRET, "csrf": Kind.SECRET, "crumb": Kind.WEAK, "csrfmiddlewaretoken": Kind.SECRET, "otpauth": Kind.SECRET,
}  # fmt: skip
_PREFIXES = (
    "db|database|user|root|admin|my|ftp|smtp|mail|mysql|pg|postgres|redis|ldap|http|proxy|key|key ?store|store|trust|login|sudo"
    "|svc|app|api|test|rabbit|mongo|ssh|vpn|wifi|become|bind|master|sys|sa|default|new|old|cur|web|rpc|es|mq|amqp|git|repl"
    "|enc|jwt"
)
_JOINED = rf"^(?:{_PREFIXES})(?:pass|pwd|pw)$"
_PROGRAMS = words("chpasswd htpasswd gpasswd ldappasswd smbpasswd kpasswd saslpasswd")
_COMPOUND = r"^[a-z]{2,30}(?:pass|pwd)$"
_PASSES = words(
    """
    bypass compass trespass overpass underpass surpass encompass multipass onepass twopass singlepass firstpass secondpass
    renderpass lowpass highpass bandpass allpass bytepass oldpwd
    """
)
"""Words that end in `pass`, and name no password."""
_ENDS = words(
    """
    value val plain plaintext cleartext clear base64 b64 raw text txt str string old new prev previous current cur
    secondary default confirm confirmation confirmed repeat again verify env prod dev staging stage live decoded encoded
    enc encrypted private header param parameter arg system v1 v2 v3 here again1 data primary literal input content field
    """
)
"""Words that may follow the deciding word."""
_ENDINGS = {
    ("bw", "session"): Kind.SECRET,
    ("access", "key", "id"): Kind.SECRET, ("secret", "key", "base"): Kind.SECRET, ("key", "base"): Kind.SECRET,
    ("art", "api"): Kind.SECRET, ("honeycomb", "team"): Kind.SECRET,
    ("code", "verifier"): Kind.SECRET, ("device", "code"): Kind.SECRET,
    ("saml", "response"): Kind.SECRET, ("saml", "assertion"): Kind.SECRET, ("client", "assertion"): Kind.SECRET,
    ("pass", "phrase"): Kind.PASSWORD, ("pass", "word"): Kind.PASSWORD, ("pass", "code"): Kind.PASSWORD,
    ("pass", "phrases"): Kind.PASSWORD, ("pass", "words"): Kind.PASSWORD, ("seed", "phrase"): Kind.PASSWORD,
    ("recovery", "phrase"): Kind.PASSWORD, ("mot", "de", "passe"): Kind.PASSWORD,
    ("mot", "passe"): Kind.PASSWORD, ("mật", "khẩu"): Kind.PASSWORD, ("parola", "d", "ordine"): Kind.PASSWORD,
    ("auth", "code"): Kind.CODE, ("security", "code"): Kind.CODE, ("verification", "code"): Kind.CODE,
    ("otp", "code"): Kind.CODE, ("sms", "code"): Kind.CODE, ("mfa", "code"): Kind.CODE, ("2fa", "code"): Kind.CODE,
    ("totp", "code"): Kind.CODE, ("time", "code"): Kind.CODE, ("confirmation", "code"): Kind.CODE,
    ("recovery", "code"): Kind.WEAK, ("backup", "code"): Kind.WEAK, ("recovery", "codes"): Kind.WEAK,
    ("backup", "codes"): Kind.WEAK,
}  # fmt: skip
_COUNTED = words(
    """
    next page continue continuation sync pagination cursor resume stop eos bos pad unk sep cls mask max min total num
    count input output prompt completion cached reasoning fencing cancellation cancel change etag sequence per used
    generated remaining new special image audio limit rate budget number first last unexpected syntax illegal design
    invalidation lease skip previous prev query key value parser semantic eof
    """
)
"""Words before `token` that make its value no secret."""
_OBJECTS = words("secret secrets credential credentials creds")


_OBJECT_OF = words("pull tls image the existing external target k8s kube kubernetes ca cert")
"""Words before `secret` and `credentials` in names of fields that may contain the name of a Kubernetes Secret."""
_NAMED_OBJECTS = words("password passwd credential credentials creds certificate key")
"""Words before `secret` or `from_secret` in names of fields that contain the name of a Secret: `passwordSecret: db`."""


def _words(name: str) -> list[str]:
    spaced = compiled(r"([a-z0-9])([A-Z])").sub(rb"\1 \2", name.encode("utf-8", "surrogatepass"))
    spaced = compiled(r"([A-Z]+)([A-Z][a-z])").sub(rb"\1 \2", spaced).lower()
    parted: bytes = compiled(r"[^a-z0-9\x80-\xff]+").sub(b" ", spaced)
    return parted.decode("utf-8", "replace").split()


def kind_of(name: str) -> Kind | None:
    """Return the kind of a value by its name; None if the name does not suggest a secret."""
    return _kind_of(name[-MAX_NAME:])  # a cache of whole names could take gigabytes


@lru_cache(8192)
def _kind_of(name: str) -> Kind | None:
    parts = _words(name)
    while len(parts) > 1 and (parts[-1] in _ENDS or parts[-1].isdecimal()):
        parts.pop()
    if not parts:
        return None
    last = parts[-1].rstrip("0123456789") or parts[-1]
    before = parts[-2] if len(parts) > 1 else ""
    if before == "set" and last == "cookie":
        return Kind.SET_COOKIE
    if parts[-1] in _HASHES and (named := [part for part in parts if part not in _HASHES]):
        return Kind.HASH if kind_of(" ".join(named)) is Kind.PASSWORD else None
    if last in _PROGRAMS:
        return None
    if last.startswith("no") and last.endswith(("passwd", "password")):
        return None
    if last.endswith(_PASSWORDS) or compiled(_JOINED).search(last.encode()):
        return Kind.PASS if parts[0] in _VERBS else Kind.PASSWORD
    if last == "pass" and len(parts) == 1:
        return Kind.PASS
    if last not in _PASSES and compiled(_COMPOUND).search(last.encode()):
        return Kind.PASS
    if last in _WORDS and (before, last) != ("erlang", "cookie"):
        return _WORDS[last]
    return _kind_of_secret(parts, last, before)


def _kind_of_secret(parts: list[str], last: str, before: str) -> Kind | None:
    if parts[-3:] == ["initial", "cluster", "token"] or before in ("checksum", "fingerprint", "digest"):
        return None  # in etcd, this token is a name
    if before == "erlang" and last == "cookie":
        return Kind.SECRET
    if last in ("token", "tokens") and before in _COUNTED:
        return Kind.SECRET if "secret" in parts or "api" in parts else None
    if last == "secret" and before == "existing":
        return Kind.KEY  # in Helm's charts, the name of a Secret
    if last in _OBJECTS and (not before or before in _OBJECT_OF or (before == "from" and parts[-3:][0] in _NAMED_OBJECTS)):
        return Kind.OBJECT
    if last == "secret" and before in _NAMED_OBJECTS:
        return Kind.OBJECT
    if last.endswith(_SECRETS):
        return Kind.SECRET
    if last in ("key", "keys") and before in _KEYS and not _NO_KEYS & set(parts):
        return Kind.KEY if before in _AMBIGUOUS_KEYS and len(parts) < 3 else Kind.SECRET
    return _ENDINGS.get(tuple(parts[-3:])) or _ENDINGS.get(tuple(parts[-2:]))


def is_credential(name: str) -> bool:
    """Return whether a variable, header, annotation or option of this name holds a credential."""
    return kind_of(name) is not None
