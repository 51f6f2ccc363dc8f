"""Bytes cut anywhere give the same lines and events."""

from __future__ import annotations

import pytest

from stemedb import BadReply
from stemedb.lines import LINE_BYTES_MAX, EventReader, LineReader, ServerEvent

STREAM = (
    b": here\n\n"
    b"id: 7\n\n"
    b'id: 8\r\ndata: {"a":\r\ndata: "\xc3\xa9"}\r\n\r\n'
    b": \n"
    b"event: problem\ndata:{}\nid: 9\nretry: 5\n\n"
    b"id: 10\ndata: cut off"
)
EVENTS = [ServerEvent("8", "message", '{"a":\n"é"}'), ServerEvent("9", "problem", "{}")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_do_not_depend_on_the_parts(size: int) -> None:
    reader = EventReader()
    events = []
    for start in range(0, len(STREAM), size):
        events += reader.feed(STREAM[start : start + size])
    assert events == EVENTS
    assert reader.token == "9", "an event that was cut off does not count"


def test_a_token_without_an_event_counts() -> None:
    reader = EventReader()
    assert reader.feed(b"id: start-token\n\n") == []
    assert reader.token == "start-token"


def test_a_line_without_end_is_refused() -> None:
    reader = LineReader()
    assert reader.feed(b"x" * LINE_BYTES_MAX) == []
    with pytest.raises(BadReply, match="more than"):
        reader.feed(b"x")
