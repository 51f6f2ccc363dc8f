"""What goes wrong, as exceptions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


class StemeDBError(Exception):
    """Whatever this package raises because of a cluster. Wrong arguments are ``ValueError`` and ``TypeError``."""


class Problem(StemeDBError):  # noqa: N818 - RFC 9457 calls it a problem
    """A gateway refused a request and said why (RFC 9457).

    ``code`` is stable and for programs. ``path`` names the field or parameter, ``limit`` what was exceeded,
    ``next_step`` what to do. ``members`` is the whole object as it came; the problem of a write that may be stored has
    ``id`` in it.
    """

    def __init__(self, status: int, members: Mapping[str, Any], url: str = "", trace_id: str | None = None) -> None:
        super().__init__(status, members, url, trace_id)
        self.status = status
        self.members = members
        self.url = url
        self.trace_id = trace_id
        self.code: str = str(members.get("code") or f"http_{status}")
        self.detail: str = str(members.get("detail") or members.get("title") or "refused without a word")
        self.path: str | None = _text(members.get("path"))
        self.limit: int | None = _whole(members.get("limit"))
        self.next_step: str | None = _text(members.get("next_step"))
        self.results: Sequence[Any] = ()
        """Of a batch that was not confirmed as a whole: what became of each record, ``Written`` or ``Problem``."""

    @classmethod
    def read(cls, status: int, body: bytes, url: str = "", trace_id: str | None = None) -> Problem:
        """Read a refusal; one that is no JSON object came from something between us and a gateway."""
        try:
            members = json.loads(body)
        except ValueError:
            members = None
        if not isinstance(members, dict):
            members = {"detail": f"no problem+json: {body[:200].decode('utf-8', 'replace')!r}"}
        return cls(status, members, url, trace_id)

    def __str__(self) -> str:
        at = f" at {self.path}" if self.path else ""
        next_step = f" → {self.next_step}" if self.next_step else ""
        return f"{self.status} {self.code}{at}: {self.detail}{next_step}"


class Unreachable(StemeDBError):  # noqa: N818 - says what the cluster is
    """No gateway answered within the deadline. ``attempts`` are the last ones: URL and reason."""

    def __init__(self, attempts: Sequence[tuple[str, str]]) -> None:
        super().__init__(attempts)
        self.attempts = tuple(attempts)

    def __str__(self) -> str:
        tries = "; ".join(f"{url}: {reason}" for url, reason in self.attempts)
        return f"no gateway answers: {tries or 'the deadline left no time to try'}"


class BadReply(StemeDBError):  # noqa: N818 - says what the reply is
    """Something answered, but not as a gateway of this version does."""


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
