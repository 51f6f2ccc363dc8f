"""Lists of what is there beside claims: epochs, sources, votes, and the predicates of a subject."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .answers import Meta, read_meta
from .calls import get, path
from .core import Core
from .problems import BadReply
from .records import Epoch, Record, SourceRecord, Vote, read_record
from .streams import pages
from .wire import Program, Stream

T = TypeVar("T")
R = TypeVar("R", Epoch, SourceRecord, Vote)


@dataclass(frozen=True, slots=True)
class ListedEpoch:
    """An epoch, and ids of epochs that supersede it (at most 10)."""

    record: Epoch
    superseded_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListedPredicate:
    """A predicate, and how many claims have it (counted up to 10,000)."""

    predicate: str
    claims: int


@dataclass(frozen=True, slots=True)
class ListPage(Generic[T]):
    """Rows of a list. ``cursor`` leads to the next page; the last page has none. A page may be empty and have one."""

    rows: tuple[T, ...]
    cursor: str | None
    meta: Meta


def epochs(core: Core, *, page_size: int | None = None) -> Stream[ListedEpoch]:
    """List all epochs, newest first, each with those that supersede it."""
    return _all(core, "/v1/epochs", "epochs", _read_epoch, limit=page_size)


def sources(
    core: Core, prefix: str | None = None, *, retracted: bool | None = None, page_size: int | None = None
) -> Stream[SourceRecord]:
    """List the latest record of each source, in ascending order of uris; with ``retracted`` those that are, or are not."""
    wanted = None if retracted is None else str(retracted).lower()
    read = _of(SourceRecord)
    return _all(core, "/v1/sources", "sources", read, prefix=prefix, retracted=wanted, limit=page_size)


def votes(core: Core, subject: str, assertion: str | None = None, *, page_size: int | None = None) -> Stream[Vote]:
    """List the votes on the claims about a subject, or on one of them: of each voter the latest, which counts."""
    return _all(core, "/v1/votes", "votes", _of(Vote), subject=subject, assertion=assertion, limit=page_size)


def predicates(core: Core, subject: str, *, page_size: int | None = None) -> Stream[ListedPredicate]:
    """List what is claimed of a subject, in ascending order."""
    return _all(core, "/v1/predicates", "predicates", _read_predicate, subject=subject, limit=page_size)


def find(core: Core, id_prefix: str) -> Stream[Record]:
    """List records of any kind whose ids begin with these digits, 8 at least: an id as tables and people shorten it."""
    return _all(core, "/v1/records", "records", read_record, id_prefix=id_prefix.lower())


def latest_source(core: Core, uri: str) -> Program[tuple[SourceRecord | None, bool]]:
    """Get the latest record of a source, and whether every node that may have a later one was considered."""
    # Of all uris that begin so the shortest is first.
    found = yield from _page(core, "/v1/sources", "sources", _of(SourceRecord), prefix=uri, limit=1)
    return next((record for record in found.rows if record.uri == uri), None), found.meta.complete


def _all(core: Core, at: str, name: str, read: Callable[[Mapping[str, Any]], T], **parameters: Any) -> Stream[T]:
    def fetch(cursor: str | None) -> Program[ListPage[T]]:
        return _page(core, at, name, read, **parameters, cursor=cursor)

    return pages(fetch, lambda found: found.rows)


def _page(core: Core, at: str, name: str, read: Callable[[Mapping[str, Any]], T], **parameters: Any) -> Program[ListPage[T]]:
    def read_page(reply: Mapping[str, Any]) -> ListPage[T]:
        result = reply["result"]
        return ListPage(tuple(read(row) for row in result[name]), result["cursor"], read_meta(reply["meta"]))

    return core.deliver(get(path(at, **parameters), read_page))


def _of(kind: type[R]) -> Callable[[Mapping[str, Any]], R]:
    def read(row: Mapping[str, Any]) -> R:
        record = read_record(row)
        if not isinstance(record, kind):
            raise BadReply(f"listed as {kind.__name__}, and is {record.kind}")
        return record

    return read


def _read_epoch(row: Mapping[str, Any]) -> ListedEpoch:
    return ListedEpoch(_of(Epoch)(row["record"]), tuple(row["superseded_by"]))


def _read_predicate(row: Mapping[str, Any]) -> ListedPredicate:
    return ListedPredicate(row["predicate"], row["claims"])
