"""A small S3 in memory for tests of buckets and uploads. It notes what it is asked."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from tests.unit.loopback import Request

CHECKSUM = "x-amz-checksum-sha256"
LISTED_AT_ONCE = 2
CODES = {403: "AccessDenied", 404: "NoSuchUpload", 400: "InvalidRequest", 503: "SlowDown"}


@dataclass
class S3:
    """Keeps objects, their checksums and multipart uploads.

    `refused`: the status of every answer to a listing of uploads, or None. `refuse`: returns the status that refuses a
    request (its command, key and query), or None. `etag_of` makes the ETag of a part from its number and content. `stores`
    turns the content of an upload into what is stored. `attests`: whether checksums are kept.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, tuple[str, dict[int, bytes]]] = field(default_factory=dict)
    refused: int | None = None
    refuse: Callable[[str, str, Mapping[str, str]], int | None] = lambda command, key, query: None
    etag_of: Callable[[int, bytes], str] = lambda number, content: f"etag-{number}"
    stores: Callable[[bytes], bytes] = bytes
    attests: bool = True
    asked: list[str] = field(default_factory=list)

    def __call__(self, request: Request) -> None:
        url = urlsplit(request.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        key = url.path.removeprefix("/incidents").removeprefix("/")
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.asked.append(f"{request.command} {key}")
        if (status := self.refuse(request.command, key, query)) is not None:
            self._xml(request, f"<Error><Code>{CODES[status]}</Code><Message>refused</Message></Error>", status)
        elif "uploads" in query and request.command == "GET":
            self._list_uploads(request)
        elif "uploads" in query:
            upload = f"id-{len(self.asked)}"
            self.uploads[upload] = (key, {})
            answer = f"<UploadId>{upload}</UploadId>"
            self._xml(request, f"<InitiateMultipartUploadResult>{answer}</InitiateMultipartUploadResult>")
        elif "uploadId" in query:
            self._part(request, key, query, body)
        elif request.command == "PUT":
            self.objects[key] = self.stores(body)
            self.checksums[key] = request.headers.get(CHECKSUM, "") if self.attests else ""
            request.send(200, b"", ETag='"e"', x_amz_checksum_sha256=self.checksums[key])
        elif key in self.objects or not key:
            self._send(request, key)
        else:
            self._xml(request, "<Error><Code>NoSuchKey</Code><Message>none</Message></Error>", 404)

    def _send(self, request: Request, key: str) -> None:
        content = self.objects.get(key, b"")
        if part := re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", "")):
            content = content[int(part[1]) : int(part[2]) + 1]
        sent = {
            "ETag": '"e"',
            "Last-Modified": "Sun, 22 Nov 2026 12:00:00 GMT",
            "x-amz-checksum-sha256": self.checksums.get(key, ""),
        }
        request.head(200, **{"Content-Length": str(len(content)), **{name: value for name, value in sent.items() if value}})
        if request.command != "HEAD":
            request.wfile.write(content)

    def _list_uploads(self, request: Request) -> None:
        if self.refused is not None:
            return self._xml(request, "<Error><Code>Refused</Code><Message>no</Message></Error>", self.refused)
        uploads = (
            f"<Upload><Key>{key}</Key><UploadId>{upload}</UploadId></Upload>" for upload, (key, _) in self.uploads.items()
        )
        return self._xml(request, f"<ListMultipartUploadsResult>{''.join(uploads)}</ListMultipartUploadsResult>")

    def _part(self, request: Request, key: str, query: dict[str, str], body: bytes) -> None:
        if self.uploads.get(query["uploadId"], ("", {}))[0] != key:
            return self._xml(request, "<Error><Code>NoSuchUpload</Code><Message>none</Message></Error>", 404)
        parts = self.uploads[query["uploadId"]][1]
        if request.command == "PUT":
            parts[int(query["partNumber"])] = body
            return request.send(200, b"", ETag=f'"{self.etag_of(int(query["partNumber"]), body)}"')
        if request.command == "GET":
            after = int(query.get("part-number-marker") or 0)
            left = [number for number in sorted(parts) if number > after]
            page = left[:LISTED_AT_ONCE]
            tags = {number: self.etag_of(number, parts[number]) for number in page}
            listed = "".join(f'<Part><PartNumber>{number}</PartNumber><ETag>"{tags[number]}"</ETag></Part>' for number in page)
            more = f"<IsTruncated>{str(len(left) > len(page)).lower()}</IsTruncated>"
            marker = f"<NextPartNumberMarker>{page[-1] if page else 0}</NextPartNumberMarker>"
            return self._xml(request, f"<ListPartsResult>{marker}{more}{listed}</ListPartsResult>")
        if request.command == "POST":
            named = re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)
            self.objects[key] = self.stores(b"".join(parts[int(number)] for number in named))
            self.checksums.pop(key, None)
            del self.uploads[query["uploadId"]]
            return self._xml(request, '<CompleteMultipartUploadResult><ETag>"e-2"</ETag></CompleteMultipartUploadResult>')
        del self.uploads[query["uploadId"]]
        return request.send(204, b"")

    def _xml(self, request: Request, text: str, status: int = 200) -> None:
        text = re.sub(r"^<(\w+Result)>", r'<\1 xmlns="http://s3.amazonaws.com/doc/2006-03-01/">', text)
        request.send(status, text.encode(), Content_Type="application/xml")
