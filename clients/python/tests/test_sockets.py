"""What only real connections can do: stall, break off, answer slowly, be left by a task that was cancelled."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import until
from test_calls import CLAIM, META

from stemedb import AsyncStemeDB, StemeDB, Unreachable, streams

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
HANG = b""


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


def event(token: str) -> bytes:
    record = {**CLAIM, "id": f"{token:0>64}"}
    return chunk(f"id: {token}\ndata: {json.dumps({'record': record, 'shard': 1})}\n\n".encode())


def whole(body: object) -> bytes:
    content = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(content), content)


class Gateway:
    """Says its parts, one after the other with a pause between, to each connection; `HANG` keeps it open without a word."""

    def __init__(self, parts: list[bytes], pause: float = 0.0) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[bytes] = []
        self.sent: list[int] = []
        self.closed = threading.Event()
        self._over = threading.Event()
        self._parts, self._pause = parts, pause
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        sent = 0
        with connection:
            try:
                self.requests.append(connection.recv(65_536))
                for part in self._parts:
                    if part == HANG:
                        connection.recv(1)
                        self.closed.set()
                        return
                    connection.sendall(part)
                    sent += len(part)
                    self._over.wait(self._pause)
            except OSError:
                self.closed.set()
            finally:
                self.sent.append(sent)

    def end(self) -> None:
        self._over.set()
        self._listener.close()


@contextmanager
def gateways(*parts: list[bytes], pause: float = 0.0) -> Iterator[list[Gateway]]:
    opened = [Gateway(said, pause) for said in parts]
    try:
        yield opened
    finally:
        for gateway in opened:
            gateway.end()


def test_a_feed_that_stalls_goes_on_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "FEED_SILENCE", 3.0)
    stalling = [HEAD, chunk(b": \n\n"), event("t1"), HANG]
    with gateways(stalling, [HANG], [HEAD, event("t2"), chunk(b"id: t3\nda")]) as (first, second, third):
        with StemeDB([first.url, second.url, third.url]) as db:
            feed = db.feed()
            assert [next(feed).token, next(feed).token] == ["t1", "t2"]
            feed.close()
        assert b"from=now" in first.requests[0]
        assert b"from=t1" in second.requests[0]
        assert b"from=t1" in third.requests[0]
        until(first.closed.is_set, "the stalled connection is closed")


def test_signs_of_life_keep_a_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "FEED_SILENCE", 3.0)
    parts = [HEAD, *[chunk(b": \n")] * 8, event("t1"), HANG]
    with gateways(parts, pause=0.4) as (only,), StemeDB(only.url) as db:
        feed = db.feed()
        assert next(feed).token == "t1"
        feed.close()
        assert len(only.requests) == 1


def test_a_quiet_feed_ends() -> None:
    with gateways([HEAD, event("t1"), HANG]) as (only,), StemeDB(only.url) as db:
        began = time.monotonic()
        assert [found.token for found in db.feed(quiet=3.0)] == ["t1"]
        assert 3.0 <= time.monotonic() - began < streams.FEED_SILENCE


def test_a_reply_that_drips_ends_in_time() -> None:
    # It would take 50 s.
    dripping = [b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", *[b" "] * 1000]
    with gateways(dripping, pause=0.05) as (only,), StemeDB(only.url, deadline=3.0, try_timeout=3.0) as db:
        began = time.monotonic()
        with pytest.raises(Unreachable, match="did not end in time"):
            db.record("0" * 64)
        assert time.monotonic() - began < 30


def test_a_reply_that_breaks_off_is_asked_for_again() -> None:
    answer = whole({"result": CLAIM, "meta": META})
    with gateways([answer[:-10]], [answer]) as (broken, good), StemeDB([broken.url, good.url]) as db:
        assert db.record("0" * 64).record.json == CLAIM


def test_an_endless_reply_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stemedb.transfer.REPLY_BYTES_MAX", 1_000_000)
    endless = [HEAD, *[chunk(b"x" * 100_000)] * 1_000, HANG]
    with gateways(endless) as (only,), StemeDB(only.url, deadline=2.0) as db:
        # It is tried again, at last with so little time left that either bound may come first.
        with pytest.raises(Unreachable, match=r"more than|in time|timed out"):
            db.record("0" * 64)
        until(lambda: len(only.sent) == len(only.requests), "the connections are closed")
        assert only.closed.is_set()
        # What lies between the two beside what was read: some megabytes of the hundred.
        assert max(only.sent) < 20_000_000


def test_a_cancelled_task_hangs_up() -> None:
    async def follow(gateway: Gateway) -> list[str]:
        tokens = []
        async with AsyncStemeDB(gateway.url) as db:

            async def take() -> None:
                async for found in db.feed():
                    tokens.append(found.token)

            taking = asyncio.create_task(take())
            await asyncio.to_thread(until, lambda: bool(tokens), "the first event")
            taking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await taking
            # Before the client is closed: the pool has nothing left in use.
            await asyncio.to_thread(until, gateway.closed.is_set, "hung up")
        return tokens

    with gateways([HEAD, event("t1"), HANG]) as (only,):
        assert asyncio.run(follow(only)) == ["t1"]
