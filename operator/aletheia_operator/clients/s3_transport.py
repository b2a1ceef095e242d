"""The transport of minio-py: our own session, which connects to the DataSource only, under its caps."""

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from aletheia_operator.clients.endpoint import Endpoint
from aletheia_operator.clients.errors import error_of, is_redirect, is_refusal
from aletheia_operator.clients.safe_session import SafeSession
from aletheia_operator.text.display import one_line


class MinioTransport(urllib3.PoolManager):
    """Transport of one Minio client. One request at a time."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._session = SafeSession(endpoint)

    def allow(self, url: str) -> None:
        """Connect to the host of this URL instead of the endpoint's: its name may contain the bucket or the region."""
        parts = urlsplit(url)
        self._endpoint = replace(self._endpoint, url=f"{parts.scheme}://{parts.netloc}")
        self._session.endpoint = self._endpoint

    def clear(self) -> None:
        self._session.close()

    def urlopen(self, method: str, url: str, redirect: bool = True, **kwargs: Any) -> urllib3.BaseHTTPResponse:  # type: ignore[override]
        """Send a request and return the whole answer, read under the caps. Raises SourceError."""
        request = requests.Request(method, url, headers=dict(kwargs["headers"]), data=kwargs.get("body")).prepare()
        request.url = url  # as it was signed
        self._session.size_bytes = 0
        response = self._session.send(request)
        body = b"".join(self._session.chunks(response))
        status, kind = response.status_code, response.headers.get("Content-Type", "")
        region = response.headers.get("x-amz-bucket-region")
        if is_redirect(status) and region:
            hint = f"redirects are not followed; the bucket is in region {one_line(region, 40)}: set s3.region"
            raise error_of(status, f"DataSource {self._endpoint.name} answered {status}: {hint}")
        if is_redirect(status) or (is_refusal(status) and method != "HEAD" and "xml" not in kind):  # not an S3 error
            raise self._endpoint.failed(status, body)
        return urllib3.HTTPResponse(
            body, headers=dict(response.headers), status=response.status_code, request_method=method, preload_content=True
        )
