"""Every call that has one answer, written once for both clients.

Each function checks its arguments, builds the request and says how the reply is read. The clients bind them as methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

from .answers import (
    Answer,
    Found,
    Health,
    Layered,
    Members,
    Page,
    Replicas,
    Skeptic,
    SubjectPage,
    Trace,
    Verification,
    Written,
    read_answer,
    read_either,
    read_found,
    read_members,
    read_page,
    read_replicas,
    read_result,
    read_subjects,
    read_trace,
    read_verification,
    read_written,
)
from .core import Call, Core
from .problems import BadReply, Problem
from .records import Lifecycle, Signer, SourceClass, Value, claim, encode, finite, given, stamped
from .wire import Exchange, Lost, Program, Reply, Request

T = TypeVar("T")

Durability: TypeAlias = Literal["local", "all"]
Consistency: TypeAlias = Literal["all"]
Lens: TypeAlias = Literal["recency", "confidence", "consensus", "authority", "votes", "epoch", "layered", "skeptic"]

# A gateway answers about its health from memory; one that takes longer is not healthy.
HEALTH_TIMEOUT = 5.0


def assert_claim(
    core: Core,
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
    key: Signer | None = None,
    durability: Durability | None = None,
) -> Program[Written]:
    """Store a claim.

    ``value`` is a text, a number, a truth, a ``Reference``, or an object as the API takes it. ``durability="local"`` is
    content with one disk, ``"all"`` waits for every owner. With a ``key`` (``stemedb.signing.SigningKey``) it is signed.
    """
    record = claim(
        subject,
        predicate,
        value,
        source=source,
        source_class=source_class,
        source_hash=source_hash,
        confidence=confidence,
        lifecycle=lifecycle,
        asserted_at=asserted_at,
        epoch=epoch,
        parent=parent,
        note=note,
        signatures=signatures,
    )
    return _write(core, "/v1/assert", "assertion", record, durability, key)


def assert_many(
    core: Core, records: Iterable[Mapping[str, Any]], *, durability: Durability | None = None
) -> Program[list[Written]]:
    """Store records of any kind (see ``claim``), at most 8 MiB of JSON; for more use ``import_lines``.

    All are checked before anything is stored: one bad record refuses all, each named in ``Problem.members["errors"]``.
    When some are not confirmed by the deadline, ``Problem.results`` tells of each.
    """
    now = core.unix_ms()
    content = encode([stamped(record, now) for record in records])
    request = Request("POST", _with_durability("/v1/assert/batch", durability), content)
    return core.deliver(Call(request, _read_batch))


def vote(
    core: Core,
    subject: str,
    assertion: str,
    *,
    voter: str | None = None,
    weight: float = 1.0,
    voted_at: int | None = None,
    signatures: Sequence[Mapping[str, str]] | None = None,
    key: Signer | None = None,
    durability: Durability | None = None,
) -> Program[Written]:
    """Vote for a claim by its id; ``subject`` is the claim's. A voter's latest vote on a claim counts.

    Without ``voter`` it is the ``key``'s that signs it, or the API key's, where keys are checked.
    """
    record = given(
        subject=subject,
        assertion=assertion,
        voter=voter,
        weight=finite("weight", weight),
        voted_at=voted_at,
        signatures=None if signatures is None else list(signatures),
    )
    return _write(core, "/v1/vote", "vote", record, durability, key)


def epoch(
    core: Core,
    name: str,
    *,
    supersedes: Iterable[str] = (),
    reason: str | None = None,
    started_at: int | None = None,
    signatures: Sequence[Mapping[str, str]] | None = None,
    key: Signer | None = None,
    durability: Durability | None = None,
) -> Program[Written]:
    """Begin an epoch. Claims of the epochs whose ids it ``supersedes`` are left out by lens ``epoch``."""
    record = given(
        name=name,
        supersedes=sorted(set(supersedes)) or None,
        reason=reason,
        started_at=started_at,
        signatures=None if signatures is None else list(signatures),
    )
    return _write(core, "/v1/epoch", "epoch", record, durability, key)


def source(
    core: Core,
    uri: str,
    source_class: SourceClass,
    *,
    title: str | None = None,
    retracted: bool | None = None,
    recorded_at: int | None = None,
    signatures: Sequence[Mapping[str, str]] | None = None,
    key: Signer | None = None,
    durability: Durability | None = None,
) -> Program[Written]:
    """Store a record of a source as it is given: it may take a retraction back that it says nothing of."""
    record = given(
        uri=uri,
        **{"class": source_class},
        title=title,
        retracted=retracted,
        recorded_at=recorded_at,
        signatures=None if signatures is None else list(signatures),
    )
    return _write(core, "/v1/sources", "source", record, durability, key)


def query(
    core: Core,
    subject: str | None = None,
    predicate: str | None = None,
    *,
    lens: Lens,
    subject_prefix: str | None = None,
    source: str | None = None,
    source_class: SourceClass | Sequence[SourceClass] | None = None,
    lifecycle: Lifecycle | Sequence[Lifecycle] | None = None,
    epoch: str | None = None,
    min_confidence: float | None = None,
    as_of: int | str | None = None,
    tolerance: float | None = None,
    decay: bool | None = None,
    evaluated_at: int | str | None = None,
    inner: Lens | None = None,
    consistency: Consistency | None = None,
    include: Sequence[str] | None = None,
) -> Program[Answer]:
    """Ask a lens. For the claims themselves see ``records``.

    ``include`` are ids of records that the answer has to know of, such as those just written.
    """
    asked = question(
        subject=subject,
        predicate=predicate,
        lens=lens,
        subject_prefix=subject_prefix,
        source=source,
        source_class=source_class,
        lifecycle=lifecycle,
        epoch=epoch,
        min_confidence=min_confidence,
        as_of=as_of,
        tolerance=tolerance,
        decay=decay,
        evaluated_at=evaluated_at,
        inner=inner,
        consistency=consistency,
        include=include,
    )
    return core.deliver(Call(_ask(asked), lambda reply: read_answer(reply.json())))


def query_many(core: Core, questions: Iterable[Mapping[str, Any]]) -> Program[list[Answer | Page | Problem]]:
    """Ask up to 100 questions at once, each an object with the API's names. Each is answered or refused by itself."""
    request = _ask({"queries": [dict(asked) for asked in questions]})
    return core.deliver(Call(request, lambda reply: [read_either(answer) for answer in reply.json()["results"]]))


def skeptic(
    core: Core,
    subject: str,
    predicate: str,
    *,
    source: str | None = None,
    source_class: SourceClass | Sequence[SourceClass] | None = None,
    lifecycle: Lifecycle | Sequence[Lifecycle] | None = None,
    epoch: str | None = None,
    min_confidence: float | None = None,
    as_of: int | str | None = None,
    tolerance: float | None = None,
    decay: bool | None = None,
    evaluated_at: int | str | None = None,
    consistency: Consistency | None = None,
    include: Sequence[str] | None = None,
) -> Program[Skeptic]:
    """Ask how contested a value is."""
    asked = question(
        subject=subject,
        predicate=predicate,
        lens="skeptic",
        source=source,
        source_class=source_class,
        lifecycle=lifecycle,
        epoch=epoch,
        min_confidence=min_confidence,
        as_of=as_of,
        tolerance=tolerance,
        decay=decay,
        evaluated_at=evaluated_at,
        consistency=consistency,
        include=include,
    )
    return core.deliver(Call(_ask(asked), lambda reply: _as(Skeptic, read_answer(reply.json()))))


def layered(
    core: Core,
    subject: str,
    predicate: str,
    *,
    source: str | None = None,
    source_class: SourceClass | Sequence[SourceClass] | None = None,
    lifecycle: Lifecycle | Sequence[Lifecycle] | None = None,
    epoch: str | None = None,
    min_confidence: float | None = None,
    as_of: int | str | None = None,
    tolerance: float | None = None,
    decay: bool | None = None,
    evaluated_at: int | str | None = None,
    consistency: Consistency | None = None,
    include: Sequence[str] | None = None,
) -> Program[Layered]:
    """Ask what the strongest claim of each class of sources is."""
    asked = question(
        subject=subject,
        predicate=predicate,
        lens="layered",
        source=source,
        source_class=source_class,
        lifecycle=lifecycle,
        epoch=epoch,
        min_confidence=min_confidence,
        as_of=as_of,
        tolerance=tolerance,
        decay=decay,
        evaluated_at=evaluated_at,
        consistency=consistency,
        include=include,
    )
    return core.deliver(Call(_ask(asked), lambda reply: _as(Layered, read_answer(reply.json()))))


def page(
    core: Core,
    subject: str | None = None,
    predicate: str | None = None,
    *,
    subject_prefix: str | None = None,
    source: str | None = None,
    source_class: SourceClass | Sequence[SourceClass] | None = None,
    lifecycle: Lifecycle | Sequence[Lifecycle] | None = None,
    epoch: str | None = None,
    min_confidence: float | None = None,
    as_of: int | str | None = None,
    consistency: Consistency | None = None,
    include: Sequence[str] | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Program[Page]:
    """List claims, newest first: one page of at most ``limit`` (1,000), from where the page before ended."""
    asked = question(
        subject=subject,
        predicate=predicate,
        subject_prefix=subject_prefix,
        source=source,
        source_class=source_class,
        lifecycle=lifecycle,
        epoch=epoch,
        min_confidence=min_confidence,
        as_of=as_of,
        consistency=consistency,
        include=include,
        limit=limit,
        cursor=cursor,
    )
    return core.deliver(Call(_ask(asked), lambda reply: read_page(reply.json())))


def record(core: Core, record_id: str) -> Program[Found]:
    """Get one record. 404 only when no node can have it."""
    return core.deliver(get(f"/v1/records/{_segment(record_id)}", read_found))


def replicas(core: Core, record_id: str) -> Program[Replicas]:
    """Get who holds a record, and how it came there."""
    return core.deliver(get(f"/v1/records/{_segment(record_id)}/replicas", read_replicas))


def trace(core: Core, record_id: str) -> Program[Trace]:
    """Get where a record comes from, and what others say of it."""
    return core.deliver(get(f"/v1/trace/{_segment(record_id)}", read_trace))


def subject_page(
    core: Core, prefix: str | None = None, *, limit: int | None = None, cursor: str | None = None
) -> Program[SubjectPage]:
    """List subjects in ascending order: one page, from where the page before ended."""
    return core.deliver(get(path("/v1/subjects", prefix=prefix, limit=limit, cursor=cursor), read_subjects))


def members(core: Core) -> Program[Members]:
    """Get who belongs to the cluster. Needs URLs of the internal port."""
    return core.deliver(get("/cluster/members", read_members))


def verify(core: Core) -> Program[Verification]:
    """Compare all nodes: do they hold what they shall hold? Needs URLs of the internal port."""
    return core.deliver(get("/cluster/verify", read_verification, long=True))


def health(core: Core) -> Program[list[Health]]:
    """Ask every gateway whether it takes requests. What does not answer is not ready; nothing is raised."""
    answers = []
    request = Request("GET", "/v1/health")
    for url in core.urls:
        outcome = yield Exchange(url, request, min(HEALTH_TIMEOUT, core.patience.try_timeout))
        answers.append(_read_health(url, outcome))
    return answers


def question(
    *,
    source_class: SourceClass | Sequence[SourceClass] | None = None,
    lifecycle: Lifecycle | Sequence[Lifecycle] | None = None,
    include: Sequence[str] | None = None,
    **others: Any,
) -> dict[str, Any]:
    """Write a question as the API takes it. An empty list of filters is refused: nothing would match."""
    asked: dict[str, Any] = given(**others)
    for name, values in (("class", source_class), ("lifecycle", lifecycle)):
        if values is not None:
            asked[name] = [values] if isinstance(values, str) else list(values)
    if include is not None:
        if isinstance(include, str):
            raise TypeError("include is a list of ids")
        # No ids: nothing to wait for.
        asked |= {"include": list(include)} if include else {}
    for name in ("min_confidence", "tolerance"):
        if name in asked:
            finite(name, asked[name])
    return asked


def _write(
    core: Core, bare: str, kind: str, fields: Mapping[str, Any], durability: Durability | None, key: Signer | None
) -> Program[Written]:
    record = stamped({"kind": kind, **fields}, core.unix_ms())
    # The gateway completes a record that nobody signed, and nothing of a signed one.
    content = encode(record if key is None else key.sign(record))
    request = Request("POST", _with_durability(bare, durability), content)
    return core.deliver(Call(request, lambda reply: read_written(reply.json(), reply.trace_id)))


def _read_batch(reply: Reply) -> list[Written]:
    outcomes = [read_result(result, reply.trace_id) for result in reply.json()["results"]]
    written = [outcome for outcome in outcomes if isinstance(outcome, Written)]
    if len(written) < len(outcomes):
        raise BadReply(f"{reply.url} took a batch and refused parts of it")
    return written


def _ask(asked: Mapping[str, Any]) -> Request:
    # In a body, for a URL has no room for a hundred ids.
    return Request("POST", "/v1/query", encode(asked))


def get(where: str, read: Callable[[Mapping[str, Any]], T], long: bool = False) -> Call[T]:
    """Build the call of a GET whose reply is JSON."""
    return Call(Request("GET", where), lambda reply: read(reply.json()), long)


def path(bare: str, **parameters: Any) -> str:
    """Write a path with the parameters that are given."""
    pairs = given(**parameters)
    return f"{bare}?{urlencode(pairs, quote_via=quote)}" if pairs else bare


def _with_durability(bare: str, durability: Durability | None) -> str:
    return path(bare, durability=durability)


def _segment(record_id: str) -> str:
    if not record_id:
        raise ValueError("the record's id is empty")
    return quote(record_id, safe="")


def _read_health(url: str, outcome: Reply | Lost) -> Health:
    if isinstance(outcome, Lost):
        return Health(url, ready=False, node=None, reasons=(outcome.reason,), services={})
    members = outcome.problem().members
    # A ready node has no reasons to give; the status speaks for it.
    reasons = members.get("reasons") or (() if outcome.is_success else (str(outcome.problem()),))
    return Health(url, outcome.is_success, members.get("node"), tuple(reasons), members.get("services") or {})


def _as(wanted: type[T], answer: Answer) -> T:
    if not isinstance(answer, wanted):
        raise BadReply(f"asked for {wanted.__name__}, answered by lens {answer.lens}")
    return answer
