# The operator's image. Build: docker build . (or buildah bud .)
# The base is pinned to an index of amd64 and arm64. Another one: --build-arg PYTHON_IMAGE=...
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm@sha256:b18992999dbe963a45a8a4da40ac2b1975be1a776d939d098c647482bcad5cba

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY requirements/runtime.txt requirements/runtime.txt
RUN python3 -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/runtime.txt
COPY requirements/build.txt requirements/build.txt
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN /opt/build/bin/python -m hatchling build -t wheel -d /tmp/wheel \
 && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-index /tmp/wheel/*.whl \
 && /opt/venv/bin/pip uninstall --yes pip setuptools \
 && /opt/venv/bin/python -c "import aletheia_operator.handlers.operator" \
 && /opt/build/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml -o /opt/venv/sbom.cdx.json /opt/venv

FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="aletheia-operator" \
      org.opencontainers.image.description="The flight recorder for Kubernetes incidents" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
# nothing here installs software: no pip, no wheels of it
RUN python3 -c "import glob, shutil, sys, sysconfig; [shutil.rmtree(p, ignore_errors=True) \
      for d in {sysconfig.get_path('stdlib'), sysconfig.get_path('purelib'), *sys.path} \
      for n in ('pip', 'pip-*.dist-info', 'setuptools', 'setuptools-*.dist-info', 'wheel', 'wheel-*.dist-info', 'ensurepip') \
      for p in glob.glob(f'{d}/{n}')]" \
 && rm -rf /usr/share/python-wheels /usr/local/bin/pip* /usr/bin/pip*
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MALLOC_ARENA_MAX=2
USER 10001:10001
WORKDIR /
ENTRYPOINT ["/opt/venv/bin/python", "-m", "aletheia_operator"]
CMD ["--session-root=/var/lib/aletheia"]
