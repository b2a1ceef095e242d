"""Follows the pages of a list of the Kubernetes API: continue tokens that expire, and pages that are too large. Pure.

https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
"""

from collections.abc import Mapping
from typing import Any

from aletheia_operator.api.reasons import GapReason
from aletheia_operator.clients.errors import EXPIRED, SourceError, Unavailable

PAGE_SIZE = 250
MAX_RESTARTS = 5
"""Restarts of a list after its continue token expired."""


class Pages:
    """The state of one list: `query` is that of the next page."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self.query: dict[str, str] = {"limit": str(PAGE_SIZE), **query}
        self.over = False
        """Whether there is no next page."""
        self._restarts = 0
        self._known = set[tuple[str, str, str]]()

    def take(self, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the items of a page that were not on an earlier one, and turn to the next page.

        Raises Unavailable if the answer is no list, or if its continue token is that of this page: the list would not end.
        """
        items = answer.get("items", ())
        token = (answer.get("metadata") or {}).get("continue")
        if not isinstance(items, list | None) or (token and token == self.query.get("continue")):
            raise Unavailable("the Kubernetes API's answer is not a list, or does not go on", GapReason.INVALID_RESPONSE)
        items = items or []
        keys = [_key(item) for item in items]
        if self._restarts:
            items = [item for item, key in zip(items, keys, strict=True) if key not in self._known]
        self._known.update(keys)
        self.over = not token
        self.query["continue"] = token or ""
        return list(items)

    def retry(self, error: SourceError) -> None:
        """Change the query after an error: half of a page that is too large, the first page if a token expired.

        Raises `error` if there is nothing to change.
        """
        limit = int(self.query["limit"])
        if error.reason is GapReason.TOO_LARGE and limit > 1:
            self.query["limit"] = str(limit // 2)
        elif error.status in EXPIRED and self.query.pop("continue", "") and self._restarts < MAX_RESTARTS:
            self._restarts += 1
        else:
            raise error


def _key(item: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what identifies an object of a collection: namespace, name and uid."""
    metadata = item.get("metadata") or {}
    return str(metadata.get("namespace")), str(metadata.get("name")), str(metadata.get("uid"))
