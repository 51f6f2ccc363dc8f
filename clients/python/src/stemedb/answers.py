"""Answers: what a gateway says, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .problems import Problem
from .records import Record, Value, read_record, read_value


@dataclass(frozen=True, slots=True)
class WriteWarning:
    """Why a record may have no effect: ``code`` is stable."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a record.

    ``status`` is ``stored`` (new) or ``present`` (all had it already): acknowledged, on as many disks as promised; or
    ``accepted``: on ``copies`` disks, fewer than promised, and repair does the rest.
    """

    id: str
    status: str
    copies: int
    shard: int | None = None
    holders: tuple[str, ...] = ()
    at_ms: int | None = None
    """The date that the record carries: ``asserted_at``, ``voted_at``, ``started_at`` or ``recorded_at``."""
    pending: tuple[str, ...] = ()
    """Of an epoch or a source: known nodes that have not confirmed it yet."""
    trace_id: str | None = None
    warnings: tuple[WriteWarning, ...] = ()
    """Why the record may have no effect although it is stored: its claim or epoch is not there, or does not count.

    Of ``source`` also, from here and not from a gateway: ``still_retracted``, and ``incomplete``, when nodes that did not
    answer may know of a later retraction or restoration.
    """

    @property
    def acknowledged(self) -> bool:
        """Whether the loss of a node cannot lose it."""
        return self.status in ("stored", "present")


@dataclass(frozen=True, slots=True)
class Meta:
    """What an answer is worth.

    ``complete``: nothing that was acknowledged before ``proved_through`` (Unix milliseconds) is missing. When nodes had
    to answer together, ``answered`` did and ``missing`` did not.
    """

    complete: bool
    proved_through: int | None = None
    node: str | None = None
    trace_id: str | None = None
    answered: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a lens makes of the claims. Without a matching claim ``winner``, ``value`` and ``confidence`` are ``None``."""

    lens: str
    parameters: Mapping[str, Any] = field(repr=False, hash=False)
    winner: Record | None = None
    value: Value | None
    confidence: float | None = None
    candidates: int
    """How many claims were considered."""
    group_count: int
    """How many different values they have."""
    conflict_score: float
    """0: one value; 1: all values weigh the same."""
    left_out: Mapping[str, int] = field(hash=False)
    set_digest: str
    """Equal digests and parameters: equal results."""
    votes: float | None = None
    """Lens ``votes``: the weight of the winner's votes."""
    epoch_cycles: tuple[Any, ...] = ()
    """Lens ``epoch``: epochs that supersede each other, which were kept."""
    meta: Meta
    result: Mapping[str, Any] = field(repr=False, compare=False, hash=False)
    """The result as it came."""


@dataclass(frozen=True, slots=True)
class Group:
    """One value and who claims it. ``sources`` and ``ids`` are at most 100 each, of ``sources_total`` and ``ids_total``."""

    value: Value
    share: float
    claims: int
    sources: tuple[str, ...]
    sources_total: int
    ids: tuple[str, ...]
    ids_total: int
    strongest: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeptic(Answer):
    """How contested a value is: ``unanimous``, ``agreed`` or ``contested``, and the heaviest values, heaviest first."""

    verdict: str | None
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """What the sources of one class say."""

    tier: int
    source_class: str
    winner: Record
    value: Value
    candidates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layered(Answer):
    """The strongest claim of each class of sources, and over all of them the winner."""

    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """Why lenses leave a claim out: its source is retracted, or its epoch superseded by those with these ids."""

    retracted: bool
    superseded_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Claims, newest first. ``cursor`` leads to the next page; the last page has none."""

    records: tuple[Record, ...]
    cursor: str | None
    meta: Meta
    marks: Mapping[str, Mark] = field(default_factory=dict, hash=False)
    """By the ids of the claims that lenses leave out."""


@dataclass(frozen=True, slots=True)
class Found:
    """One record."""

    record: Record
    meta: Meta


@dataclass(frozen=True, slots=True)
class Replica:
    """A copy of a record: ``arrival`` is ``push`` or ``repair``."""

    node: str
    owner: bool
    received_at: int
    arrival: str
    sequence: int
    trace_id: str | None
    origin: Mapping[str, Any] | None = field(hash=False)


@dataclass(frozen=True, slots=True)
class Replicas:
    """Who holds a record."""

    id: str
    shard: int
    owners: tuple[str, ...]
    copies: int
    replicas: tuple[Replica, ...]
    meta: Meta


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject, and how many records are about it."""

    subject: str
    records: int


@dataclass(frozen=True, slots=True)
class SubjectPage:
    """Subjects in ascending order."""

    subjects: tuple[Subject, ...]
    cursor: str | None
    meta: Meta


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a record comes from, and what others say of it."""

    id: str
    record: Record
    parents: tuple[Record, ...]
    epoch: Record | None
    source: Record | None
    vote_count: int | None
    """None, as is the weight: nodes that may hold votes did not answer."""
    vote_weight: float | None
    signers: tuple[str, ...]
    replicas: tuple[Any, ...]
    meta: Meta
    superseded_by: tuple[str, ...] = ()
    """Ids of epochs that supersede its epoch, or the record itself when it is one."""


@dataclass(frozen=True, slots=True)
class Event:
    """A record that a feed brought. A feed begun with ``since=token`` goes on behind it."""

    token: str
    record: Record
    shard: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one line of an import.

    ``status`` is ``stored``, ``present`` or ``accepted`` as in `Written`, or ``refused``; then ``problem`` says why.
    """

    line: int
    status: str
    id: str | None = None
    copies: int = 0
    problem: Problem | None = None


@dataclass(slots=True)
class Summary:
    """How many lines of an import ended how, so far."""

    lines: int = 0
    stored: int = 0
    present: int = 0
    accepted: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the cluster: ``status`` is UP, SUSPECT, DOWN or LEFT."""

    id: str
    status: str
    api_addr: str | None
    admin_addr: str | None
    owned_shards: int | None
    version: str | None
    services: Mapping[str, str] = field(hash=False)
    json: Mapping[str, Any] = field(repr=False, compare=False, hash=False)


@dataclass(frozen=True, slots=True)
class Members:
    """Who belongs to the cluster, as one node sees it."""

    node: str
    cluster_id: str | None
    replication_factor: int | None
    num_shards: int | None
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether every owner of every shard holds every record of it."""

    equal: bool
    reason: str | None
    distinct_records: int
    under_replicated: int
    missing_at_owners: int
    foreign: int
    nodes: Mapping[str, int] = field(hash=False)
    """Records at each node."""
    unreachable: tuple[Mapping[str, Any], ...] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a gateway takes requests; ``reasons`` say why not."""

    url: str
    ready: bool
    node: str | None
    reasons: tuple[str, ...]
    services: Mapping[str, str] = field(hash=False)


def read_meta(meta: Mapping[str, Any]) -> Meta:
    """Read ``meta``."""
    union = meta.get("union") or {}
    return Meta(
        complete=bool(meta["complete"]),
        proved_through=meta.get("proved_through"),
        node=meta.get("node"),
        trace_id=meta.get("trace_id"),
        answered=tuple(union.get("answered", ())),
        missing=tuple(union.get("missing", meta.get("missing", ()))),
    )


def read_written(reply: Mapping[str, Any], trace_id: str | None = None) -> Written:
    """Read the reply to a write."""
    times = (reply[name] for name in ("asserted_at", "voted_at", "started_at", "recorded_at", "at") if name in reply)
    return Written(
        id=reply["id"],
        status=reply["status"],
        copies=reply["copies"],
        shard=reply.get("shard"),
        holders=tuple(reply.get("holders", ())),
        at_ms=next(times, None),
        pending=tuple(reply.get("pending", ())),
        trace_id=trace_id,
        warnings=tuple(WriteWarning(warning["code"], warning["detail"]) for warning in reply.get("warnings", ())),
    )


def read_result(result: Mapping[str, Any], trace_id: str | None = None) -> Written | Problem:
    """Read what became of one record of an array."""
    error = result.get("error")
    if error is None:
        return read_written(result, trace_id)
    return Problem(int(error.get("status", 500)), error, trace_id=trace_id)


def read_answer(reply: Mapping[str, Any]) -> Answer:
    """Read what a lens says; what it is called matters less than what is in it, so that later lenses can be read."""
    result = reply["result"]
    is_skeptic, value = isinstance(result["groups"], list), result.get("value")
    common: dict[str, Any] = {
        "lens": result["lens"],
        "parameters": result["parameters"],
        "winner": _maybe_record(result.get("winner")),
        "value": None if value is None else read_value(value),
        "confidence": result.get("confidence"),
        "candidates": result["candidates"],
        "group_count": result["groups_total"] if is_skeptic else result["groups"],
        "conflict_score": float(result["conflict_score"]),
        "left_out": result["left_out"],
        "set_digest": result["set_digest"],
        "votes": result.get("votes"),
        "epoch_cycles": tuple(result.get("epoch_cycles") or ()),
        "meta": read_meta(reply["meta"]),
        "result": result,
    }
    if is_skeptic:
        groups = tuple(_read_group(group) for group in result["groups"])
        return Skeptic(**common, verdict=result["verdict"], groups=groups)
    if "layers" in result:
        return Layered(**common, layers=tuple(_read_layer(layer) for layer in result["layers"]))
    return Answer(**common)


def _read_group(group: Mapping[str, Any]) -> Group:
    return Group(
        value=read_value(group["value"]),
        share=float(group["share"]),
        claims=group["claims"],
        sources=tuple(group["sources"]),
        sources_total=group["sources_total"],
        ids=tuple(group["ids"]),
        ids_total=group["ids_total"],
        strongest=read_record(group["strongest"]),
    )


def _read_layer(layer: Mapping[str, Any]) -> Layer:
    return Layer(
        tier=layer["tier"],
        source_class=layer["class"],
        winner=read_record(layer["winner"]),
        value=read_value(layer["value"]),
        candidates=layer["candidates"],
    )


def read_page(reply: Mapping[str, Any]) -> Page:
    """Read a page of records."""
    result = reply["result"]
    records = tuple(read_record(record) for record in result["records"])
    marks = {record_id: _read_mark(mark) for record_id, mark in result.get("marks", {}).items()}
    return Page(records, result["cursor"], read_meta(reply["meta"]), marks)


def _read_mark(mark: Mapping[str, Any]) -> Mark:
    return Mark(bool(mark.get("retracted", False)), tuple(mark.get("superseded_by", ())))


def read_either(reply: Mapping[str, Any]) -> Answer | Page | Problem:
    """Read one of several answers."""
    if "error" in reply:
        return Problem(int(reply["error"].get("status", 500)), reply["error"])
    return read_answer(reply) if "lens" in reply["result"] else read_page(reply)


def read_found(reply: Mapping[str, Any]) -> Found:
    """Read one record."""
    return Found(read_record(reply["result"]), read_meta(reply["meta"]))


def read_replicas(reply: Mapping[str, Any]) -> Replicas:
    """Read who holds a record."""
    result = reply["result"]
    return Replicas(
        id=result["id"],
        shard=result["shard"],
        owners=tuple(result["owners"]),
        copies=result["copies"],
        replicas=tuple(_read_replica(replica) for replica in result["replicas"]),
        meta=read_meta(reply["meta"]),
    )


def _read_replica(replica: Mapping[str, Any]) -> Replica:
    return Replica(
        node=replica["node"],
        owner=replica["owner"],
        received_at=replica["received_at"],
        arrival=replica["arrival"],
        sequence=replica["sequence"],
        trace_id=replica.get("trace_id"),
        origin=replica.get("origin"),
    )


def read_subjects(reply: Mapping[str, Any]) -> SubjectPage:
    """Read a page of subjects."""
    result = reply["result"]
    subjects = tuple(Subject(row["subject"], row["records"]) for row in result["subjects"])
    return SubjectPage(subjects, result["cursor"], read_meta(reply["meta"]))


def read_trace(reply: Mapping[str, Any]) -> Trace:
    """Read a record's provenance."""
    result = reply["result"]
    votes = result["votes"]
    return Trace(
        id=result["id"],
        record=read_record(result["record"]),
        parents=tuple(read_record(parent) for parent in result["parents"]),
        epoch=_maybe_record(result.get("epoch")),
        source=_maybe_record(result.get("source")),
        vote_count=None if votes is None else votes["count"],
        vote_weight=None if votes is None else float(votes["weight"]),
        signers=tuple(result["signatures"]),
        replicas=tuple(result["replicas"]),
        meta=read_meta(reply["meta"]),
        superseded_by=tuple(result.get("superseded_by", ())),
    )


def read_members(reply: Mapping[str, Any]) -> Members:
    """Read who belongs to the cluster."""
    return Members(
        node=reply["node"],
        cluster_id=reply.get("cluster_id"),
        replication_factor=reply.get("replication_factor"),
        num_shards=reply.get("num_shards"),
        members=tuple(_read_member(member) for member in reply["members"]),
    )


def _read_member(member: Mapping[str, Any]) -> Member:
    return Member(
        id=member["id"],
        status=member["status"],
        api_addr=member.get("api_addr"),
        admin_addr=member.get("admin_addr"),
        owned_shards=member.get("owned_shards"),
        version=member.get("version"),
        services=member.get("services") or {},
        json=member,
    )


def read_verification(reply: Mapping[str, Any]) -> Verification:
    """Read whether the nodes hold what they shall hold."""
    return Verification(
        equal=reply["equal"],
        reason=reply["reason"],
        distinct_records=reply["distinct_records"],
        under_replicated=reply["under_replicated"],
        missing_at_owners=reply["missing_at_owners"],
        foreign=reply["foreign"],
        nodes={node["id"]: node["records"] for node in reply["nodes"]},
        unreachable=tuple(reply["unreachable"]),
    )


def _maybe_record(record: Mapping[str, Any] | None) -> Record | None:
    return None if record is None else read_record(record)
