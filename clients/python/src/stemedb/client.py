"""The client for threads: carries out steps with blocking calls."""

from __future__ import annotations

import functools
import itertools
import ssl
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx

from . import calls, lists, standing, streams
from .answers import Line, Summary
from .calls import Durability
from .core import LOCAL_CLUSTER, Core, Patience
from .imports import Input, import_lines
from .transfer import broken, overrun, reply_of, timeouts, url_list
from .wire import Close, Emit, Exchange, Lost, Open, Pause, Program, Read, Reply, Step, Stream, Take

P = ParamSpec("P")
T = TypeVar("T")


def _answers(build: Callable[Concatenate[Core, P], Program[T]]) -> Callable[Concatenate[StemeDB, P], T]:
    @functools.wraps(build)
    def method(self: StemeDB, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(build(self._core, *args, **kwargs))

    return method


def _goes_on(build: Callable[Concatenate[Core, P], Stream[T]]) -> Callable[Concatenate[StemeDB, P], Generator[T]]:
    @functools.wraps(build)
    def method(self: StemeDB, /, *args: P.args, **kwargs: P.kwargs) -> Generator[T]:
        return self._iterate(build(self._core, *args, **kwargs))

    return method


class StemeDB:
    """A client of one cluster, for any number of threads.

    ``urls``: one gateway or several, tried in order; left out, the three nodes of ``stemedb up``. ``deadline``: seconds
    for a call in all, with everything that is sent again; ``try_timeout``: for one gateway to answer. ``tls``: whom to
    trust, for https. ``transport``: for tests.
    """

    def __init__(
        self,
        urls: str | Sequence[str] = LOCAL_CLUSTER,
        *,
        api_key: str | None = None,
        deadline: float = 30.0,
        try_timeout: float = 10.0,
        tls: ssl.SSLContext | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._core = Core(url_list(urls), api_key, Patience(deadline, try_timeout))
        self._http = httpx.Client(headers=self._core.headers, verify=tls or True, transport=transport)

    assert_claim = _answers(calls.assert_claim)
    assert_many = _answers(calls.assert_many)
    vote = _answers(calls.vote)
    epoch = _answers(calls.epoch)
    source = _answers(standing.describe)
    retract = _answers(standing.retract)
    restore = _answers(standing.restore)
    query = _answers(calls.query)
    query_many = _answers(calls.query_many)
    skeptic = _answers(calls.skeptic)
    layered = _answers(calls.layered)
    page = _answers(calls.page)
    records = _goes_on(streams.records)
    record = _answers(calls.record)
    replicas = _answers(calls.replicas)
    trace = _answers(calls.trace)
    subjects = _goes_on(streams.subjects)
    epochs = _goes_on(lists.epochs)
    sources = _goes_on(lists.sources)
    votes = _goes_on(lists.votes)
    predicates = _goes_on(lists.predicates)
    find = _goes_on(lists.find)
    feed = _goes_on(streams.feed)
    members = _answers(calls.members)
    verify = _answers(calls.verify)
    health = _answers(calls.health)

    def import_lines(self, lines: Iterable[Input], *, durability: Durability | None = None) -> Import:
        """Store any number of records of any kind: mappings (see ``claim``), or lines of JSON.

        Iterate over what is returned to learn what becomes of each line, in the order in which that is known; or call its
        ``finish``. Nothing is sent before.
        """
        summary = Summary()
        return Import(self._iterate(import_lines(self._core, summary, durability), lines), summary)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> StemeDB:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _run(self, program: Program[T]) -> T:
        driver, outcome = _Driver(self._http), None
        while True:
            try:
                step = program.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            outcome = driver.carry_out(step)

    def _iterate(self, stream: Stream[T], given: Iterable[Input] = ()) -> Generator[T]:
        driver, outcome = _Driver(self._http, given), None
        try:
            while True:
                try:
                    step = stream.send(outcome)
                except StopIteration:
                    return
                if isinstance(step, Emit):
                    yield step.item
                    outcome = None
                else:
                    outcome = driver.carry_out(step)
        finally:
            driver.hang_up()


class Import:
    """A running import: iterate over its lines, or finish it. ``summary`` counts what is known so far."""

    def __init__(self, lines: Generator[Line], summary: Summary) -> None:
        self._lines = lines
        self.summary = summary

    def __iter__(self) -> Generator[Line]:
        return self._lines

    def finish(self) -> Summary:
        """Send the rest and return the counts."""
        for _ in self._lines:
            pass
        return self.summary


class _Driver:
    """Carries out the steps of one program."""

    def __init__(self, http: httpx.Client, given: Iterable[Input] = ()) -> None:
        self._http = http
        self._input = iter(given)
        self._opened: tuple[str, httpx.Response, Iterator[bytes]] | None = None

    def carry_out(self, step: Step) -> Any:
        match step:
            case Exchange():
                return self._exchange(step)
            case Open():
                return self._open(step)
            case Read():
                return self._read()
            case Take():
                return list(itertools.islice(self._input, 1))
            case Pause(seconds):
                return time.sleep(seconds)
            case Close():
                return self.hang_up()

    def hang_up(self) -> None:
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None

    def _exchange(self, step: Exchange) -> Reply | Lost:
        ends, response = time.monotonic() + step.timeout, None
        try:
            response = self._send(step)
            return self._whole(step, response, ends)
        except httpx.HTTPError as error:
            return broken(step, error)
        finally:
            if response is not None:
                response.close()

    def _open(self, step: Open) -> Reply | Lost:
        self.hang_up()
        try:
            response = self._send(step)
        except httpx.HTTPError as error:
            return broken(step, error)
        if response.is_success:
            self._opened = (step.url, response, response.iter_bytes())
            return reply_of(step.url, response, b"")
        try:
            return self._whole(step, response, time.monotonic() + step.timeout)
        except httpx.HTTPError as error:
            return broken(step, error)
        finally:
            response.close()

    def _read(self) -> bytes | Lost:
        if self._opened is None:
            return b""
        url, _, parts = self._opened
        try:
            return next(parts, b"")
        except httpx.HTTPError as error:
            return broken(url, error)

    def _send(self, step: Exchange | Open) -> httpx.Response:
        request = self._http.build_request(
            step.request.method,
            step.url + step.request.path,
            content=step.request.content,
            headers=step.request.headers(),
            timeout=timeouts(step.timeout),
        )
        return self._http.send(request, stream=True)

    def _whole(self, step: Exchange | Open, response: httpx.Response, ends: float) -> Reply | Lost:
        body = bytearray()
        for part in response.iter_bytes():
            body += part
            if fault := overrun(len(body), time.monotonic() > ends):
                return Lost(step.url, fault)
        return reply_of(step.url, response, bytes(body))
