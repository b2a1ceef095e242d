"""TLS settings of connections to DataSources: which authorities are trusted, and the client certificate."""

import os
import ssl
from pathlib import Path

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import Rejected


def tls_context(endpoint: Endpoint) -> ssl.SSLContext | None:
    """Return TLS settings with the endpoint's certificates; None for the library's. Raises Rejected if they are not valid."""
    credentials = endpoint.credentials
    bundle = endpoint.ca_bundle if endpoint.origin[0] == "https" and credentials.ca_pem is None else None
    if credentials.ca_pem is None and credentials.client_pem is None and bundle is None:
        return None
    try:
        context = ssl.create_default_context(cadata=credentials.ca_pem)
        if credentials.ca_pem is None:
            context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
        if bundle is not None:
            _trust(context, bundle)
        if credentials.client_pem is not None:
            _load_client(context, credentials.client_pem)
    except (ssl.SSLError, ValueError, OSError):
        message = f"DataSource {endpoint.name}: a certificate or key of its Secret cannot be used"
        raise Rejected(message, GapReason.NO_DATA_SOURCE) from None
    return context


def _trust(context: ssl.SSLContext, bundle: Path) -> None:
    """Trust the CAs in a PEM file too. Raises Rejected if it has none."""
    try:
        context.load_verify_locations(cafile=bundle)
    except (ssl.SSLError, OSError) as e:
        raise Rejected(f"--ca-bundle {bundle} cannot be used: {e.strerror or e}", GapReason.NO_DATA_SOURCE) from e


def _load_client(context: ssl.SSLContext, pem: str) -> None:
    """Load a client certificate and key. The ssl module reads only files, so a memory file is used: no key reaches a disk."""
    descriptor = os.memfd_create("client", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem.encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=bytes)  # empty: none is known
    finally:
        os.close(descriptor)
