"""URLs -> bodies over HTTP: few at a time, not too often, not inside private networks."""

import asyncio
import contextlib
import importlib.metadata
import ipaddress
import random
import socket
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

TRIES = 5
BACKOFF_SECONDS = 1.0
"""Mean wait before the second try; it doubles with each further one."""

MAX_REDIRECTS = 5
MAX_PAUSE_SECONDS = 600.0
"""A host that requires a longer pause is skipped for the rest of the run."""

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=30)

SECONDS_PER_URL = 120.0
"""Time that the requests for one URL may take in all, tries and redirects included."""

# Requests sent evenly still arrive unevenly: 5 % slower than allowed, none is early.
_SLACK = 1.05


@dataclass(frozen=True)
class Missing:
    """Why there is no body.

    Attributes:
        gone: the server said that it does not have it (404, 410).
        reason: one line.
    """

    gone: bool
    reason: str


def download_all(
    urls: Iterable[str],
    deliver: Callable[[str, bytes | Missing], Awaitable[None]],
    *,
    connections: int,
    rate: float,
    allow_private: bool,
    max_bytes: int,
) -> None:
    """Downloads bodies over http and https and delivers each as it arrives.

    429, 5xx and broken connections are tried again after exponentially growing, jittered
    waits, or when the server says (Retry-After). Redirects are followed one by one, each by the
    same rules as the first URL. Proxies of the environment are not used: behind one, the
    address connected to could not be checked.

    Args:
        urls: what to download, begun in this order.
        deliver: called and awaited for each URL, before the same connection's next; an
            exception ends the download and is raised here.
        connections: URLs that are worked on at a time.
        rate: requests a second to one host, at most.
        allow_private: also connect to loopback, private and other non-public addresses.
        max_bytes: largest body that is accepted.
    """
    waiting = iter(urls)

    async def work(client: _Client) -> None:
        for url in waiting:
            await deliver(url, await client.fetch(url))

    async def main() -> None:
        async with _Client(rate, allow_private, max_bytes) as client, asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(work(client))

    try:
        _run(main())
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


def _run(job: Coroutine[Any, Any, None]) -> None:
    """`asyncio.run` in a thread of its own, since a notebook has a loop running in this one."""
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = Future()

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        started.set_result((asyncio.get_running_loop(), task))
        await job

    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(asyncio.run, main())
        try:
            running.result()
        except KeyboardInterrupt:
            loop, task = started.result()
            with contextlib.suppress(RuntimeError):  # It has just ended by itself.
                loop.call_soon_threadsafe(task.cancel)
            raise


class _UnavailableError(Exception):
    """There is no body; the message says why."""


class _NotPublicError(OSError):
    """A refused address; an OSError, so that the other addresses of its host are tried."""


class _GoneError(_UnavailableError):
    """404 or 410."""


class _RetryableError(Exception):
    """A failure that may pass.

    Attributes:
        host: where it happened.
        pause: seconds to wait, from the server's Retry-After; None if it sent none.
        busy: whether the host as a whole is to be left alone meanwhile.
    """

    def __init__(
        self, reason: str, host: str, pause: float | None = None, busy: bool = False
    ) -> None:
        super().__init__(reason)
        self.host = host
        self.pause = pause
        self.busy = busy


class _BrokenConnectionError(aiohttp.ClientError):
    """A connection that ended before an answer."""


class _Client:
    """An HTTP client within the limits; used as `async with`."""

    def __init__(self, rate: float, allow_private: bool, max_bytes: int) -> None:
        self._turns = _Turns(rate)
        self._allow_private = allow_private
        self._max_bytes = max_bytes

    async def __aenter__(self) -> Self:
        version = importlib.metadata.version("keras-colorize")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(socket_factory=self._open_socket),
            # Images are compressed already; an encoded body could be far larger than it looks.
            headers={"User-Agent": f"keras-colorize/{version}", "Accept-Encoding": "identity"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=TIMEOUT,
            middlewares=(_no_silent_retry,),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def fetch(self, url: str) -> bytes | Missing:
        """The body at a URL, after several tries if a failure may pass."""
        allowance = _Allowance(SECONDS_PER_URL)
        try:
            for attempt in range(TRIES):
                try:
                    return await self._follow(url, allowance)
                except _RetryableError as error:
                    failure = error
                if allowance.seconds <= 0:
                    raise _UnavailableError(f"not there after {SECONDS_PER_URL:.0f} s")
                pause = failure.pause
                if pause is None:
                    pause = BACKOFF_SECONDS * 2**attempt * random.uniform(0.5, 1.5)
                if failure.busy:
                    self._turns.pause(failure.host, pause)
                elif attempt + 1 < TRIES:
                    await asyncio.sleep(pause)
            return Missing(gone=False, reason=f"{failure} ({TRIES} tries)")
        except _UnavailableError as error:
            return Missing(gone=isinstance(error, _GoneError), reason=str(error))
        except Exception as error:  # Of any kind; the other URLs continue.
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            return Missing(gone=False, reason=reason)

    async def _follow(self, first: str, allowance: "_Allowance") -> bytes:
        """The body at a URL or where its redirects lead."""
        try:
            url = URL(first)
            for _ in range(MAX_REDIRECTS + 1):
                answer = await self._get(url, allowance)
                if isinstance(answer, bytes):
                    return answer
                url = url.join(URL(answer))
                if url.scheme not in ("http", "https"):
                    raise _UnavailableError(
                        f"redirected to {url}: only http and https are supported"
                    )
        except ValueError as error:  # So yarl and aiohttp report a URL they cannot read.
            raise _UnavailableError(f"bad URL ({error})") from error
        raise _UnavailableError(f"more than {MAX_REDIRECTS} redirects")

    async def _get(self, url: URL, allowance: "_Allowance") -> bytes | str:
        """One request: the body, or the URL it is redirected to."""
        host = url.host or ""
        await self._turns.wait(host)
        try:
            async with (
                allowance.spent(),
                self._session.get(url, allow_redirects=False) as response,
            ):
                if response.status == 200:
                    return await self._read(response)
                location = response.headers.get("Location")
                if 300 <= response.status < 400 and location:
                    return location
                reason = f"HTTP {response.status}"
                if response.status in (404, 410):
                    raise _GoneError(reason)
                if response.status == 429 or response.status >= 500:
                    pause = _seconds(response.headers.get("Retry-After", ""))
                    busy = response.status == 429 or pause is not None
                    raise _RetryableError(reason, host, pause, busy)
                raise _UnavailableError(reason)
        except TimeoutError as error:
            raise _RetryableError("timed out", host) from error
        except aiohttp.InvalidURL:
            raise
        except (aiohttp.ClientError, OSError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise _RetryableError(reason, host) from error

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The body, read no further than the cap."""
        body = bytearray()
        if (response.content_length or 0) <= self._max_bytes:
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > self._max_bytes:
                    break
            else:
                return bytes(body)
        raise _UnavailableError(f"larger than {self._max_bytes} bytes")

    def _open_socket(self, resolved: Sequence[Any]) -> socket.socket:
        """Opens the socket for a resolved address, unless it is not public.

        This is the address that is connected to, so that no name that resolves differently a
        second time, and no redirect, leads elsewhere.
        """
        family, kind, protocol, _, (ip, *_) = resolved
        if not (self._allow_private or _is_public(ip)):
            raise _NotPublicError("not a public address; allow it with --allow-private")
        return socket.socket(family, kind, protocol)


@dataclass
class _Allowance:
    """Seconds that may still be spent."""

    seconds: float

    @contextlib.asynccontextmanager
    async def spent(self) -> AsyncIterator[None]:
        """Counts the time inside; TimeoutError when all is spent."""
        start = time.monotonic()
        try:
            async with asyncio.timeout(self.seconds):
                yield
        finally:
            self.seconds -= time.monotonic() - start


class _Turns:
    """When the next request to each host may start."""

    def __init__(self, rate: float) -> None:
        self._spacing = _SLACK / rate
        self._next: dict[str, float] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def wait(self, host: str) -> None:
        """Returns when it is this caller's turn."""
        async with self._locks[host]:
            # Another response may set a pause during the wait.
            while (delay := self._next.get(host, 0.0) - time.monotonic()) > 0:
                if delay > MAX_PAUSE_SECONDS:
                    raise _UnavailableError(
                        f"{host} requires a wait of {delay:.0f} s; run again later"
                    )
                await asyncio.sleep(delay)
            self._next[host] = time.monotonic() + self._spacing

    def pause(self, host: str, seconds: float) -> None:
        """Blocks requests to this host for some seconds."""
        self._next[host] = max(self._next.get(host, 0.0), time.monotonic() + seconds)


async def _no_silent_retry(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keeps aiohttp from repeating, past the rate limit, a GET whose connection broke."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if isinstance(getattr(error, "os_error", None), _NotPublicError):
            raise _UnavailableError(f"{request.url.host} is {error.__cause__}") from error
        raise _BrokenConnectionError(str(error)) from error


# All of the IANA registries of special-purpose addresses, whether they are called globally
# reachable or not, and multicast. Python's own table depends on its version.
# https://www.iana.org/assignments/iana-ipv4-special-registry
# https://www.iana.org/assignments/iana-ipv6-special-registry
_SPECIAL_IPV4 = [
    ipaddress.IPv4Network(prefix)
    for prefix in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24"),
        *("192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
]
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_SPECIAL_IPV6 = [  # Inside global unicast; 2002::/16 leads to IPv4 addresses.
    ipaddress.IPv6Network(prefix)
    for prefix in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
]


def _is_public(ip: str) -> bool:
    """Whether an IP address is one of the public internet."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL_IPV4)
    return address in _GLOBAL_UNICAST and not any(address in network for network in _SPECIAL_IPV6)


def _seconds(retry_after: str) -> float | None:
    """The value of Retry-After, seconds or a date, as seconds from now; None if it is neither."""
    try:
        if retry_after.isascii() and retry_after.isdigit():
            seconds = float(retry_after)
        else:
            seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), 1e9)
