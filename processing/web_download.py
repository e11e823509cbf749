"""One file from an address on the web, with limits on size and time, and never from inside a private network.

A name is looked up once and the connection goes to the very address that was checked, so that a name server cannot
answer twice (DNS rebinding). Every redirect is checked like the first address. No proxy is asked.
"""

import http.client
import io
import ipaddress
import queue
import socket
import ssl
import threading
import time
from urllib.parse import quote, urljoin, urlsplit

from duosent.processing.reasons import reason_of

REDIRECTS = (301, 302, 303, 307, 308)
MAX_REDIRECTS = 5
# IPv6 addresses that a gateway turns into the IPv4 address in their last 32 bits (RFC 6052).
TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
# Answers that may be another next time.
PASSING = (408, 425, 429, 500, 502, 503, 504)
# What a server may call a picture.
PICTURE_TYPES = ("image/", "application/octet-stream", "binary/octet-stream")
HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity", "Connection": "close", "User-Agent": "duosent"}


class PassingDownloadError(ValueError):
    """What another try may not meet: no answer in time, a connection that broke, a server that is busy."""


def download(url: str, max_bytes: int, timeout: float, allow_private: bool = False) -> bytes:
    """What a picture's address gives.

    Args:
        url: http or https, without user name and password.
        max_bytes: of the content.
        timeout: seconds for all of it: name, connection, redirects and content.
        allow_private: take addresses too that are no public ones (loop-back, private, link-local, multicast,
            reserved), which otherwise are refused.

    Raises:
        PassingDownloadError: in one sentence, for what another try may not meet.
        ValueError: for whatever else stands in the way.
    """
    deadline = time.monotonic() + timeout
    here = url
    try:
        for _ in range(MAX_REDIRECTS + 1):
            answer = _get(here, max_bytes, deadline, allow_private)
            if isinstance(answer, bytes):
                return answer
            here = urljoin(here, answer)
    except TimeoutError as error:
        raise PassingDownloadError(
            f"{shortened(url)} must be read within {timeout:g} seconds, which were not enough."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        kind = ValueError if _lasts(error) else PassingDownloadError
        raise kind(f"{shortened(url)} cannot be read: {shortened(reason_of(error), 200)}.") from error
    raise ValueError(f"{shortened(url)} must lead to a picture by {MAX_REDIRECTS} redirects at most, got more.")


def _lasts(error: Exception) -> bool:
    """Whether the host is none, or not the one that it says it is."""
    cause = error.__cause__
    if isinstance(cause, socket.gaierror):
        return cause.errno != socket.EAI_AGAIN
    return isinstance(error, ssl.SSLCertVerificationError) or isinstance(cause, UnicodeError)


def shortened(value: str, length: int = 100) -> str:
    """A value fit for a sentence: its beginning, with nothing that breaks a line."""
    value = value if value.isprintable() else repr(value)[1:-1]
    return value if len(value) <= length else f"{value[:length]}…"


def _get(url: str, max_bytes: int, deadline: float, allow_private: bool) -> bytes | str:
    """The content, or where it has moved to."""
    scheme, host, port, target = _parts(url)
    connection_class = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    connection = connection_class(host, port or connection_class.default_port)
    with _connect(url, host, connection.port, deadline, allow_private) as plain:
        stream = plain
        if scheme == "https":
            plain.settimeout(_left(deadline))
            stream = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
        with stream:
            connection.sock = _TimedSocket(stream, deadline)
            connection.auto_open = False  # no second look-up of the name
            connection.request("GET", target, headers=HEADERS)
            response = connection.getresponse()
            if response.status in REDIRECTS and response.getheader("Location"):
                return response.getheader("Location")
            return _content(url, response, max_bytes)


def _parts(url: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port, and path with query in the characters that a request may hold."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        host = host and host.encode("idna").decode("ascii")
    except ValueError as error:
        raise ValueError(f"{shortened(url)} must be an address on the web: {reason_of(error)}.") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(
            f"An address on the web must begin with http:// or https:// and a host, got {shortened(url)}."
        )
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            f"An address on the web must hold no user name and no password, got one for {shortened(host)}."
        )
    query = f"?{parts.query}" if parts.query else ""
    return parts.scheme, host, port, quote((parts.path or "/") + query, safe="/?%:@!$&'()*+,;=~-._[]")


def _connect(url: str, host: str, port: int, deadline: float, allow_private: bool) -> socket.socket:
    addresses = _look_up(host, port, deadline)
    if not allow_private and not all(is_public(address) for _, address in addresses):
        raise ValueError(f"{shortened(url)} must lead to a public address, and {shortened(host)} has one that is not.")
    for tried, (family, address) in enumerate(addresses):
        connected = socket.socket(family, socket.SOCK_STREAM)
        try:
            connected.settimeout(_left(deadline) / (len(addresses) - tried))
            connected.connect(address)
            return connected
        except OSError as error:
            connected.close()
            failure = error
    raise failure


def _look_up(host: str, port: int, deadline: float) -> list[tuple]:
    """Family and address of each way to a host. The system's look-up knows no time limit: it gets a thread."""
    found = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.put(error)

    threading.Thread(target=look_up, daemon=True).start()
    try:
        answer = found.get(timeout=_left(deadline))
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise OSError(f"there is no host {shortened(host)}") from answer
    return list(dict.fromkeys((family, address) for family, _, _, _, address in answer))


def is_public(address: tuple) -> bool:
    """Whether a socket's address is one that anybody on the internet may have. An IPv4 address inside one of IPv6
    (mapped, 6to4, Teredo, NAT64) counts as well.
    """
    ip = ipaddress.ip_address(address[0].partition("%")[0])
    inside = [ip]
    if ip.version == 6 and (ip.ipv4_mapped is not None or ip in TRANSLATED):
        inside = [ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)]  # the other bits are only a way to write it
    elif ip.version == 6:
        inside += [each for each in (ip.sixtofour, *(ip.teredo or ())) if each is not None]
    return all(
        each.is_global and not (each.is_multicast or each.is_reserved or getattr(each, "is_site_local", False))
        for each in inside
    )


def _content(url: str, response: http.client.HTTPResponse, max_bytes: int) -> bytes:
    if response.status != http.client.OK:
        kind = PassingDownloadError if response.status in PASSING else ValueError
        raise kind(f"{shortened(url)} must give a picture, got status {response.status}.")
    kind = (response.getheader("Content-Type") or PICTURE_TYPES[0]).strip().lower()
    if not kind.startswith(PICTURE_TYPES):
        raise ValueError(f"{shortened(url)} must give a picture, got Content-Type {shortened(kind, 40)}.")
    content = b"" if (response.length or 0) > max_bytes else response.read(max_bytes + 1)
    if len(content) > max_bytes or (response.length or 0) > max_bytes:
        raise ValueError(f"{shortened(url)} must give {max_bytes} bytes at most, got more.")
    if response.length:
        raise PassingDownloadError(f"{shortened(url)} broke off {response.length} bytes before its end.")
    return content


def _left(deadline: float) -> float:
    """Seconds, > 0."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _TimedSocket:
    """What http.client asks of a socket. A socket's own limit is on each wait, which a server that sends a byte now
    and then never reaches; here it is what is left until the deadline.
    """

    def __init__(self, stream: socket.socket, deadline: float):
        self.stream, self.deadline = stream, deadline

    def sendall(self, data: bytes) -> None:
        self.stream.settimeout(_left(self.deadline))
        self.stream.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self.stream, self.deadline))

    def close(self) -> None:
        """Left to `_get`: http.client closes its socket while the answer is still read from it."""


class _TimedReader(io.RawIOBase):
    def __init__(self, stream: socket.socket, deadline: float):
        self.stream, self.deadline = stream, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        self.stream.settimeout(_left(self.deadline))
        return self.stream.recv_into(buffer)


__all__ = ["PassingDownloadError", "download", "is_public", "shortened"]
