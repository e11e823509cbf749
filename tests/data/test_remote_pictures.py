"""Pictures on the web: only where it is allowed, never from a private network, and asked for again in vain only."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from drawn import blocks, encoded

from duosent.data.rejected import Rejected
from duosent.data.retries import Retries
from duosent.data.source_files import source_files
from duosent.data.source_pieces import source_pieces
from duosent.data.source_reader import SourceReader
from duosent.processing import web_download

PNG = encoded(blocks(1))


class Answers(BaseHTTPRequestHandler):
    """`/busy` answers twice that it is, before it gives the picture; `/broken` stops in the middle once."""

    asked: list[str] = []

    def log_message(self, *words) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        times = self.asked.count(self.path)
        status = {"/busy": 200 if times > 2 else 503, "/gone": 404}.get(self.path, 200)
        content = b"%!PS-Adobe" if self.path == "/program" else PNG
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: 10 if self.path == "/broken" and times == 1 else None])


@pytest.fixture
def server():
    Answers.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def fetched(folder, url: str, allow_urls: bool) -> dict | Rejected:
    (folder / "a.jsonl").write_text(json.dumps({"text": "a", "image": url}))
    [file] = source_files(folder, retries=Retries(3, first_pause=0))
    [piece] = source_pieces([file])
    reader = SourceReader(allow_urls=allow_urls)
    [post] = reader.read(piece)
    return reader.fetch(post, file) if isinstance(post, dict) else post


def test_nothing_is_asked_unless_it_is_allowed(tmp_path, server):
    refused = fetched(tmp_path, f"{server}/a.png", allow_urls=False)
    sentence = f"row 1: {server}/a.png is an address on the web, which is read only by --fetch-images."
    assert refused.id == "train-1" and refused.reason.endswith(sentence) and Answers.asked == []


def test_a_private_network_is_never_asked(tmp_path, server):
    refused = fetched(tmp_path, f"{server}/a.png", allow_urls=True)
    assert "must lead to a public address" in refused.reason and Answers.asked == []


@pytest.mark.parametrize(("path", "times"), [("/a.png", 1), ("/busy", 3), ("/broken", 2)])
def test_a_picture_is_fetched_with_retries(tmp_path, server, monkeypatch, path, times):
    monkeypatch.setattr(web_download, "is_public", lambda address: True)
    post = fetched(tmp_path, server + path, allow_urls=True)
    assert post["image"] == {"bytes": PNG, "path": server + path} and Answers.asked == [path] * times


@pytest.mark.parametrize(("path", "reason"), [("/gone", "got status 404"), ("/program", "must be a picture")])
def test_what_will_not_be_better_is_asked_once(tmp_path, server, monkeypatch, path, reason):
    monkeypatch.setattr(web_download, "is_public", lambda address: True)
    refused = fetched(tmp_path, server + path, allow_urls=True)
    assert refused.place == 0 and reason in refused.reason and Answers.asked == [path]


def test_a_dead_server_is_asked_as_often_as_is_said(tmp_path, server, monkeypatch):
    monkeypatch.setattr(web_download, "is_public", lambda address: True)
    tries = []
    look_up = web_download._look_up
    monkeypatch.setattr(web_download, "_look_up", lambda *arguments: tries.append(1) or look_up(*arguments))
    refused = fetched(tmp_path, "http://127.0.0.1:1/a.png", allow_urls=True)
    assert "refused (after 4 tries)." in refused.reason and len(tries) == 4


def test_a_host_that_is_none_is_asked_once(tmp_path, monkeypatch):
    tries = []

    def look_up(*arguments, **options):
        tries.append(1)
        raise web_download.socket.gaierror(web_download.socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(web_download.socket, "getaddrinfo", look_up)
    refused = fetched(tmp_path, "http://nobody.example/a.png", allow_urls=True)
    assert "there is no host nobody.example" in refused.reason and len(tries) == 1
