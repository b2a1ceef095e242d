"""Recognises secrets by their form alone: tokens of providers, JWTs, hashes of passwords, webhook URLs.

Each form has a label for its tokens, and a pattern. The list of forms was compared with gitleaks' rules (MIT);
docs/redaction.md lists the other sources.
"""

from aletheia_operator.redact.patterns import compiled

_BOUND = r"(?:^|[^A-Za-z0-9_-]|\\[nrt]|%[0-9A-Fa-f]{2}|\[[0-9;]{0,8}m|\\u[0-9a-fA-F]{4})"
"""Characters before a form that has no characteristic prefix."""

_SLASH = r"(?:/|\\/|%2[fF])"

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
    ("fireworks-key", r"\bfw_[A-Za-z0-9]{20,}\b"),
    ("cerebras-key", r"\bcsk-[a-z0-9]{40,}\b"),
    ("voyage-key", r"\bpa-[\w-]{43}"),
    ("pinecone-key", r"pcsk_[A-Za-z0-9]{4,10}_[A-Za-z0-9]{40,}"),
    ("together-key", r"tgp_v1_[\w-]{40,}"),
    ("elevenlabs-key", r"\bsk_[0-9a-f]{48}\b"),
    ("jina-key", r"jina_[\w-]{50,}"),
    ("firecrawl-key", r"\bfc-[0-9a-f]{32}\b"),
    ("runpod-key", r"\brpa_[A-Z0-9]{40,}"),
    ("render-key", r"\brnd_[A-Za-z0-9]{26,}"),
    ("scaleway-key", r"\bSCW[A-Z0-9]{17}\b"),
    ("exoscale-key", r"\bEXO[0-9a-f]{24}\b"),
    ("woocommerce-key", r"\bc[ks]_[0-9a-f]{40}\b"),
    ("mollie-key", r"\b(?:live|test)_[A-Za-z0-9]{30}\b"),
    ("paddle-key", r"pdl_(?:live|sdbx)_apikey_[a-z0-9]{20,}_[A-Za-z0-9]{20,}(?:_\w{3})?"),
    ("klarna-key", r"klarna_(?:live|test)_api_[\w+/=-]{20,}"),
    ("onesignal-key", r"os_v2_(?:app|org)_[a-z0-9]{40,}"),
    ("harness-token", r"\b[ps]at\.[\w-]{22}\.[0-9A-Za-z]{24}\.[A-Za-z0-9]{20}\b"),
    ("netbird-token", r"\bnbp_[A-Za-z0-9]{36}\b"),
    ("akamai-token", r"\bakab-[a-z0-9]{16}-[a-z0-9]{16}"),
    ("materialize-password", r"\bmzp_[0-9a-f]{64}"),
    ("clickhouse-key", r"\b4b1d[A-Za-z0-9]{38}\b"),
    ("dbt-token", r"\bdbt[cu]_[\w-]{40,}"),
    ("clickup-token", r"\bpk_\d{5,10}_[A-Z0-9]{32}\b"),
    ("trello-token", r"\bATTA[0-9a-f]{64,}"),
    ("axiom-token", r"\bxa[ai]t-[0-9a-f]{8}-[0-9a-f-]{27}"),
    ("coralogix-key", r"\bcxt[ph]_[A-Za-z0-9]{30}\b"),
    ("packagist-token", r"packagist_[ou][ru]t_[0-9a-f]{60,}"),
    ("instagram-token", r"\bIG(?:QV|AA)[\w-]{60,}"),
    ("wallet-key", r"\b[xyztuv]prv[1-9A-HJ-NP-Za-km-z]{100,112}\b"),
    ("adobe-secret", r"\bp8e-[a-z0-9]{32}\b"),
    ("authress-key", r"\b(?:sc|ext|scauth"
                     r"|authress)_[A-Za-z0-9]{5,30}\.[A-Za-z0-9]{4,6}\.acc[_-][a-z0-9-]{10,32}\.[\w+/=-]{30,}"),
    ("intra42-secret", r"\bs-s4t2(?:ud|af)-[0-9a-f]{64}"),
    ("maxmind-key", r"\b[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk\b"),
    ("octopus-key", r"\bAPI-[A-Z0-9]{26,32}\b"),
    ("openshift-token", r"\bsha256~[\w-]{43}"),
    ("settlemint-token", r"\bsm_(?:aat|pat|sat)_[A-Za-z0-9]{16}\b"),
    ("lob-key", r"\b(?:live|test)_[0-9a-f]{35}\b"),
    ("apify-token", r"\bapify_api_[A-Za-z0-9]{34,}"),
    ("adafruit-key", r"\baio_[A-Za-z]{4}[0-9]{2}[A-Za-z0-9]{22}\b|\baio_[A-Za-z0-9]{28}\b"),
    ("deno-token", r"\bdd[pwo]_[A-Za-z0-9]{36}\b"),
    ("portainer-token", r"\bptr_[\w/+=-]{20,60}"),
    ("ramp-token", r"\bramp_(?:sec|id|tok)_[A-Za-z0-9]{40,}"),
    ("rootly-token", r"\brootly_[0-9a-f]{64}"),
    ("voiceflow-key", r"\bVF\.(?:DM|WS)\.[0-9a-f]{24}\.[A-Za-z0-9]{16}\b"),
    ("zoho-token", r"\b1000\.[0-9a-f]{32}\.[0-9a-f]{32}\b"),
    ("mailersend-key", r"\bmlsn\.[0-9a-f]{64}"),
    ("bitbucket-token", r"\bBBDC-[A-Za-z0-9+/@_-]{40,50}"),
    ("cockroach-key", r"\bCCDB1_[A-Za-z0-9]{22}_[A-Za-z0-9]{40}\b"),
    ("atlas-secret", r"\bmdb_sa_sk_[\w-]{40}"),
    ("inngest-key", r"\bsignkey-(?:prod|test|branch)-[0-9a-f]{32,}"),
    ("stytch-secret", r"\bsecret-(?:live|test)-[\w-]{36,}={0,2}"),
    ("polar-token", r"\bpolar_[a-z]{2,4}_[A-Za-z0-9]{40,}"),
    ("wandb-key", r"\bwandb_v1_[A-Za-z0-9_]{40,}"),
    ("pagarme-key", r"\b[as]k_(?:live|test)_[A-Za-z0-9]{24,}"),
    ("cal-key", r"\bcal_(?:live|test)_[0-9a-f]{32}"),
    ("pubnub-key", r"\bsec-c-[A-Za-z0-9+/=-]{36,}"),
    ("e2b-key", r"\be2b_[0-9a-f]{40}"),
    ("backblaze-key", r"\bK00[A-Za-z0-9+/]{28}\b"),
    ("telnyx-key", r"\bKEY0[0-9A-F]{30,}_[A-Za-z0-9]{22}"),
    ("kaggle-token", r"\bKGAT_[0-9a-f]{32}\b"),
    ("checkout-key", r"\bsk_(?:test_|sbox_)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    ("xata-key", r"\bxau_[A-Za-z0-9]{30,}"),
    ("socket-key", r"\bsktsec_[\w-]{30,}"),
    ("firehydrant-key", r"\bfhb-[0-9a-f]{60,}"),
    ("dagger-token", r"\bdag_[A-Za-z0-9_]{24,}"),
    ("secret-token-uri", r"\bsecret-token:[\w%.~-]{16,}"),
    ("ceph-key", r"\bAQ[A-Za-z0-9+/]{36}=="),
    ("smooch-key", r"\bact_[0-9a-z]{24}\b"),
    ("nightfall-key", r"\bNF-[A-Za-z0-9]{32}\b"),
    ("ubidots-token", r"\bBBFF-[A-Za-z0-9]{30}\b"),
    ("sourcegraph-key", r"\bslk_[0-9a-f]{64}|\bsgp_(?:local_|[0-9A-Fa-f]{16}_)?[0-9A-Fa-f]{40}\b"),
    ("saladcloud-key", r"\bsalad_cloud_\w{1,7}_\w{7,}"),
    ("brave-key", r"\bBSA[A-Za-z0-9_-]{28}\b"),
    ("ebay-token", r"\bv\^1\.1#i\^1#[\w^#+/=]{40,}"),
    ("ably-key", r"\b[\w-]{6}\.[\w-]{6}:[\w-]{43}"),
    ("statsig-key", r"\b(?:secret|console)-[A-Za-z0-9]{40,}"),
    ("trigger-key", r"\btr_(?:dev|prod|stg|pat)_[A-Za-z0-9]{20,}"),
    ("matrix-token", r"\bsyt_[A-Za-z0-9+/=_-]{6,}_[A-Za-z]{20}_[A-Za-z0-9]{6}"),
    ("swarm-token", r"\bSWMTKN-1-[a-z0-9]{50}-[a-z0-9]{25}"),
    ("twitter-token", r"\bA{20,24}[A-Za-z0-9%]{80,}"),
    ("jwt-base64", r"\bZXlK[A-Za-z0-9+/]{60,}={0,2}"),
    ("postgres-hash", r"\bmd5[0-9a-f]{32}\b"),
    ("couchdb-hash", r"-pbkdf2(?::\w+)?-[0-9a-f]{40,},[0-9a-f]{32},\d+"),
    ("rancher-token", r"\b(?:token-[a-z0-9]{5}|kubeconfig-[\w-]{2,60}):[a-z0-9]{54}\b"),
    ("k3s-token", r"\bK10[0-9a-f]{64}::(?:\w+:)?[\w.]{10,}"),
    ("nvidia-key", r"nvapi-[\w-]{40,}"),
    ("langsmith-key", r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"),
    ("langfuse-key", r"sk-lf-[0-9a-f]{8}-[0-9a-f-]{27}"),
    ("google-api-key", r"AIza[\w-]{35,40}"),
    ("google-oauth", r"ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,40}|\b[14]//0[\w-]{20,}|\b4/0A[\w-]{30,}"),
    ("firebase-key", r"\bAAAA[\w-]{7}:APA91b[\w-]{100,}"),
    ("google-hmac-key", r"GOOG1?E?[A-Z0-9]{57,}\b"),
    ("azure-secret", r"[\w~.]{3}[78]Q~[\w~.-]{31,34}|[A-Za-z0-9+/]{76}(?:ACDb|AIoT|AzFu|AzCa|AzSe|APIM|ACRA"
                     r"|JQQJ)[A-Za-z0-9+/]{5,6}={0,2}|[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}"
                     r"|[A-Za-z0-9+/]{33,52}Az(?:Ca|Se|Fu)[A-Za-z0-9+/]{5,6}={0,2}"),
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
    ("newrelic-key", r"NRAK-[A-Za-z0-9]{27}|NRI[IQ]-[\w-]{32}|NRJS-[0-9a-f]{19}|NRRA-[0-9a-f]{42}|\b[0-9a-f]{36}NRAL\b"),
    ("datadog-key", r"\bddp?_(?:api|app)_[A-Za-z0-9]{30,}"),
    ("dynatrace-token", r"dt0[a-z]\d{2}\.[A-Za-z0-9]{8,24}\.[A-Za-z0-9]{64}"),
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
    ("adyen-key", r"\bAQE[mhr][A-Za-z0-9+/=-]{60,}|\bAQE[A-Za-z0-9+/]{30,}-[A-Za-z0-9+/]{30,}={0,2}-[\w+/]{16}"),
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
    ("aikido-secret", r"AIK_SECRET_[A-Za-z0-9]{60,}"),
    ("dnsimple-token", r"\bdnsimple_[a-z]_\w{30,}"),
    ("porkbun-key", r"\b[ps]k1_[0-9a-f]{64}"),
    ("upcloud-token", r"\bucat_[A-Z0-9]{26}\b"),
    ("boundary-token", r"\bat_[A-Za-z0-9]{10}_s[A-Za-z0-9]{40,}"),
    ("ntfy-token", r"\btk_[a-z0-9]{29}\b"),
    ("tigris-secret", r"\btsec_[\w+-]{40,}"),
    ("unleash-token", r":(?:production|development|test)\.(?P<secret>[0-9a-f]{40,})"),
    ("flagsmith-key", r"\bser\.[A-Za-z0-9]{20,}\b"),
    ("depot-token", r"\bdepot_(?:org|project|user)_[0-9a-f]{40,}"),
    ("alibaba-session-token", r"\bCAIS[A-Za-z0-9+/_=-]{100,}"),
    ("convex-key", r"\b(?:prod|dev|preview):[\w-]{5,60}\|[A-Za-z0-9+/=]{40,}"),
    ("mysql-hash", r"\*[0-9A-F]{40}\b"),
    ("slack-webhook", rf"hooks\.slack(?:-gov)?\.com{_SLASH}(?:services|workflows|triggers){_SLASH}(?P<secret>[\w/\\%-]{{8,}})"),
    ("discord-webhook", rf"(?:discord|discordapp)\.com{_SLASH}api(?:{_SLASH}v\d+)?{_SLASH}webhooks{_SLASH}"
                        r"(?P<secret>[\w/\\%-]{20,})"),
    ("teams-webhook", rf"(?:webhook\.office\.com|outlook\.office(?:365)?\.com){_SLASH}webhook(?:b2)?{_SLASH}"
                      r"(?P<secret>[\w@./\\%-]{30,})"),
    ("zapier-webhook", rf"hooks\.zapier\.com{_SLASH}hooks{_SLASH}catch{_SLASH}(?P<secret>[\w/\\%]{{6,}})"),
    ("webhook", rf"{_SLASH}(?:api{_SLASH})?(?:incoming-)?webhooks?{_SLASH}"
                rf"(?P<secret>[A-Za-z0-9]{{1,30}}{_SLASH}[\w-]{{20,}}|[a-z0-9]{{26}}\b)"),
    ("chat-webhook", rf"{_SLASH}hooks{_SLASH}"
                     rf"(?P<secret>[a-z0-9]{{26}}\b|[A-Za-z0-9]{{17,24}}{_SLASH}[A-Za-z0-9]{{40,}})"),
    ("log-intake", rf"(?:loggly\.com{_SLASH}(?:inputs|bulk)|sumologic\.com{_SLASH}receiver{_SLASH}v1{_SLASH}http){_SLASH}"
                   r"(?P<secret>[\w=-]{30,})"),
    ("pagerduty-webhook", rf"events\.pagerduty\.com{_SLASH}integration{_SLASH}(?P<secret>[0-9a-f]{{32}})"),
    ("google-chat-webhook", rf"chat\.googleapis\.com{_SLASH}v1{_SLASH}spaces{_SLASH}"
                            r"(?P<secret>[\w-]+(?:/|\\/|%2F)messages(?:\?|%3F|\\u003f)key(?:=|%3D|\\u003d)[\w-]+(?:&|%26|\\u0026)"
                            r"token(?:=|%3D|\\u003d)[\w%-]+)"),
    ("private-key", r"LS0tLS1CRUdJTi[A-Za-z0-9+/]{0,20}(?:UFJJVkFURS|BSSVZBVEUg|QUklWQVRFI)[A-Za-z0-9+/]{20,}={0,2}"),
    ("websocket-bearer", r"base64url\.bearer\.authorization\.k8s\.io\.(?P<secret>[\w-]{16,})"),
    ("minisign-key", r"\bRWRTY0Iy[A-Za-z0-9+/]{80,}={0,2}"),
    ("session-cookie", r"\b(?:wordpress_(?:sec|logged_in)_\w{1,40}|(?:laravel|grafana|_gitlab|airflow|ci|rack\.)_?session"
                       r"|\.ASPXAUTH|\.AspNet(?:Core)?\.[\w.]{1,60}|ASP\.NET_SessionId|(?:__Secure-|__Host-)?next-auth\.session-token"
                       r"|remember_user_token)=(?P<secret>[\w%.~+/|-]{16,}={0,2})"),
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


_AWS = (b"AKIA", b"ASIA", b"ABIA", b"ACCA")
"""Prefixes of keys that have capital letters and few digits, perhaps none."""


_DIGEST = r"^\{SHA\d{0,3}\}(?:[0-9a-f]{40}|[0-9a-f]{64})$"
"""What OpenStack's clients write in place of a token. LDAP writes the hash of a password in base64."""


def is_real(secret: bytes) -> bool:
    """Return whether a text may be a real secret: it has different characters, and a digit or letters of both cases."""
    body = secret[4:]
    if len(set(body)) <= 3 or compiled(_DIGEST).search(secret) is not None:
        return False
    letters = body.translate(None, b"-_./")
    return secret[:4] in _AWS or not (letters.isalpha() and (letters.islower() or letters.isupper()))
