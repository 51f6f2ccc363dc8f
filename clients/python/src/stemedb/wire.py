"""What a program asks its driver to do.

Everything that this client knows is written once, as generators that yield steps and are sent what came of them. They touch
no socket and no clock of their own; the two drivers, one for threads and one for asyncio, only carry the steps out.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from .problems import BadReply, Problem

T = TypeVar("T")

# Largest reply that is read into memory: a page of real records is far less.
REPLY_BYTES_MAX = 64 * 1024 * 1024

# Connecting on a network of one region takes milliseconds; a host that is gone must not hold up the next try.
CONNECT_TIMEOUT = 2.0

# They speak of this gateway or this moment, not of the request.
PASSING = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Request:
    """A request, before it is known who takes it."""

    method: str
    path: str
    content: bytes | None = None
    content_type: str = "application/json"
    accept: str = "application/json"

    def headers(self) -> dict[str, str]:
        """Name the forms of body and reply."""
        headers = {"accept": self.accept}
        if self.content is not None:
            headers["content-type"] = self.content_type
        return headers


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply. Of a stream that began well the body is still to come."""

    url: str
    status: int
    body: bytes
    trace_id: str | None = None
    retry_after: float | None = None

    @property
    def is_success(self) -> bool:
        """Whether the request was taken."""
        return 200 <= self.status < 300

    def problem(self) -> Problem:
        """Read a refusal."""
        return Problem.read(self.status, self.body, self.url, self.trace_id)

    def json(self) -> Any:
        """Read the body."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise BadReply(f"{self.url} does not speak JSON: {error}") from error


@dataclass(frozen=True, slots=True)
class Lost:
    """No reply, or none to its end."""

    url: str
    reason: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """Send a request and read the whole reply. Sent back: `Reply` or `Lost`."""

    url: str
    request: Request
    timeout: float


@dataclass(frozen=True, slots=True)
class Open:
    """Send a request and read the head of the reply, and the rest of it only when it is a refusal.

    Sent back: `Reply` or `Lost`. ``timeout`` is how long the stream may be silent.
    """

    url: str
    request: Request
    timeout: float


@dataclass(frozen=True, slots=True)
class Read:
    """Read on. Sent back: bytes, none at the end, or `Lost`."""


@dataclass(frozen=True, slots=True)
class Close:
    """Hang up."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Take:
    """Take the next item of the input. Sent back: a list of it, empty at the end."""


@dataclass(frozen=True, slots=True)
class Emit(Generic[T]):
    """Hand an item to whoever iterates."""

    item: T


Step: TypeAlias = Exchange | Open | Read | Close | Pause | Take
Program: TypeAlias = Generator[Step, Any, T]
"""Ends with a result."""
Stream: TypeAlias = Generator[Step | Emit[T], Any, None]
"""Emits as it goes on."""
