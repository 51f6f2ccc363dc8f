"""The cluster that run.sh started, both clients behind one face, and gateways made of paper."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from stemedb import AsyncStemeDB, StemeDB

Handler = Callable[[httpx.Request], httpx.Response]

URLS = ["http://node1:18180", "http://node2:18180", "http://node3:18180"]


def until(true: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Poll a condition."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not in {seconds} s"
        time.sleep(0.1)


class Cluster:
    """What run.sh started."""

    def __init__(self) -> None:
        self.urls = os.environ["STEMEDB_URL"].split(",")
        self.program = os.environ["PROGRAM"]
        self.directory = os.environ["CLUSTER"]

    def local(self, order: str, node: str) -> None:
        """kill, start, pause, resume."""
        command = [self.program, "local", order, node, "--data-dir", self.directory]
        subprocess.run(command, check=True, capture_output=True, timeout=90)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """Three real nodes, whole when the tests begin: a new cluster compares itself first."""
    if "STEMEDB_URL" not in os.environ:
        pytest.fail("no cluster: run tests/run.sh", pytrace=False)
    cluster = Cluster()
    with StemeDB(cluster.urls) as db:
        until(lambda: db.query("nobody", "nothing", lens="recency").meta.complete, "complete")
    return cluster


@pytest.fixture(scope="session")
def urls(cluster: Cluster) -> list[str]:
    """The cluster's gateways."""
    return cluster.urls


class Face:
    """One of the clients, awaited and listed, so that a test reads the same for both."""

    def __init__(self, kind: str, urls: list[str], handler: Handler | None, **settings: Any) -> None:
        self._loop = asyncio.new_event_loop() if kind == "async" else None
        if handler is not None:
            settings["transport"] = httpx.MockTransport(handler)
        self.db: Any = (AsyncStemeDB if self._loop else StemeDB)(urls, **settings)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.db, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            if self._loop is None:
                return list(result) if inspect.isgenerator(result) else result
            if inspect.isasyncgen(result):
                return self._loop.run_until_complete(_listed(result))
            return self._loop.run_until_complete(result) if inspect.iscoroutine(result) else result

        return call

    def lines(self, *args: Any, **kwargs: Any) -> tuple[list[Any], Any]:
        """Run an import: its lines in order, and its summary."""
        job = self.db.import_lines(*args, **kwargs)
        lines = self._loop.run_until_complete(_listed(job)) if self._loop else list(job)
        return sorted(lines, key=lambda line: line.line), job.summary

    def end(self) -> None:
        if self._loop is None:
            self.db.close()
            return
        self._loop.run_until_complete(self.db.aclose())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


async def _listed(items: Any) -> list[Any]:
    return [item async for item in items]


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Face]]:
    """Makes clients: ``connect(handler)`` on paper, ``connect(urls=…)`` for real."""
    faces: list[Face] = []

    def make(handler: Handler | None = None, urls: list[str] = URLS, **settings: Any) -> Face:
        faces.append(Face(request.param, urls, handler, **settings))
        return faces[-1]

    yield make
    for face in faces:
        face.end()


def reply(status: int, body: Any, **headers: str) -> httpx.Response:
    """A JSON reply."""
    return httpx.Response(status, content=json.dumps(body).encode(), headers={"x-trace-id": "ab" * 16, **headers})


def problem(status: int, code: str, **members: Any) -> httpx.Response:
    """A refusal."""
    body = {"status": status, "code": code, "detail": f"because of {code}", "next_step": "do better", **members}
    return reply(status, body)
