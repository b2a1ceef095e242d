"""The serving certificate of the artifacts API: made, kept, renewed without a gap, and trusted by a real TLS client."""

import base64
import json
import os
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from aletheia_operator.api.paths import ARTIFACTS_API_SERVICE as API_SERVICE
from aletheia_operator.clients.errors import Rejected
from aletheia_operator.handlers.artifacts_api import FRONT_PROXY_CONFIG, ArtifactsApiKeeper
from aletheia_operator.handlers.serving_certificate import LIFETIME, certificate_of, is_usable, new_certificate
from aletheia_operator.settings import ArtifactsApi
from tests.unit.certificates import new_authority

HOST = "artifacts.system.svc"
NOW = datetime.now(UTC)
SECRET = "/api/v1/namespaces/system/secrets/artifacts-tls"
OF_THE_API_SERVER = {
    "requestheader-client-ca-file": "PEM",
    "requestheader-allowed-names": '["front-proxy"]',
    "requestheader-username-headers": '["X-Remote-User"]',
}


class Objects:
    """An API server with a few objects. It refuses a patch of an object that has changed meanwhile."""

    def __init__(self, config: dict[str, str]) -> None:
        self.patched: list[str] = []
        self.objects: dict[str, dict[str, Any]] = {
            FRONT_PROXY_CONFIG: {"data": config},
            SECRET: {"metadata": {"resourceVersion": "1"}},
            API_SERVICE: {"spec": {"group": "artifacts.aletheia.dev"}},
        }

    async def get(self, path: str) -> dict[str, Any]:
        return self.objects[path]

    async def patch(self, path: str, body: Mapping[str, Any]) -> None:
        found = self.objects[path]
        if (body.get("metadata") or {}).get("resourceVersion") not in (None, found.get("metadata", {}).get("resourceVersion")):
            raise Rejected("it has changed")
        self.patched.append(path)
        for part in ("data", "spec"):
            if part in body:
                found[part] = {**(found.get(part) or {}), **body[part]}

    def data(self) -> dict[str, str]:
        return {key: base64.b64decode(value).decode() for key, value in self.objects[SECRET]["data"].items()}


def keeper(objects: Objects, directory: Path, secret: str | None = "artifacts-tls", now: datetime = NOW) -> ArtifactsApiKeeper:
    settings = ArtifactsApi(certificates=directory, service="artifacts", secret=secret)
    return ArtifactsApiKeeper(cast("Any", objects), settings, "system", lambda: now)


def hands_shake(authorities: str, certificate: Path, key: Path) -> bool:
    """Return whether a client that trusts the authorities accepts the certificate for HOST."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = ssl.create_default_context(cadata=authorities).wrap_bio(to_client, to_server, server_hostname=HOST)
    server_side = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client_side, server_side):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return client_side.version() is not None


async def test_made_kept_and_trusted(tmp_path: Path) -> None:
    """The first check makes a certificate that the caBundle verifies; further checks, also by a new process, change nothing."""
    objects = Objects(OF_THE_API_SERVER)
    await keeper(objects, tmp_path).check()
    bundle = base64.b64decode(objects.objects[API_SERVICE]["spec"]["caBundle"]).decode()
    assert hands_shake(bundle, tmp_path / "tls.crt", tmp_path / "tls.key")
    assert not hands_shake(new_authority().pem, tmp_path / "tls.crt", tmp_path / "tls.key")
    assert (tmp_path / "tls.key").stat().st_mode & 0o777 == 0o600
    assert orjson.loads((tmp_path / "front-proxy.json").read_bytes())["allowedNames"] == ["front-proxy"]
    before, objects.patched = (tmp_path / "tls.crt").read_bytes(), []
    await keeper(objects, tmp_path).check()
    assert objects.patched == []
    assert (tmp_path / "tls.crt").read_bytes() == before


async def test_renewed_without_a_gap(tmp_path: Path) -> None:
    """A new one is made before the old one ends. Both are trusted, so either may be served meanwhile."""
    objects, former, new = Objects(OF_THE_API_SERVER), tmp_path / "former", tmp_path / "new"
    for directory, now in ((former, NOW), (new, NOW + LIFETIME - timedelta(days=90))):
        directory.mkdir()
        await keeper(objects, directory, now=now).check()
    assert (former / "tls.crt").read_bytes() != (new / "tls.crt").read_bytes()
    bundle = base64.b64decode(objects.objects[API_SERVICE]["spec"]["caBundle"]).decode()
    assert hands_shake(bundle, former / "tls.crt", former / "tls.key")
    # of the new one, which is not valid yet, only the signature can be judged
    assert is_usable(cast("Any", certificate_of(objects.data())), HOST, NOW + LIFETIME - timedelta(days=90))


@pytest.mark.parametrize("spoil", ["tls.crt", "tls.key", "ca.crt", "none", "other host", "other key"])
async def test_a_broken_secret_is_replaced(tmp_path: Path, spoil: str) -> None:
    """Whatever somebody did to the Secret, a whole certificate is made and trusted."""
    objects = Objects(OF_THE_API_SERVER)
    await keeper(objects, tmp_path).check()
    data = objects.objects[SECRET]["data"]
    if spoil in data:
        data[spoil] = base64.b64encode(b"broken").decode()
    elif spoil == "none":
        data.clear()
    else:
        other = new_certificate("other.svc", NOW, None).to_data()
        kept = {"other key": ["tls.key"]}.get(spoil, list(other))
        data |= {name: base64.b64encode(other[name].encode()).decode() for name in kept}
    await keeper(objects, tmp_path).check()
    bundle = base64.b64decode(objects.objects[API_SERVICE]["spec"]["caBundle"]).decode()
    assert hands_shake(bundle, tmp_path / "tls.crt", tmp_path / "tls.key")


async def test_a_changed_bundle_is_set_right(tmp_path: Path) -> None:
    """If an upgrade or a person removes caBundle, the next check restores it."""
    objects = Objects(OF_THE_API_SERVER)
    await keeper(objects, tmp_path).check()
    bundle = objects.objects[API_SERVICE]["spec"].pop("caBundle")
    await keeper(objects, tmp_path).check()
    assert objects.objects[API_SERVICE]["spec"]["caBundle"] == bundle


async def test_somebody_else_makes_the_certificate(tmp_path: Path) -> None:
    """Without a Secret the operator writes only the front proxy's file, and patches nothing."""
    objects = Objects(OF_THE_API_SERVER)
    await keeper(objects, tmp_path, secret=None).check()
    assert os.listdir(tmp_path) == ["front-proxy.json"]
    assert objects.patched == []


async def test_no_front_proxy(tmp_path: Path) -> None:
    """If the API server has none, the error has the remedy, and no file is written."""
    with pytest.raises(ValueError, match=r"requestheader-client-ca-file.*artifactsApi.enabled=false"):
        await keeper(Objects({"client-ca-file": json.dumps("PEM")}), tmp_path).check()
    assert os.listdir(tmp_path) == []


async def test_two_operators_agree(tmp_path: Path) -> None:
    """If an operator made one from an older Secret, its patch is refused, and its next check takes the other's certificate."""
    objects = Objects(OF_THE_API_SERVER)
    stale = objects.objects[SECRET]

    class Meanwhile(Objects):
        async def get(self, path: str) -> dict[str, Any]:
            return stale if path == SECRET and not self.patched else objects.objects[path]

        async def patch(self, path: str, body: Mapping[str, Any]) -> None:
            await objects.patch(path, body)

    objects.objects[SECRET] = {"metadata": {"resourceVersion": "2"}}
    await keeper(objects, tmp_path).check()
    before = objects.data()
    with pytest.raises(Rejected):
        await keeper(Meanwhile(OF_THE_API_SERVER), tmp_path).check()
    assert objects.data() == before
