"""Keeps the certificates of the artifacts API up to date: its serving certificate, and the CA of the API server's front proxy.

The process that serves sessions has no rights in the cluster. So the operator reads ConfigMap
`kube-system/extension-apiserver-authentication`, keeps the serving certificate in a Secret, writes both into a directory that
the two containers share, and updates `caBundle` of the APIService.
"""

import asyncio
import base64
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from aletheia_operator.api.paths import ARTIFACTS_API_SERVICE
from aletheia_operator.clients.errors import SourceError
from aletheia_operator.clients.kubernetes import Kubernetes
from aletheia_operator.handlers.serving_certificate import ServingCertificate, certificate_of, is_usable, new_certificate
from aletheia_operator.session.files import replace
from aletheia_operator.settings import FRONT_PROXY_FILE, TLS_CERTIFICATE, TLS_KEY, ArtifactsApi

log = logging.getLogger(__name__)

FRONT_PROXY_CONFIG = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
CHECK_SECONDS = 60
RETRY_SECONDS = 5


class ArtifactsApiKeeper:
    """Keeps the certificates up to date while the operator runs. `namespace`: the operator's."""

    def __init__(
        self, kubernetes: Kubernetes, settings: ArtifactsApi, namespace: str | None, now: Callable[[], datetime]
    ) -> None:
        self._kubernetes = kubernetes
        self._settings = settings
        self._namespace = namespace
        self._now = now

    async def watch(self) -> None:
        """Check until cancelled. The same failure is logged once. Captures do not depend on it."""
        logged = ""
        while True:
            try:
                await self.check()
                logged, seconds = "", CHECK_SECONDS
            except (SourceError, OSError, ValueError) as e:
                seconds = RETRY_SECONDS
                if str(e) != logged:
                    logged = str(e)
                    log.warning("the artifacts API cannot be set up, and sessions cannot be read through it: %s", e)
            await asyncio.sleep(seconds)

    async def check(self) -> None:
        """Check once, and update what is outdated. Raises SourceError, OSError, ValueError."""
        directory, service = self._settings.certificates, self._settings.service
        if directory is None:
            return
        front_proxy = _front_proxy(await self._kubernetes.get(FRONT_PROXY_CONFIG))
        files = {FRONT_PROXY_FILE: orjson.dumps(front_proxy)}
        if self._settings.secret is not None and service is not None:
            kept = await self._kept(f"{service}.{self._namespace}.svc", self._settings.secret)
            await self._trust(kept)
            files |= {TLS_KEY: kept.key.encode(), TLS_CERTIFICATE: kept.certificate.encode()}
        await asyncio.to_thread(_write, directory, files)

    async def _kept(self, host: str, name: str) -> ServingCertificate:
        """Return the certificate in the Secret; make a new one if it is missing, broken or old."""
        path = f"/api/v1/namespaces/{self._namespace}/secrets/{name}"
        secret = await self._kubernetes.get(path)
        kept = certificate_of(_decoded(secret.get("data") or {}))
        now = self._now()
        if kept is not None and is_usable(kept, host, now):
            return kept
        made = new_certificate(host, now, kept)
        data = {key: base64.b64encode(value.encode()).decode() for key, value in made.to_data().items()}
        metadata = {"resourceVersion": secret["metadata"]["resourceVersion"]}  # fails if another operator has changed it
        await self._kubernetes.patch(path, {"metadata": metadata, "data": data})
        log.info("made a serving certificate for %s", host)
        return made

    async def _trust(self, kept: ServingCertificate) -> None:
        """Make the API server trust the certificate's authorities."""
        bundle = base64.b64encode(kept.authorities.encode()).decode()
        spec = (await self._kubernetes.get(ARTIFACTS_API_SERVICE)).get("spec") or {}
        if spec.get("caBundle") != bundle:
            await self._kubernetes.patch(ARTIFACTS_API_SERVICE, {"spec": {"caBundle": bundle}})


def _front_proxy(config: dict[str, Any]) -> dict[str, Any]:
    """Return the content of FRONT_PROXY_FILE. Raises ValueError if the API server has no front proxy."""
    data = config.get("data") or {}
    ca = data.get("requestheader-client-ca-file")
    if not ca:
        raise ValueError(
            "the API server has no front proxy: start it with --requestheader-client-ca-file and --proxy-client-cert-file,"
            " or set artifactsApi.enabled=false"
        )
    return {
        "ca": ca,
        "allowedNames": orjson.loads(data.get("requestheader-allowed-names") or "[]"),
        "usernameHeaders": orjson.loads(data.get("requestheader-username-headers") or '["X-Remote-User"]'),
    }


def _decoded(data: dict[str, str]) -> dict[str, str]:
    try:
        return {key: base64.b64decode(value, validate=True).decode() for key, value in data.items()}
    except ValueError:
        return {}


def _write(directory: Path, files: dict[str, bytes]) -> None:
    """Write files that changed, each atomically and readable by this user alone."""
    for name, content in files.items():
        path = directory / name
        if not path.is_file() or path.read_bytes() != content:
            replace(path, content, mode=0o600, sync=False)  # after a crash of the machine they are written again
