"""Authenticates the API server by its front proxy's client certificate, and reads the callers' names from its headers.

https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/. The operator writes the files, and keeps them
up to date (`handlers/artifacts_api.py`).
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from aletheia_operator.settings import FRONT_PROXY_FILE, TLS_CERTIFICATE, TLS_KEY


class NotReady(Exception):
    """The files are missing or broken. The message says which."""


@dataclass(frozen=True)
class FrontProxy:
    """Which client certificates are accepted, and which headers have the caller's name."""

    ca: str
    """PEM of the authorities that sign the front proxy's certificate."""
    allowed_names: frozenset[str]
    """Accepted common names. Empty: all that the authorities signed."""
    username_headers: tuple[str, ...]

    def admits(self, certificate: Mapping[str, Any] | None) -> bool:
        """Return whether a verified peer is the front proxy. `certificate`: from `SSLObject.getpeercert`; None: it has none."""
        if not certificate:
            return False
        names = {value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"}
        return not self.allowed_names or bool(names & self.allowed_names)

    def caller(self, headers: Mapping[str, str]) -> str:
        """Return the name of the person or account that the API server authenticated; '' if it sends none."""
        return next((headers[name] for name in self.username_headers if headers.get(name)), "")


@dataclass(frozen=True)
class TlsFiles:
    """What the server needs to listen."""

    front_proxy: FrontProxy
    serving: tuple[bytes, bytes]
    """Serving certificate and key, PEM."""
    directory: Path
    """Directory of the serving certificate."""

    def context(self) -> ssl.SSLContext:
        """Return a TLS context that demands a client certificate of the front proxy's authorities. Raises NotReady."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_verify_locations(cadata=self.front_proxy.ca)
            context.load_cert_chain(self.directory / TLS_CERTIFICATE, self.directory / TLS_KEY)
        except (ssl.SSLError, OSError, ValueError) as e:
            raise NotReady(f"the certificates in {self.directory} cannot be used: {e}") from e
        return context


def read_tls_files(directory: Path, serving: Path) -> TlsFiles:
    """Read the front proxy's file in one directory and the serving certificate in another. Raises NotReady."""
    try:
        raw = orjson.loads((directory / FRONT_PROXY_FILE).read_bytes())
        front_proxy = FrontProxy(str(raw["ca"]), frozenset(raw["allowedNames"]), tuple(raw["usernameHeaders"]))
        pair = ((serving / TLS_CERTIFICATE).read_bytes(), (serving / TLS_KEY).read_bytes())
    except OSError as e:
        raise NotReady(f"{e.filename}: {e.strerror}: the operator writes it after its start") from e
    except (ValueError, KeyError, TypeError) as e:
        raise NotReady(f"{directory / FRONT_PROXY_FILE} has not the form that the operator writes") from e
    if not front_proxy.ca:
        raise NotReady(f"{directory / FRONT_PROXY_FILE} has no certificate authority of the front proxy")
    return TlsFiles(front_proxy, pair, serving)
