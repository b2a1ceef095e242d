"""The first part of the corpus: shapes that were used to write the rules."""

# ruff: noqa: E501  (lines of logs, as they are printed)

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote

from tests.support.secrets.making import Case, Maker, free

"""Kind, text of one or more lines, and the secrets in it."""

FREE = (
    "2026-11-29 03:02:11.123 ERROR 1 --- [nio-8080-exec-7] c.e.shop.UpstreamClient : call failed with key {s}, giving up",
    '{{"level":"error","ts":1732849331.12,"caller":"client/auth.go:42","msg":"request rejected","credential":"{s}","attempt":3}}',
    'ts=2026-11-29T03:02:11Z level=warn component=sync msg="upstream refused {s}" attempt=2',
    "DEBUG:urllib3.connectionpool:https://api.example.com:443 \"GET /v1/items?access_token={s} HTTP/1.1\" 401 57",
    "  File \"/app/client.py\", line 88, in call\n    raise AuthError('bad token {s}')",
    "Traceback: ValueError: invalid credentials: '{s}'",
    "+ export UPSTREAM_TOKEN={s}",
    "map[Authorization:[Bearer {s}] Accept:[*/*]]",
    "INSERT INTO integrations (name, token) VALUES ('upstream', '{s}');",
    "Error: UPGRADE FAILED: values: upstream.token={s} is not allowed",
    "remote: Invalid username or password. fatal: Authentication failed for 'https://{s}@git.example.com/shop.git/'",
    "{{'headers': {{'X-Auth-Token': '{s}'}}, 'timeout': 30}}",
)  # fmt: skip

NAMED = (
    ("key=value", "db_password={p}"),
    ("key=value", "connecting with user=shop password={p} host=db port=5432"),
    ("json", '{{"user":"shop","password":"{p}","retries":3}}'),
    ("json-spaced", '{{"user": "shop", "dbPassword": "{p}"}}'),
    ("json-in-json", '{{"level":"info","msg":"config {{\\"user\\":\\"shop\\",\\"password\\":\\"{p}\\"}} loaded"}}'),
    ("json-in-json-in-json", '{{"m":"{{\\"i\\":\\"{{\\\\\\"password\\\\\\":\\\\\\"{p}\\\\\\"}}\\"}}"}}'),
    ("yaml", "    password: {p}"),
    ("yaml-quoted", '  redis_password: "{p}"'),
    ("logfmt", 'level=info msg="config loaded" smtp.password={p} smtp.port=25'),
    ("logfmt-quoted", 'level=info msg=started adminPassword="{p}" port=25'),
    ("go-struct", "config: {{Host:db User:shop Password:{p} Port:5432}}"),
    ("go-struct-pointer", "opts=&{{Addr:redis:6379 Password:{p} DB:0}}"),
    ("go-sharp", 'main.Config{{Host:"db", Password:"{p}", Port:5432}}'),
    ("spew", ' Password: (string) (len=9) "{p}",'),
    ("python-repr", "Config(host='db', password='{p}', port=5432)"),
    ("python-dict", "{{'user': 'shop', 'password': '{p}'}}"),
    ("java-tostring", "DataSourceProperties(url=jdbc:h2:mem, username=sa, password={p}, pool=5)"),
    ("java-lombok", "Config{{host='db', secret='{p}', port=1}}"),
    ("ruby-hash", '{{:user=>"shop", :password=>"{p}"}}'),
    ("ruby-params", 'Parameters: {{"user"=>{{"email"=>"a", "password"=>"{p}"}}, "commit"=>"Log in"}}'),
    ("php-print-r", "    [password] => {p}"),
    ("rust-debug", 'Config {{ host: "db", password: Some("{p}"), port: 5432 }}'),
    ("elixir", '%{{"password" => "{p}", "user" => "shop"}}'),
    ("erlang", '{{password,"{p}"}}'),
    ("properties", "spring.datasource.password = {p}"),
    ("env", "MYSQL_ROOT_PASSWORD={p}"),
    ("env", "PGPASSWORD={p} psql -h db -U shop"),
    ("export", "declare -x REDIS_PASSWORD=\"{p}\""),
    ("dockerfile", "ENV APP_SECRET {p}"),
    ("url", "postgres://shop:{p}@db:5432/shop?sslmode=require"),
    ("url", "could not connect to amqp://shop:{p}@rabbit:5672/%2f: timeout"),
    ("url-mongo", "mongodb+srv://shop:{p}@cluster0.example.net/shop?retryWrites=true"),
    ("url-redis", "redis://:{p}@redis:6379/0"),
    ("jdbc", "jdbc:mysql://db:3306/shop?user=shop&password={p}&useSSL=false"),
    ("ado", "Server=tcp:db,1433;Database=shop;User ID=sa;Password={p};Encrypt=True;"),
    ("odbc", "DRIVER={{ODBC Driver 18}};SERVER=db;UID=sa;PWD={p};"),
    ("jaas", 'sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="shop" password="{p}";'),
    ("libpq", "host=db port=5432 dbname=shop user=shop password={p} sslmode=disable"),
    ("go-mysql", "shop:{p}@tcp(db:3306)/shop"),
    ("flag", "shop --password {p} --port 80"),
    ("flag-eq", "/usr/bin/shop --db-password={p} --port=80"),
    ("flag-list", '["shop","--password","{p}","--port","80"]'),
    ("flag-single", "java -Dspring.datasource.password={p} -jar app.jar"),
    ("curl-user", "curl -s -u shop:{p} https://api.example.com/v1"),
    ("mysql-p", "mysql -h db -u root -p{p} shop"),
    ("sshpass", "sshpass -p {p} ssh root@host"),
    ("redis-cli", "redis-cli -h redis -a {p} ping"),
    ("netrc", "machine api.example.com login shop password {p}"),
    ("sql-create", "CREATE USER 'shop'@'%' IDENTIFIED BY '{p}'"),
    ("sql-alter", "ALTER ROLE shop WITH PASSWORD '{p}';"),
    ("xml", "<property><name>db</name><password>{p}</password></property>"),
    ("xml-attribute", '<add key="DbPassword" value="{p}" />'),
    ("env-json", '{{"name":"DB_PASSWORD","value":"{p}"}}'),
    ("env-go", "v1.EnvVar{{Name:\"DB_PASSWORD\", Value:\"{p}\", ValueFrom:nil}}"),
    ("prose", "Login failed for user 'shop' with password '{p}'"),
    ("query", "GET /login?user=shop&password={p}&next=%2F HTTP/1.1"),
    ("form-body", "body: grant_type=password&username=shop&password={p}&scope=all"),
)  # fmt: skip

KEYED = (
    ("api-key-header", "X-Api-Key: {k}"),
    ("header-curl", "curl -H 'X-Auth-Token: {k}' https://api.example.com"),
    ("header-json", '{{"headers":{{"x-api-key":["{k}"]}}}}'),
    ("bearer", "Authorization: Bearer {k}"),
    ("bearer-json", '{{"Authorization":"Bearer {k}"}}'),
    ("bearer-prose", "sending request with Bearer {k}"),
    ("aws-secret", "AWS_SECRET_ACCESS_KEY={k}"),
    ("azure-account", "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey={k}==;EndpointSuffix=core.windows.net"),
    ("client-secret", "client_id=shop&client_secret={k}&grant_type=client_credentials"),
    ("session-token", '{{"sessionToken":"{k}"}}'),
    ("cookie", "Cookie: session={k}; theme=dark"),
    ("set-cookie", "Set-Cookie: JSESSIONID={k}; Path=/; HttpOnly; Secure"),
    ("sas", "https://shop.blob.core.windows.net/c/x?sv=2022-11-02&sp=r&sig={k}%3D&se=2026"),
    ("django", "SECRET_KEY = '{k}'"),
    ("rails", "secret_key_base: {k}"),
    ("encryption", "encryptionKey={k}"),
    ("kubeconfig", "    token: {k}"),
    ("docker-login", "docker login -u shop -p {k} registry.example.com"),
    ("literal", "kubectl create secret generic x --from-literal=anything={k}"),
)  # fmt: skip


def cases(seed: int = 1) -> Iterator[Case]:
    """Yield the cases of this part."""
    make = Maker(seed)
    yield from free(make, FREE)
    for kind, template in NAMED:
        for style in ("weak", "word", "random", "symbols"):
            password = make.password(style)
            if style == "symbols" and ("url" in kind or kind in ("query", "form-body", "jdbc")):
                yield f"password-{kind}", template.format(p=quote(password, safe="")), [quote(password, safe="")]
            else:
                yield f"password-{kind}", template.format(p=password), [password]
    for kind, template in KEYED:
        for key in (make.alnum(32), make.hex(40), make.urlsafe(44)):
            yield f"key-{kind}", template.format(k=key), [key]
    yield from _others(make)


def _others(make: Maker) -> Iterator[Case]:
    for kind in ("RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "ENCRYPTED PRIVATE KEY"):
        pem = make.pem(kind)
        body = pem.split("\n")[1:-1]
        yield "private-key", pem, body
        yield "private-key-escaped", '{"key":' + json.dumps(pem) + "}", body
        yield (
            "private-key-stamped",
            "\n".join(f"2026-11-29T03:02:11.000000001Z stdout F {line}" for line in pem.split("\n")),
            body,
        )
    for _ in range(5):
        password = make.password("random")
        basic = base64.b64encode(f"shop:{password}".encode()).decode()
        yield "basic", f"Authorization: Basic {basic}", [basic]
        yield "docker-config", f'{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{basic}"}}}}}}', [basic]
        digest = make.hex(32)
        yield (
            "digest",
            f'Authorization: Digest username="shop", realm="api", nonce="{make.hex(16)}", uri="/x", response="{digest}"',
            [digest],
        )
        values = [base64.b64encode(make.password().encode()).decode() for _ in range(2)]
        manifest = {"apiVersion": "v1", "kind": "Secret", "data": {"user.txt": values[0], "b": values[1]}}
        yield "kubernetes-secret", json.dumps(manifest), values
        card = make.card()
        yield "card", f"charging card {card} for order 42", [card]
        spaced = " ".join(card[at : at + 4] for at in range(0, 16, 4))
        yield "card", f'{{"pan":"{spaced}","cvv":"{make.number(100, 999)}"}}', [spaced]
        yield "password-hash", f"shop:$2b$12${make.some('./' + 'abcXYZ0189', 53)}", []
        hook = f"T{make.alnum(8).upper()}/B{make.alnum(8).upper()}/{make.alnum(24)}"
        yield "slack-webhook", f"POST https://hooks.slack.com/services/{hook} 404", [hook.rpartition("/")[2]]
