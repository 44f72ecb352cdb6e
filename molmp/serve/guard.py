"""What stands before every request: whom it is for, where it comes from, how long it is; and what browsers may do.

A page of another site can send requests to a server on the reader's own machine. Names that were made to point at it
(DNS rebinding) are told by the header Host, forms of other sites by Origin and Sec-Fetch-Site.
"""

import json
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException

from molmp.serve.limits import Limits

__all__ = ["LOOPBACK", "Guard"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names of a machine for itself."""

FORM_EXTRA = 1 << 16
"""Bytes that a form has besides the file in it."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """ASGI middleware.

    Parameters
    ----------
    limits
        How long a request may be.
    hosts
        Names under which the server may be asked; ``None``: any.
    uploads
        Path whose requests may be as long as a table.
    """

    def __init__(self, app: Application, limits: Limits, hosts: Collection[str] | None, uploads: str) -> None:
        self.app, self.limits, self.hosts, self.uploads = app, limits, hosts, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        most = self._most(scope["path"])
        refusal = self._refusal(scope["method"], headers, most)
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        await self.app(scope, _counted(receive, most), _with_headers(send))

    def _most(self, path: str) -> int:
        return self.limits.upload_bytes + FORM_EXTRA if path.endswith(self.uploads) else self.limits.max_body

    def _refusal(self, method: str, headers: dict[str, str], most: int) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self.hosts is not None and _hostname(f"//{host}") not in self.hosts:
            return 400, f"this server answers to {', '.join(self.hosts)}, not to {host[:100]!r}"
        if method not in ("GET", "HEAD"):
            origin = headers.get("origin")
            foreign = headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
            if foreign or (origin is not None and urlsplit(origin).netloc != host):
                return 403, "requests from pages of other sites are not answered"
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > most:
            return 413, _too_long(most)
        return None


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:  # brackets that are no address
        return None


def _too_long(most: int) -> str:
    return f"the request is longer than {most:,} bytes"


def _counted(receive: Receive, most: int) -> Receive:
    """Stop where a request that does not tell its length is longer than ``most``."""
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > most:
            raise HTTPException(413, _too_long(most))
        return message

    return counted


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name for name, _ in message["headers"]}
            ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message["headers"] = [*message["headers"], *(pair for pair in ours if pair[0] not in there)]
        await send(message)

    return wrapped


async def _refuse(send: Send, status: int, sentence: str) -> None:
    body = json.dumps({"detail": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
               (b"connection", b"close")]  # fmt: skip
    await _with_headers(send)({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
