"""Bodies of requests: bounded in size, unpacked or not, and in time; and bounded all together."""

from __future__ import annotations

import asyncio
import zlib
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from stream.api.problems import Failed

if TYPE_CHECKING:
    from starlette.types import Message, Receive

PIECE_SECONDS: Final = 10.0
"""The next piece of a body must come within this."""
WHOLE_SECONDS: Final = 60.0
"""All of it must."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_LET_OUT_BYTES: Final = 64 * 1024 * 1024
_LET_OUT_SECONDS: Final = 5.0
_ALL_BYTES: Final = 256 * 1024 * 1024


class Room:
    """Bytes that the bodies of all requests take up at one time."""

    def __init__(self, most: int = _ALL_BYTES) -> None:
        self._left = most

    def take(self, count: int) -> None:
        """Take room.

        Raises:
            Failed: there is none left.
        """
        if count > self._left:
            raise Failed(503, "busy", "too many large requests at once", retry_after=1)
        self._left -= count

    def give(self, count: int) -> None:
        """Give it back."""
        self._left += count


class Gone(Exception):  # noqa: N818 - reads as what happened
    """The client left before its request was whole."""


class Body:
    """The body of one request; ``close`` gives its room back.

    Args:
        room: of all requests.
        most: bytes at most, before and after unpacking.
        encoding: of ``Content-Encoding``.
        length: of ``Content-Length``; None where there is none.

    Raises:
        Failed: it is encoded in another way than by gzip.
    """

    def __init__(self, room: Room, most: int, encoding: str, length: int | None) -> None:
        if encoding not in {"", "identity", "gzip"}:
            raise Failed(
                415,
                "media-type",
                "of content encodings only gzip is taken",
                headers={"Accept-Encoding": "gzip"},
            )
        self._length = length or 0
        self._room = room
        self._most = most
        self._packed = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
        self._whole = False
        self._came = 0
        self._held = 0
        self._pieces: list[bytes] = []

    async def read(self, receive: Receive) -> bytes:
        """All of it, unpacked.

        Raises:
            Failed: it is too large, comes too slowly, or is not what its encoding says.
            Gone: nobody is there any more.
        """
        try:
            if self._length > self._most:
                raise _too_large(self._most)
            return await self._read(receive)
        except Failed as failed:
            if failed.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                await self._let_out(receive)
            raise

    async def _read(self, receive: Receive) -> bytes:
        try:
            async with asyncio.timeout(WHOLE_SECONDS):
                while True:
                    async with asyncio.timeout(PIECE_SECONDS):
                        message = await receive()
                    self._take(message)
                    if self._whole:
                        break
        except TimeoutError:
            raise Failed(
                408, "too-slow", "the body did not come in time", headers={"Connection": "close"}
            ) from None
        if self._packed is not None and self._came and not self._packed.eof:
            raise Failed(400, "bad-request", "the gzip body is cut short")
        return b"".join(self._pieces)

    def close(self) -> None:
        """Give the room back; more than once is no error."""
        self._pieces.clear()
        held, self._held = self._held, 0
        self._room.give(held)

    async def _let_out(self, receive: Receive) -> None:
        """Take a little more in, unread: else a client that still sends never hears why."""
        self.close()
        left = _LET_OUT_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(_LET_OUT_SECONDS):
                while left > 0 and not self._whole:
                    message = await receive()
                    self._whole = not message.get("more_body", False)  # or nobody is there any more
                    left -= len(message.get("body", b""))

    def _take(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            raise Gone
        piece: bytes = message.get("body", b"")
        self._whole = not message.get("more_body", False)
        self._came += len(piece)
        if self._came > self._most:
            raise _too_large(self._most)
        if self._packed is None:
            self._keep(piece)
            return
        try:
            while piece:
                # One byte more than may be there: a bomb is noticed before it is unpacked.
                self._keep(self._packed.decompress(piece, self._most - self._held + 1))
                piece = self._packed.unconsumed_tail
                if self._packed.eof:
                    break
        except zlib.error:
            raise Failed(400, "bad-request", "the body is no gzip") from None
        if self._packed.eof and self._packed.unused_data:
            raise Failed(400, "bad-request", "something follows the gzip body")

    def _keep(self, piece: bytes) -> None:
        if self._held + len(piece) > self._most:
            raise _too_large(self._most)
        self._room.take(len(piece))
        self._held += len(piece)
        self._pieces.append(piece)


def _too_large(most: int) -> Failed:
    # Not all of it is read: the connection is of no more use.
    return Failed(413, "too-large", f"at most {most} bytes, unpacked or not", headers={"Connection": "close"})
