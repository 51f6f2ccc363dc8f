"""Whether the claims of a source count: retraction and restoration."""

from __future__ import annotations

from typing import get_args

from .answers import Written
from .calls import page, source
from .core import Core
from .lists import latest_source
from .records import Assertion, Lifecycle, SourceClass
from .wire import Program


def retract(
    core: Core,
    uri: str,
    source_class: SourceClass | None = None,
    *,
    title: str | None = None,
    recorded_at: int | None = None,
) -> Program[Written]:
    """Retract a source: lenses leave its claims out and count them. Nothing is deleted.

    Without ``source_class``, class and title are those of its latest record, or the class that a claim of it names; then
    the record is dated after that one, whatever the clock here says.
    """
    return _change(core, uri, True, source_class, title, recorded_at)


def restore(
    core: Core,
    uri: str,
    source_class: SourceClass | None = None,
    *,
    title: str | None = None,
    recorded_at: int | None = None,
) -> Program[Written]:
    """Take a retraction back: the claims of the source count again. What is left out is looked up as by ``retract``."""
    return _change(core, uri, False, source_class, title, recorded_at)


def _change(
    core: Core, uri: str, retracted: bool, source_class: SourceClass | None, title: str | None, recorded_at: int | None
) -> Program[Written]:
    if source_class is None:
        latest = yield from latest_source(core, uri)
        if latest is not None:
            title = latest.title if title is None else title
            if recorded_at is None:
                recorded_at = max(core.unix_ms(), latest.recorded_at + 1)
        named = latest.source_class if latest is not None else (yield from _class_of_a_claim(core, uri))
        source_class = next((known for known in get_args(SourceClass) if known == named), None)
    if source_class is None:
        raise ValueError(f"nothing is known of {uri}: compare it with the uri of the claims, or give source_class")
    return (yield from source(core, uri, source_class, title=title, retracted=retracted, recorded_at=recorded_at))


def _class_of_a_claim(core: Core, uri: str) -> Program[str | None]:
    found = yield from page(core, source=uri, lifecycle=get_args(Lifecycle), limit=1)
    claims = (record for record in found.records if isinstance(record, Assertion))
    return next((claim.source.source_class for claim in claims), None)
