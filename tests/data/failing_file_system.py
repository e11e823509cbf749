"""A remote file system, `flaky://`, in memory, that answers with errors when a test says so."""

import io
from collections.abc import Callable

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class FailingFileSystem(MemoryFileSystem):
    protocol = "flaky"
    store, pseudo_dirs = {}, [""]
    # Called with what is done ("info", "ls", "open", "read") and where; it raises what is to go wrong.
    fails: Callable[[str, str], None] = staticmethod(lambda what, path: None)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("flaky://"))

    described = {}  # kept until the cache is dropped, as clients of object stores do

    def info(self, path, **options):
        self.fails("info", path)
        if path not in self.described:
            self.described[path] = super().info(path, **options)
        return self.described[path]

    def invalidate_cache(self, path=None):
        self.described.clear()

    def ls(self, path, detail=True, **options):
        self.fails("ls", path)
        return super().ls(path, detail, **options)

    def _open(self, path, mode="rb", **options):
        if mode != "rb":
            return super()._open(path, mode, **options)
        self.fails("open", path)
        return FailingFile(self, path, self.cat_file(path))

    def cat_file(self, path, start=None, end=None, **options):
        return self.store[self._strip_protocol(path)].getvalue()[start:end]


class FailingFile(io.BytesIO):
    """One of its own for each reader."""

    def __init__(self, system: FailingFileSystem, path: str, content: bytes):
        super().__init__(content)
        self.system, self.path, self.size = system, path, len(content)

    def read(self, size=-1):
        self.system.fails("read", self.path)
        return super().read(size)


fsspec.register_implementation("flaky", FailingFileSystem, clobber=True)
