"""What both drivers know of httpx."""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from .core import gateway_url
from .wire import CONNECT_TIMEOUT, REPLY_BYTES_MAX, Exchange, Lost, Open, Reply


def url_list(urls: str | Sequence[str]) -> list[str]:
    """Take one URL, several, or several with commas between them."""
    listed = urls.split(",") if isinstance(urls, str) else list(urls)
    for url in listed:
        try:
            httpx.URL(gateway_url(url))
        except httpx.InvalidURL as error:
            raise ValueError(f"{url!r} is no gateway: {error}") from error
    return listed


def timeouts(seconds: float) -> httpx.Timeout:
    """Set how long a gateway may be silent; connecting takes no longer than it should."""
    return httpx.Timeout(seconds, connect=min(seconds, CONNECT_TIMEOUT))


def reply_of(url: str, response: httpx.Response, body: bytes) -> Reply:
    """Keep what the programs look at."""
    headers = response.headers
    return Reply(url, response.status_code, body, headers.get("x-trace-id"), _seconds(headers.get("retry-after")))


def broken(step: Exchange | Open | str, error: httpx.HTTPError) -> Lost:
    """Say why there is no reply."""
    url = step if isinstance(step, str) else step.url
    return Lost(url, str(error) or type(error).__name__)


def overrun(size: int, late: bool) -> str | None:
    """Say what bound a reply broke, if it did."""
    if size > REPLY_BYTES_MAX:
        return f"the reply has more than {REPLY_BYTES_MAX} bytes"
    return "the reply did not end in time" if late else None


def _seconds(retry_after: str | None) -> float | None:
    # It may be a date, too; ours never is.
    return float(retry_after) if retry_after is not None and retry_after.isdigit() else None
