"""The part of the Hub's HTTP interface that reads and writes repositories, on this machine.

python loopback_hub.py FOLDER [TAKES]

FOLDER holds `models/OWNER/NAME/` and `datasets/OWNER/NAME/`, each as it was after the last commit; large files that
were sent lie in `lfs/` under their hash, `private/` has a folder for each repository that is hidden, and
`commits.jsonl` lists what each commit brought or took away. It prints its port. After
TAKES large files every further one is cut off in the middle of its way. Who writes needs a token, whatever it is.
"""

import base64
import hashlib
import json
import re
import shutil
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0" * 39 + "1"
REPO = r"/api/(?P<kind>models|datasets)/(?P<repo>[^/]+/[^/]+)"
LARGE = (".safetensors", ".parquet")


class Handler(BaseHTTPRequestHandler):
    folder: Path
    takes = sys.maxsize

    def log_message(self, *args):
        print(*args, file=sys.stderr)

    def do_HEAD(self):
        self.read(False)

    def do_GET(self):
        self.read(True)

    def read(self, body: bool):
        path = unquote(urlsplit(self.path).path)
        if match := re.fullmatch(r"/(?P<kind>datasets/)?(?P<repo>[^/]+/[^/]+)/resolve/[^/]+/(?P<name>.+)", path):
            self.send_file(self.folder / (match["kind"] or "models") / match["repo"], match["name"], body)
        elif path == "/api/whoami-v2":
            self.send(200, {"type": "user", "name": "anna", "orgs": []}, body=body)
        elif (match := re.match(REPO, path)) and self.repository(match).is_dir():
            files = self.files(self.repository(match))
            if tree := re.search(r"/tree/[^/]+/?(.*)", path):
                self.send_tree(self.repository(match), tree[1], body)
                return
            info = {
                "id": match["repo"],
                "sha": COMMIT,
                "private": (self.folder / "private" / match["kind"] / match["repo"]).is_dir(),
                "disabled": False,
                "gated": False,
                "tags": [],
            }
            info |= {"downloads": 0, "likes": 0, "siblings": [{"rfilename": file} for file in files]}
            self.send(200, info, body=body)
        else:
            self.send(404, {}, {"X-Error-Code": "RepoNotFound"}, body)

    def do_POST(self):
        path, content = unquote(urlsplit(self.path).path), self.content()
        match = re.match(REPO, path)
        if match and "/paths-info/" in path:
            wanted = parse_qs(content.decode()).get("paths", [])
            here = [name for name in wanted if (self.repository(match) / name).is_file()]
            self.send(200, [self.entry(self.repository(match), name) for name in here])
        elif not self.headers.get("Authorization"):
            self.send(401, {"error": "who are you?"})
        elif path == "/api/repos/create":
            self.create(json.loads(content))
        elif path == "/api/validate-yaml":
            self.send(200, {"warnings": [], "errors": []})
        elif path.endswith("/info/lfs/objects/batch"):
            self.send(
                200, {"transfer": "basic", "objects": [self.large(item) for item in json.loads(content)["objects"]]}
            )
        elif match and not self.repository(match).is_dir():
            self.send(404, {}, {"X-Error-Code": "RepoNotFound"})
        elif match and "/preupload/" in path:
            names = [file["path"] for file in json.loads(content)["files"]]
            modes = {name: "lfs" if name.endswith(LARGE) else "regular" for name in names}
            self.send(200, {"files": [{"path": n, "uploadMode": m, "shouldIgnore": False} for n, m in modes.items()]})
        elif match and "/commit/" in path:
            self.commit(self.repository(match), [json.loads(line) for line in content.splitlines()])
        else:
            self.send(404, {})

    def do_PUT(self):
        Handler.takes -= 1
        if Handler.takes < 0:
            self.rfile.read(int(self.headers["Content-Length"]) // 2)
            self.connection.close()
            return
        content = self.content()
        oid = self.path.rpartition("/")[2]
        if hashlib.sha256(content).hexdigest() != oid:
            self.send(400, {"error": "the file is not what was announced"})
            return
        (self.folder / "lfs").mkdir(exist_ok=True)
        (self.folder / "lfs" / oid).write_bytes(content)
        self.send(200, {})

    def content(self) -> bytes:
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        content = b""  # sent in chunks
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def create(self, wanted: dict):
        repo = f"{wanted.get('organization') or 'anna'}/{wanted['name']}"
        kind = f"{wanted.get('type') or 'model'}s"
        folder = self.folder / kind / repo
        known = folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        if not known and (wanted.get("visibility") == "private" or wanted.get("private")):
            (self.folder / "private" / kind / repo).mkdir(parents=True)
        path = repo if kind == "models" else f"{kind}/{repo}"
        self.send(409 if known else 200, {"url": f"http://{self.headers['Host']}/{path}", "name": repo})

    def large(self, item: dict) -> dict:
        if (self.folder / "lfs" / item["oid"]).is_file():
            return item
        return item | {"actions": {"upload": {"href": f"http://{self.headers['Host']}/lfs/{item['oid']}"}}}

    def commit(self, repository: Path, lines: list[dict]):
        brought = []
        for line in lines[1:]:
            value = line["value"]
            target = repository / value["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            if line["key"] == "file":
                target.write_bytes(base64.b64decode(value["content"]))
            elif line["key"] == "lfsFile":
                shutil.copyfile(self.folder / "lfs" / value["oid"], target)
            else:
                target.unlink()
            brought.append(value["path"])
        with (self.folder / "commits.jsonl").open("a") as file:
            file.write(json.dumps({"summary": lines[0]["value"]["summary"], "files": sorted(brought)}) + "\n")
        url = f"http://{self.headers['Host']}/{repository.parent.name}/{repository.name}/commit/{COMMIT}"
        self.send(200, {"success": True, "commitOid": COMMIT, "commitUrl": url, "hookOutput": ""})

    def repository(self, match: re.Match) -> Path:
        return self.folder / match["kind"] / match["repo"]

    def send_tree(self, repository: Path, under: str, body: bool):
        """Files and folders in a folder, as deep as is asked for."""
        deep = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() == "true"
        if not (repository / under).is_dir():
            self.send(404, {}, {"X-Error-Code": "EntryNotFound"}, body)
            return
        found = sorted((repository / under).rglob("*") if deep else (repository / under).iterdir())
        self.send(200, [self.entry(repository, str(path.relative_to(repository))) for path in found], body=body)

    @staticmethod
    def files(repository: Path) -> list[str]:
        return sorted(str(file.relative_to(repository)) for file in repository.rglob("*") if file.is_file())

    @staticmethod
    def entry(repository: Path, name: str) -> dict:
        if (repository / name).is_dir():
            return {"type": "directory", "path": name, "size": 0, "oid": hashlib.sha1(name.encode()).hexdigest()}
        content = (repository / name).read_bytes()
        return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

    def send_file(self, repository: Path, name: str, body: bool):
        if not (repository / name).is_file():
            error = "EntryNotFound" if repository.is_dir() else "RepoNotFound"
            self.send(404, b"", {"X-Error-Code": error, "X-Repo-Commit": COMMIT})
            return
        content = (repository / name).read_bytes()
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        self.send(200, content, headers, body)

    def send(self, status: int, content, headers: dict | None = None, body: bool = True):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        usual = {"Content-Type": "application/json", "Content-Length": len(content)}
        for name, value in {**usual, **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if body:
            self.wfile.write(content)


if __name__ == "__main__":
    Handler.folder = Path(sys.argv[1])
    Handler.takes = int(sys.argv[2]) if len(sys.argv) > 2 else sys.maxsize
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
