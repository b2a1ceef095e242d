"""A proxy in front of a real server that changes requests and answers: `serve(forward(url, change))`."""

from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import web

from tests.support.http import Handler

Edit = Callable[[bytes], bytes]
Change = Callable[[web.Request, bytes], Awaitable["bytes | web.StreamResponse | Answer"]]


class Answer:
    """Changes to the server's answer: headers to leave out, and a function that edits its body."""

    def __init__(self, without: str = "", edit: Edit = lambda body: body) -> None:
        self.without = without
        self.edit = edit


def forward(url: str, change: Change) -> Handler:
    """Return a handler that passes each request on, with unchanged signed headers.

    `change` gets the request and its body. It returns the body to send, an answer instead of the server's, or an `Answer`.
    """

    async def handler(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        changed = await change(request, body)
        if isinstance(changed, web.StreamResponse):
            return changed
        if isinstance(changed, bytes):
            body = changed
        answer = changed if isinstance(changed, Answer) else Answer()
        headers = {**request.headers, "Content-Length": str(len(body))}
        skipped = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
        async with (
            aiohttp.ClientSession(auto_decompress=False, skip_auto_headers=skipped) as session,
            session.request(request.method, url + request.raw_path, data=body, headers=headers) as response,
        ):
            content = answer.edit(await response.read())
            left_out = {"transfer-encoding", answer.without.lower()}
            if request.method != "HEAD":
                left_out.add("content-length")
            kept = {name: value for name, value in response.headers.items() if name.lower() not in left_out}
            return web.Response(status=response.status, headers=kept, body=content)

    return handler
