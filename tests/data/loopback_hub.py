"""The part of the Hub's HTTP interface that reads one data set, on this machine.

python loopback_hub.py FOLDER      serves the files of FOLDER as the data set of any name; prints its port
"""

import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0" * 39 + "1"


class Handler(BaseHTTPRequestHandler):
    folder: Path

    def log_message(self, *args):
        print(*args, file=sys.stderr)

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def do_POST(self):
        wanted = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).get("paths", [])
        self.send(200, json.dumps([self.entry(path) for path in wanted if (self.folder / path).is_file()]).encode())

    def answer(self, body: bool):
        path = unquote(urlsplit(self.path).path)
        files = sorted(str(file.relative_to(self.folder)) for file in self.folder.rglob("*") if file.is_file())
        if "/resolve/" in path:
            name = path.split("/resolve/")[1].split("/", 1)[1]
            if name not in files:
                self.send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
                return
            content = (self.folder / name).read_bytes()
            headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
            self.send(200, content, headers, body)
        elif "/tree/" in path:
            self.send(200, json.dumps([self.entry(file) for file in files]).encode(), body=body)
        elif path.startswith("/api/datasets/") and "nowhere" not in path:
            info = {"id": "anna/posts", "sha": COMMIT, "private": False, "disabled": False, "gated": False, "tags": []}
            info |= {"downloads": 0, "likes": 0, "siblings": [{"rfilename": file} for file in files]}
            self.send(200, json.dumps(info).encode(), body=body)
        else:
            self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)

    def entry(self, path: str) -> dict:
        content = (self.folder / path).read_bytes()
        return {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

    def send(self, status: int, content: bytes, headers: dict | None = None, body: bool = True):
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": len(content),
            **(headers or {}),
        }.items():
            self.send_header(name, str(value))
        self.end_headers()
        if body:
            self.wfile.write(content)


if __name__ == "__main__":
    Handler.folder = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
