"""What is sent, and what is refused before it is."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from stemedb import Assertion, Epoch, Reference, Signature, SourceRecord, Vote, claim
from stemedb.imports import to_line
from stemedb.records import encode, read_record, stamped

COMMON = {"id": "ab" * 32, "v": 1}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (373.15, {"type": "number", "value": 373.15}),
        (7, {"type": "number", "value": 7}),
        ("steam", {"type": "text", "value": "steam"}),
        (True, {"type": "boolean", "value": True}),
        (Reference("cas:64-17-5"), {"type": "reference", "value": "cas:64-17-5"}),
        ({"type": "number", "value": 1}, {"type": "number", "value": 1}),
    ],
)
def test_values_are_written_by_their_type(value: Any, written: dict[str, Any]) -> None:
    assert claim("s", "p", value, source="u", source_class="expert")["object"] == written


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        claim("s", "p", bad, source="u", source_class="expert")
    with pytest.raises(ValueError, match="finite"):
        claim("s", "p", 1, source="u", source_class="expert", confidence=bad)
    with pytest.raises(ValueError, match="JSON"):
        encode({"value": [{"deep": bad}]})


def test_what_is_no_value_is_refused() -> None:
    with pytest.raises(TypeError, match="give a number"):
        claim("s", "p", None, source="u", source_class="expert")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="surrogates"):
        encode("\ud800")


def test_only_given_fields_are_sent() -> None:
    assert claim("s", "p", "v", source="u", source_class="expert") == {
        "subject": "s",
        "predicate": "p",
        "object": {"type": "text", "value": "v"},
        "source": {"uri": "u", "class": "expert"},
    }


@pytest.mark.parametrize(
    ("record", "dated"),
    [
        ({}, "asserted_at"),
        ({"kind": "vote"}, "voted_at"),
        ({"kind": "epoch"}, "started_at"),
        ({"kind": "source"}, "recorded_at"),
        ({"signatures": []}, "asserted_at"),
    ],
)
def test_records_are_dated_once(record: dict[str, Any], dated: str) -> None:
    assert stamped(record, 5)[dated] == 5
    assert stamped({**record, dated: -3}, 5)[dated] == -3


def test_signed_and_unknown_records_are_left_alone() -> None:
    for record in ({"signatures": [{"agent": "a"}]}, {"kind": "later"}, {"kind": ["odd"]}):
        assert stamped(record, 5) is record


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ('{"subject":"s"}\n', b'{"asserted_at":5,"subject":"s"}'),
        (b' { "kind":"vote" } ', b'{"voted_at":5,"kind":"vote" }'),
        ("{}", b'{"asserted_at":5}'),
        ('{"asserted_at":1,\n"a":2}', b'{"asserted_at":1, "a":2}'),
        # A number that Python would change stays as it is, so that the gateway can refuse it.
        ('{"n":3.14159265358979323846}', b'{"asserted_at":5,"n":3.14159265358979323846}'),
        ("{broken", b"{broken"),
        ("[1]", b"[1]"),
        ("\ufeff{}", b"\xef\xbb\xbf{}"),
        ("[" * 100_000, b"[" * 100_000),
        (b"\xff", b"\xff"),
        ({"subject": "é"}, '{"subject":"é","asserted_at":5}'.encode()),
    ],
)
def test_lines_are_dated_as_they_stand(given: Any, line: bytes) -> None:
    assert to_line(given, 5) == line


def test_an_assertion_is_read() -> None:
    record = {
        **COMMON,
        "kind": "assertion",
        "subject": "s",
        "predicate": "p",
        "object": {"type": "reference", "value": "t"},
        "source": {"uri": "u", "class": "expert", "hash": "cd" * 32},
        "confidence": 1,
        "lifecycle": "approved",
        "asserted_at": -1,
        "note": "n",
        "signatures": [{"agent": "a", "signature": "b"}],
    }
    read = read_record(record)
    assert isinstance(read, Assertion)
    assert (read.value, read.source.hash, read.note, read.epoch) == (Reference("t"), "cd" * 32, "n", None)
    assert isinstance(read.confidence, float)
    assert read.signatures == (Signature("a", "b"),)
    assert read.json is record
    assert len({read, read_record(json.loads(json.dumps(record)))}) == 1, "equal records are equal and hash alike"


def test_the_other_kinds_are_read() -> None:
    vote = read_record(
        {**COMMON, "kind": "vote", "subject": "s", "assertion": "x", "voter": "v", "weight": 1, "voted_at": 2}
    )
    assert isinstance(vote, Vote)
    assert vote.weight == 1.0
    epoch = read_record({**COMMON, "kind": "epoch", "name": "n", "started_at": 3, "supersedes": ["a", "b"]})
    assert isinstance(epoch, Epoch)
    assert epoch.supersedes == ("a", "b")
    source = read_record({**COMMON, "kind": "source", "uri": "u", "class": "expert", "recorded_at": 4})
    assert isinstance(source, SourceRecord)
    assert source.retracted is False
    later = read_record({**COMMON, "kind": "later", "more": 1})
    assert (later.kind, later.json["more"]) == ("later", 1)
