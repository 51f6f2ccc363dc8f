"""The feed on paper: events, tokens, going on elsewhere."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from stemedb import BadReply, Problem, StemeDB, streams

from test_calls import CLAIM, ID, VOTE  # isort: skip


OTHER = {**CLAIM, "id": "f" * 64}


def event(token: str, record: Any, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}id: {token}\ndata: {json.dumps({'record': record, 'shard': 7} if not name else record)}\n\n".encode()


def hosts_and_tokens(requests: list[httpx.Request]) -> list[tuple[str, str]]:
    return [(request.url.host, request.url.params["from"]) for request in requests]


def test_events_come_with_their_tokens(connect: Callable[..., Any]) -> None:
    requests: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        vote = {**VOTE, "id": OTHER["id"]}
        return httpx.Response(200, content=b": here\n\n" + event("t1", CLAIM) + b": \n\n" + event("t2", vote))

    db = connect(handler)
    _still(db)
    events = db.feed("start", kind="vote", subject="a b", subject_prefix="x", predicate="p", source="u", quiet=1)
    assert [(found.token, found.record.kind, found.shard) for found in events] == [("t1", "assertion", 7), ("t2", "vote", 7)]
    params = dict(requests[0].url.params)
    assert params == {
        "from": "start",
        "kind": "vote",
        "subject": "a b",
        "subject_prefix": "x",
        "predicate": "p",
        "source": "u",
    }
    assert requests[0].headers["accept"] == "text/event-stream"


def _still(face: Any) -> None:
    """Let the client's clock say that the feed is quiet from the fourth look on."""
    ticks = itertools.chain([0.0, 0.0, 0.0, 0.0, 0.0], itertools.repeat(math.inf))
    face.db._core.clock = lambda: next(ticks)


def test_it_goes_on_at_the_next_gateway_from_the_last_token() -> None:
    requests: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        match len(requests):
            case 1:
                return httpx.Response(200, content=event("t1", CLAIM) + b"id: t2\ndata: {")
            case 2:
                raise httpx.ConnectError("refused")
            case 3:
                return httpx.Response(200, content=b"id: t5\n\n")
            case 4:
                return httpx.Response(200, content=event("t6", {"status": 503, "code": "draining"}, "problem"))
            case _:
                return httpx.Response(200, content=event("t7", CLAIM) + event("t8", OTHER))

    with StemeDB(["http://a", "http://b", "http://c"], transport=httpx.MockTransport(handler)) as db:
        feed = db.feed()
        tokens = [next(feed).token, next(feed).token]
        feed.close()
    assert tokens == ["t1", "t8"], "what the last gateway repeats is passed over"
    assert hosts_and_tokens(requests) == [("a", "now"), ("b", "t1"), ("c", "t1"), ("a", "t5"), ("b", "t6")]


def test_the_window_of_what_was_given_out_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SHOWN_MAX", 2)
    shown = streams._Shown()
    assert [shown.note(record) for record in "abbcab"] == [True, True, False, True, True, True]


def test_refusals_are_raised(connect: Callable[..., Any]) -> None:
    refused = event("", {"status": 403, "code": "revoked"}, "problem")
    with pytest.raises(Problem, match="revoked"):
        connect(lambda request: httpx.Response(200, content=refused)).feed()
    with pytest.raises(BadReply, match="unknown form"):
        connect(lambda request: httpx.Response(200, content=b"data: {}\n\n")).feed()
    with pytest.raises(ValueError, match="quiet"):
        connect(lambda request: httpx.Response(200)).feed(quiet=0)


def test_events_of_later_versions_are_passed_over() -> None:
    content = event("t1", {"x": 1}, "weather") + event("t2", {**CLAIM, "kind": "later"})
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=content))
    with StemeDB("http://a", transport=transport) as db:
        found = next(db.feed())
    assert (found.token, found.record.kind, found.record.id) == ("t2", "later", ID)
