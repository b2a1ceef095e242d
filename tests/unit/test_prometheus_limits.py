"""Sources that cost too much or break off: received data is kept, missing data is reported, and nothing hangs."""

import json
from contextlib import suppress
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web

from aletheia_operator.api import addresses
from aletheia_operator.fetchers.prometheus import PrometheusFetcher, series_store
from tests.support.fetching import Fetched, endpoint, fetch, reasons, window
from tests.support.http import Handler, Serve

END = 1_763_000_000
HEAD = '{"status":"success","data":{"resultType":"matrix","result":['
SERIES = '{"metric":{"series":"%d"},"values":[[%d,"1"],[%d,"NaN"]]}'
TAIL = ']},"infos":["a remark"]}'


def series(number: int) -> str:
    return SERIES % (number, END - 60, END)


def ask(serve: Serve, handler: Handler, seconds: float = 60, step: str = "1m", **settings: Any) -> Fetched:
    metrics = [{"query": "up", "step": step}]
    return fetch(PrometheusFetcher(), endpoint(serve(handler), **settings), window(END - seconds, END), metrics=metrics)


async def in_pieces(request: web.Request, *pieces: str) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    with suppress(ConnectionError):  # the client hung up, as some of the tests want
        for piece in pieces:
            await answer.write(piece.encode())
    return answer


def test_a_hundred_thousand_series(serve: Serve) -> None:
    """Past maxSeries the answer is cut, and the gap says how to ask for less."""

    async def many(request: web.Request) -> web.StreamResponse:
        blocks = [",".join(map(series, range(first, first + 1000))) for first in range(0, 100_000, 1000)]
        return await in_pieces(request, HEAD, *(f"{',' if number else ''}{block}" for number, block in enumerate(blocks)), TAIL)

    fetched = ask(serve, many, max_series=5_000)
    assert len(fetched.entries[0]) == 5_000
    assert fetched.entries[0][4_999] == {"metric": {"series": "4999"}, "values": [[END - 60, "1"], [END, "NaN"]]}
    assert reasons(fetched.missing) == ["TooLarge"]
    assert "maxSeries" in fetched.missing[0].message
    assert fetched.documents[0].metadata["infos"] == ["a remark"]


@pytest.mark.parametrize("end", [',{"metric":{"series":"9"},"val', TAIL[:-3]])
def test_json_that_is_cut(serve: Serve, end: str) -> None:
    """A body that ends within its JSON is requested again, and then is a gap. Whole series are kept."""
    asked = []

    async def cut(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return await in_pieces(request, HEAD, series(1), ",", series(2), end)

    fetched = ask(serve, cut)
    assert reasons(fetched.missing) == ["InvalidResponse"]
    assert [entry["metric"]["series"] for entry in fetched.entries[0]][:1] == ["1"]
    assert len(asked) == 2


def test_warnings_and_partial_answers(serve: Serve) -> None:
    """Warnings of Prometheus and Thanos, and the partial answers of VictoriaMetrics, are gaps."""

    async def partial(request: web.Request) -> web.StreamResponse:
        head = HEAD.replace('"success",', '"success","isPartial":true,"warnings":["store\\u001b[31m down"],')
        return await in_pieces(request, head, series(1), TAIL)

    fetched = ask(serve, partial)
    assert reasons(fetched.missing) == ["Unavailable", "Unavailable"]
    assert fetched.documents[0].metadata["warnings"][0] == r"store\x1b[31m down"
    assert "partial" in fetched.missing[1].message
    assert len(fetched.entries[0]) == 1


def test_a_chunk_that_fails_keeps_those_before(serve: Serve) -> None:
    """The window has two chunks. The first is kept, although the second is refused."""
    asked: list[str] = []

    async def second_fails(request: web.Request) -> web.StreamResponse:
        asked.append(request.query["start"])
        if len(asked) > 1:
            return web.json_response({"error": "too many samples"}, status=422)
        return await in_pieces(request, HEAD, series(1), TAIL)

    fetched = ask(serve, second_fails, seconds=15_000, step="1s")
    assert reasons(fetched.missing) == ["Rejected"]
    assert "what was received is kept" in fetched.missing[0].message
    assert len(fetched.entries[0]) == 1


REFUSED = ["169.254.169.254", "fe80::1%eth0", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "224.0.0.1", "100.100.100.200"]


@pytest.mark.parametrize(
    ("address", "refused"), [*((refused, True) for refused in REFUSED), ("10.0.0.1", False), ("::1", False)]
)
def test_addresses_that_are_refused(address: str, refused: bool) -> None:
    """Link-local, multicast and metadata addresses are refused in every spelling; others are not."""
    assert addresses.is_refused(address) is refused


def test_a_name_that_leads_to_a_refused_address(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connected peer's address is checked, whatever its name: a refused one gets no request."""
    asked = []

    async def metadata(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    url = serve(metadata).replace("127.0.0.1", "localhost")
    monkeypatch.setattr(addresses, "METADATA", (ip_network("127.0.0.1"),))
    fetched = fetch(PrometheusFetcher(), endpoint(url), window(END - 60, END), metrics=[{"query": "up"}])
    assert reasons(fetched.missing) == ["Rejected"]
    assert "metadata" in fetched.missing[0].message
    assert asked == []


def test_warnings_without_end(serve: Serve) -> None:
    """Only the first few become gaps. Twenty thousand once did, each compared with all before."""

    async def answer(request: web.Request) -> web.StreamResponse:
        text = json.dumps([f"{request.query['start']} {number}" for number in range(20_000)])
        return await in_pieces(request, f'{HEAD}{series(1)}]}},"warnings":{text},"infos":[{"[" * 150}{"]" * 150}]}}')

    fetched = ask(serve, answer, seconds=3 * 11_000, step="1s")
    assert len(fetched.documents[0].metadata["warnings"]) == 20
    assert len(fetched.missing) == 20


@pytest.mark.parametrize(
    ("limit", "value", "metric"),
    [("MAX_LABELS_BYTES", 1_000, "x" * 90), ("MAX_PARTS", 10, "x")],
    ids=["labels", "parts"],
)
def test_what_a_series_costs_beside_its_samples(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, metric: str
) -> None:
    """Labels and the places of samples are in memory: labels of ten thousand series may take half a GiB."""
    monkeypatch.setattr(series_store, limit, value)

    async def answer(request: web.Request) -> web.StreamResponse:
        all_series = ",".join(series(number).replace('"series"', f'"{metric}"') for number in range(100, 150))
        return await in_pieces(request, HEAD, all_series, TAIL)

    fetched = ask(serve, answer)
    assert len(fetched.entries[0]) == 10
    assert reasons(fetched.missing) == ["TooLarge"]
