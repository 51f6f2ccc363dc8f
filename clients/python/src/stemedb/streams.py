"""Everything that goes on for a while: pages of claims and of subjects, and the feed."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlencode

from .answers import Event, Page, Subject, SubjectPage
from .calls import Consistency, page, subject_page
from .core import Core, Pauses
from .lines import EventReader, ServerEvent
from .problems import BadReply, Problem
from .records import Kind, Lifecycle, Record, SourceClass, given, read_record
from .wire import PASSING, Close, Emit, Lost, Open, Pause, Program, Read, Request, Stream

T = TypeVar("T")
P = TypeVar("P", bound="Paged")

# A gateway says something every 10 s. One that has not said anything for half as long again is gone; it takes no longer to
# find that out about one that hangs from the start, so that there is time to try another.
FEED_SILENCE = 15.0

# Records that are remembered, so that what the next gateway sends again is not given out again: some 10 MB when full.
SHOWN_MAX = 65_536


class Paged(Protocol):
    """A page that says where the next one starts."""

    @property
    def cursor(self) -> str | None:
        """Say where; ``None`` on the last one."""


def records(
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
    page_size: int | None = None,
) -> Stream[Record]:
    """List all claims, newest first, page after page. Those held before the first page come exactly once."""

    def fetch(cursor: str | None) -> Program[Page]:
        return page(
            core,
            subject,
            predicate,
            subject_prefix=subject_prefix,
            source=source,
            source_class=source_class,
            lifecycle=lifecycle,
            epoch=epoch,
            min_confidence=min_confidence,
            as_of=as_of,
            consistency=consistency,
            limit=page_size,
            cursor=cursor,
        )

    return pages(fetch, lambda found: found.records)


def subjects(core: Core, prefix: str | None = None, *, page_size: int | None = None) -> Stream[Subject]:
    """List all subjects that begin with ``prefix``, in ascending order, page after page."""

    def fetch(cursor: str | None) -> Program[SubjectPage]:
        return subject_page(core, prefix, limit=page_size, cursor=cursor)

    return pages(fetch, lambda found: found.subjects)


def pages(fetch: Callable[[str | None], Program[P]], items: Callable[[P], Sequence[T]]) -> Stream[T]:
    """Fetch page after page, and hand out what is on them."""
    cursor = None
    while True:
        found = yield from fetch(cursor)
        for item in items(found):
            yield Emit(item)
        cursor = found.cursor
        if cursor is None:
            return


def feed(
    core: Core,
    since: str = "now",
    *,
    kind: Kind | None = None,
    subject: str | None = None,
    subject_prefix: str | None = None,
    predicate: str | None = None,
    source: str | None = None,
    quiet: float | None = None,
) -> Stream[Event]:
    """Follow what is stored: ``since`` now, from the ``start``, or from behind the event with this token.

    When the gateway fails, the feed goes on at the next one from the last token and misses nothing; what that one sends
    again is passed over, as far as it is among the last 65,536 records. ``quiet`` ends it when nothing came for so many
    seconds (at the latest after twice as many); otherwise it goes on until you stop.
    """
    if quiet is not None and quiet <= 0:
        raise ValueError(f"quiet is {quiet!r}: give seconds, more than 0")
    filters = given(kind=kind, subject=subject, subject_prefix=subject_prefix, predicate=predicate, source=source)
    return _follow(core, since, filters, quiet)


def _follow(core: Core, since: str, filters: dict[str, Any], quiet: float | None) -> Stream[Event]:
    silence = FEED_SILENCE if quiet is None else min(FEED_SILENCE, quiet)
    heard_at = core.clock()
    pauses = Pauses(core.chance)
    shown = _Shown()
    while True:
        query = urlencode({"from": since, **filters}, quote_via=quote)
        request = Request("GET", f"/v1/feed?{query}", accept="text/event-stream")
        opened = yield from core.turns(lambda url, _, request=request: Open(url, request, silence))  # type: ignore[misc]
        if not opened.is_success:
            raise opened.problem()
        reader = EventReader()
        while True:
            part = yield Read()
            if isinstance(part, Lost) or not part:
                break
            pauses = Pauses(core.chance)
            for event in reader.feed(part):
                found = _read_event(event)
                if found is not None:
                    heard_at = core.clock()
                    if shown.note(found.record.id):
                        yield Emit(found)
            if quiet is not None and core.clock() - heard_at >= quiet:
                break
        yield Close()
        since = reader.token or since
        if quiet is not None and core.clock() - heard_at >= quiet:
            return
        # It began well and ended: the next gateway goes on from there.
        core.pass_over(opened.url)
        yield Pause(pauses.next())


class _Shown:
    """The last records that were given out."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._order: deque[str] = deque()

    def note(self, record: str) -> bool:
        """Note a record; false when it was there already."""
        if record in self._known:
            return False
        if len(self._order) == SHOWN_MAX:
            self._known.remove(self._order.popleft())
        self._known.add(record)
        self._order.append(record)
        return True


def _read_event(event: ServerEvent) -> Event | None:
    # A problem that passes is the last event of its stream; the next gateway goes on.
    try:
        said = json.loads(event.data)
        if event.name == "problem":
            problem = Problem(int(said.get("status", 500)), said)
            if problem.status in PASSING:
                return None
            raise problem
        if event.name != "message":
            return None
        return Event(event.token or "", read_record(said["record"]), said.get("shard"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadReply(f"the feed holds an unknown form: {error!r} in {event.data[:200]!r}") from error
