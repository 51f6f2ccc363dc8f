"""Failover on paper: a clock that only pauses move, and gateways that say what the test wants."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stemedb import BadReply, Problem, StemeDB, Unreachable
from stemedb.core import Call, Core, Patience
from stemedb.wire import Exchange, Lost, Pause, Program, Reply, Request

A, B, C = "http://a:1", "http://b:1", "http://c:1"
Outcome = Callable[[Exchange], Reply | Lost]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def core(clock: Clock, urls: tuple[str, ...] = (A, B, C), **patience: float) -> Core:
    return Core(urls, None, Patience(**patience), clock, chance=lambda: 1.0)


def ok(exchange: Exchange) -> Reply:
    return Reply(exchange.url, 200, b"{}")


def refusing(status: int, code: str, retry_after: float | None = None) -> Outcome:
    body = b'{"status":%d,"code":"%s"}' % (status, code.encode())
    return lambda exchange: Reply(exchange.url, status, body, retry_after=retry_after)


def silent(exchange: Exchange) -> Lost:
    return Lost(exchange.url, "refused")


def run(
    program: Program[str], clock: Clock, outcomes: dict[str, list[Outcome]], costs: float = 0.0
) -> tuple[str, list[object]]:
    """Carry a program out; each gateway says the next of its outcomes, the last one for ever."""
    done: list[object] = []
    answer = None
    while True:
        try:
            step = program.send(answer)
        except StopIteration as end:
            return end.value, done
        answer = None
        if isinstance(step, Pause):
            done.append(step.seconds)
            clock.now += step.seconds
        elif isinstance(step, Exchange):
            done.append(step.url)
            clock.now += costs
            rest = outcomes[step.url]
            answer = (rest.pop(0) if len(rest) > 1 else rest[0])(step)


CALL = Call(Request("GET", "/"), lambda reply: reply.url)


@pytest.mark.parametrize("failing", [silent, refusing(502, "x"), refusing(503, "not_ready"), refusing(504, "x")])
def test_the_next_gateway_is_tried_at_once_and_kept(failing: Outcome) -> None:
    clock = Clock()
    shared = core(clock)
    url, done = run(shared.deliver(CALL), clock, {A: [failing], B: [ok], C: [ok]})
    assert (url, done) == (B, [A, B])
    url, done = run(shared.deliver(CALL), clock, {A: [failing], B: [ok], C: [ok]})
    assert done == [B], "the one that answered is asked first from now on"
    url, done = run(shared.deliver(CALL), clock, {A: [ok], B: [failing], C: [failing]})
    assert done == [B, C, A]


@pytest.mark.parametrize(
    ("status", "code"), [(400, "unknown_parameter"), (404, "no_such_record"), (429, "quota"), (500, "internal")]
)
def test_other_refusals_are_the_answer(status: int, code: str) -> None:
    clock = Clock()
    with pytest.raises(Problem) as raised:
        run(core(clock).deliver(CALL), clock, {A: [refusing(status, code)]})
    assert (raised.value.status, raised.value.code, raised.value.url) == (status, code, A)


def test_turns_are_repeated_with_growing_pauses_until_one_answers() -> None:
    clock = Clock()
    outcomes: dict[str, list[Outcome]] = {A: [silent, silent, silent, ok], B: [silent]}
    url, done = run(core(clock, (A, B)).deliver(CALL), clock, outcomes)
    assert (url, done) == (A, [A, B, 0.1, A, B, 0.2, A, B, 0.4, A])


def test_the_deadline_ends_it() -> None:
    clock = Clock()
    with pytest.raises(Unreachable, match=r"a:1: refused; http://b:1: refused"):
        run(core(clock, (A, B), deadline=3.0).deliver(CALL), clock, {A: [silent], B: [silent]})
    assert clock.now - 100 <= 3.0


def test_tries_get_no_more_time_than_is_left() -> None:
    clock = Clock()
    timeouts: list[float] = []

    def slow(exchange: Exchange) -> Lost:
        timeouts.append(exchange.timeout)
        clock.now += exchange.timeout
        return Lost(exchange.url, "timed out")

    with pytest.raises(Unreachable):
        run(core(clock, deadline=5, try_timeout=2).deliver(CALL), clock, {A: [slow], B: [slow], C: [slow]})
    assert timeouts == [2, 2, 1]
    assert clock.now == 105


def test_a_long_call_may_use_all_of_the_deadline() -> None:
    clock = Clock()
    program = core(clock, deadline=5, try_timeout=2).deliver(Call(Request("GET", "/"), lambda reply: reply.url, long=True))
    step = next(program)
    assert isinstance(step, Exchange)
    assert step.timeout == 5


def test_the_gateway_that_explained_itself_is_raised() -> None:
    clock = Clock()
    outcomes: dict[str, list[Outcome]] = {A: [refusing(503, "maybe_stored")], B: [silent]}
    with pytest.raises(Problem, match="maybe_stored"):
        run(core(clock, (A, B), deadline=1).deliver(CALL), clock, outcomes)


def test_retry_after_counts_when_all_ask_for_it() -> None:
    clock = Clock()
    busy = refusing(503, "overloaded", retry_after=1.5)
    _, done = run(core(clock, (A, B)).deliver(CALL), clock, {A: [busy, ok], B: [busy]})
    assert done == [A, B, 1.5, A]
    _, done = run(core(clock, (A, B)).deliver(CALL), clock, {A: [busy, ok], B: [silent]})
    assert done == [A, B, 0.1, A], "a gateway that is away may be back at any moment"


def test_pauses_are_jittered_and_bounded() -> None:
    clock = Clock()
    for chance, least, most in ((0.0, 0.05, 1.0), (1.0, 0.1, 2.0)):
        shared = Core([A], None, Patience(deadline=100), clock, chance=lambda chance=chance: chance)  # type: ignore[misc]
        _, done = run(shared.deliver(CALL), clock, {A: [silent] * 9 + [ok]})
        pauses = [step for step in done if isinstance(step, float)]
        assert (min(pauses), max(pauses)) == (least, most)


def test_a_reply_in_an_unknown_form_is_named() -> None:
    clock = Clock()
    call = Call(Request("GET", "/"), lambda reply: str(reply.json()["id"]))
    with pytest.raises(BadReply, match="'id'"):
        run(core(clock).deliver(call), clock, {A: [ok]})


@pytest.mark.parametrize(
    "url", ["", "ftp://a", "http://", "http://a:99999", "http://a:b", "http://a/?q=1", "http://[::1", "http://a\x01b"]
)
def test_urls_are_checked(url: str) -> None:
    with pytest.raises(ValueError, match="gateway"):
        StemeDB([url])


def test_urls_are_taken_as_people_write_them() -> None:
    with StemeDB(" node1:18180, https://node2/stemedb/ ") as db:
        assert db._core.urls == ["http://node1:18180", "https://node2/stemedb"]
    with pytest.raises(ValueError, match="no gateway"):
        StemeDB([])


def test_settings_are_checked_and_the_key_is_not_shown() -> None:
    for bad in ({"deadline": 0}, {"try_timeout": -1}, {"deadline": float("nan")}):
        with pytest.raises(ValueError, match="give seconds"):
            StemeDB(A, **bad)
    with pytest.raises(ValueError, match="API key") as raised:
        StemeDB(A, api_key="secret\nsecret")
    assert "secret" not in str(raised.value)
