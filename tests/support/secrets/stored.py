"""The corpus in tests/data/secrets. A mark breaks each secret, so that no scanner takes it for a real one."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.support.secrets.making import Case

FOLDER = Path(__file__).parents[2] / "data" / "secrets"
MARK = "¦"


def broken(text: str, secrets: list[str]) -> str:
    """Return a text with a mark in each secret, and in the first line of a private key."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, secret[:2] + MARK + secret[2:])
    return text.replace("-----BEGIN", f"-----BE{MARK}GIN")


def write(path: Path, cases: Iterable[Case]) -> None:
    """Write cases, one JSON document a line."""
    with path.open("w", encoding="utf-8") as file:
        for kind, text, secrets in cases:
            document = {
                "kind": kind,
                "text": broken(text, secrets),
                "secrets": [broken(secret, [secret]) for secret in secrets],
            }
            file.write(json.dumps(document, ensure_ascii=False) + "\n")


def read(name: str) -> Iterator[Case]:
    """Read cases of a file of the corpus."""
    for line in (FOLDER / f"{name}.ndjson").read_text(encoding="utf-8").splitlines():
        document = json.loads(line.replace(MARK, ""))
        yield document["kind"], document["text"], document["secrets"]


def read_lookalikes(name: str) -> list[str]:
    """Read look-alikes; each may have several lines."""
    return [
        json.loads(line.replace(MARK, ""))
        for line in (FOLDER / f"{name}.ndjson").read_text(encoding="utf-8").split("\n")
        if line
    ]


def write_lookalikes(path: Path, lines: Iterable[str]) -> None:
    """Write look-alikes, one JSON string a line."""
    path.write_text("".join(json.dumps(broken(line, []), ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
