"""Downloads from a real server on loop-back: limits that hold, and addresses that are never asked."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from duosent.processing import web_download
from duosent.processing.web_download import download, is_public

CONTENT = bytes(range(256)) * 4


class Answers(BaseHTTPRequestHandler):
    """Every path behaves in its own way; `/picture` as it should."""

    asked: list[str] = []

    def log_message(self, *words) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        name = self.path.strip("/").partition("?")[0].replace("-", "_")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, f"answer_{name}", self.answer_picture)()

    def head(self, status=200, kind="image/png", length=None, **headers) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": length, **headers}.items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()

    def answer_picture(self) -> None:
        self.head(length=len(CONTENT))
        self.wfile.write(CONTENT)

    def answer_no_length(self) -> None:
        self.head(kind=None)
        self.wfile.write(CONTENT)

    def answer_chunked(self) -> None:
        self.protocol_version = "HTTP/1.1"
        self.head(**{"Transfer-Encoding": "chunked"})
        for part in (CONTENT[:1000], CONTENT[1000:], b""):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    def answer_moved(self) -> None:
        self.head(302, Location="/picture")

    def answer_circle(self) -> None:
        self.head(307, Location="/circle")

    def answer_to_metadata(self) -> None:
        self.head(302, Location="http://169.254.169.254/latest/meta-data")

    def answer_to_file(self) -> None:
        self.head(302, Location="file:///etc/passwd")

    def answer_page(self) -> None:
        self.head(kind="text/html", length=4)
        self.wfile.write(b"<a/>")

    def answer_gone(self) -> None:
        self.send_error(404)

    def answer_said_to_be_large(self) -> None:
        self.head(length=10**9)

    def answer_endless(self) -> None:
        self.head()
        while True:
            self.wfile.write(CONTENT)

    def answer_cut(self) -> None:
        self.head(length=len(CONTENT) + 7)
        self.wfile.write(CONTENT)

    def answer_drip(self) -> None:
        self.head(length=len(CONTENT))
        self.drip()

    def answer_drip_of_headers(self) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\n")
        self.drip()

    def drip(self) -> None:
        for _ in range(100):
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(0.05)


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def url(server) -> str:
    Answers.asked.clear()
    return f"http://127.0.0.1:{server.server_port}"


def fetch(url: str, max_bytes=10_000, timeout=20.0, allow_private=True) -> bytes:
    return download(url, max_bytes, timeout, allow_private)


@pytest.mark.parametrize("path", ["picture", "no-length", "chunked", "moved", "a%20b?c=d&e=%C3%A9", "ä b"])
def test_the_content_arrives_whole(url, path):
    assert fetch(f"{url}/{path}") == CONTENT


def test_a_path_is_asked_for_as_it_was_written(url):
    fetch(f"{url}/a%20b/ä?c=d&e=%C3%A9#part")
    assert Answers.asked == ["/a%20b/%C3%A4?c=d&e=%C3%A9"]


def test_the_limit_of_size_is_exact(url):
    for path in ("picture", "no-length", "chunked"):
        assert fetch(f"{url}/{path}", max_bytes=len(CONTENT)) == CONTENT
        with pytest.raises(ValueError, match=f"must give {len(CONTENT) - 1} bytes at most, got more"):
            fetch(f"{url}/{path}", max_bytes=len(CONTENT) - 1)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("said-to-be-large", "must give 10000 bytes at most, got more."),
        ("endless", "must give 10000 bytes at most, got more."),
        ("page", "must give a picture, got Content-Type text/html."),
        ("gone", "must give a picture, got status 404."),
        ("cut", "broke off 7 bytes before its end."),
        ("circle", "must lead to a picture by 5 redirects at most, got more."),
        ("to-file", "must begin with http:// or https:// and a host, got file:///etc/passwd."),
    ],
)
def test_what_is_no_picture_is_refused_in_one_sentence(url, path, message):
    with pytest.raises(ValueError) as error:
        fetch(f"{url}/{path}")
    assert str(error.value).endswith(message) and "\n" not in str(error.value)


@pytest.mark.parametrize("path", ["drip", "drip-of-headers"])
def test_the_limit_of_time_is_on_the_whole(url, path):
    """The server sends a byte every 0.05 seconds, 5 seconds long: no single wait is long."""
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"must be read within 0\.5 seconds, which were not enough\."):
        fetch(f"{url}/{path}", timeout=0.5)
    assert time.monotonic() - start < 3


def test_a_slow_name_server_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: time.sleep(5))
    start = time.monotonic()
    with pytest.raises(ValueError, match="must be read within 0.3 seconds"):
        fetch("http://slow.test/a.png", timeout=0.3)
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0"])
def test_this_machine_is_never_asked(server, url, host):
    with pytest.raises(ValueError, match="must lead to a public address, and .* has one that is not"):
        fetch(f"http://{host}:{server.server_port}/picture", allow_private=False)
    assert Answers.asked == []


def test_a_redirect_is_checked_like_the_first_address(server, url, monkeypatch):
    """The server passes for a public one; what it sends us to does not."""
    public = ("127.0.0.1", server.server_port)
    monkeypatch.setattr(web_download, "is_public", lambda address: address == public or is_public(address))
    assert fetch(f"{url}/moved", allow_private=False) == CONTENT
    with pytest.raises(ValueError, match="169.254.169.254/latest/meta-data must lead to a public address"):
        fetch(f"{url}/to-metadata", allow_private=False)


def test_the_address_that_was_checked_is_the_one_that_is_asked(server, url, monkeypatch):
    """A name server that answers anew at each question changes nothing."""
    questions = []

    def look_up(host, port, *args, **kwargs):
        questions.append(host)
        address = "127.0.0.1" if len(questions) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(web_download, "is_public", lambda address: address[0] == "127.0.0.1")
    assert fetch(f"http://rebound.test:{server.server_port}/picture", allow_private=False) == CONTENT
    assert questions == ["rebound.test"]


def test_one_private_address_of_several_is_enough_to_refuse(monkeypatch):
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 80)) for ip in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: answers)
    with pytest.raises(ValueError, match="must lead to a public address"):
        fetch("http://both.test/a.png", allow_private=False)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::5db8:d822", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("239.255.255.250", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("0.0.0.0", False),
        ("::", False),
        ("::1", False),
        ("::7f00:1", False),
        ("fe80::1%eth0", False),
        ("fec0::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("ff0e::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b:1::a00:1", False),
        ("2002:a00:1::", False),
        ("2002:7f00:1::1", False),
        ("2001:0:a00:1::", False),
    ],
)
def test_which_addresses_are_public(address, expected):
    assert is_public((address, 80)) is expected


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://example.org/a.png", "must begin with http:// or https:// and a host, got ftp://example.org/a.png."),
        ("http:///a.png", "must begin with http:// or https:// and a host"),
        ("http://anna:secret@example.org/a.png", "must hold no user name and no password, got one for example.org."),
        ("http://example.org:99999/a.png", "must be an address on the web"),
        ("http://[::1/a.png", "must be an address on the web"),
        (f"http://{'a' * 70}.org/a.png", "must be an address on the web"),
        ("http://no-such-host.invalid/a.png", "cannot be read: there is no host no-such-host.invalid."),
    ],
)
def test_wrong_addresses_are_one_sentence(url, message):
    with pytest.raises(ValueError) as error:
        fetch(url)
    assert message in str(error.value) and "\n" not in str(error.value) and "secret" not in str(error.value)


def test_a_closed_port_is_one_sentence():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ValueError, match="cannot be read: .*refused"):
        fetch(f"http://127.0.0.1:{port}/a.png")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_https_asks_whose_certificate_it_is(tmp_path, monkeypatch):
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        running.daemon_threads = True
        running.socket = context.wrap_socket(running.socket, server_side=True)
        threading.Thread(target=running.serve_forever, daemon=True).start()
        with pytest.raises(ValueError, match="cannot be read: .*CERTIFICATE_VERIFY_FAILED"):
            fetch(f"https://localhost:{running.server_port}/picture")
        trusting = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        monkeypatch.setattr(ssl, "create_default_context", lambda: trusting)
        assert fetch(f"https://localhost:{running.server_port}/moved") == CONTENT
        with pytest.raises(ValueError, match=r"must be read within 0\.5 seconds"):
            fetch(f"https://localhost:{running.server_port}/drip", timeout=0.5)
        with pytest.raises(ValueError, match="cannot be read: .*certificate is not valid for '127.0.0.1'"):
            fetch(f"https://127.0.0.1:{running.server_port}/picture")
        running.shutdown()
