"""What a type checker sees: mypy reads this file; run, it checks that the methods can be looked at."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from stemedb import AsyncStemeDB, Event, Record, Skeptic, StemeDB, Subject, Written, calls

if TYPE_CHECKING:
    from typing_extensions import assert_type

    def _sync(db: StemeDB) -> None:
        assert_type(db.assert_claim("s", "p", 1, source="u", source_class="expert"), Written)
        assert_type(db.assert_many([{}]), list[Written])
        assert_type(db.skeptic("s", "p"), Skeptic)
        assert_type(db.records("s"), Generator[Record, None, None])
        assert_type(db.subjects(), Generator[Subject, None, None])
        assert_type(db.feed(), Generator[Event, None, None])
        db.assert_claim("s", "p", 1, source="u", source_class="guess")  # type: ignore[arg-type]
        db.vote("s")  # type: ignore[call-arg]

    def _async(db: AsyncStemeDB) -> None:
        answer: Coroutine[Any, Any, Skeptic] = db.skeptic("s", "p")
        answer.close()
        assert_type(db.records("s"), AsyncGenerator[Record, None])


def test_both_clients_have_the_same_calls() -> None:
    public = [{name for name in vars(client) if not name.startswith("_")} for client in (StemeDB, AsyncStemeDB)]
    assert public[0] - {"close"} == public[1] - {"aclose"}


def test_methods_show_their_parameters_and_what_they_do() -> None:
    with StemeDB() as db:
        assert list(inspect.signature(db.vote).parameters)[:3] == ["subject", "assertion", "voter"]
        assert (db.vote.__doc__ or "").startswith("Vote for a claim")
    for name, method in vars(StemeDB).items():
        if not name.startswith("_"):
            assert inspect.getdoc(method), f"{name} says nothing"
    assert inspect.getdoc(calls)
