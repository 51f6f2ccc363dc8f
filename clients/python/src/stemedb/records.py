"""Records: what is sent, and what comes back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

Kind: TypeAlias = Literal["assertion", "vote", "epoch", "source"]
SourceClass: TypeAlias = Literal["regulatory", "clinical", "observational", "expert", "community", "anecdotal"]
Lifecycle: TypeAlias = Literal["proposed", "under_review", "approved", "deprecated", "rejected"]

# The time that a record of each kind is dated by.
TIMES: dict[str, str] = {
    "assertion": "asserted_at",
    "vote": "voted_at",
    "epoch": "started_at",
    "source": "recorded_at",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """A value that is another subject."""

    subject: str


Value: TypeAlias = str | float | bool | Reference
"""What a claim says of its subject: a text, a number, a truth, or another subject."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a claim comes from."""

    uri: str
    source_class: str
    hash: str | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """Who signed a record: an Ed25519 key and its signature, both in hex."""

    agent: str
    signature: str


class Signer(Protocol):
    """What signs records: ``stemedb.signing.SigningKey``, or a key of yours that never leaves its vault."""

    @property
    def agent(self) -> str:
        """The public key in hex."""

    def sign(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Complete a record and add the signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record as the cluster keeps it. ``json`` holds all of it, fields of later versions too."""

    id: str
    kind: str
    v: int
    signatures: tuple[Signature, ...] = ()
    json: Mapping[str, Any] = field(repr=False, compare=False, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion(Record):
    """A claim."""

    subject: str
    predicate: str
    value: Value
    source: Source
    confidence: float
    lifecycle: str
    asserted_at: int
    epoch: str | None = None
    parent: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote(Record):
    """What a voter thinks of a claim."""

    subject: str
    assertion: str
    voter: str
    weight: float
    voted_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch(Record):
    """A time, or a view of the world, that claims belong to; it may supersede others."""

    name: str
    supersedes: tuple[str, ...]
    started_at: int
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord(Record):
    """What is known of a source: its class, and whether it was retracted."""

    uri: str
    source_class: str
    recorded_at: int
    title: str | None = None
    retracted: bool = False


def claim(
    subject: str,
    predicate: str,
    value: Value | Mapping[str, Any],
    *,
    source: str,
    source_class: SourceClass,
    source_hash: str | None = None,
    confidence: float | None = None,
    lifecycle: Lifecycle | None = None,
    asserted_at: int | None = None,
    epoch: str | None = None,
    parent: str | None = None,
    note: str | None = None,
    signatures: Sequence[Mapping[str, str]] | None = None,
) -> dict[str, Any]:
    """Build a claim as ``assert_many`` and ``import_lines`` take it.

    ``asserted_at`` is Unix milliseconds; left out, the claim is dated when it is first sent. Numbers must be finite.
    """
    return given(
        subject=subject,
        predicate=predicate,
        object=to_object(value),
        source=given(uri=source, **{"class": source_class}, hash=source_hash),
        confidence=None if confidence is None else finite("confidence", confidence),
        lifecycle=lifecycle,
        asserted_at=asserted_at,
        epoch=epoch,
        parent=parent,
        note=note,
        signatures=None if signatures is None else list(signatures),
    )


def given(**fields: Any) -> dict[str, Any]:
    """Keep the fields that were given."""
    return {name: value for name, value in fields.items() if value is not None}


def finite(name: str, number: float) -> float:
    """Refuse what JSON has no number for."""
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise TypeError(f"{name} is {number!r}: give a number")
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number!r}: a claim's numbers are finite; leave out what is not known")
    return number


def to_object(value: Value | Mapping[str, Any]) -> dict[str, Any]:
    """Write a value as the ``object`` of a claim. A mapping is taken as it is."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, bool):
        return {"type": "boolean", "value": value}
    if isinstance(value, str):
        return {"type": "text", "value": value}
    if isinstance(value, Reference):
        return {"type": "reference", "value": value.subject}
    return {"type": "number", "value": finite("value", value)}


def stamped(record: Mapping[str, Any], now_ms: int) -> Mapping[str, Any]:
    """Date a record that has no date, so that however often it is sent it is one record. A signed one stays as it is."""
    kind = record.get("kind", "assertion")
    time = TIMES.get(kind) if isinstance(kind, str) else None
    if time is None or time in record or record.get("signatures"):
        return record
    return {**record, time: now_ms}


def encode(value: Any) -> bytes:
    """Write JSON in UTF-8 and refuse what it cannot carry: NaN, infinities, lone surrogates."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def read_value(given_object: Mapping[str, Any]) -> Value:
    """Read the ``object`` of a claim."""
    kind, value = given_object["type"], given_object["value"]
    if kind == "number":
        return float(value)
    if kind == "reference":
        return Reference(value)
    if kind == "boolean":
        return bool(value)
    return str(value)


def read_record(record: Mapping[str, Any]) -> Record:
    """Read a record of any kind; one of a kind that this version does not know is a plain ``Record``."""
    common: dict[str, Any] = {
        "id": record["id"],
        "kind": record["kind"],
        "v": record["v"],
        "signatures": tuple(Signature(by["agent"], by["signature"]) for by in record.get("signatures", ())),
        "json": record,
    }
    match record["kind"]:
        case "assertion":
            return Assertion(
                **common,
                **_same(record, "subject", "predicate", "lifecycle", "asserted_at"),
                **_optional(record, "epoch", "parent", "note"),
                value=read_value(record["object"]),
                source=_read_source(record["source"]),
                confidence=float(record["confidence"]),
            )
        case "vote":
            fields = _same(record, "subject", "assertion", "voter", "voted_at")
            return Vote(**common, **fields, weight=float(record["weight"]))
        case "epoch":
            supersedes = tuple(record.get("supersedes", ()))
            fields = _same(record, "name", "started_at")
            return Epoch(**common, **fields, **_optional(record, "reason"), supersedes=supersedes)
        case "source":
            fields = _same(record, "uri", "recorded_at") | _optional(record, "title")
            retracted = bool(record.get("retracted", False))
            return SourceRecord(**common, **fields, source_class=record["class"], retracted=retracted)
        case _:
            return Record(**common)


def _read_source(source: Mapping[str, Any]) -> Source:
    return Source(source["uri"], source["class"], source.get("hash"))


def _same(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: record[name] for name in names}


def _optional(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: record.get(name) for name in names}
