"""The second part of the corpus: shapes of programs' output, written after the rules and without reading them."""

# ruff: noqa: E501  (lines of logs, as they are printed)

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote

from tests.support.secrets.making import Case, Maker, filled, free

FREE = (
    "level=fatal ts=2026-11-29T03:02:11.123Z caller=main.go:71 err=\"init provider: token {s} rejected (403)\"",
    "[2026-11-29 03:02:11 +0000] [7] [ERROR] Error handling request /hook?key={s}",
    "\x1b[32m2026-11-29 03:02:11\x1b[0m | \x1b[1mDEBUG\x1b[0m | client:init:41 - using \x1b[33m{s}\x1b[0m",
    "npm ERR! 401 Unauthorized - PUT https://registry.example.com/shop - _authToken={s}",
    "E1129 03:02:11.123456       1 controller.go:114] sync failed: Post \"https://api.example.com/v2\": invalid credential {s}",
    '{{"@timestamp":"2026-11-29T03:02:11Z","message":"webhook call","http":{{"request":{{"headers":{{"x-token":"{s}"}}}}}}}}',
    "\tat com.example.Client.auth(Client.java:71) [key: {s}]\n\t... 14 more",
    "panic: bad key {s}\n\ngoroutine 1 [running]:",
    "curl: (22) The requested URL returned error: 401 (https://{s}:x-oauth-basic@git.example.com/shop)",
    "    \"env\": [\"PATH=/usr/bin\", \"UPSTREAM={s}\", \"HOME=/root\"],",
    "10.1.2.3 - - [29/Nov/2026:03:02:11 +0000] \"GET /cb?state=abc&tok={s}&x=1 HTTP/2.0\" 302 0 \"https://ref.example.com/?t={s}\" \"-\"",
    "<13>Nov 29 03:02:11 web-0 app[7]: loaded key={s}; region=eu",
    "config.yaml:12: upstream: {s} # rotate",
    "Dumping params: [\"shop\", \"{s}\", 3]",
)  # fmt: skip

SHAPES = (
    ("camel", '{{"smtpServerPassword":"{p}","smtpPort":25}}'),
    ("kebab", "mail-server-password: {p}"),
    ("dotted", "app.mail.smtp.auth.password={p}"),
    ("upper-json", '{{"PASSWORD": "{p}"}}'),
    ("suffix", "password2={p} password1=<none>"),
    ("prefix", "newPassword={p}&confirm=yes"),
    ("old", '{{"oldPassword":"{p}","reason":"rotation"}}'),
    ("colon-no-space", "user:shop,password:{p},db:0"),
    ("tab", "password\t=\t{p}"),
    ("colon-quote", "Password: '{p}'"),
    ("backtick", "password=`{p}`"),
    ("escaped-quote", "msg=\"bad login password=\\\"{p}\\\" user=shop\""),
    ("yaml-flow", "db: {{user: shop, password: {p}, port: 5432}}"),
    ("yaml-list", "- password: {p}"),
    ("toml", "password = \"{p}\""),
    ("hcl-plan", "      + password             = \"{p}\""),
    ("hcl-change", "      ~ password = \"{p}\" -> (known after apply)"),
    ("ini", "mysql.password={p} ; from env"),
    ("helm-set", "helm upgrade shop ./chart --set auth.password={p},replicas=2 --wait"),
    ("kubectl-env", "kubectl set env deploy/shop DB_PASSWORD={p}"),
    ("docker-run", "docker run -e POSTGRES_PASSWORD={p} -p 5432:5432 postgres"),
    ("docker-inspect", '            "Env": ["POSTGRES_PASSWORD={p}", "PGDATA=/data"],'),
    ("compose", "      - MYSQL_PASSWORD={p}"),
    ("systemd", "Environment=\"ADMIN_PASSWORD={p}\" \"HOME=/root\""),
    ("set-x", "+ MYSQL_PWD={p} + mysql -u root"),
    ("powershell", "$env:DB_PASSWORD = \"{p}\""),
    ("cmd", "set DB_PASSWORD={p}"),
    ("java-props", "javax.net.ssl.trustStorePassword={p}"),
    ("kafka-dump", "\tssl.keystore.password = {p}"),
    ("scram", 'org.apache.kafka.common.security.scram.ScramLoginModule required username=shop password="{p}";'),
    ("csharp-record", "DbOptions {{ Host = db, Password = {p}, Port = 5432 }}"),
    ("kotlin", "Credentials(username=shop, password={p})"),
    ("scala-map", "Map(user -> shop, password -> {p})"),
    ("swift", "[\"user\": \"shop\", \"password\": \"{p}\"]"),
    ("php-var-dump", "  [\"password\"]=>\n  string(8) \"{p}\""),
    ("php-var-export", "  'password' => '{p}',"),
    ("perl-dumper", "          'password' => '{p}',"),
    ("lua", "password = '{p}', user = 'shop'"),
    ("clojure", "{{:user \"shop\" :password \"{p}\"}}"),
    ("python-tuple", "[('user', 'shop'), ('password', '{p}')]"),
    ("python-fstring", "password='{p}' user='shop'"),
    ("python-bytes", "{{'password': b'{p}'}}"),
    ("pydantic-error", "  Value error [type=value_error, input_value={{'password': '{p}'}}, input_type=dict]"),
    ("django-post", "<QueryDict: {{'csrfmiddlewaretoken': ['x'], 'password': ['{p}']}}>"),
    ("node-inspect", "{{ user: 'shop', password: '{p}', port: 5432 }}"),
    ("go-url-values", "map[grant_type:[password] password:[{p}] username:[shop]]"),
    ("go-nested", "{{DB:{{Host:db Pass:{p}}} Cache:{{TTL:5s}}}}"),
    ("go-quoted-q", "user=\"shop\" pass=\"{p}\""),
    ("slog-text", "time=2026-11-29T03:02:11Z level=INFO msg=cfg db.user=shop db.pass={p}"),
    ("zerolog-console", "3:02AM INF config loaded db_pass={p} db_user=shop"),
    ("logback-mdc", "INFO [user=shop, pwd={p}] c.e.Login - attempt"),
    ("hibernate", "binding parameter [1] as [VARCHAR] - [password={p}]"),
    ("sql-set", "UPDATE users SET password = '{p}' WHERE id = 7"),
    ("sql-mssql", "CREATE LOGIN shop WITH PASSWORD = N'{p}', CHECK_POLICY = OFF"),
    ("sql-oracle", "CREATE USER shop IDENTIFIED BY \"{p}\""),
    ("sql-mysql-set", "SET PASSWORD FOR 'shop'@'%' = PASSWORD('{p}')"),
    ("sql-clickhouse", "CREATE USER shop IDENTIFIED WITH sha256_password BY '{p}'"),
    ("sql-subscription", "CREATE SUBSCRIPTION s CONNECTION 'host=db user=rep password={p}' PUBLICATION p"),
    ("sql-mapping", "CREATE USER MAPPING FOR shop SERVER s OPTIONS (user 'shop', password '{p}')"),
    ("mongo-create", "db.createUser({{user: \"shop\", pwd: \"{p}\", roles: []}})"),
    ("redis-conf", "requirepass {p}"),
    ("redis-monitor", "1732849331.123456 [0 10.1.2.3:5000] \"AUTH\" \"{p}\""),
    ("redis-acl", "ACL SETUSER shop on >{p} ~* +@all"),
    ("mqtt", "mosquitto_pub -h broker -u shop -P {p} -t x -m y"),
    ("ftp", "> PASS {p}"),
    ("imap", "a1 LOGIN shop {p}"),
    ("ldap", "ldapsearch -x -D cn=admin,dc=example -w {p} -b dc=example"),
    ("ldap-conf", "bindpw {p}"),
    ("openssl", "openssl pkcs12 -in x.p12 -passin pass:{p} -nodes"),
    ("keytool", "keytool -list -keystore x.jks -storepass {p}"),
    ("zip", "unzip -P {p} backup.zip"),
    ("ansible", "ansible_become_pass={p} ansible_user=root"),
    ("wget", "wget --user=shop --password={p} https://example.com/x"),
    ("smb", "mount -t cifs //host/x /mnt -o username=shop,password={p},vers=3"),
    ("psql-uri", "psql \"postgresql://shop:{p}@db/shop\""),
    ("sqlalchemy", "create_engine('mysql+pymysql://shop:{p}@db/shop')"),
    ("celery", "transport:   amqp://shop:{p}@rabbit:5672//"),
    ("ftp-url", "ftp://shop:{p}@ftp.example.com/x.gz"),
    ("proxy-env", "https_proxy=http://proxyuser:{p}@10.1.2.3:3128"),
    ("json-url", '{{"uri":"redis://default:{p}@redis:6379","db":0}}'),
    ("json-escaped-slash", '{{"dsn":"mysql:\\/\\/shop:{p}@db\\/shop"}}'),
    ("mssql-url", "sqlserver://sa:{p}@db:1433?database=shop"),
    ("jdbc-sqlserver", "jdbc:sqlserver://db:1433;databaseName=shop;user=sa;password={p};encrypt=true"),
    ("jdbc-oracle", "jdbc:oracle:thin:shop/{p}@//db:1521/XE"),
    ("cassandra", "PlainTextAuthProvider(username='shop', password='{p}')"),
    ("rabbit-erl", "{{default_pass, <<\"{p}\">>}}"),
    ("elastic-keystore", "bootstrap.password: {p}"),
    ("spring-form", "o.s.web.servlet.DispatcherServlet : POST \"/login\", parameters={{username:[shop], password:[{p}]}}"),
    ("spring-env", "Property source 'env': spring.mail.password -> {p}"),
    ("rails-log", "Started POST \"/login\" for 10.1.2.3; Parameters: {{\"session\"=>{{\"login\"=>\"shop\", \"password\"=>\"{p}\"}}}}"),
    ("url-encoded-json", "payload=%7B%22user%22%3A%22shop%22%2C%22password%22%3A%22{p}%22%7D"),
    ("html-escaped", "&lt;input name=&quot;password&quot; value=&quot;{p}&quot;&gt;"),
    ("xml-attr", "<datasource user=\"shop\" password=\"{p}\"/>"),
    ("xml-ns", "<wsse:Password Type=\"PasswordText\">{p}</wsse:Password>"),
    ("soap", "<soap:Body><login><user>shop</user><passwd>{p}</passwd></login></soap:Body>"),
    ("wifi", "wpa_passphrase={p}"),
    ("two", "user=a password={p} then retry password={p2}"),
    ("value-with-space", "password=\"{p} {p2}\""),
    ("value-with-space-json", '{{"passphrase": "{p} {p2}"}}'),
    ("pretty-json", '{{\n  "user": "shop",\n  "password": "{p}"\n}}'),
    ("json-next-line", '"password":\n    "{p}"'),
    ("yaml-block", "password: |\n  {p}\nuser: shop"),
    ("yaml-folded", "tls:\n  keyPassphrase: >-\n    {p}\n  enabled: true"),
    ("env-yaml", "        - name: DB_PASSWORD\n          value: {p}"),
    ("env-yaml-quoted", "- name: DB_PASSWORD\n  value: \"{p}\""),
    ("secret-stringdata", "apiVersion: v1\nkind: Secret\nstringData:\n  anything: {p}\n  other: {p2}\ntype: Opaque"),
    ("truncated", '{{"user":"shop","password":"{p}'),
    ("truncated-env", 'environ=["HOME=/root","DB_PASSWORD={p}'),
    ("german", "Passwort: {p}"), ("russian", "пароль: {p}"), ("chinese", "密码：{p}"), ("french", "mot de passe : {p}"), ("spanish", "contraseña: {p}"),
    ("prose-with", "authentication of shop with password {p} failed".replace("{p}", "\"{p}\"")),
    ("prose-colon", "Generated admin password: {p}"),
    ("prose-jenkins", "Please use the following password to proceed to installation: {p}"),
    ("prose-argo", "initial admin password is {p}"),
    ("prose-default", "using default password '{p}' for user admin"),
    ("credentials-pair", "credentials: shop:{p}"),
    ("basic-auth-pair", "basic_auth = shop:{p}"),
    ("nginx-var", "set $db_password \"{p}\";"),
    ("fluentd", "  password {p}"),
    ("haproxy", "user admin insecure-password {p}"),
    ("cisco", "username admin password 0 {p}"),
    ("vault-kv", "vault kv put secret/shop password={p}"),
    ("aws-cli", "aws rds modify-db-instance --master-user-password {p}"),
    ("gcloud", "gcloud sql users set-password root --password={p}"),
    ("az", "az login --service-principal -u shop -p {p} --tenant x"),
    ("strace", "execve(\"/usr/bin/mysql\", [\"mysql\", \"-uroot\", \"-p{p}\", \"shop\"], 0x7ffe)"),
    ("ps", "root 71 0.0 0.1 shop serve --admin-password {p} --port 80"),
)  # fmt: skip

KEYS = (
    ("authorization-list", '{{"authorization":["Bearer {k}"],"accept":["*/*"]}}'),
    ("authorization-lower", "authorization: bearer {k}"),
    ("authorization-token", "Authorization: Token token={k}"),
    ("authorization-raw", "> Authorization: {k}"),
    ("authorization-apikey", "Authorization: ApiKey {k}"),
    ("authorization-tuple", "headers=[(b'authorization', b'Bearer {k}')]"),
    ("authorization-node", "headers: {{ Authorization: 'Bearer {k}', accept: 'json' }}"),
    ("authorization-go", "Header:map[Authorization:[Bearer {k}] User-Agent:[curl]]"),
    ("authorization-http2", ":authority: api.example.com authorization: Bearer {k} user-agent: curl"),
    ("authorization-escaped", '"request":"GET / HTTP/1.1\\r\\nHost: x\\r\\nAuthorization: Bearer {k}\\r\\nAccept: */*\\r\\n"'),
    ("grpc", "metadata: {{authorization=[Bearer {k}], user-agent=[grpc]}}"),
    ("proxy-authorization", "Proxy-Authorization: Basic {b}"),
    ("private-token", "PRIVATE-TOKEN: {k}"), ("vault-header", "X-Vault-Token: {k}"), ("amz", "X-Amz-Security-Token={k}"),
    ("functions-key", "x-functions-key: {k}"), ("subscription-key", "Ocp-Apim-Subscription-Key: {k}"), ("shopify", "X-Shopify-Access-Token: {k}"),
    ("apikey-query", "GET /v1/items?api_key={k}&limit=5"), ("apikey-camel", '{{"apiKey":"{k}","region":"eu"}}'),
    ("apikey-short", "apikey={k}"), ("appkey", "DD_APP_KEY={k}"), ("dd-api-key", "DD-API-KEY: {k}"), ("fastly", "Fastly-Key: {k}"),
    ("cloudflare", "X-Auth-Key: {k}"), ("access-token-json", '{{"access_token":"{k}","token_type":"Bearer","expires_in":3600}}'),
    ("refresh-token", "refresh_token={k}&client_id=shop"), ("id-token", '{{"id_token":"{k}"}}'), ("oauth-code", "GET /callback?code={k}&state=x HTTP/1.1"),
    ("webhook-secret", "GITHUB_WEBHOOK_SECRET={k}"), ("hmac", "hmac_secret: {k}"), ("jwt-secret", "JWT_SECRET_KEY=\"{k}\""), ("aes", "aesKey={k}"),
    ("master-key", "RAILS_MASTER_KEY={k}"), ("laravel", "APP_KEY=base64:{k}="), ("flask", "app.config['SECRET_KEY'] = '{k}'"),
    ("wordpress", "define( 'AUTH_KEY', '{k}' );"), ("symfony", "APP_SECRET={k}"), ("next", "NEXTAUTH_SECRET={k}"), ("sa-key", "sharedAccessKey={k}="),
    ("eventhub", "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey={k}=;EntityPath=x"),
    ("cosmos", "AccountEndpoint=https://x.documents.azure.com:443/;AccountKey={k}==;"), ("sas-sig", "?sv=2022&ss=b&se=2027&sig={k}%3D"),
    ("s3-presigned", "https://b.s3.amazonaws.com/x?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=900&X-Amz-Signature={h}"),
    ("aws-sig", "Authorization: AWS4-HMAC-SHA256 Credential=AKIAX/20261129/eu/s3/aws4_request, SignedHeaders=host, Signature={h}"),
    ("aws-file", "aws_secret_access_key = {k}"), ("aws-boto", "Credentials(access_key='x', secret_key='{k}', token=None)"),
    ("aws-json", '{{"AccessKeyId":"x","SecretAccessKey":"{k}","SessionToken":"{k2}"}}'),

    ("minio", "MINIO_SECRET_KEY={k}"), ("rclone", "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY={k}"), ("terraform-env", "TF_VAR_api_token={k}"),
    ("cookie-curl", "curl -b 'session={k}' https://example.com"), ("cookie-json", '{{"cookie":"sid={k}; lang=de"}}'), ("cookie-many", "cookie: _ga=GA1.2.3; connect.sid=s%3A{k}; x=y"),
    ("set-cookie-list", '"set-cookie":["session={k}; Path=/; HttpOnly"]'), ("csrf", "X-CSRF-Token: {k}"), ("session-cookie", "PHPSESSID={k}"),
    ("kube-token", "users:\n- name: admin\n  user:\n    token: {k}"), ("kube-key", "    client-key-data: {b}"), ("kube-arg", "kubectl --token={k} get pods"),
    ("kubeadm-join", "kubeadm join 10.1.2.3:6443 --token abcdef.{h16} --discovery-token-ca-cert-hash sha256:{h64}"),
    ("secret-data", "apiVersion: v1\ndata:\n  anything: {b}\nkind: Secret\nmetadata:\n  name: x"),
    ("secret-json", "{{\n    \"apiVersion\": \"v1\",\n    \"data\": {{\n        \"anything\": \"{b}\"\n    }},\n    \"kind\": \"Secret\"\n}}"),
    ("helm-get", "USER-SUPPLIED VALUES:\nauth:\n  token: {k}"), ("tailscale", "tailscale up --authkey {k}"), ("ngrok", "ngrok config add-authtoken {k}"),
    ("pip", "https://__token__:{k}@pypi.example.com/simple"), ("git-url", "remote add origin https://oauth2:{k}@gitlab.example.com/x.git"),
    ("npmrc", "//registry.npmjs.org/:_authToken={k}"), ("npmrc-auth", "_auth={b}"), ("gradle", "signing.password={k}"), ("sentry-dsn", "SENTRY_DSN=https://{h}@o1.ingest.sentry.io/2"[:0] + "https://{h32}@o1.ingest.sentry.io/2"),
    ("wireguard", "PrivateKey = {wg}"), ("psk", "PresharedKey = {wg}"), ("otp", "otp=482913"), ("totp", "otpauth://totp/x?secret={b32}&issuer=x"),
    ("cvv", '{{"cvv":"482"}}'), ("pin", "pin=4829"), ("unseal", "Unseal Key 1: {b}"), ("root-token", "Initial Root Token: {k}"), ("grafana", "GF_SECURITY_ADMIN_PASSWORD={k}"),
    ("slack-env", "SLACK_SIGNING_SECRET={h32}"), ("twilio", "TWILIO_AUTH_TOKEN={h32}"), ("go-credential", "&credentials.Value{{AccessKeyID:x SecretAccessKey:{k} SessionToken:}}"),
    ("hash-crypt", "root:$6$saltsalt${k86}:19000:0:99999:7:::"), ("htpasswd", "shop:$apr1$abcdefgh${k22}"), ("django-hash", "pbkdf2_sha256$600000$abcdefgh12${b}"),
    ("pem-b64", "tls.key: LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQo{k}{k}"), ("nkey", "nats://{k}@nats:4222"), ("mailgun-user", "curl --user 'api:{k}' https://api.mailgun.net"),
)  # fmt: skip


def cases(seed: int = 2) -> Iterator[Case]:
    """Yield the cases of this part."""
    make = Maker(seed)
    yield from free(make, FREE)
    for kind, template in SHAPES:
        for style in ("weak", "word", "random"):
            values = {"p": make.password(style), "p2": make.password("random")}
            yield filled(f"password-{kind}", template, values)
    for kind, template in KEYS:
        for alphabet in (make.alnum, make.hex):
            values = {
                "k": alphabet(40), "k2": alphabet(64), "b": make.b64(33), "h": make.hex(64), "h32": make.hex(32), "h40": make.hex(40),
                "h16": make.hex(16), "h64": make.hex(64), "wg": make.alnum(42) + "A=", "b32": make.some("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 32),
                "k86": make.alnum(86), "k22": make.alnum(22),
            }  # fmt: skip
            if kind == "kubeadm-join":
                secrets = [values["h16"]]
            else:
                secrets = [value for name, value in values.items() if f"{{{name}}}" in template]
            secrets += {"otp": ["482913"], "cvv": ["482"], "pin": ["4829"]}.get(kind, [])
            yield f"key-{kind}", template.format(**values), secrets
    yield from _others(make)


def _others(make: Maker) -> Iterator[Case]:
    for prefix in ("", "app-1  | ", "[pod/shop/app] ", "2026-11-29T03:02:11.000000001Z ", "    ", "    \t", "INFO  ", "> "):
        pem = make.pem("EC PRIVATE KEY", 3)
        yield "private-key-prefixed", "\n".join(prefix + line for line in pem.split("\n")), pem.split("\n")[1:-1]
    pem = make.pem()
    body = pem.split("\n")[1:-1]
    yield "private-key-pgp", pem.replace("RSA PRIVATE KEY", "PGP PRIVATE KEY BLOCK"), body
    yield "private-key-yaml", "tls.key: |\n" + "\n".join("    " + line for line in pem.split("\n")), body
    yield "private-key-tail", "\n".join(pem.split("\n")[2:]), body[1:]
    yield "private-key-cut", "\n".join(pem.split("\n")[:4]), body[:3]
    yield "private-key-python", f"key={pem!r}", body
    yield "private-key-double-escaped", json.dumps(json.dumps({"private_key": pem})), body
    yield "private-key-spaces", "KEY=" + pem.replace("\n", " "), body
    for _ in range(4):
        basic = base64.b64encode(f"shop:{make.password()}".encode()).decode()
        yield "basic-json", json.dumps({"headers": {"Authorization": f"Basic {basic}"}}), [basic]
        yield "basic-curl", f'curl -H "Authorization: Basic {basic}" https://x', [basic]
        yield "basic-dockercfg", f"  .dockerconfigjson: {make.b64(90)}"[:0] + f'"auth": "{basic}"', [basic]
        card = make.card()
        dashed = "-".join(card[at : at + 4] for at in range(0, 16, 4))
        yield "card", f"<pan>{card}</pan>", [card]
        yield "card", f"cardNumber={dashed}, exp=12/29", [dashed]
        value = quote(make.password("symbols"), safe="")
        yield "url-encoded", f"https://shop:{value}@example.com/x", [value]
        yield (
            "discord-webhook",
            f"https://discord.com/api/webhooks/{make.number(10**17, 10**18)}/{(hook := make.urlsafe(68))}",
            [hook],
        )
        yield (
            "telegram-url",
            f"POST https://api.telegram.org/bot{make.number(10**9, 9 * 10**9)}:AA{(bot := make.urlsafe(33))}/sendMessage",
            [bot],
        )
        yield (
            "teams-webhook",
            f"https://x.webhook.office.com/webhookb2/{make.uuid()}@{make.uuid()}/IncomingWebhook/{(end := make.hex(32))}/{make.uuid()}",
            [end],
        )
