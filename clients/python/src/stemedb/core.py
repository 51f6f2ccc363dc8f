"""Several gateways, the next one when one does not answer.

What is sent again, and why that is safe: everything. Reads change nothing. A record's id is the hash of its content, so a
second copy of a write is the same record, and this client dates every record before its first try, so that the content does
not change in between. A batch is sent again as a whole; what is there already is ``present``.

When: no connection, no reply in time, a reply that breaks off, 502, 503, 504. The next URL is tried at once. When all have
been tried there is a pause (jittered, doubling, at least what every gateway asked for in Retry-After), then the next turn,
until the deadline. Every other refusal is the answer: each gateway would say the same.

Where: the first URL, until it fails; then the one that answered last. A gateway that hangs costs its timeout once, not at
every call.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from .answers import read_result
from .problems import BadReply, Problem, Unreachable
from .wire import PASSING, Exchange, Lost, Open, Pause, Program, Reply, Request

T = TypeVar("T")

VERSION = "0.1.0"

# The three gateways of `stemedb up`, on the ports that serve the cluster's calls as well.
LOCAL_CLUSTER = ("http://127.0.0.1:18181", "http://127.0.0.1:18281", "http://127.0.0.1:18381")

# Between turns over all gateways: a killed node is noticed and passed over in less than the first, and a cluster that
# starts is not asked too often by the last.
PAUSE_FIRST = 0.1
PAUSE_MAX = 2.0

# A gateway that asks for more than this is answered sooner: another one may have come back.
RETRY_AFTER_MAX = 5.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited. ``try_timeout`` for one gateway, ``deadline`` for a call in all, in seconds."""

    deadline: float = 30.0
    try_timeout: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what cannot be waited for."""
        for name in ("deadline", "try_timeout"):
            seconds = getattr(self, name)
            if not 0 < seconds <= 86_400:
                raise ValueError(f"{name} is {seconds!r}: give seconds, more than 0 and at most a day")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request and how its reply is read. One that goes over everything may use the whole deadline in one try."""

    request: Request
    read: Callable[[Reply], T]
    long: bool = False


class Core:
    """What both clients share: where the gateways are and how requests reach one. Knows no socket."""

    def __init__(
        self,
        urls: Sequence[str],
        api_key: str | None,
        patience: Patience,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        unix_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.urls = [gateway_url(url) for url in urls]
        if not self.urls:
            raise ValueError("no gateway: give URLs such as http://127.0.0.1:18180")
        self.patience = patience
        self.clock = clock
        self.chance = chance
        self.unix_ms = unix_ms
        self.headers = {"user-agent": f"stemedb-python/{VERSION}"}
        if api_key is not None:
            self.headers["x-api-key"] = checked_key(api_key)
        # Threads may both write it; either is right.
        self._first = 0

    def order(self) -> list[str]:
        """Name all gateways, the one that answered last first."""
        first = self._first
        return self.urls[first:] + self.urls[:first]

    def prefer(self, url: str) -> None:
        """Begin with this gateway from now on."""
        self._first = self.urls.index(url)

    def pass_over(self, url: str) -> None:
        """Begin with the one after it from now on."""
        self._first = (self.urls.index(url) + 1) % len(self.urls)

    def deliver(self, call: Call[T]) -> Program[T]:
        """Send a call to one gateway after the other until one takes it, and read what it says."""
        reply = yield from self.turns(lambda url, timeout: Exchange(url, call.request, timeout), call.long)
        return understood(call.read, reply)

    def turns(self, step: Callable[[str, float], Exchange | Open], long: bool = False) -> Program[Reply]:
        """Try gateways in turns until one has an answer, of whatever kind; what none answers raises."""
        ends = self.clock() + self.patience.deadline
        pauses = Pauses(self.chance)
        while True:
            failures = Failures()
            for url in self.order():
                left = ends - self.clock()
                if left <= 0 and failures:
                    break
                # Even a deadline that is over is worth one look at whether somebody listens.
                timeout = max(left if long else min(left, self.patience.try_timeout), 0.05)
                outcome = yield step(url, timeout)
                if isinstance(outcome, Reply) and outcome.status not in PASSING:
                    self.prefer(url)
                    return outcome
                failures.add(outcome)
            pause = max(pauses.next(), failures.asked_for(len(self.urls)))
            if self.clock() + pause >= ends:
                raise failures.as_error()
            yield Pause(pause)


class Pauses:
    """Pauses that double up to a bound, each cut by chance: clients that failed together do not come back together."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._longest = PAUSE_FIRST

    def next(self) -> float:
        """Say how long to wait this time."""
        pause = self._longest * (0.5 + self._chance() / 2)
        self._longest = min(self._longest * 2, PAUSE_MAX)
        return pause


class Failures:
    """The tries of one turn that came to nothing."""

    def __init__(self) -> None:
        self._attempts: list[tuple[str, str]] = []
        self._explained: Reply | None = None
        self._asked_for: list[float] = []

    def __bool__(self) -> bool:
        return bool(self._attempts)

    def add(self, outcome: Reply | Lost) -> None:
        """Note a try."""
        if isinstance(outcome, Lost):
            self._attempts.append((outcome.url, outcome.reason))
            return
        self._attempts.append((outcome.url, str(outcome.problem())))
        self._explained = outcome
        if outcome.retry_after is not None:
            self._asked_for.append(min(outcome.retry_after, RETRY_AFTER_MAX))

    def asked_for(self, gateways: int) -> float:
        """Say how long all gateways want to be left alone; one that said nothing may be back at any moment."""
        return min(self._asked_for) if len(self._asked_for) == gateways else 0.0

    def as_error(self) -> Problem | Unreachable:
        """Say why: a gateway that explained itself is worth more than a list of connections refused."""
        if self._explained is not None:
            return unwrap_batch(self._explained)
        return Unreachable(self._attempts)


def understood(read: Callable[[Reply], T], reply: Reply) -> T:
    """Read a reply, or raise the problem that it is."""
    if not reply.is_success:
        raise unwrap_batch(reply)
    try:
        return read(reply)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise BadReply(f"{reply.url} answers in an unknown form: {error!r} in {reply.body[:200]!r}") from error


def unwrap_batch(reply: Reply) -> Problem:
    """Read a refusal. That of an array may tell of each record; then it is the problem of the first that has one."""
    problem = reply.problem()
    results = problem.members.get("results")
    if not isinstance(results, list):
        return problem
    outcomes = [read_result(result, reply.trace_id) for result in results]
    first = next((outcome for outcome in outcomes if isinstance(outcome, Problem)), problem)
    first.results = outcomes
    return first


def gateway_url(url: str) -> str:
    """Check a URL: `http://host:port`, perhaps with a path before it."""
    text = url.strip()
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
        usable = usable and not (parts.query or parts.fragment)
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{url!r} is no gateway: write http://host:port")
    return text.rstrip("/")


def checked_key(api_key: str) -> str:
    """Check a key, and do not show it."""
    key = api_key.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ValueError("the API key holds characters that no key has")
    return key
