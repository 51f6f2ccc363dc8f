"""Lines and server-sent events out of a stream of bytes, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

from .problems import BadReply

# A record has at most 1 MiB of JSON; what is around it is little.
LINE_BYTES_MAX = 2 * 1024 * 1024


class LineReader:
    """Cuts a stream at its line ends."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, part: bytes) -> list[bytes]:
        """Take bytes and return the lines that they end."""
        self._rest += part
        end = self._rest.rfind(b"\n")
        if end < 0:
            if len(self._rest) > LINE_BYTES_MAX:
                raise BadReply(f"a line of more than {LINE_BYTES_MAX} bytes")
            return []
        lines = bytes(self._rest[:end]).split(b"\n")
        del self._rest[: end + 1]
        return [line.rstrip(b"\r") for line in lines]


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """An event: where the stream stands behind it, what kind it is, and what it says."""

    token: str | None
    name: str
    data: str


class EventReader:
    """Reads server-sent events. A comment shows that the other side lives, and is nothing else."""

    def __init__(self, token: str | None = None) -> None:
        self._lines = LineReader()
        self._data: list[str] = []
        self._name = ""
        self.token = token
        """The last id that was named: the place to go on from."""
        self._pending: str | None = None

    def feed(self, part: bytes) -> list[ServerEvent]:
        """Take bytes and return the events that they end. A token counts once its event has ended."""
        return [event for line in self._lines.feed(part) if (event := self._take(line)) is not None]

    def _take(self, line: bytes) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        field, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        match field:
            case "id":
                self._pending = value
            case "data":
                self._data.append(value)
            case "event":
                self._name = value
        return None

    def _dispatch(self) -> ServerEvent | None:
        token, self._pending = self._pending or self.token, None
        data, self._data = self._data, []
        name, self._name = self._name, ""
        self.token = token
        return ServerEvent(token, name or "message", "\n".join(data)) if data else None
