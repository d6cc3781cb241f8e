"""Real receivers: an HTTP server that remembers what it was sent, and a mail server."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@dataclass
class Post:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass
class Hook:
    """An HTTP server; ``answer`` says what it answers to the n-th request (from 0)."""

    answer: Callable[[int, Post], web.StreamResponse] = lambda _n, _post: web.Response()
    posts: list[Post] = field(default_factory=list)
    url: str = ""
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Remember, and answer."""
        post = Post(request.path_qs, {k.lower(): v for k, v in request.headers.items()}, await request.read())
        self.posts.append(post)
        self.came.set()
        return self.answer(len(self.posts) - 1, post)

    async def wait(self, count: int, within: float = 20.0) -> None:
        """Wait until so many requests have come."""
        async with asyncio.timeout(within):
            while len(self.posts) < count:
                self.came.clear()
                await self.came.wait()


@asynccontextmanager
async def hook(
    answer: Callable[[int, Post], web.StreamResponse] | None = None,
    *,
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Hook]:
    """A server on this machine for as long as the context lasts."""
    found = Hook() if answer is None else Hook(answer)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls, reuse_address=True).start()
        scheme = "http" if tls is None else "https"
        found.url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}/hook"
        yield found
    finally:
        await runner.cleanup()


@dataclass
class MailServer:
    """A mail server; ``answers`` replaces its answers, by command."""

    answers: dict[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    said: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    port: int = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One conversation."""

        async def say(text: str) -> None:
            writer.write(text.encode() + b"\r\n")
            await writer.drain()

        secure = False
        await say("220 test")
        while line := (await reader.readline()).decode().strip():
            word = line.split()[0].upper()
            self.said.append(f"{'tls ' if secure else ''}{line}")
            if word in self.answers:
                await say(self.answers[word])
            elif word == "EHLO":
                offers = "250-STARTTLS\r\n" if self.tls and not secure else ""
                await say(f"250-test\r\n{offers}250-AUTH PLAIN\r\n250 8BITMIME")
            elif word == "STARTTLS" and self.tls:
                await say("220 go on")
                await writer.start_tls(self.tls)
                secure = True
            elif word == "DATA":
                await say("354 go on")
                lines = []
                while (part := await reader.readline()) not in (b".\r\n", b""):
                    lines.append(part)
                self.messages.append(b"".join(lines))
                await say("250 taken")
            elif word == "AUTH":
                await say("235 welcome")
            elif word == "QUIT":
                await say("221 bye")
                break
            else:
                await say("250 ok")
        writer.close()


@asynccontextmanager
async def mail_server(
    answers: dict[str, str] | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[MailServer]:
    """A mail server on this machine."""
    found = MailServer(answers or {}, tls)
    server = await asyncio.start_server(found.talk, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
