"""The files of packages, as `importlib.resources` and `importlib.metadata` ask for them."""

import contextlib
import importlib.metadata
import importlib.resources
import io
import pathlib
import posixpath
from collections.abc import Generator, Iterator
from importlib.resources.abc import Traversable, TraversableResources
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ._modules import Modules


class File(Traversable):
    """A file or folder that is carried along."""

    def __init__(self, modules: "Modules", path: str) -> None:
        self._modules = modules
        self._path = path

    @property
    def path(self) -> str:
        """Its name, with the folders that it is in."""
        return self._path

    @property
    def name(self) -> str:
        return posixpath.basename(self._path)

    def is_file(self) -> bool:
        return self._modules.has_file(self._path)

    def is_dir(self) -> bool:
        return bool(self._modules.names_in(self._path))

    def iterdir(self) -> Iterator[Traversable]:
        for name in self._modules.names_in(self._path):
            yield File(self._modules, f"{self._path}/{name}")

    def joinpath(self, *descendants: Any) -> Traversable:
        return File(self._modules, posixpath.normpath(posixpath.join(self._path, *map(str, descendants))))

    def open(self, mode: str = "r", *args: Any, **options: Any) -> IO[Any]:
        content = io.BytesIO(self._modules.get_data(self._path))
        return content if "b" in mode else io.TextIOWrapper(content, *args, **options)

    def read_bytes(self) -> bytes:
        return self._modules.get_data(self._path)

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")


@contextlib.contextmanager
def _as_file(file: File) -> Generator[pathlib.Path]:
    yield pathlib.Path(file.path)


# There is nowhere to put a copy, and no need for one: `open` finds it under its name.
cast(Any, importlib.resources.as_file).register(File, _as_file)


class Reader(TraversableResources):
    """The files of one package."""

    def __init__(self, modules: "Modules", folder: str) -> None:
        self._root = File(modules, folder)

    def files(self) -> Traversable:
        return self._root


class Distribution(importlib.metadata.Distribution):
    """What is recorded of an installed package: its version, and the like."""

    def __init__(self, modules: "Modules", folder: str) -> None:
        self._modules = modules
        self._folder = folder

    def read_text(self, filename: str) -> str | None:
        path = f"{self._folder}/{filename}"
        return self._modules.get_data(path).decode() if self._modules.has_file(path) else None

    def locate_file(self, path: Any) -> Any:
        return File(self._modules, posixpath.normpath(f"{self._folder}/../{path}"))
