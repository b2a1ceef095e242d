"""The artifacts API as an aiohttp application: paths, conditional requests and ranges of HTTP, errors, and the access log."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web

from aletheia_operator.clients.errors import is_refusal
from aletheia_operator.serve import resource
from aletheia_operator.serve.addresses import Address, NoSuchAddress, parse
from aletheia_operator.serve.catalog import Catalog, SessionFiles, Summary
from aletheia_operator.serve.content import (
    BLOCK_BYTES,
    Content,
    ContentAltered,
    ContentUnavailable,
    archive_content,
    file_content,
    manifest_content,
)
from aletheia_operator.serve.discovery import documents
from aletheia_operator.serve.front_proxy import FrontProxy
from aletheia_operator.serve.speed import SpeedLimit
from aletheia_operator.session.layout import MANIFEST, REPORT
from aletheia_operator.session.manifest_file import Unreadable
from aletheia_operator.session.seal import SEALED_SUFFIX
from aletheia_operator.session.tar_stream import ArchiveError
from aletheia_operator.text.sizes import counted
from aletheia_operator.version import __version__

log = logging.getLogger(__name__)
access = logging.getLogger("aletheia_operator.access")

MAX_DOWNLOADS = 64
"""Maximum number of concurrent downloads; further ones get 429 with Retry-After, except a caller's first one."""
MAX_WITH_FIRST_DOWNLOADS = 96
"""Maximum number of concurrent downloads, callers' first ones included. Each takes 1.4 MiB; the container has 256 MiB."""
STALLED_SECONDS = 75.0
"""A caller that reads no block for so long is disconnected. The API server ends each answer after 60 s."""
REPORTS = (REPORT, REPORT + SEALED_SUFFIX)
_Headers = Mapping[str, str]


class ApiError(Exception):
    """An error response. `reason`: of metav1.Status."""

    def __init__(self, code: int, reason: str, message: str, headers: _Headers | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.headers = code, reason, message, dict(headers or {})


class ArtifactsApi:
    """Answers requests. `front_proxy`: is called for each request, and returns which client certificates are accepted."""

    def __init__(self, catalog: Catalog, front_proxy: Callable[[], FrontProxy], speed_limit: SpeedLimit) -> None:
        self._catalog = catalog
        self._speed_limit = speed_limit
        self._front_proxy = front_proxy
        self._documents = documents(__version__)
        self._downloads: Counter[str] = Counter()
        """Running downloads by caller."""

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        return application

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        began, note = time.monotonic(), _Access()
        response: web.StreamResponse | None = None
        try:
            response = await self._dispatch(request, note)
            return response
        except ApiError as e:
            body = orjson.dumps(resource.status(e.code, e.reason, e.message))
            response = web.Response(status=e.code, body=body, content_type="application/json", headers=e.headers)
            return response
        finally:
            if note.address is not None:
                _log_access(request, note, response, time.monotonic() - began)

    async def _dispatch(self, request: web.Request, note: "_Access") -> web.StreamResponse:
        front_proxy = self._front_proxy()
        transport = request.transport
        if transport is None or not front_proxy.admits(transport.get_extra_info("peercert")):
            raise ApiError(401, "Unauthorized", "connect through the Kubernetes API server, which authenticates you")
        note.caller = front_proxy.caller(request.headers)
        if request.method not in ("GET", "HEAD"):
            raise ApiError(405, "MethodNotAllowed", "sessions can only be read here: delete the Investigation instead")
        path = request.raw_path.partition("?")[0]
        if (document := self._documents.get(path)) is not None:
            return _json(document)
        try:
            address = note.address = parse(path)
        except NoSuchAddress as e:
            raise ApiError(404, "NotFound", str(e)) from e
        if not note.caller:
            raise ApiError(401, "Unauthorized", "the API server names no caller")
        try:
            return await self._read(request, address, note)
        except OSError as e:
            log.warning("the session volume cannot be read: %s", e)
            raise ApiError(500, "InternalError", f"the session volume cannot be read: {e.strerror}") from e

    async def _read(self, request: web.Request, address: Address, note: "_Access") -> web.StreamResponse:
        if address.name is None:
            return await asyncio.to_thread(self._list, address.namespace, request.query, request.headers.get("Accept", ""))
        summary = await asyncio.to_thread(self._catalog.find, address.namespace or "", address.name)
        if summary is None:
            raise ApiError(404, "NotFound", f"namespace {address.namespace} has no session {address.name[:100]!r}")
        note.session = summary.session_id
        if not address.subresource:
            return _object(summary, request)
        content = await asyncio.to_thread(self._content, summary, address)
        with self._download(note.caller):
            return await send(request, content, note, self._speed_limit)

    @contextmanager
    def _download(self, caller: str) -> Iterator[None]:
        """Count a download while it runs. Raises ApiError (429) if too many run: one caller cannot keep the others out."""
        running = self._downloads.total()
        if running >= MAX_WITH_FIRST_DOWNLOADS or (running >= MAX_DOWNLOADS and self._downloads[caller]):
            raise ApiError(
                429, "TooManyRequests", f"{counted(running, 'running download')} already: try again", {"Retry-After": "1"}
            )
        self._downloads[caller] += 1
        try:
            yield
        finally:
            self._downloads[caller] -= 1
            if not self._downloads[caller]:
                del self._downloads[caller]

    def _list(self, namespace: str | None, query: Mapping[str, str], accept: str) -> web.Response:
        if query.get("watch", "").lower() in ("1", "true"):
            raise ApiError(405, "MethodNotAllowed", "sessions cannot be watched: watch the Investigation, or list again")
        found = self._catalog.list(namespace)
        found = [summary for summary in found if _is_selected(summary, query)]
        try:
            after = resource.session_id_of(query["continue"]) if query.get("continue") else ""
            limit = int(query.get("limit") or 0)
        except ValueError as e:
            raise ApiError(400, "BadRequest", f"limit or continue: {e}") from e
        found = [summary for summary in found if summary.session_id > after]
        page = found[:limit] if limit > 0 else found
        token = resource.token_after(page[-1].session_id) if len(page) < len(found) else ""
        if resource.wants_table(accept):
            return _json(resource.table(page, token, datetime.now(UTC), query.get("includeObject", "Metadata")))
        return _json(resource.session_list(page, token))

    def _content(self, summary: Summary, address: Address) -> Content:
        try:
            contents = self._catalog.contents(summary)
            if contents is None:
                raise ApiError(404, "NotFound", f"session {summary.session_id} was removed meanwhile")
            if address.subresource == "manifest" or address.file == MANIFEST:
                return manifest_content(contents)
            _require_files(contents)
            if address.subresource == "archive":
                return archive_content(contents)
        except (Unreadable, ArchiveError, ContentUnavailable) as e:
            raise ApiError(500, "InternalError", f"session {summary.session_id}: {e}") from e
        if address.subresource == "report":
            path = next((path for path in REPORTS if path in contents.files), REPORTS[0])
        else:
            path = address.file
        listed = contents.files.get(path)
        if listed is None:
            raise ApiError(404, "NotFound", f"session {summary.session_id} has no file {path[:200]!r}: its manifest lists them")
        return file_content(contents, path, listed)


async def send(request: web.Request, content: Content, note: "_Access", speed_limit: SpeedLimit) -> web.StreamResponse:
    """Send a body, or the requested range of it (RFC 9110)."""
    etag = f'"{content.etag}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'inline; filename="{content.file_name.encode("ascii", "replace").decode()}"',
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox",
        "X-Content-Type-Options": "nosniff",
    }
    if _matches(request.headers.get("If-None-Match"), etag):
        return web.Response(status=304, headers=headers)
    start, end = 0, content.size
    status = 200
    if "Range" in request.headers and request.headers.get("If-Range", etag) == etag:
        requested = _range(request, content.size)
        if requested is not None:
            (start, end), status = requested, 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{content.size}"
    response = web.StreamResponse(status=status, headers={**headers, "Content-Type": content.media_type})
    response.content_length = end - start
    if request.method == "HEAD" or start == end:
        await response.prepare(request)
        return response
    try:
        block = await asyncio.to_thread(content.read, start, min(end - start, BLOCK_BYTES))
    except ContentAltered as e:
        if content.file_name != MANIFEST:  # which a capture replaces
            raise ApiError(410, "Gone", str(e)) from e
        raise ApiError(500, "InternalError", str(e)) from e
    except ContentUnavailable as e:
        raise ApiError(500, "InternalError", str(e)) from e
    await response.prepare(request)
    await _send_rest(request, response, content, (start, end), block, note, speed_limit)
    return response


async def _send_rest(
    request: web.Request,
    response: web.StreamResponse,
    content: Content,
    bounds: tuple[int, int],
    block: bytes,
    note: "_Access",
    speed_limit: SpeedLimit,
) -> None:
    """Send a range. `block`: its first block, already read. Closes the connection if the rest cannot be read."""
    at, end = bounds
    try:
        while True:
            await speed_limit.wait(len(block))
            async with asyncio.timeout(STALLED_SECONDS):
                await response.write(block)
            at += len(block)
            note.sent += len(block)
            if at >= end:
                break
            block = await asyncio.to_thread(content.read, at, min(end - at, BLOCK_BYTES))
        await response.write_eof()
    except (ConnectionError, TimeoutError):  # the caller closed the connection, or does not read
        note.broken = True
        if request.transport is not None:
            request.transport.abort()
    except (ContentUnavailable, OSError) as e:  # an error response now would become part of the body
        log.warning("a download was interrupted: %s", e)
        if request.transport is not None:
            request.transport.abort()


def _range(request: web.Request, size: int) -> tuple[int, int] | None:
    """Return start and end of the requested range; None: send everything. Raises ApiError (416)."""
    try:
        requested = request.http_range
    except ValueError:
        return None  # several ranges, or another unit: RFC 9110 lets a server ignore them
    start, stop, _ = slice(requested.start, requested.stop).indices(size)
    is_empty_suffix = request.headers["Range"].strip().endswith("=-0")  # aiohttp reads `-0` as the whole body
    if start >= stop or is_empty_suffix:
        headers = {"Content-Range": f"bytes */{size}"}
        raise ApiError(416, "Invalid", f"the range begins after the end: the body has {size} bytes", headers)
    return start, stop


def _matches(header: str | None, etag: str) -> bool:
    return header is not None and (
        header.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in header.split(","))
    )


def _is_selected(summary: Summary, query: Mapping[str, str]) -> bool:
    """Return whether the selectors of a list request match a session. Raises ApiError for unknown selectors."""
    if query.get("labelSelector"):
        raise ApiError(400, "BadRequest", "labelSelector: sessions have no labels; use a fieldSelector or a name")
    values = {"metadata.name": summary.session_id, "metadata.namespace": summary.namespace, "investigation.name": summary.name}
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        name, separator, value = term.replace("==", "=").partition("=")
        negated = name.endswith("!")
        known = values.get(name.removesuffix("!"))
        if not separator or known is None:
            raise ApiError(400, "BadRequest", f"fieldSelector: use {', '.join(values)} with = or !=")
        if (known == value) is negated:
            return False
    return True


def _require_files(contents: SessionFiles) -> None:
    """Raise ApiError if the files of a session cannot be read now."""
    if not contents.finished:
        raise ApiError(409, "Conflict", f"session {contents.session_id}: its files can be read when its capture has ended")
    if contents.expired:
        raise ApiError(410, "Gone", f"session {contents.session_id}: its data has expired and was removed")


def _object(summary: Summary, request: web.Request) -> web.Response:
    if resource.wants_table(request.headers.get("Accept", "")):
        return _json(resource.table([summary], "", datetime.now(UTC), request.query.get("includeObject", "Metadata")))
    return _json(resource.session(summary))


def _json(value: Any) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")


class _Access:
    """The fields of one request for the access log."""

    caller = ""
    address: Address | None = None
    session = ""
    sent = 0
    broken = False


def _log_access(request: web.Request, note: _Access, response: web.StreamResponse | None, seconds: float) -> None:
    address = note.address
    assert address is not None
    access.info(
        "%s",
        "read" if response is not None and not is_refusal(response.status) else "refused",
        extra={
            "fields": {
                "user": note.caller[:300],
                "namespace": address.namespace,
                "session": note.session or address.name,
                "part": "/".join(filter(None, (address.subresource, address.file))),
                "range": request.headers.get("Range", "")[:100],
                "status": response.status if response is not None else 499,
                "bytes": note.sent,
                "complete": not note.broken and response is not None,
                "seconds": round(seconds, 3),
            }
        },
    )
