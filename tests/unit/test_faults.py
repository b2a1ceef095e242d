"""Faults of libraries and servers become our errors, with helpful messages and without secrets."""

import errno
import inspect
import json
import socket
import ssl
from copy import copy
from types import ModuleType
from typing import Any

import aiohttp
import aiohttp.client_exceptions
import aiohttp.http_exceptions
import minio.error
import pytest
import requests.exceptions
import urllib3.exceptions

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.endpoint import Credentials, Endpoint
from aletheia_operator.clients.errors import STATUSES, Rejected, SourceError, Unavailable, error_of
from aletheia_operator.clients.faults import BAD_TLS, FAULTS, fault_of
from aletheia_operator.clients.quoting import LEFT_OUT, MAX_ERROR_BYTES, MAX_QUOTED, Quoter

SECRET = 'canary-"7f3a"/ü 9'
LIBRARIES = (
    aiohttp.client_exceptions,
    aiohttp.http_exceptions,
    requests.exceptions,
    urllib3.exceptions,
    minio.error,
)


def exceptions_of(library: ModuleType) -> list[str]:
    """The classes that a library defines and may raise; warnings are not raised."""
    found = [kind for _, kind in inspect.getmembers(library, inspect.isclass) if issubclass(kind, Exception)]
    own = [kind for kind in found if kind.__module__ == library.__name__ and not issubclass(kind, Warning)]
    return [f"{kind.__module__}.{kind.__name__}" for kind in own]


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)
def test_every_exception_of_a_library_is_mapped(library: ModuleType) -> None:
    """A new exception class of a new version fails here, before a user sees it as InternalError."""
    names = exceptions_of(library)
    assert len(names) >= 5
    assert [name for name in names if name not in FAULTS] == []


def test_the_table_names_no_class_that_is_gone() -> None:
    """Classes that a library no longer has are removed."""
    known = {name for library in LIBRARIES for name in exceptions_of(library)}
    modules = tuple(library.__name__ for library in LIBRARIES)
    assert [name for name in FAULTS if name.startswith(modules) and name not in known] == []


@pytest.mark.parametrize("name", [name for library in LIBRARIES for name in exceptions_of(library)])
def test_no_message_names_a_class_of_python(name: str) -> None:
    """The message explains it in words, however the exception was created."""
    library, _, kind = name.rpartition(".")
    module = next(candidate for candidate in LIBRARIES if candidate.__name__ == library)
    error = getattr(module, kind).__new__(getattr(module, kind))
    fault = fault_of(error, "DataSource main")
    assert fault.message.startswith("DataSource main: ")
    assert kind not in fault.message


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (301, Rejected, GapReason.INVALID_RESPONSE),
        (400, Rejected, GapReason.REJECTED),
        (401, Rejected, GapReason.FORBIDDEN),
        (403, Rejected, GapReason.FORBIDDEN),
        (404, Rejected, GapReason.NOT_FOUND),
        (405, Rejected, GapReason.NOT_FOUND),
        (408, Unavailable, GapReason.TIMED_OUT),
        (409, Rejected, GapReason.REJECTED),
        (410, Unavailable, GapReason.UNAVAILABLE),
        (413, Rejected, GapReason.TOO_LARGE),
        (418, Rejected, GapReason.REJECTED),
        (429, Unavailable, GapReason.UNAVAILABLE),
        (500, Unavailable, GapReason.UNAVAILABLE),
        (501, Rejected, GapReason.REJECTED),
        (502, Unavailable, GapReason.UNAVAILABLE),
        (503, Unavailable, GapReason.UNAVAILABLE),
        (504, Unavailable, GapReason.TIMED_OUT),
        (529, Unavailable, GapReason.UNAVAILABLE),
    ],
)
def test_a_status_means_one_thing_for_every_client(status: int, kind: type[SourceError], reason: GapReason) -> None:
    """One table for Kubernetes, kubelets, DataSources and S3."""
    error = error_of(status, "x")
    assert (type(error), error.reason, error.status) == (kind, reason, status)


def test_the_table_of_statuses_says_only_what_their_class_does_not() -> None:
    """Each row differs from the default of 3xx, 4xx and 5xx."""
    defaults: dict[int, tuple[type[SourceError], GapReason]] = {
        4: (Rejected, GapReason.REJECTED),
        5: (Unavailable, GapReason.UNAVAILABLE),
    }
    assert [status for status, meaning in STATUSES.items() if defaults[status // 100] == meaning] == []


def certificate_error(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    return error


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (9, "not valid yet"),
        (10, "has expired"),
        (18, "self-signed"),
        (19, "CA that is not known"),
        (20, "CA that is not known"),
        (62, "for another host name"),
        (64, "for another IP address"),
        (1, "is not accepted"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_said(code: int, words: str) -> None:
    """By OpenSSL's number, at any place in the chain of causes."""
    outer = requests.exceptions.SSLError(urllib3.exceptions.MaxRetryError(None, "/", certificate_error(code)))  # type: ignore[arg-type]
    assert words in fault_of(outer, "DataSource main").message


def of_system(error: OSError, filename: str | None = None, **of_cause: Any) -> Exception:
    """A library's error with an error of the system as its cause. `filename`: the address as our own transport notes it."""
    error.filename = filename
    outer = aiohttp.ClientError()
    outer.__dict__.update(of_cause)
    outer.__cause__ = error
    return outer


def of_tls(reason: str | None) -> ssl.SSLError:
    error = ssl.SSLError(1, "text of OpenSSL")
    error.reason = reason  # type: ignore[assignment]
    return error


NO_HOST, AGAIN = socket.gaierror(socket.EAI_NONAME, "x"), socket.gaierror(socket.EAI_AGAIN, "x")
PEER: dict[str, Any] = {"host": "prom", "port": 9090}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (of_system(copy(AGAIN), "prom.shop"), "the name server does not answer for prom.shop: check it"),
        (of_system(copy(NO_HOST), "prom.shop"), "no such host: prom.shop: check it"),
        (of_system(copy(NO_HOST), None, host="prom"), "no such host: prom: check it"),
        (of_system(copy(NO_HOST)), "no such host: its name: check it"),
        (of_system(ConnectionRefusedError(), "10.0.0.7:9090"), "connection refused by 10.0.0.7:9090: check it"),
        (of_system(ConnectionRefusedError(), **PEER), "connection refused by prom:9090: check it"),
        (of_system(ConnectionRefusedError(), host="prom"), "connection refused by prom: check it"),
        (of_system(ConnectionRefusedError(), port=9090), "connection refused by it: check it"),
        (of_system(OSError(errno.ENETUNREACH, ""), "10.0.0.7:9090"), "no route to 10.0.0.7:9090: check it"),
        (of_system(OSError(errno.EHOSTUNREACH, "")), "no route to its host: check it"),
        (
            of_system(TimeoutError(), "10.0.0.7:9090"),
            "no connection to 10.0.0.7:9090 in time: a firewall or a network policy may be between",
        ),
        (of_tls("WRONG_VERSION_NUMBER"), "it does not speak TLS: the endpoint may be http, not https"),
        (
            of_tls("TLSV13_ALERT_CERTIFICATE_REQUIRED"),
            "it broke the TLS handshake off: it may want a client certificate (tlsv13 alert certificate required)",
        ),
        (of_tls("OTHER"), BAD_TLS.words),
        (of_tls(None), BAD_TLS.words),
    ],
)
def test_an_error_of_the_system_says_where_and_why(error: Exception, words: str) -> None:
    """With the address that was tried, as far as it is known, and what to look at."""
    fault = fault_of(error, "DataSource main", "check it")
    assert fault.message == f"DataSource main: {words}"
    assert isinstance(fault, Unavailable)
    assert fault.reason is (GapReason.TIMED_OUT if "in time" in words else GapReason.UNAVAILABLE)


def test_without_a_remedy_none_is_given() -> None:
    """The message ends with the address."""
    assert (
        fault_of(of_system(ConnectionRefusedError(), "10.0.0.7:9090"), "x").message == "x: connection refused by 10.0.0.7:9090"
    )


def test_causes_that_form_a_ring_end() -> None:
    """For any chain of exceptions."""
    first, two = requests.ConnectionError("a"), requests.ConnectionError("b")
    first.__context__, two.__context__ = two, first
    first.args, two.args = (two,), (first,)
    assert fault_of(first, "x").message == "x: cannot be reached"


def endpoint(*secrets: str) -> Endpoint:
    return Endpoint("main", "http://main", 5, 2**20, credentials=Credentials(secrets=secrets))


FORMS = [
    pytest.param(SECRET, id="as it is"),
    pytest.param(json.dumps(SECRET), id="in JSON"),
    pytest.param(json.dumps(SECRET, ensure_ascii=False), id="in JSON that is not ASCII"),
    pytest.param("canary-%227f3a%22%2F%C3%BC%209", id="in a URL"),
    pytest.param("canary-%227f3a%22%2F%C3%BC+9", id="in a form"),
    pytest.param("canary-&quot;7f3a&quot;/ü 9", id="in HTML"),
    pytest.param('canary-"7f3a"/ü\n  9', id="broken over lines"),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "before",
    [
        0,
        1,
        MAX_QUOTED - 30,
        MAX_QUOTED - 15,
        MAX_QUOTED - 5,
        MAX_QUOTED,
        1990,
        2000,
        5000,
    ],
)
def test_no_part_of_a_secret_is_repeated_wherever_the_text_is_cut(form: str, before: int) -> None:
    """Credentials are taken out first; then the text is cut."""
    text = "x" * before + form + " and so on" * 500
    for words in (endpoint(SECRET).failed(400, text).message, endpoint(SECRET).failed(400, text.encode()).message):
        assert "canary" not in words
        assert "7f3a" not in words


@pytest.mark.parametrize("at", range(len(SECRET.encode()) + 2))
def test_no_part_of_a_secret_is_left_where_reading_a_refusal_ended(at: int) -> None:
    """So many whole secrets may be removed before it that the end of what was read is shown."""
    whole = SECRET.encode()
    body = whole * (MAX_ERROR_BYTES // len(whole) + 2)
    words = Quoter((SECRET,))(body[len(whole) - at : len(whole) - at + MAX_ERROR_BYTES], 100_000)
    assert "canary" not in words[len(SECRET) :]


@pytest.mark.parametrize("secret", ["a", "ab", "e", " ", "1234567"])
def test_a_short_secret_neither_leaks_nor_garbles(secret: str) -> None:
    """The server's message is left out completely: holes in it would show the secret."""
    message = endpoint(secret).failed(500, "a database error of 1234567 tables").message
    assert message == f"DataSource main answered 500: {LEFT_OUT}"


def test_an_empty_secret_is_none() -> None:
    """For example the empty user name with a token."""
    assert endpoint("").failed(500, "no such table").message == "DataSource main answered 500: no such table"


def test_the_longest_secret_is_taken_out_first() -> None:
    """A secret that begins with another one leaves no rest."""
    message = endpoint("canary-1", "canary-1-and-more").failed(500, "saw canary-1-and-more").message
    assert message == "DataSource main answered 500: saw ***"


@pytest.mark.parametrize("body", ["", b"", "  \n"])
def test_a_server_without_words(body: Any) -> None:
    """The message has the status alone."""
    assert endpoint(SECRET).failed(500, body).message == "DataSource main answered 500: it gives no reason"


def test_renewed_credentials_are_not_repeated_either() -> None:
    """Neither the old nor the new ones."""
    new = Credentials(secrets=("canary-new-one",))
    source = Endpoint("main", "http://main", 5, 1, credentials=Credentials(secrets=("canary-old-one",)), renew=lambda: new)
    source.renewed_headers()
    assert (
        source.failed(401, "not canary-old-one nor canary-new-one").message == "DataSource main answered 401: not *** nor ***"
    )


ODD_SECRET = "a/b+c<d>&'e\"f"


@pytest.mark.parametrize(
    "written",
    [
        "a/b+c<d>&'e\"f",
        "a/b+c\\u003cd\\u003e\\u0026'e\\\"f",
        "a\\/b+c<d>&'e\\\"f",
        "a%2Fb%2Bc%3Cd%3E%26%27e%22f",
        "a%2fb%2bc%3cd%3e%26%27e%22f",
        "a/b+c&lt;d&gt;&amp;&#x27;e&quot;f",
        "a/b+c&lt;d&gt;&amp;&#39;e&#34;f",
    ],
    ids=["plain", "Go's JSON", "PHP's JSON", "URL", "URL, small", "HTML", "Go's HTML"],
)
def test_a_secret_as_servers_escape_it(written: str) -> None:
    """Go's encoders, of which most sources are made, write some characters in their own way."""
    assert Quoter((ODD_SECRET,))(f"no: {written}!") == "no: ***!"
