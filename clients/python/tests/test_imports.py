"""Imports on paper: chunks, what is sent again, what is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from conftest import problem

from stemedb import BadReply, Problem, StemeDB, Unreachable
from stemedb.imports import CHUNK_BYTES, CHUNK_LINES


def answers(request: httpx.Request, judge: Callable[[int, dict[str, Any]], dict[str, Any]] | None = None) -> httpx.Response:
    """Answer every line, backwards, as a gateway may."""
    lines = [json.loads(line) for line in request.content.splitlines()]
    said = [
        {"line": place, **(judge(place, line) if judge else {"id": line["subject"], "status": "stored", "copies": 2})}
        for place, line in enumerate(lines, 1)
    ]
    said.reverse()
    return httpx.Response(200, content=b"".join(json.dumps(line).encode() + b"\n" for line in [*said, {"summary": {}}]))


def claims(count: int) -> Iterator[dict[str, Any]]:
    return ({"subject": f"s{place}"} for place in range(1, count + 1))


def test_chunks_are_bounded_and_lines_keep_their_numbers(connect: Callable[..., Any]) -> None:
    sizes = []

    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["content-type"] == "application/x-ndjson"
        assert request.url.path == "/v1/assert/batch"
        sizes.append(len(request.content.splitlines()))
        return answers(request)

    lines, summary = connect(handler).lines(claims(2 * CHUNK_LINES + 1))
    assert sizes == [CHUNK_LINES, CHUNK_LINES, 1]
    assert [line.line for line in lines] == list(range(1, 2 * CHUNK_LINES + 2))
    assert all(line.id == f"s{line.line}" for line in lines)
    assert (summary.lines, summary.stored) == (2 * CHUNK_LINES + 1, 2 * CHUNK_LINES + 1)
    sizes.clear()
    connect(handler).lines({"subject": "s", "note": "x" * (CHUNK_BYTES // 4)} for _ in range(9))
    assert sizes == [4, 4, 1]


def test_what_cannot_be_sent_is_refused_by_itself(connect: Callable[..., Any]) -> None:
    def judge(place: int, line: dict[str, Any]) -> dict[str, Any]:
        if "bad" in line:
            return {"error": {"status": 422, "code": "unknown_field", "path": "bad"}}
        return {"id": "x", "status": "present", "copies": 2}

    given: list[Any] = [{"subject": "a"}, {"n": float("nan")}, "", '{"subject":"b"}\n', {"bad": 1}, 7, {"subject": "\ud800"}]
    lines, summary = connect(lambda request: answers(request, judge)).lines(given, durability="local")
    told = [(line.line, line.status, line.problem and line.problem.code) for line in lines]
    assert told == [
        (1, "present", None),
        (2, "refused", "not_json"),
        (4, "present", None),
        (5, "refused", "unknown_field"),
        (6, "refused", "not_json"),
        (7, "refused", "not_json"),
    ]
    assert (summary.lines, summary.present, summary.refused) == (6, 2, 4)


def test_lines_without_an_answer_are_sent_again_as_they_were(connect: Callable[..., Any]) -> None:
    requests: list[tuple[str, list[bytes]]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        lines = request.content.splitlines()
        requests.append((request.url.host, lines))
        if len(requests) == 1:
            # Line 2 of 3 is answered, half a line more; then the gateway is gone.
            return httpx.Response(200, content=b'{"line":2,"id":"x","status":"stored","copies":2}\n{"line":3,"id":"y","st')
        if len(requests) == 2:
            raise httpx.ConnectError("refused")
        if len(requests) == 3:
            return answers(request, lambda place, line: {"error": {"status": 503, "code": "maybe_stored"}})
        if len(requests) == 4:
            return httpx.Response(200, content=b'{"error":{"status":503,"code":"draining"}}\n{"summary":{}}\n')
        return answers(request)

    lines, summary = connect(handler).lines(claims(3))
    assert [host for host, _ in requests] == ["node1", "node2", "node3", "node1", "node2"]
    first, third = requests[0][1][0], requests[0][1][2]
    assert all(sent == [first, third] for _, sent in requests[1:])
    assert [line.id for line in lines] == ["s1", "x", "s3"]
    assert summary.stored == 3


def test_nobody_there_is_said_after_the_deadline(connect: Callable[..., Any]) -> None:
    def refused(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(Unreachable, match="refused"):
        connect(refused, deadline=0.5).lines(claims(3))
    with pytest.raises(Problem, match="not_ready"):
        connect(lambda request: problem(503, "not_ready"), deadline=0.5).lines(claims(3))


@pytest.mark.parametrize("status", [401, 429])
def test_a_refusal_ends_it(connect: Callable[..., Any], status: int) -> None:
    with pytest.raises(Problem, match="code"):
        connect(lambda request: problem(status, "code")).lines(claims(3))


def test_a_quota_in_the_middle_ends_it(connect: Callable[..., Any]) -> None:
    def judge(place: int, line: dict[str, Any]) -> dict[str, Any]:
        return {"error": {"status": 429, "code": "quota"}}

    with pytest.raises(Problem, match="quota"):
        connect(lambda request: answers(request, judge)).lines(claims(3))


def test_a_stranger_is_named(connect: Callable[..., Any]) -> None:
    with pytest.raises(BadReply, match="unknown form"):
        connect(lambda request: httpx.Response(200, content=b"<html>\n")).lines(claims(3))
    with pytest.raises(BadReply, match="unknown form"):
        connect(lambda request: httpx.Response(200, content=b'{"line":1}\n')).lines(claims(3))


def test_nothing_is_an_import_too(connect: Callable[..., Any]) -> None:
    lines, summary = connect(lambda request: pytest.fail("nothing to send")).lines([])
    assert (lines, summary.lines) == ([], 0)


def test_an_import_can_be_finished_or_left() -> None:
    with StemeDB("http://node1", transport=httpx.MockTransport(answers)) as db:
        assert db.import_lines(claims(5)).finish().stored == 5
        job = db.import_lines(claims(5))
        for line in job:
            assert line.line == 5
            break
        assert job.summary.lines == 1
