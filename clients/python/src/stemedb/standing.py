"""Whether the claims of a source count: retraction, restoration, and descriptions that leave it as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

from .answers import WriteWarning, Written
from .calls import Durability, page, source
from .core import Core
from .lists import latest_source
from .records import Assertion, Lifecycle, Signer, SourceClass
from .wire import Program


def describe(
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
    """Describe a source. The latest record of a uri decides; ``retracted=False`` takes a retraction back.

    Without ``retracted`` its latest record is looked up, and a source that is retracted stays so: ``warnings`` say it.
    With ``signatures``, or a ``recorded_at`` before that record, it is stored as it is given.
    """
    warnings: tuple[WriteWarning, ...] = ()
    if retracted is None and signatures is None:
        latest, complete = yield from latest_source(core, uri)
        if latest is not None and recorded_at is None:
            recorded_at = max(core.unix_ms(), latest.recorded_at + 1)
        # Before the retraction nothing was retracted.
        if latest is not None and latest.retracted and recorded_at is not None and recorded_at >= latest.recorded_at:
            retracted = True
            warnings += (WriteWarning("still_retracted", f"{uri} is still retracted: restore takes that back"),)
        if not complete:
            unsure = f"nodes that did not answer may know of a later retraction or restoration of {uri}, now overruled"
            warnings += (WriteWarning("incomplete", unsure),)
    written = yield from source(
        core,
        uri,
        source_class,
        title=title,
        retracted=retracted,
        recorded_at=recorded_at,
        signatures=signatures,
        key=key,
        durability=durability,
    )
    return replace(written, warnings=written.warnings + warnings)


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
        latest, _ = yield from latest_source(core, uri)
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
