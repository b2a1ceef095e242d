"""Look-alikes: lines of real programs that mention secrets, or have long random values that are no secrets."""

# ruff: noqa: E501  (lines of logs, as they are printed)

from collections.abc import Iterator

from tests.support.secrets.making import HEX, LOWER, Maker

TEMPLATES = (
    "Error from server (NotFound): secrets \"{w}-credentials\" not found",
    "MountVolume.SetUp failed for volume \"{w}-token\" : secret \"{w}-tls\" not found",
    "couldn't find key password in Secret shop/{w}-db",
    "Warning  FailedMount  12s  kubelet  MountVolume.SetUp failed for volume \"kube-api-access-{r5}\" : object \"shop\"/\"kube-root-ca.crt\" not registered",
    "Successfully pulled image \"registry.example.com/shop/{w}:1.{n}.0\" in {n}ms",
    "image: registry.example.com/shop/{w}@sha256:{h64}",
    "Pulling from library/{w} digest: sha256:{h64}",
    "commit {h40} Author: {W} <{w}@example.com>",
    "traceparent: 00-{h32}-{h16}-01",
    "trace_id={h32} span_id={h16} sampled=true",
    '{{"trace_id":"{h32}","span_id":"{h16}","level":"info","msg":"{w} done"}}',
    "request {uuid} finished in {n} ms",
    '{{"requestId":"{uuid}","userId":"{uuid}","status":200}}',
    "x-request-id: {uuid}",
    "etag: \"{h32}\"",
    "If-None-Match: W/\"{h40}\"",
    "max_tokens={n} temperature=0.7 model=gpt-4o",
    '{{"usage":{{"prompt_tokens":{n},"completion_tokens":{n},"total_tokens":{n}}}}}',
    "token expired at 2026-11-29T03:02:11Z",
    "token has expired", "invalid token", "Invalid token specified: missing part #2", "missing bearer token",
    "Unauthorized: token is expired by {n}m3s",
    "password is required", "password must be at least {n} characters", "Password: ", "Password reset for user {w}",
    "password authentication failed for user \"{w}\"",
    "FATAL: password authentication failed for user \"{w}\"",
    "Access denied for user 'root'@'10.1.{d}.{d}' (using password: YES)",
    "Access denied for user '{w}'@'localhost' (using password: NO)",
    "pwd=/home/{w} shell=/bin/bash", "PWD=/app/{w}", "OLDPWD=/srv/{w}", "cd $PWD && make",
    "secretName: {w}-tls", "  secretName: {w}-db-credentials", "secretRef:\n    name: {w}-env",
    "secretKeyRef: {{name: {w}-db, key: password}}",
    "serviceAccountToken: {{expirationSeconds: 3607, path: token}}",
    "automountServiceAccountToken: false",
    "imagePullSecrets: [{{name: {w}-pull}}]",
    "--token-file=/var/run/secrets/kubernetes.io/serviceaccount/token",
    "PASSWORD_FILE=/run/secrets/{w}-password", "--password-file /etc/{w}/password", "passwordFile: /etc/{w}/pass",
    "DB_PASSWORD=$(DB_PASSWORD)", "DB_PASSWORD=${{DB_PASSWORD}}", "password: {{{{ .Values.password }}}}", "password=%s",
    "password=****", "password=********", "password=<redacted>", "password: [FILTERED]", '"password":"***"', "token=xxxxx",
    "password=[PROTECTED]", "password: (sensitive value)", "api_key=<your-api-key>", "password=changeme", "token: ${{{{ secrets.GITHUB_TOKEN }}}}",
    "SELECT * FROM users WHERE password = $1", "SELECT id, password FROM users WHERE name = ?", "UPDATE users SET password = :password WHERE id = {n}",
    "ALTER TABLE users ADD COLUMN password varchar(255) NOT NULL", "password: string", '"password": {{"type": "string"}}',
    "func NewClient(password string, token string) *Client", "def login(user: str, password: str) -> Token:",
    "public void setPassword(String password) {{ this.password = password; }}",
    "author={w} authority=example.com", "Author: {W}", "authenticated=true", "auth=true", "authType=oidc", "auth_method=password",
    "key={w} value={n}", "cache key={w}:{n} hit", "primary key={n}", "partition_key={w}", "routing_key={w}.created", "public_key={w}",
    "sort_key={n} foreign_key=user_id", "keyboard={w}", "monkey={n}", "keys={n}",
    "token_type=bearer expires_in=3600", '{{"token_type":"Bearer","expires_in":{n}}}', "token_count={n}", "next_page_token={r20}",
    '{{"nextPageToken":"{r20}"}}', "continue token is too old", "csrf token mismatch",
    "cookie_domain=.example.com", "cookies accepted", "Set-Cookie header ignored", "session_timeout={n}", "session id {uuid} closed",
    "I1129 03:02:11.{n6}       1 certificate_manager.go:{n}] certificate rotation detected, shutting down client connections",
    "E1129 03:02:11.{n6}       1 authentication.go:{n}] \"Unable to authenticate the request\" err=\"[invalid bearer token, service account token has expired]\"",
    "I1129 03:02:11.{n6}       1 reflector.go:{n}] Caches populated for *v1.Secret from k8s.io/client-go/informers/factory.go:150",
    "time=\"2026-11-29T03:02:11Z\" level=info msg=\"Syncing secret\" secret=shop/{w}-tls",
    "level=error msg=\"failed to get secret\" secret=\"{w}-credentials\" namespace=shop",
    "Reconciling secret: shop/{w}-tls", "created secret: {w}-tls", "Secret {w}-db updated",
    "-----BEGIN CERTIFICATE-----\n{b64}\n{b64}\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\n{b64}\n-----END PUBLIC KEY-----",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{r43} {w}@host", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ{r43}{r43}",
    "Accepted publickey for root from 10.1.{d}.{d} port {n5} ssh2: ED25519 SHA256:{r43}",
    "certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JS{r43}",
    "sha512-{b64}", "integrity sha512-{b64}", "go.sum h1:{b64x}=", "md5={h32}", "checksum/config: {h64}", "sha1 {h40} ok",
    "uploaded {w}.tar.gz sha256={h64}", "blob {h64} exists", "layer sha256:{h64} already exists",
    "data: {b64}", "payload={b64}", "X-Amz-Cf-Id: {r43}==", "cf-ray: {h16}-FRA", "x-amz-request-id: {R16}", "x-amz-id-2: {b64}",
    "arn:aws:secretsmanager:eu-central-1:123456789012:secret:{w}-AbCdEf", "arn:aws:iam::123456789012:role/{w}",
    "vault path secret/data/{w} read", "secret/{w}#password", "vault:secret/data/{w}#password",
    "pod {w}-{r10}-{r5} evicted", "replicaset {w}-{r10} scaled to {d}", "node ip-10-1-{d}-{d}.ec2.internal ready",
    "containerd://{h64}", "docker://{h64}", "container {h12} died", "/docker/{h64}/cpu", "kubepods-burstable-pod{uuid}.slice",
    "uid: {uuid}", "resourceVersion: \"{n}\"", "creationTimestamp: \"2026-11-29T03:02:11Z\"",
    "10.1.{d}.{d} - - [29/Nov/2026:03:02:11 +0000] \"GET /assets/app.{h16}.js HTTP/1.1\" 200 {n} \"-\" \"Mozilla/5.0\"",
    "10.1.{d}.{d} - {w} [29/Nov/2026:03:02:11 +0000] \"POST /oauth/token HTTP/1.1\" 400 {n}",
    "GET /reset-password?lang=en HTTP/1.1", "POST /api/v1/secrets 201", "GET /v1/secret/data/{w} 403", "/token?grant_type=client_credentials",
    "http://{w}:8080/health", "https://{w}.example.com:443/a:b@c", "git@github.com:{w}/shop.git", "mailto:{w}@example.com", "user {w}@example.com logged in",
    "connecting to postgres://{w}@db:5432/shop", "jdbc:postgresql://db:5432/{w}?ssl=true", "amqp://rabbit:5672", "redis://redis:6379/0",
    "tcp://10.1.{d}.{d}:{n5}", "listening on [::]:8080", "dial tcp 10.1.{d}.{d}:5432: connect: connection refused",
    "error validating token: token signature is invalid", "failed to fetch token: connection refused", "could not refresh token: EOF",
    "oauth2: cannot fetch token: 401 Unauthorized", "failed to get credentials: exit status 1", "no credentials found", "credentials: none",
    "error: You must be logged in to the server (the server has asked for the client to provide credentials)",
    "basic authentication is disabled", "Basic auth enabled", "WWW-Authenticate: Basic realm=\"shop\"", "WWW-Authenticate: Bearer realm=\"https://auth.example.com/token\",service=\"registry\"",
    "Bearer authentication failed", "Authorization header missing", "authorization: missing", "authorization mode: RBAC,Node", "--authorization-mode=Node,RBAC",
    "Digest: sha256:{h64}", "digest mismatch for {w}", "signature verification failed", "signing key rotated", "API key not found", "api key is invalid",
    "apiKey: invalid", "Using API key authentication", "private key loaded from /etc/ssl/{w}.key", "key_file=/etc/tls/tls.key cert_file=/etc/tls/tls.crt",
    "ssl_certificate_key /etc/nginx/{w}.key;", "tls.key: /etc/tls/tls.key", "encryption key id {uuid}", "kms key alias/{w}",
    "order 4{n15} shipped", "invoice number {n16x}", "duration_ns={n19}", "timestamp={n13}", "ts={n19}", "offset={n16x} partition={d}",
    "seq=1{n15} ack={n}", "snowflake id 1{n18}", "phone model SM-G{n}", "version=1.{d}.{n}", "build 20261129.{d}",
    "java.lang.IllegalStateException: Token bucket exhausted", "TokenizerError: unexpected token '<' at position {d}", "SyntaxError: Unexpected token < in JSON at position {d}",
    "unexpected token: {w}", "parse error near token '{w}'", "yaml: line {d}: found character that cannot start any token",
    "o.s.s.w.a.UsernamePasswordAuthenticationFilter : Authentication failed", "s.w.s.m.m.a.RequestMappingHandlerMapping : Mapped {d} handlers",
    "com.example.SecretsManager - refreshed {d} secrets", "PasswordEncoder: bcrypt", "passwordPolicy=strict", "password_min_length={n}", "password_changed_at=2026-11-29",
    "pass: {d}, fail: {d}", "pass={d} fail={d} skip={d}", "test passed in {n} ms", "bypass=true", "compass=north", "passenger={w}", "passive=true",
    "pin=true", "pinned: true", "spinning up", "otp verified", "opinion: {w}", "salt minion connected", "result: success",
    "helm.sh/chart: {w}-1.{d}.0", "kubernetes.io/service-account-token", "type: kubernetes.io/tls", "type: kubernetes.io/dockerconfigjson",
    "GET https://sts.amazonaws.com/?Action=GetCallerIdentity 200", "aws_region=eu-central-1 aws_profile={w}",
    "Mem: {n}Mi cpu: {n}m restart={d}", "goroutine {d} [running]: main.main() /src/{w}.go:{d} +0x{h3}", "0x{h12} in {w}::run()",
    "kafka.coordinator: group {w} generation {d} member consumer-{d}-{uuid}", "leader epoch={d} voter={d}",
    '{{"level":"info","ts":"2026-11-29T03:02:11Z","logger":"controller.secret","msg":"Reconciled","name":"{w}-tls","namespace":"shop"}}',
    '{{"secret":"{w}-tls","namespace":"shop","msg":"certificate issued"}}', '{{"auth":{{"enabled":true,"type":"oidc"}}}}',
    '{{"password":null,"token":"","apiKey":null}}', '{{"passwordSet":true,"hasToken":false}}', "env: DB_PASSWORD=<set to the key 'password' in secret '{w}-db'>",
    "      DB_PASSWORD:  <set to the key 'password' in secret '{w}-db'>  Optional: false", "password (optional): ", "Enter passphrase: ",
)  # fmt: skip


def fill(make: Maker, template: str) -> str:
    """Fill a template with random harmless values."""
    n, digits = make.number, "0123456789"
    return template.format(
        w=make.word(), W=make.word().title(), d=n(0, 250), n=n(10, 99_999), n5=n(10_000, 60_000), n6=n(100_000, 999_999),
        n13=n(17 * 10**11, 18 * 10**11), n15="".join(make.draw.choice(digits) for _ in range(13)) + "x", n16x=f"9{n(10**14, 10**15 - 1)}",
        n18=n(10**17, 10**18 - 1), n19=n(17 * 10**17, 18 * 10**17), h3=make.hex(3), h12=make.hex(12), h16=make.hex(16), h32=make.hex(32),
        h40=make.hex(40), h64=make.hex(64), r5=make.some("bcdfghjklmnpqrstvwxz2456789", 5), r10=make.some(HEX, 10), r20=make.alnum(20),
        r43=make.alnum(43), R16=make.some(LOWER, 16).upper(), b64=make.b64(66), b64x=make.b64(32)[:-1], uuid=make.uuid(),
    )  # fmt: skip


def lookalikes(seed: int = 3, turns: int = 13) -> Iterator[str]:
    """Yield look-alikes: each template several times."""
    make = Maker(seed)
    for _ in range(turns):
        for template in TEMPLATES:
            yield fill(make, template)
