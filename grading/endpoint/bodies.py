"""The bodies of HTTP replies, unpacked piece by piece and within a limit, whichever client brings them.

The clients' own unpacking makes 64 MB of a packet of 64 kB before anybody can count.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

MOST_BODY: Final = 4 * 2**20  # bytes, packed or not; a reply with 128,000 tokens of reasoning has less than 1 MB
ACCEPTED: Final = "gzip"  # sent in Accept-Encoding
_PIECE = 2**16
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class BodyError(Exception):
    """A body is too large, or has an encoding that was not requested."""


class BrokenBodyError(BodyError):
    """A body contradicts its header; the next one may be valid."""


class Unpacker:
    """Unpacks one body whose header Content-Encoding is `encoding`; BodyError past `most` bytes."""

    def __init__(self, encoding: str, most: int = MOST_BODY) -> None:
        self._most = most
        self._came = self._made = 0
        self._inflate = None
        name = encoding.strip().lower()
        if name in ("gzip", "x-gzip", "deflate"):
            self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
        elif name not in ("", "identity"):
            raise BodyError(f"the reply has the Content-Encoding {encoding[:40]!r}, which was not requested")

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The unpacked content of the next `chunk`."""
        self._came = self._bounded(self._came + len(chunk))
        if self._inflate is None:
            yield chunk
            return
        while chunk:
            if self._inflate.eof:
                raise BrokenBodyError("the reply continues after the end of its packed data")
            try:
                piece = self._inflate.decompress(chunk, _PIECE)
            except zlib.error as error:
                raise BrokenBodyError(f"the reply cannot be unpacked ({error})") from error
            self._made = self._bounded(self._made + len(piece))
            chunk = self._inflate.unconsumed_tail or self._inflate.unused_data
            yield piece

    def _bounded(self, size: int) -> int:
        if size > self._most:
            raise BodyError(f"the reply is larger than {self._most // 2**20} MiB")
        return size
