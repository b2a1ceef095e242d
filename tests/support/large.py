"""Queries one kind of source in its own process, and prints its peak memory in MB: KIND URL DIRECTORY."""

import sys
from pathlib import Path
from typing import Any

from aletheia_operator.api.source_types.jaeger import JaegerOptions
from aletheia_operator.fetchers import FETCHERS, RemoteFetcher
from tests.benchmarks.capturing import capture, peak_mb
from tests.support.fetching import endpoint, reasons, window

END = 1_763_000_000
SPECS: dict[str, dict[str, Any]] = {
    "prometheus": {"metrics": [{"query": "up", "step": "1m"}]},
    "jaeger-v1": {"traces": [{"service": "shop", "limit": 1400}]},
    "jaeger-v3": {"traces": [{"service": "shop", "limit": 1400}]},
    "loki": {"queries": [{"type": "loki", "query": '{a="b"}'}]},
}


def main(kind: str, url: str, directory: str) -> None:
    source_type, _, api = kind.partition("-")
    (fetcher,) = [fetcher for fetcher in FETCHERS if isinstance(fetcher, RemoteFetcher) and fetcher.source_type == source_type]
    asked = endpoint(url, timeout_seconds=300, options=JaegerOptions.from_json({"api": api}) if api else None)
    fetched = capture(fetcher, asked, window(END - 60, END), Path(directory), **SPECS[kind])
    assert reasons(fetched.missing) == [], fetched.missing
    print(peak_mb())


if __name__ == "__main__":
    main(*sys.argv[1:])
