"""The third part of the corpus: shapes that the first two parts lack."""

# ruff: noqa: E501  (lines of logs, as they are printed)

from collections.abc import Iterator

from tests.support.secrets.making import Case, Maker, filled

SHAPES = (
    ("quarkus", "quarkus.datasource.password={p}"), ("keycloak", "KC_DB_PASSWORD={p}"), ("admin", "KEYCLOAK_ADMIN_PASSWORD: {p}"),
    ("pg-statement", "LOG:  statement: CREATE ROLE shop LOGIN ENCRYPTED PASSWORD '{p}'"),
    ("mysql-general", "\t   12 Query\tGRANT ALL ON *.* TO 'shop'@'%' IDENTIFIED BY '{p}'"),
    ("mysql-replica", "CHANGE MASTER TO MASTER_HOST='db', MASTER_USER='rep', MASTER_PASSWORD='{p}', MASTER_PORT=3306"),
    ("mysql-source", "CHANGE REPLICATION SOURCE TO SOURCE_HOST='db', SOURCE_PASSWORD='{p}'"),
    ("mysql-temporary", "[Note] A temporary password is generated for root@localhost: {p}"),
    ("mysql-entrypoint", "2026-11-29 03:02:11+00:00 [Note] [Entrypoint]: GENERATED ROOT PASSWORD: {p}"),
    ("elastic-auto", "PASSWORD elastic = {p}"), ("elastic-reset", "Password for the [elastic] user successfully reset.\nNew value: {p}"),
    ("spring-generated", "Using generated security password: {p}"),
    ("rabbitmqctl", "rabbitmqctl add_user shop {p}"), ("rabbitmqctl-change", "rabbitmqctl change_password shop {p}"),
    ("redis-pass", "redis-cli --user shop --pass {p} info"), ("redis-config", "CONFIG SET requirepass {p}"),
    ("redis-hello", "1732849331.1 [0 10.1.2.3:1] \"HELLO\" \"3\" \"AUTH\" \"default\" \"{p}\""),
    ("mongodump", "mongodump --host db -u shop -p {p} --gzip"), ("cqlsh", "cqlsh -u cassandra -p {p} db"),
    ("curl-long", "curl --user shop:{p} https://api.example.com"), ("curl-attached", "curl -ushop:{p} https://api.example.com"),
    ("httpie", "http -a shop:{p} GET https://api.example.com"), ("ansible", "web-0 ansible_ssh_pass={p} ansible_user=shop"),
    ("sudo", "echo '{p}' | sudo -S systemctl restart x"), ("cmdkey", "cmdkey /add:srv /user:shop /pass:{p}"),
    ("net-user", "net user shop {p} /add"), ("sqlplus", "sqlplus -S shop/{p}@db"), ("beeline", "beeline -u jdbc:hive2://h:10000 -n shop -p {p}"),
    ("keypass", "keytool -genkey -keypass {p} -alias x"), ("gpg", "gpg --batch --passphrase {p} -d x.gpg"),
    ("svn", "svn co --username shop --password {p} http://svn/x"), ("ldappasswd", "ldappasswd -D cn=admin -s {p} uid=x"),
    ("influx", "influx -username shop -password '{p}'"), ("basebackup", "pg_basebackup -d \"host=db user=rep password={p}\" -D /data"),
    ("tfstate", '            "master_password": "{p}",'), ("cloudformation", "--parameters ParameterKey=DBPassword,ParameterValue={p}"),
    ("helm-string", "helm install x . --set-string db.auth.password=\"{p}\""), ("kustomize", "  literals:\n  - db-password={p}"),
    ("argocd", "argocd login cd.example.com --username admin --password {p} --grpc-web"),
    ("stdin", "echo {p} | docker login -u shop --password-stdin"), ("pgpass", "db:5432:shop:shop:{p}"), ("mycnf", "[client]\nuser=root\npassword={p}"),
    ("wp", "define('DB_PASSWORD', '{p}');"), ("php-config", "$cfg['Servers'][$i]['password'] = '{p}';"),
    ("php-trace", "#0 /app/db.php(12): PDO->__construct('mysql:host=db;dbnam...', 'shop', '{p}')"),
    ("php-mysqli", "mysqli_connect('db', 'root', '{p}', 'shop')"), ("psycopg", "psycopg2.connect(host=\"db\", password=\"{p}\")"),
    ("requests-auth", "requests.get(url, auth=('shop', '{p}'))"), ("rust-dbg", "[src/main.rs:4:5] password = \"{p}\""),
    ("npgsql", "ConnectionString: Host=db;Username=shop;Password=\"{p}\""), ("ado-short", "Data Source=db;User Id=shop;Pwd={p}"),
    ("java-props", "{{user=shop, password={p}}}"), ("java-connect", "DriverManager.getConnection(url, \"shop\", \"{p}\")"),
    ("node-inspect", "ClientConfig {{\n  user: 'shop',\n  password: '{p}'\n}}"), ("elixir-keyword", "[username: \"shop\", password: \"{p}\"]"),
    ("ruby-object", "#<Config:0x000 @user=\"shop\", @password=\"{p}\">"), ("ruby-yaml", ":password: {p}"), ("swift", "password: Optional(\"{p}\")"),
    ("nginx-hex", "request_body: {{\\x22user\\x22:\\x22shop\\x22,\\x22password\\x22:\\x22{p}\\x22}}"),
    ("j-password", "j_username=shop&j_password={p}"), ("passwd", "passwd={p}"), ("pswd", "pswd={p}"), ("user-pass", "userPass={p}"), ("pw", "user=shop pw={p}"),
    ("portuguese", "senha: {p}"), ("dutch", "wachtwoord={p}"), ("japanese", "パスワード: {p}"), ("korean", "비밀번호: {p}"), ("polish", "hasło: {p}"),
    ("italian", "parola d'ordine: {p}"), ("turkish", "şifre: {p}"), ("kennwort", "Kennwort: {p}"),
    ("radius", "User-Password = \"{p}\""), ("freeradius", "shop Cleartext-Password := \"{p}\""), ("snmpv3", "authPassword={p} privPassword={p2}"),
    ("nickserv", "PRIVMSG NickServ :IDENTIFY {p}"), ("ldif", "userPassword: {p}"), ("restic", "RESTIC_PASSWORD={p}"), ("borg", "BORG_PASSPHRASE='{p}'"),
    ("minio-alias", "mc alias set local http://minio:9000 admin {p}"), ("kubectl-creds", "kubectl config set-credentials admin --username=a --password={p}"),
    ("docker-registry", "kubectl create secret docker-registry x --docker-username=a --docker-password={p}"),
    ("htpasswd", "htpasswd -b /etc/users shop {p}"), ("chpasswd", "echo \"root:{p}\" | chpasswd"), ("useradd", "useradd -m -p '{p}' shop"),
    ("securestring", "ConvertTo-SecureString \"{p}\" -AsPlainText -Force"), ("mnemonic", "mnemonic: \"{m}\""), ("seed-phrase", '{{"seedPhrase":"{m}"}}'),
    ("oc-login", "oc login https://api:6443 -u shop -p {p}"), ("smbclient", "smbclient //srv/x -U 'shop%{p}'"), ("rdesktop", "xfreerdp /v:srv /u:shop /p:{p}"),
    ("sshpass-env", "SSHPASS={p} sshpass -e ssh x"), ("ini-spaces", "auth_password   =    {p}"), ("go-pointer", "Auth:0xc000 Passphrase:{p} Timeout:5s"),
    ("ansi-key", "\x1b[36mpassword=\x1b[0m{p} \x1b[36muser=\x1b[0mshop"), ("structlog", "\x1b[1mconfig\x1b[0m \x1b[36mdb_password\x1b[0m=\x1b[35m{p}\x1b[0m"),
    ("msgpack-ish", "password=>{p};user=>shop"), ("vb", "Password=\"\"{p}\"\""), ("single-escaped", "'{{\\'password\\': \\'{p}\\'}}'"),
    ("python-kwargs", "connect(**{{'host': 'db', 'passwd': '{p}'}})"), ("graphql", "mutation {{ login(email: \"a\", password: \"{p}\") {{ id }} }}"),
    ("graphql-vars", '"variables":{{"input":{{"email":"a","password":"{p}"}}}}'), ("proto", "user: \"shop\" password: \"{p}\" retries: 3"),
    ("grpc-json", "req={{\"credentials\":{{\"passphrase\":\"{p}\"}}}}"), ("slack-bot", "user said: my password is {p}"),
    ("with-comma", "password: {p}, user: shop"), ("with-semicolon", "user: shop; password: {p};"), ("pipe", "user=shop|password={p}|host=db"),
    ("url-http", "Get \"http://shop:{p}@es:9200/_search\": dial tcp: timeout"), ("url-nats", "nats://shop:{p}@nats:4222"), ("url-smtp", "smtps://shop:{p}@mail.example.com:465"),
    ("url-ldap", "ldap://cn=admin:{p}@ldap:389"), ("url-git", "fatal: unable to access 'https://shop:{p}@git.example.com/x.git/'"), ("url-kafka", "sasl_plaintext://shop:{p}@kafka:9092"),
    ("url-cloudinary", "CLOUDINARY_URL=cloudinary://123456789012345:{p}@shop"), ("url-many", "mongodb://shop:{p}@m1:27017,m2:27017/shop?replicaSet=rs"),
)  # fmt: skip

KEYS = (
    ("gitlab-hook", "X-Gitlab-Token: {k}"), ("consul", "X-Consul-Token: {k}"), ("nomad", "X-Nomad-Token: {k}"), ("circle", "Circle-Token: {k}"),
    ("plex", "GET /library?X-Plex-Token={k} HTTP/1.1"), ("redmine", "X-Redmine-API-Key: {k}"), ("algolia", "X-Algolia-API-Key: {k}"), ("binance", "X-MBX-APIKEY: {k}"),
    ("eleven", "xi-api-key: {k}"), ("goog", "x-goog-api-key: {k}"), ("azure-openai", "api-key: {k}"), ("jfrog", "X-JFrog-Art-Api: {k}"),
    ("okta", "Authorization: SSWS {k}"), ("api-token", "Authorization: Api-Token {k}"), ("fal", "Authorization: Key {k}"), ("klaviyo", "Authorization: Klaviyo-API-Key {k}"),
    ("proxmox", "Authorization: PVEAPIToken=root@pam!x={u}"), ("oauth1", "Authorization: OAuth oauth_consumer_key=\"x\", oauth_token=\"{k}\""),
    ("splunk", "Authorization: Splunk {u}"), ("hawk", "Authorization: Hawk id=\"x\", mac=\"{k}=\""), ("consumer", "consumer_secret={k}"), ("oauth-secret", "oauth_token_secret={k}"),
    ("bot", "bot_token={k}"), ("license", "license_key: {k}"), ("signing", "signingKey={k}"), ("storage", "storage_account_key={k}=="), ("sas", "SAS_TOKEN={k}"),
    ("pat", "personal_access_token: {k}"), ("alibaba", "accessKeySecret={k}"), ("tencent", '{{"secretId":"x","secretKey":"{k}"}}'), ("wechat", "GET /cgi-bin/gettoken?corpid=x&corpsecret={k}"),
    ("app-secret", "appSecret={k}"), ("aes", "encodingAESKey={k}"), ("cf", "CLOUDFLARE_API_TOKEN={k}"), ("heroku", "HEROKU_API_KEY={u}"), ("snyk", "SNYK_TOKEN={u}"),
    ("sentry", "SENTRY_AUTH_TOKEN={k}"), ("openai", "OPENAI_API_KEY={k}"), ("hf", "HF_TOKEN={k}"), ("pinecone", "PINECONE_API_KEY={u}"), ("arm", "ARM_CLIENT_SECRET={k}"),
    ("arm-key", "ARM_ACCESS_KEY={k}"), ("consul-env", "CONSUL_HTTP_TOKEN={u}"), ("vault-env", "VAULT_TOKEN={k}"), ("k3s", "K3S_TOKEN={k}"), ("erlang", "RABBITMQ_ERLANG_COOKIE={k}"),
    ("sts-xml", "<SecretAccessKey>{k}</SecretAccessKey><SessionToken>{k2}</SessionToken>"), ("sas-header", "SharedAccessSignature sr=x&sig={k}%3D&se=1732849331&skn=root"),
    ("iot", "HostName=x.azure-devices.net;DeviceId=d;SharedAccessKey={k}="), ("verifier", "grant_type=authorization_code&code_verifier={k}"), ("device-code", '{{"device_code":"{k}","interval":5}}'),
    ("reset", "sending https://shop.example.com/reset?token={k} to customer"), ("invite", "/invite/accept?invitation_token={k}"), ("rails-reset", '"reset_password_token"=>"{k}"'),
    ("jwk", '{{"kty":"RSA","e":"AQAB","n":"abc","d":"{k}"}}'), ("jwk-oct", '{{"kty":"oct","k":"{k}"}}'), ("swarm", "docker swarm join --token SWMTKN-1-{b50}-{b25} 10.1.2.3:2377"),
    ("k3s-token", "K10{h}::server:{h32}"), ("ethereum", "privateKey: 0x{h}"), ("deployer", "DEPLOYER_PRIVATE_KEY=0x{h}"), ("rfc8959", "using secret-token:{k}"),
    ("aws-configure", "aws configure set aws_secret_access_key {k}"), ("literal", "kubectl create secret generic x --from-literal token={k}"), ("export-token", "export GH_TOKEN='{k}'"),
    ("saml", "POST /acs SAMLResponse={b}&RelayState=x"), ("xsrf", "Cookie: XSRF-TOKEN={k}; laravel_session={k2}"), ("remember", "Set-Cookie: remember_token={k}; path=/; secure"),
    ("cookie-go", "Header:map[Cookie:[session={k}]]"), ("cookie-python", "{{'Cookie': 'sessionid={k}; csrftoken={k2}'}}"), ("bearer-colon", "bearer: {k}"), ("bearer-eq", "bearerToken={k}"),
    ("jwt-eq", "jwt={k}"), ("token-paren", "token({k}) expired"), ("token-quote", "invalid token '{k}'"), ("token-colon", "Invalid token: {k}"), ("api-key-prose", "the API key {k} is not active"),
    ("key-is", "access key is {k}"), ("sess", "session_token = \"{k}\""), ("hmac", "X-Hmac-Key: {k}"), ("authkey", "authkey={k}"), ("twilio", "TwilioAuthToken={h32}"), ("accesskey-url", "wss://x/ws?access_token={k}"),
    ("laravel", "app.key: base64:{k}="), ("influx", "Authorization: Token {k}"), ("netlify", "NETLIFY_AUTH_TOKEN={k}"), ("kafka-oauth", "oauth.client.secret=\"{k}\""), ("backup-key", "backup encryption key: {k}"),
    ("ghu", "ghu_{a36}"), ("ghr", "refresh ghr_{a36}"), ("glptt", "trigger glptt-{h40}"), ("openrouter", "sk-or-v1-{h}"), ("perplexity", "using pplx-{a48}"), ("fly", "FlyV1 fm2_{k}{k2}"),
    ("sentry-org", "sntrys_eyJ{k}{k2}_{a43}"), ("stripe-test", "sk_test_{a24}"), ("newrelic-insert", "NRII-{a32}"), ("tavily", "tvly-dev-{a32}"), ("mapbox", "sk.eyJ1{k}.{a22}"), ("xprv", "xprv9{x107}"),
)  # fmt: skip

HARMLESS = (
    "database.password = [hidden]", "password = (not set)", "password: \"\"", "Password change required for {w}", "password hash updated for user {n}", "passwords do not match",
    "admin password changed successfully ✔", "password=null user=shop", "password: None", "password=undefined", "password_reset_sent_at: 2026-11-29", "isPasswordExpired=false", "passwordLength={d}",
    "--initial-cluster-token=etcd-cluster-1", "token budget {n} left", "tokens per second: {d}.4", "input_tokens: {n}, output_tokens: {n}", "Token refreshed, expires in {n} s", "tokenizer={w}-base-v1",
    "\"private_key_id\": \"{h40}\"", "public key fingerprint SHA256:{r43}", "host key algorithms: ssh-ed25519,rsa-sha2-512", "kid={h40} alg=RS256", "client_id={uuid} redirect_uri=https://x/cb",
    "primary_key=(shop_id, order_id)", "Key: {w}/{n}.json, size {n}", "keyspace={w} table=orders", "idempotency_key={uuid}", "Idempotency-Key: {uuid}", "dedup key {w}-{n}", "object key: {w}/2026/11/{h32}.parquet",
    "apiVersion: v1\nkind: ConfigMap\ndata:\n  mode: fast\n  level: debug", "data:\n  log.level: debug\n  replicas: \"3\"\nkind: ConfigMap", "authenticator: sigv4", "AuthenticationMechanism=SCRAM-SHA-256",
    "auth.type: ldap", "authn ok user={w}", "X-Forwarded-For: 10.1.{d}.{d}", "cookie consent={w}", "cookie jar is empty", "session {uuid} started", "sessions=12", "secret rotation skipped", "no secret found for {w}",
    "secretsManager.enabled=true", "secret.reloader: watching {d} secrets", "mounted secret {w}-tls at /etc/tls", "external-secrets: synced {w}-db", "credential helper: osxkeychain", "credentials provider chain: env, file",
    "using credentials from environment", "user {w} has no credentials", "certificate {w}-tls expires 2027-01-01", "sealed-secrets controller version v0.2{d}", "Merkle root 0x{h64}", "tx 0x{h64} mined",
    "block 0x{h64}", "address 0x{h40} funded", "commit {h40} on main", "git checkout {h40}", "refs/heads/{w} {h40}", "go: downloading github.com/{w}/x v0.0.0-20261129030211-{h12}", "layer cache key {h64}",
    "GET /static/js/main.{h16}.chunk.js 200", "ETag: \"{h32}-{d}\"", "If-Match: \"{h40}\"", "Content-MD5: {b64s}", "Content-Digest: sha-256=:{b32s}:", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "nonce={h16}",
    "request-id={uuid} attempt={d}", "span={h16} parent={h16}", "b3: {h32}-{h16}-1", "X-Cloud-Trace-Context: {h32}/{n};o=1", "uber-trace-id: {h16}:{h16}:0:1", "sentry-trace: {h32}-{h16}-1",
    "pass 1 of 3", "first pass={d} ms", "pass rate: {d}%", "passes={d} failures=0", "all tests pass", "password field is empty", "passthrough=true", "passphrase protected key found", "basic plan: {w}", "Basic usage: run {w}",
    "bearer of bad news", "digest: {h64}", "negotiate protocol h2", "AUTH not required", "auth required", "LOGIN ok", "login: {w}", "logged in as {w}", "login {w} failed", "PIN entry timeout", "pin count {d}",
    "order={n16x} card=visa", "IBAN check passed", "tracking number 1Z999AA1{n5}", "ean 4006381333931", "isbn 9783161484100", "imei check off", "epoch={n13}", "nanos={n19}", "lsn=0/16B3748", "xid={n} ok",
    "http://user@{w}:8080/path", "https://{w}.example.com/a?b=c@d", "s3://{w}/key=2026/part-0", "oci://registry/{w}:1.2", "ssh://git@{w}/x.git", "file:///etc/{w}:ro", "mail from {w}@example.com to ops@example.com",
    "docker.io/{w}/app:1.2@sha256:{h64}", "curl -u \"$USER:$PASS\" https://x", "mysql -u root -p < dump.sql", "docker run -p 8080:80 {w}", "ssh -p 2222 {w}", "mkdir -p /data/{w}", "redis-cli -p 6379 ping", "psql -U {w} -p 5432",
    "kubectl get secret {w}-tls -o yaml", "kubectl create secret generic {w} --from-file=x", "vault token lookup", "docker login registry.example.com", "htpasswd -c file {w}", "useradd -m {w}", "net use", "helm --set auth.enabled=true",
    "UID={uuid} GID={n}", "machine-id {h32}", "boot id {uuid}", "serial {h16}", "mac 02:42:ac:11:00:0{d1}", "jti={uuid}", "sub={uuid} aud={w}", "iss=https://{w}.example.com exp={n10}", "csrf disabled", "hmac mismatch", "signature valid",
    "Authorization denied for {w}", "authorization code flow started", "OAuth2 client {w} registered", "oauth2-proxy: session expired", "token endpoint https://{w}/oauth2/token", "token_endpoint_auth_method=client_secret_basic", "access token revoked",
    "Refresh token rotation enabled", "api_key_header=X-Api-Key", "apiKeySecretRef: {w}", "keyVaultName: {w}", "key rotation in {d} days", "encrypted with key {uuid}", "kms_key_id=arn:aws:kms:eu:1234:key/{uuid}", "ssl_key=/etc/ssl/{w}.pem",
)  # fmt: skip


def cases(seed: int = 4) -> Iterator[Case]:
    """Yield the cases of this part."""
    make = Maker(seed)
    base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    for kind, template in SHAPES:
        for style in ("weak", "word", "random"):
            values = {"p": make.password(style), "p2": make.password("random"), "m": " ".join(make.word() for _ in range(12))}
            yield filled(f"password-{kind}", template, values)
    for kind, template in KEYS:
        for alphabet in (make.alnum, make.hex):
            values = {
                "k": alphabet(40), "k2": alphabet(64), "b": make.b64(99), "h": make.hex(64), "h32": make.hex(32), "h40": make.hex(40), "u": make.uuid(),
                "a22": make.alnum(22), "a24": make.alnum(24), "a32": make.alnum(32), "a36": make.alnum(36), "a43": make.alnum(43), "a48": make.alnum(48),
                "b50": make.some("0123456789abcdefghijklmnopqrstuvwxyz", 50), "b25": make.some("0123456789abcdefghijklmnopqrstuvwxyz", 25), "x107": make.some(base58, 106),
            }  # fmt: skip
            yield filled(f"key-{kind}", template, values)


def lookalikes(seed: int = 5, turns: int = 6) -> Iterator[str]:
    """Yield look-alikes: each template several times."""
    make = Maker(seed)
    n = make.number
    for _ in range(turns):
        for template in HARMLESS:
            yield template.replace("{d1}", str(n(0, 9))).format(
                w=make.word(), d=n(0, 250), n=n(10, 99_999), n5=n(10_000, 60_000), n10=n(17 * 10**8, 18 * 10**8), n13=n(17 * 10**11, 18 * 10**11),
                n16x=f"9{n(10**14, 10**15 - 1)}", n19=n(17 * 10**17, 18 * 10**17), h12=make.hex(12), h16=make.hex(16), h32=make.hex(32), h40=make.hex(40),
                h64=make.hex(64), r43=make.alnum(43), b64s=make.b64(16), b32s=make.b64(32), uuid=make.uuid(),
            ) if "{" in template else template  # fmt: skip
