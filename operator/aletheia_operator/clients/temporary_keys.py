"""Temporary AWS keys for the operator's own identity, by minio-py's provider over our own transport.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html (EKS Pod Identity)
The provider reads the variables of the process, and the token's file for each request, because the kubelet replaces it. Answers
have a byte cap and a deadline, redirects are not followed, and no message quotes a token or a key.
"""

import re
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import requests
import urllib3
from minio.credentials.credentials import Credentials
from minio.credentials.providers import IamAwsProvider, Provider

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import WHOLE_BODY, SourceError, Unavailable
from aletheia_operator.clients.safe_session import SafeSession

SESSION_NAME = "aletheia-operator"
"""Name of the role's session in CloudTrail, unless AWS_ROLE_SESSION_NAME names another."""
_FORM = "application/x-www-form-urlencoded"
_CODE = re.compile(r"<Code>([A-Za-z]{1,100})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]+)</Message>")
_KEY = re.compile(r"[!-~]{0,8192}")
"""What a header can carry. The library refuses an empty id or secret; keys that do not expire may have no session token."""
_PASSING_CODES = frozenset({"ExpiredTokenException", "IDPCommunicationError"})
"""STS answers 400, but the kubelet replaces the token, and the identity provider may be reachable later."""


class TemporaryKeys(Provider):
    """Keys for a DataSource with an `identity`. They are asked for when they are needed, and again before they expire."""

    def __init__(self, endpoint: Endpoint) -> None:
        assert endpoint.identity is not None
        seconds = min(endpoint.identity.timeout_seconds, endpoint.timeout_seconds)
        self._endpoint = endpoint
        self._server = replace(endpoint.identity, timeout_seconds=seconds)
        self._asking = IamAwsProvider(
            custom_endpoint=self._server.url, role_session_name=SESSION_NAME, http_client=_Transport(self._server)
        )
        self._known: Credentials | None = None

    def retrieve(self) -> Credentials:
        """Return the keys. Raises SourceError. Error messages of the DataSource do not quote them from then on."""
        try:
            found = self._asking.retrieve()
        except SourceError:
            raise
        except Exception as e:  # its text is not quoted: it may have the token, which is in the library's URL and headers
            cause = e if isinstance(e, OSError) else e.__cause__
            if isinstance(cause, OSError) and cause.strerror:
                raise self._unusable(f"the token file cannot be read: {cause.strerror}", GapReason.UNAVAILABLE) from None
            raise self._unusable("the answer has no keys") from None
        if found is self._known:
            return found
        key = (found.access_key, found.secret_key, found.session_token or "")
        if not all(isinstance(part, str) and _KEY.fullmatch(part) for part in key):
            raise self._unusable("the answer has no valid keys")
        if found.is_expired():
            raise self._unusable("the answer has keys that have expired")
        self._endpoint.renewed.append(replace(self._endpoint.current, secrets=key))
        self._known = found
        return found

    def _unusable(self, why: str, reason: GapReason = GapReason.INVALID_RESPONSE) -> Unavailable:
        return Unavailable(f"DataSource {self._server.name}: {why}", reason)


class _Transport(urllib3.PoolManager):
    """Transport of the provider over our own session, which connects to the server of the identity only."""

    def __init__(self, server: Endpoint) -> None:
        super().__init__()
        self._server = server

    def urlopen(self, method: str, url: str, redirect: bool = True, **kwargs: Any) -> urllib3.BaseHTTPResponse:  # type: ignore[override]
        """Send a request and return the answer, if it is a success. Raises SourceError.

        The provider puts the token into the URL's query: it is sent as a form instead, so that no proxy or server logs it.
        """
        address, _, form = url.partition("?")
        headers = {**({"Content-Type": _FORM} if form else {}), **(kwargs.get("headers") or {})}
        request = requests.Request(method, address, headers, data=form).prepare()
        with SafeSession(self._server) as session:
            response = session.send(request)
            body = b"".join(session.chunks(response))
        if response.status_code not in WHOLE_BODY:
            tokens = (*parse_qs(form).get("WebIdentityToken", ()), *filter(None, [headers.get("Authorization")]))
            raise self._refusal(response.status_code, body, tokens)
        return urllib3.HTTPResponse(body, status=response.status_code, preload_content=True)

    def _refusal(self, status: int, body: bytes, tokens: tuple[str, ...]) -> SourceError:
        """Return the error for an answer that is not a success. `tokens`: those that were sent, which it may quote."""
        text = body.decode("utf-8", "replace")
        code, message = _CODE.search(text), _MESSAGE.search(text)
        reason = f"{code[1]}: {message[1]}" if code and message else text
        credentials = replace(self._server.credentials, secrets=(*self._server.credentials.secrets, *tokens))
        error = replace(self._server, credentials=credentials).failed(status, reason)
        if code and code[1] in _PASSING_CODES:
            return Unavailable(error.message, GapReason.FORBIDDEN, error.status)
        return error
