"""The client for asyncio: carries out steps without blocking the loop."""

from __future__ import annotations

import asyncio
import functools
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Sequence
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


def _answers(
    build: Callable[Concatenate[Core, P], Program[T]],
) -> Callable[Concatenate[AsyncStemeDB, P], Coroutine[Any, Any, T]]:
    @functools.wraps(build)
    async def method(self: AsyncStemeDB, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(build(self._core, *args, **kwargs))

    return method


def _goes_on(
    build: Callable[Concatenate[Core, P], Stream[T]],
) -> Callable[Concatenate[AsyncStemeDB, P], AsyncGenerator[T]]:
    @functools.wraps(build)
    def method(self: AsyncStemeDB, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T]:
        return self._iterate(build(self._core, *args, **kwargs))

    return method


class AsyncStemeDB:
    """`StemeDB` for asyncio: the same calls, awaited, or iterated over with ``async for``."""

    def __init__(
        self,
        urls: str | Sequence[str] = LOCAL_CLUSTER,
        *,
        api_key: str | None = None,
        deadline: float = 30.0,
        try_timeout: float = 10.0,
        tls: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._core = Core(url_list(urls), api_key, Patience(deadline, try_timeout))
        self._http = httpx.AsyncClient(headers=self._core.headers, verify=tls or True, transport=transport)

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

    def import_lines(
        self, lines: Iterable[Input] | AsyncIterable[Input], *, durability: Durability | None = None
    ) -> AsyncImport:
        """Store any number of records of any kind: as ``StemeDB.import_lines``, from any kind of iterable."""
        summary = Summary()
        return AsyncImport(self._iterate(import_lines(self._core, summary, durability), lines), summary)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncStemeDB:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _run(self, program: Program[T]) -> T:
        driver, outcome = _Driver(self._http), None
        while True:
            try:
                step = program.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            outcome = await driver.carry_out(step)

    async def _iterate(self, stream: Stream[T], given: Iterable[Input] | AsyncIterable[Input] = ()) -> AsyncGenerator[T]:
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
                    outcome = await driver.carry_out(step)
        finally:
            await driver.hang_up()


class AsyncImport:
    """A running import: iterate over its lines, or finish it. ``summary`` counts what is known so far."""

    def __init__(self, lines: AsyncGenerator[Line], summary: Summary) -> None:
        self._lines = lines
        self.summary = summary

    def __aiter__(self) -> AsyncGenerator[Line]:
        return self._lines

    async def finish(self) -> Summary:
        """Send the rest and return the counts."""
        async for _ in self._lines:
            pass
        return self.summary


async def _each(items: Iterable[Input] | AsyncIterable[Input]) -> AsyncIterator[Input]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


class _Driver:
    """Carries out the steps of one program."""

    def __init__(self, http: httpx.AsyncClient, given: Iterable[Input] | AsyncIterable[Input] = ()) -> None:
        self._http = http
        self._input = _each(given)
        self._opened: tuple[str, httpx.Response, AsyncIterator[bytes]] | None = None

    async def carry_out(self, step: Step) -> Any:
        match step:
            case Exchange():
                return await self._exchange(step)
            case Open():
                return await self._open(step)
            case Read():
                return await self._read()
            case Take():
                return await self._take()
            case Pause(seconds):
                return await asyncio.sleep(seconds)
            case Close():
                return await self.hang_up()

    async def hang_up(self) -> None:
        if self._opened is not None:
            await self._opened[1].aclose()
            self._opened = None

    async def _take(self) -> list[Input]:
        async for item in self._input:
            return [item]
        return []

    async def _exchange(self, step: Exchange) -> Reply | Lost:
        ends, response = time.monotonic() + step.timeout, None
        try:
            response = await self._send(step)
            return await self._whole(step, response, ends)
        except httpx.HTTPError as error:
            return broken(step, error)
        finally:
            if response is not None:
                await response.aclose()

    async def _open(self, step: Open) -> Reply | Lost:
        await self.hang_up()
        try:
            response = await self._send(step)
        except httpx.HTTPError as error:
            return broken(step, error)
        if response.is_success:
            self._opened = (step.url, response, response.aiter_bytes())
            return reply_of(step.url, response, b"")
        try:
            return await self._whole(step, response, time.monotonic() + step.timeout)
        except httpx.HTTPError as error:
            return broken(step, error)
        finally:
            await response.aclose()

    async def _read(self) -> bytes | Lost:
        if self._opened is None:
            return b""
        url, _, parts = self._opened
        try:
            async for part in parts:
                return part
        except httpx.HTTPError as error:
            return broken(url, error)
        return b""

    async def _send(self, step: Exchange | Open) -> httpx.Response:
        request = self._http.build_request(
            step.request.method,
            step.url + step.request.path,
            content=step.request.content,
            headers=step.request.headers(),
            timeout=timeouts(step.timeout),
        )
        return await self._http.send(request, stream=True)

    async def _whole(self, step: Exchange | Open, response: httpx.Response, ends: float) -> Reply | Lost:
        body = bytearray()
        async for part in response.aiter_bytes():
            body += part
            if fault := overrun(len(body), time.monotonic() > ends):
                return Lost(step.url, fault)
        return reply_of(step.url, response, bytes(body))
