"""The fourth part of the corpus: shapes that failed at first in more blind trials, missed or wrongly taken for secrets."""

from collections.abc import Iterator

from tests.support.secrets.making import UPPER, Case, Maker, filled

BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

SHAPES = (
    ("approle", "vault write auth/approle/login role_id=x secret_id={u}"),
    ("consul-bootstrap", "SecretID:         {u}"),
    ("password-set", 'The admin password has been set to "{w}"'),
    ("map-of-secrets", '{{"secrets":{{"stripe":"{k}"}},"region":"eu"}}'),
    ("php-serialized", 's:8:"password";s:12:"{p}";'),
    ("certificate-key", "kubeadm init --certificate-key {h}"),
    ("nkey-seed", "nats: authorization violation seed SU{n}"),
    ("net-use", "net use \\\\nas\\share /user:corp\\bob {w}"),
    ("key-in-json-lines", '{{"line":"-----BEGIN PRIVATE KEY-----"}}\n{{"line":"{b}"}}\n{{"line":"-----END PRIVATE KEY-----"}}'),
    ("rust-pretty", '    password: Some(\n        "{p}",\n    ),'),
    ("smtp-login", "S: 334 VXNlcm5hbWU6\nC: c2hvcA==\nS: 334 UGFzc3dvcmQ6\nC: {s}"),
    ("redis-url", "MESSENGER_TRANSPORT_DSN=redis://{w}@redis:6379/messages"),
    ("config-key", "info: Program[0] Using Jwt:Key = {k}"),
    ("hikari", 'HikariConfig - password........................"{p}"'),
    ("user-info", "basic.auth.user.info=svc:{p}"),
    ("basic-users", '"traefik.http.middlewares.auth.basicauth.users=admin:{w}"'),
    ("enrollment-key", "enrollment key {b}"),
    ("password-for", "  Password for the elastic user (reset with `bin/reset -u elastic`): {w}"),
    ("sentinel", "sentinel auth-pass mymaster {w}"),
    ("redis-users", "user default on >{p} ~* +@all"),
    ("mysql-quoted", "mysql -uroot -p'{p}' -h db"),
    ("routing-key", "routing_key: {h32}"),
    ("authtok", "ldap_default_authtok = {p}"),
    ("salt", "'passwordsalt' => '{k}',"),
    ("wireguard", "wg set wg0 private-key {s32}"),
    ("snmp-privacy", "snmpget -v3 -u a -A {w} -X {w2} h"),
    ("xml-escaped", "&lt;password&gt;{p}&lt;/password&gt;"),
    ("plist", "<key>Password</key><string>{p}</string>"),
    ("form-part", 'name="password"\\r\\n\\r\\n{p}\\r\\n--bound'),
    ("pat", "AZURE_DEVOPS_EXT_PAT={k}"),
    ("loggly", "https://logs-01.loggly.com/inputs/{u}/tag/http/"),
    ("azure-account-key", "--conf spark.hadoop.fs.azure.account.key.x.dfs.core.windows.net={b}"),
    ("property", "spark.ssl.keyPassword {w}"),
    ("user-flag", "tabcmd login -s h -u a -p {w}"),
    ("db2", "db2 connect to x user a using {w}"),
    ("lftp", "lftp -u bob,{p} ftp://h"),
    ("go-url", 'url.URL{{Scheme:"postgres", User:url.UserPassword("app", "{p}"), Host:"db"}}'),
    ("vault-login", "vault login {k}"),
    ("ssh-keygen", "ssh-keygen -t rsa -N '{p}' -f k"),
    ("openssl-enc", "openssl enc -aes-256-cbc -k {p}"),
    ("password-word", "Created user bob with password {w}"),
    ("password-from", "password changed from {w} to {w2}"),
    ("credentials-pair", "Default credentials: admin / {w}"),
    ("cookie-word", "session expired, cookie sid={k}"),
    ("reset", "Password for the [elastic] user successfully reset.\nNew value: {w}"),
    ("java-property", "java -DsecretKey={k} -jar x.jar"),
    ("encoded-query", "redirect=https%3A%2F%2Fx%3Fa%3D1%26api_key%3D{k}%26b%3D2"),
    ("escaped-line", '{{"log":"user=a\\npwd={w}\\n"}}'),
    ("xml-key", "<signing_key>{k}</signing_key>"),
    ("following", "Please use the following password to proceed to installation:\n\n{h32}"),
)
HARMLESS = (
    '{{"password":["This field is required."]}}', '{{"grant_types":["password","refresh_token"]}}',
    "ALTER USER app PASSWORD EXPIRE", "usage: app [--token TOKEN] [--password PASSWORD]", "    token = get_token(user)",
    "const token = await getToken();", 'password := os.Getenv("PASSWORD")', "    secret = hashlib.sha256(key).hexdigest()",
    "sshd[{n}]: Failed password for invalid user {w} from 10.1.2.3 port {n} ssh2",
    "helps us identify which", "cannot identify {w}-{n}", "docker run -v/c/{w}:/x -w/{w} {w}",
    "A `/token` subresource is added", "POST /token {n}", "aws-http-auth: [v1.0.{n}]", "mirrorSecret := &corev1.Secret{{",
    "add the --enc-key flag in badger",
    "upgrade passwd:amd64 1:4.13", "status unpacked python3-jwt:all 2.6.0-1",
    'Pulled image "r.example.com/shop/pepper:1.{n}.0"',
    'err="error getting secret \\"{w}-token\\": secrets \\"{w}-token\\" not found"',
    "sshd[{n}]: Accepted password for {w} from 10.1.2.3 port {n} ssh2", "password authentication failed",
    "Password was changed.\nRestarting: {w}", "vault login failed", "cookie sid not set",
    "OLDPWD=/", "PWD=/usr/src/{w}", "pwd=/code/{w}", "passwd: password unchanged", "password: !vault |",
    "existingSecret: {w}-db", 'passwordField: "pwd"', "tokenParam: access_token", "credentials: include",
    "--- PASS: TestLogin (0.{n}s)", "PASS {w}/login.test.ts", "PASS: test_{w}", "12:34:56:78:9a:bc", "1a:{n}:56:78:9a",
    "  + token           = (known after apply)", '"SET" "token:count" "{n}"', "net use x: \\\\nas\\share",
    "password set to expire", "secret_id_ttl=24h", "redis://default@cache:6379", "user bob on host {w}-1", "334 VXNlcm5hbWU6",
    "routing_key: orders.created",
    "ssh -l bob -p {n} {w}", "password for bob: none", "compat=x86_64", "the following token: expired",
)  # fmt: skip


def cases(seed: int = 6) -> Iterator[Case]:
    """Yield the cases of this part."""
    make = Maker(seed)
    for kind, template in SHAPES:
        for style in ("weak", "random"):
            values = {
                "p": make.password(style), "w": f"{make.word()}{make.number(1000, 99999)}", "w2": make.alnum(12),
                "k": make.alnum(40), "h": make.hex(64), "h32": make.hex(32), "u": make.uuid(), "b": make.b64(48),
                "s": make.b64(9), "s32": make.b64(32), "n": make.some(BASE32, 56), "c": make.some(UPPER, 20),
            }  # fmt: skip
            yield filled(kind, template, values)


def lookalikes(seed: int = 7) -> Iterator[str]:
    """Yield look-alikes, each template several times."""
    make = Maker(seed)
    for _ in range(4):
        for template in HARMLESS:
            yield template.format(w=make.word(), n=make.number(10, 9999))
