"""Imports: any number of records in bounded memory, each line answered by itself.

Lines go in chunks, one request each: HTTP/1.1 clients send a request before they read its reply, so a request without end
would leave the answers unread. A line without an answer is sent again, to the next gateway; that is safe, since it was dated
before its first try and is the same record however often it comes.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from typing import Any, TypeAlias

from .answers import Line, Summary
from .calls import Durability
from .core import Core, Failures, Pauses
from .lines import LineReader
from .problems import BadReply, Problem
from .records import TIMES, encode, stamped
from .wire import PASSING, Close, Emit, Lost, Open, Pause, Read, Reply, Request, Step, Stream, Take

Input: TypeAlias = Mapping[str, Any] | str | bytes
"""A record, or a line of JSON that is one."""

# A chunk is in hand until its last line is answered. Its answers fit between client and gateway while nobody reads them;
# larger chunks are hardly faster.
CHUNK_LINES = 1_000
CHUNK_BYTES = 512 * 1024

NDJSON = "application/x-ndjson"

# A line of the input that is on its way: its number there, and its bytes.
Pending: TypeAlias = dict[int, bytes]


def import_lines(core: Core, summary: Summary, durability: Durability | None) -> Stream[Line]:
    """Send all of the input. Raises when nothing of a chunk could be settled for as long as the deadline."""
    path = "/v1/assert/batch" + (f"?durability={durability}" if durability else "")
    number, at_end = 0, False
    while not at_end:
        pending: Pending = {}
        size = 0
        while len(pending) < CHUNK_LINES and size < CHUNK_BYTES:
            taken = yield Take()
            if not taken:
                at_end = True
                break
            number += 1
            try:
                line = to_line(taken[0], core.unix_ms())
            except (ValueError, TypeError, RecursionError) as error:
                yield from _count(summary, Line(number, "refused", problem=_unsendable(error)))
                continue
            if line.strip():
                pending[number] = line
                size += len(line)
        yield from _deliver(core, path, pending, summary)


def to_line(given: Input, now_ms: int) -> bytes:
    """Write a record as one line, dated if it was not. A line that is no record goes as it is: the gateway says why."""
    if isinstance(given, Mapping):
        return encode(stamped(given, now_ms))
    if not isinstance(given, (str, bytes)):
        raise TypeError(f"a line of an import is a mapping, str or bytes, not {type(given).__name__}")
    # Line ends inside a JSON text are white space between its tokens, or the text is none.
    line = (given.encode() if isinstance(given, str) else given).strip().replace(b"\n", b" ").replace(b"\r", b" ")
    try:
        record = json.loads(line.decode())
    except (ValueError, RecursionError):
        return line
    if not isinstance(record, dict) or stamped(record, now_ms) is record:
        return line
    # Put in as text: numbers that were read and written again may have changed, which the gateway would not see.
    rest = line[1:].lstrip()
    time = TIMES[record.get("kind", "assertion")]
    return b'{"%b":%d%b%b' % (time.encode(), now_ms, b"" if rest.startswith(b"}") else b",", rest)


def _deliver(core: Core, path: str, pending: Pending, summary: Summary) -> Stream[Line]:
    settled_at, pauses, failures, tries = core.clock(), Pauses(core.chance), Failures(), 0
    while pending:
        url = core.order()[0]
        order = list(pending)
        request = Request("POST", path, b"\n".join(pending.values()) + b"\n", NDJSON, NDJSON)
        opened = yield Open(url, request, core.patience.try_timeout)
        outcome = opened
        if isinstance(opened, Reply) and opened.is_success:
            outcome = yield from _read_answers(opened, order, pending, summary)
        elif isinstance(opened, Reply) and opened.status not in PASSING:
            raise opened.problem()
        if not pending:
            return
        if len(pending) < len(order):
            settled_at, pauses, failures, tries = core.clock(), Pauses(core.chance), Failures(), 0
        failures.add(outcome)
        core.pass_over(url)
        tries += 1
        if tries % len(core.urls) == 0:
            pause = max(pauses.next(), failures.asked_for(tries))
            if core.clock() + pause - settled_at >= core.patience.deadline:
                raise failures.as_error()
            yield Pause(pause)


def _read_answers(
    opened: Reply, order: list[int], pending: Pending, summary: Summary
) -> Generator[Step | Emit[Line], Any, Lost]:
    """Read a reply to its end. Returns why lines are left, if any are."""
    reader, why = LineReader(), "the reply ended before all lines were answered"
    while True:
        part = yield Read()
        if isinstance(part, Lost):
            why = part.reason
        if isinstance(part, Lost) or not part:
            break
        for text in reader.feed(part):
            said = _judge(text, order, opened)
            if isinstance(said, str):
                why = said
            elif said is not None and pending.pop(said.line, None) is not None:
                yield from _count(summary, said)
    yield Close()
    return Lost(opened.url, why)


def _judge(text: bytes, order: list[int], opened: Reply) -> Line | str | None:
    """Read an answer: what became of a line, or why lines are to be sent again. The summary is nothing to us."""
    try:
        answer = json.loads(text)
        place, error = answer.get("line"), answer.get("error")
        number = order[place - 1] if isinstance(place, int) and 0 < place <= len(order) else None
        if error is not None:
            problem = Problem(int(error.get("status", 400)), error, opened.url, opened.trace_id)
            # It speaks of the stream as a whole, or of the moment.
            if number is None or problem.status >= 500:
                return str(problem)
            if problem.status == 429:
                raise problem
            return Line(number, "refused", problem=problem)
        return None if number is None else Line(number, str(answer["status"]), answer["id"], int(answer["copies"]))
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise BadReply(f"{opened.url} answers a line in an unknown form: {fault!r} in {text[:200]!r}") from fault


def _count(summary: Summary, line: Line) -> Iterator[Emit[Line]]:
    summary.lines += 1
    match line.status:
        case "stored":
            summary.stored += 1
        case "present":
            summary.present += 1
        case "accepted":
            summary.accepted += 1
        case _:
            summary.refused += 1
    yield Emit(line)


def _unsendable(error: Exception) -> Problem:
    return Problem(
        422,
        {
            "code": "not_json",
            "detail": f"the line cannot be written as JSON: {error}",
            "next_step": "leave out what is not finite or not text, and send the record again",
        },
    )
