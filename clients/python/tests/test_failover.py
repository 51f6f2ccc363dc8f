"""A node dies, hangs, comes back, while claims are written: nothing acknowledged is lost, and no call fails."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import Cluster, until

from stemedb import AsyncStemeDB, StemeDB, Written, claim


@pytest.fixture
def whole(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, mended afterwards."""
    yield cluster
    for node in ("node1", "node2"):
        cluster.local("resume", node)
        cluster.local("start", node)
    with StemeDB(cluster.urls) as db:
        until(lambda: all(member.status == "UP" for member in db.members().members), "all members up")
        until(lambda: db.verify().equal, "equal")


def write_while(cluster: Cluster, happening: Callable[[], None], **settings: Any) -> tuple[str, list[Written], float]:
    """Write from four threads through a client that begins with node2, until it has happened and a while on."""
    subject = f"test:{uuid.uuid4()}"
    urls = [cluster.urls[1], cluster.urls[0], cluster.urls[2]]
    over, written, slowest = threading.Event(), [], [0.0]

    def write(db: StemeDB, writer: int) -> None:
        n = 0
        while not over.is_set():
            began = time.monotonic()
            written.append(db.assert_claim(subject, f"writer{writer}", n, source="u", source_class="expert"))
            slowest[0] = max(slowest[0], time.monotonic() - began)
            n += 1

    with StemeDB(urls, **settings) as db, ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, db, writer) for writer in range(4)]
        until(lambda: len(written) >= 100, "writes before")
        happening()
        enough = len(written) + 200
        until(lambda: len(written) >= enough or any(writer.done() for writer in writers), "writes after")
        over.set()
        for writer in writers:
            writer.result()
    return subject, written, slowest[0]


async def write_in_tasks(cluster: Cluster, happening: Callable[[], None]) -> tuple[str, list[Written]]:
    """The same with tasks of one loop."""
    subject, written, over = f"test:{uuid.uuid4()}", list[Written](), asyncio.Event()

    async def write(db: AsyncStemeDB, writer: int) -> None:
        for n in itertools.count():
            if over.is_set():
                return
            fields = {"source": "u", "source_class": "expert"}
            written.append(await db.assert_claim(subject, f"writer{writer}", n, **fields))  # type: ignore[arg-type]

    async with AsyncStemeDB([cluster.urls[1], cluster.urls[0], cluster.urls[2]]) as db:
        writers = [asyncio.create_task(write(db, writer)) for writer in range(8)]
        await asyncio.to_thread(until, lambda: len(written) >= 100, "writes before")
        await asyncio.to_thread(happening)
        enough = len(written) + 200
        await asyncio.to_thread(until, lambda: len(written) >= enough or any(w.done() for w in writers), "writes after")
        over.set()
        await asyncio.gather(*writers)
    return subject, written


def all_there(cluster: Cluster, subject: str, written: list[Written]) -> None:
    acknowledged = {record.id for record in written if record.acknowledged}
    with StemeDB(cluster.urls) as db:
        until(lambda: acknowledged <= ids_of(db, subject), "all that was acknowledged is there")


def ids_of(db: StemeDB, subject: str) -> set[str]:
    return {record.id for record in db.records(subject, page_size=1_000)}


def test_a_node_is_killed_during_writes(whole: Cluster) -> None:
    # What it shows: no call raises.
    subject, written, slowest = write_while(whole, lambda: whole.local("kill", "node2"))
    print(f"{len(written)} writes, the slowest took {slowest:.2f} s")
    # With the node away all of it is there, and again when it is back.
    all_there(whole, subject, written)
    whole.local("start", "node2")
    with StemeDB(whole.urls) as db:
        until(lambda: db.verify().equal, "equal")
    all_there(whole, subject, written)


def test_a_node_is_killed_while_tasks_write(whole: Cluster) -> None:
    subject, written = asyncio.run(write_in_tasks(whole, lambda: whole.local("kill", "node2")))
    all_there(whole, subject, written)


def test_a_gateway_hangs_during_writes(whole: Cluster) -> None:
    # If it cost its timeout more than once for each thread, the two hundred writes after it would not come in their time.
    subject, written, slowest = write_while(whole, lambda: whole.local("pause", "node2/gateway"), try_timeout=3.0)
    print(f"{len(written)} writes, the slowest took {slowest:.2f} s")
    assert slowest >= 3.0, "it cost its timeout"
    all_there(whole, subject, written)
    whole.local("resume", "node2/gateway")


def test_a_node_is_killed_during_an_import(whole: Cluster) -> None:
    subject = f"test:{uuid.uuid4()}"
    killer = threading.Thread(target=whole.local, args=("kill", "node2"))

    def given() -> Iterator[dict[str, Any]]:
        for n in range(12_000):
            if n == 4_000:
                killer.start()
            yield claim(subject, "p", n, source="u", source_class="expert")

    with StemeDB([whole.urls[1], whole.urls[2], whole.urls[0]]) as db:
        lines = list(db.import_lines(given()))
    killer.join(30)
    assert sorted(line.line for line in lines) == list(range(1, 12_001)), "each line is answered exactly once"
    assert {line.status for line in lines} <= {"stored", "present", "accepted"}
    with StemeDB(whole.urls) as db:
        until(lambda: ids_of(db, subject) == {line.id for line in lines}, "all of it is there, and nothing else")


def test_reads_go_on_without_a_node(whole: Cluster) -> None:
    with StemeDB([whole.urls[1], whole.urls[0]]) as db:
        written = db.assert_claim("test:reads", "p", 1, source="u", source_class="expert")
        whole.local("kill", "node2")
        answer = db.query("test:reads", "p", lens="recency", include=[written.id])
        assert answer.winner is not None
        assert answer.winner.id == written.id
        until(lambda: {m.id: m.status for m in db.members().members}["node2"] == "DOWN", "node2 is DOWN")
        until(lambda: [health.ready for health in db.health()] == [False, True], "one is ready")
