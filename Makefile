# Everything a developer runs. On a fresh machine: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BUILD_VENV := .venv-build
export PYTHONPATH := operator:.

.PHONY: help venv lock lint generate verify test unit chart-check integration e2e demo demo-down image sbom dist chart release compatibility \
  bench mutation clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

venv: $(VENV)/ready ## the virtual environment with locked dependencies

$(VENV)/ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

lock: venv ## requirements/*.txt from requirements/*.in
	@$(BIN)/pip install --quiet --disable-pip-version-check uv
	@for name in cli runtime build dist dev; do $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --universal --python-version 3.11 --no-annotate --custom-compile-command 'make lock' \
	  requirements/$$name.in -o requirements/$$name.txt; done

lint: venv ## ruff, mypy, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy operator tests
	@$(BIN)/lint-imports --no-logo

GENERATED := crds charts/aletheia-operator/files/crds charts/aletheia-operator/files/defaults.yaml \
  charts/aletheia-operator/values.schema.json docs/reasons.md \
  docs/datasources/README.md docs/commands.md charts/aletheia-operator/README.md deploy

generate: venv ## crds/, their copy, schema and defaults in the chart, deploy/, docs/reasons.md, docs/commands.md, tables of DataSources and values
	@mkdir -p crds charts/aletheia-operator/files/crds docs
	@$(BIN)/python -m aletheia_operator.api.crd crds charts/aletheia-operator/files/crds
	@$(BIN)/python -m aletheia_operator.api.reasons docs/reasons.md
	@$(BIN)/python -m aletheia_operator.api.derived charts/aletheia-operator/values.schema.json docs/datasources/README.md
	@$(BIN)/python -m aletheia_operator.cli.manual docs/commands.md
	@$(BIN)/python -m tests.cluster.chart_readme
	@$(BIN)/python -m tests.dist.defaults
	@$(BIN)/python -m tests.dist.manifests

verify: generate ## fail where generated files differ from what is committed
	@git diff --exit-code -- $(GENERATED)
	@test -z "$$(git status --porcelain -- $(GENERATED))"

test: venv ## every test; starts what it needs
	@$(BIN)/python -m tests.run

unit: venv ## only the tests without a cluster
	@$(BIN)/python -m pytest -n2 --dist=loadfile --no-loadscope-reorder tests/unit

chart-check: venv ## the chart: its own tests, kubeconform and kube-score
	@$(BIN)/python -m pytest tests/unit/test_chart.py tests/unit/test_chart_checks.py

integration: venv ## the tests with a real API server
	@$(BIN)/python -m pytest tests/integration

e2e: venv ## the tests with image, chart, kubelet, Prometheus and Jaeger
	@$(BIN)/python -m pytest tests/e2e

compatibility: venv ## the tests that need only an API server, against three minors of Kubernetes; MINORS="1.35" for one
	@$(BIN)/python -m tests.compatibility $(MINORS)

demo: venv ## the main job: cluster, operator, a misbehaving shop, an Investigation, a look at its evidence
	@$(BIN)/python -m tests.demo up $(if $(KUBECONFIG_FILE),--kubeconfig $(KUBECONFIG_FILE)) \
	  $(if $(IMAGE),--image $(IMAGE)) $(if $(SERVERS_IMAGE),--servers-image $(SERVERS_IMAGE))

demo-down: venv ## remove what the demo made
	@$(BIN)/python -m tests.demo down $(if $(KUBECONFIG_FILE),--kubeconfig $(KUBECONFIG_FILE))

image: venv ## the operator's image
	@$(BIN)/python -m tests.cluster images

sbom: $(BUILD_VENV)/runtime ## dist/sbom.cdx.json: the image's Python packages in CycloneDX; the image has its own in /opt/venv
	@mkdir -p dist
	@$(BUILD_VENV)/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml -o dist/sbom.cdx.json $<

$(BUILD_VENV)/ready: requirements/build.txt
	@$(PYTHON) -m venv $(BUILD_VENV)
	@$(BUILD_VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
	@touch $@

$(BUILD_VENV)/runtime: requirements/runtime.txt $(BUILD_VENV)/ready
	@$(PYTHON) -m venv --clear --without-pip $@
	@$(BUILD_VENV)/bin/pip --python $@/bin/python install --quiet --disable-pip-version-check --require-hashes -r $<

DIST_VENV := .venv-dist

$(DIST_VENV)/ready: requirements/dist.txt
	@$(PYTHON) -m venv $(DIST_VENV)
	@$(DIST_VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dist.txt
	@touch $@

dist: $(DIST_VENV)/ready ## dist/: the wheel, the command line as a single file, and krew's manifest
	@$(DIST_VENV)/bin/python -m tests.dist $(if $(REPOSITORY),--releases $(REPOSITORY)/releases/download)

# REPOSITORY: address of the Git repository. IMAGE: the image without tag. SIGN_KEY, KEYRING, SIGN_KEY_URL: see tests/dist/chart.py
PACKAGE := $(if $(REPOSITORY),--repository $(REPOSITORY)) $(if $(IMAGE),--image $(IMAGE)) $(if $(SIGN_KEY),--sign-key $(SIGN_KEY)) \
  $(if $(KEYRING),--keyring $(KEYRING)) $(if $(PASSPHRASE_FILE),--passphrase-file $(PASSPHRASE_FILE)) \
  $(if $(SIGN_KEY_URL),--sign-key-url $(SIGN_KEY_URL))

chart: venv ## dist/: the packaged chart; signed with SIGN_KEY and KEYRING; pushed to OCI=oci://...
	@$(BIN)/python -m tests.dist.chart $(PACKAGE) $(if $(OCI),--push $(OCI))

release: venv ## dist/: image, chart, plain manifest, command line, krew's manifest, SBOM and checksums; PUSH=1 pushes image and chart, COSIGN=FLAGS signs them
	@rm -rf dist
	@$(MAKE) --no-print-directory dist sbom
	@$(BIN)/python -m tests.dist.release $(PACKAGE) $(if $(TAG),--tag $(TAG)) $(if $(CHARTS),--charts $(CHARTS)) $(if $(PUSH),--push) \
	  $(if $(COSIGN),--cosign='$(COSIGN)')

bench: venv ## memory when idle, time of a small Investigation, of a large session's export and import
	@$(BIN)/python -m tests.benchmarks
	@$(BIN)/python -m tests.benchmarks.sessions

mutation: venv ## how many faults, made on purpose in a sample of the code, the unit tests notice
	@$(BIN)/python -m tests.mutation $(MODULES)

clean: ## the virtual environment and caches of this directory
	@rm -rf $(VENV) $(BUILD_VENV) $(DIST_VENV) dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
