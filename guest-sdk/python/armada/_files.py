"""Files, for those who ask for them by path.

The sandbox has none, but what is carried along has names like files: `open(Path(__file__).with_name("rates.json"))`
reads what lies beside a module, as it would anywhere. Nothing can be written, and what tries says where to keep bytes
instead. Once the project is built, the folders that the interpreter imported from count as gone: they are still open in
its memory, where nothing answers any more, and asking for a file in one of them would end the instance.
"""

import builtins
import errno
import functools
import io
import linecache
import os
import random
import stat
import sys
from collections.abc import Callable
from typing import Any, NoReturn, cast

from ._modules import MODULES

# The folders that componentize-py opens, and the one of them that the standard library was imported from.
_FOLDERS = ("/bundled", "/python", "/world", *(f"/{number}" for number in range(10)))
_LIBRARY = "/python/"
_FUNCTIONS = (
    "access", "chdir", "chmod", "link", "listdir", "lstat", "mkdir", "open", "readlink", "remove", "rename", "replace", "rmdir",
    "scandir", "stat", "symlink", "truncate", "unlink", "utime",
)  # fmt: skip


def install() -> None:
    """From here on, what is carried along can be opened, looked at and listed."""
    builtins.open = io.open = _opened(io.open)
    os.stat = _looked_at(os.stat)
    os.lstat = _looked_at(os.lstat)
    os.listdir = _listed(os.listdir)


def seal() -> None:
    """From here on, there is nothing else; before anything of the project runs."""
    for name in _FUNCTIONS:
        if hasattr(os, name):
            setattr(os, name, _without_folders(getattr(os, name)))
    builtins.open = io.open = _read_only(_without_folders(io.open))
    os.mkdir = _refused
    io.open_code = _without_folders(io.open_code)
    sys.meta_path[:] = [finder for finder in sys.meta_path if getattr(finder, "__name__", "") != "PathFinder"]
    sys.path_hooks[:] = [MODULES.find_folder]
    sys.path.clear()
    sys.path_importer_cache.clear()
    os.environ.clear()
    linecache.updatecache = _lines
    linecache.lazycache = _never
    linecache.checkcache = _nothing
    # What was random while the project was built is the same in every agent.
    random.seed()


def _name(path: Any) -> str | None:
    """What is carried along under a path, whether relative or from the root."""
    if not isinstance(path, str | bytes | os.PathLike):
        return None
    return os.path.normpath(os.fsdecode(cast("str | bytes", path))).lstrip("/")


def _opened(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def opened(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        *args: Any,
        **options: Any,
    ) -> Any:
        name = _name(file)
        if name is None or not set(mode) <= set("rbt") or not MODULES.has_file(name):
            return function(file, mode, buffering, encoding, errors, newline, *args, **options)
        content = io.BytesIO(MODULES.get_data(name))
        return content if "b" in mode else io.TextIOWrapper(content, encoding or "utf-8", errors, newline)

    return opened


def _looked_at(function: Callable[..., os.stat_result]) -> Callable[..., os.stat_result]:
    @functools.wraps(function)
    def looked_at(path: Any, *args: Any, **options: Any) -> os.stat_result:
        name = _name(path)
        if name and MODULES.has_file(name):
            return os.stat_result((stat.S_IFREG | 0o444, 0, 0, 1, 0, 0, len(MODULES.get_data(name)), 0, 0, 0))
        if name and MODULES.names_in(name):
            return os.stat_result((stat.S_IFDIR | 0o555, 0, 0, 1, 0, 0, 0, 0, 0, 0))
        return function(path, *args, **options)

    return looked_at


def _listed(function: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    @functools.wraps(function)
    def listed(path: Any = ".") -> list[Any]:
        name = _name(path)
        names = MODULES.names_in(name) if name else []
        return list(names) if names else function(path)

    return listed


def _without_folders(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def without_folders(*args: Any, **options: Any) -> Any:
        for path in args[:2] or options.values():
            if isinstance(path, str | bytes | os.PathLike):
                name = os.fsdecode(cast("str | bytes", path))
                if _is_in_folder(name):
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return function(*args, **options)

    return without_folders


def _read_only(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def read_only(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        if isinstance(file, str | bytes | os.PathLike) and set(mode) & set("wax+"):
            _refused(cast("str | bytes", file))
        return function(file, mode, *args, **options)

    return read_only


def _refused(path: Any, *_: Any, **__: Any) -> NoReturn:
    raise OSError(
        errno.EROFS,
        "the sandbox has no files to write: keep bytes with `job_ctx.monitoring_client.save_artifact`",
        os.fsdecode(path),
    )


def _is_in_folder(path: str) -> bool:
    path = os.path.normpath(f"/{path}").replace("//", "/")
    return any(path == folder or path.startswith(f"{folder}/") for folder in _FOLDERS)


def _lines(filename: str, module_globals: Any = None) -> list[str]:
    """The lines of a source file, as `linecache` keeps them."""
    file = f"lib/{filename.removeprefix(_LIBRARY)}" if filename.startswith(_LIBRARY) else filename
    if not MODULES.has_file(file):
        return []
    lines = MODULES.get_text(file).splitlines(keepends=True)
    linecache.cache[filename] = (len(lines), None, lines, filename)
    return lines


def _never(*_: Any, **__: Any) -> bool:
    return False


def _nothing(*_: Any, **__: Any) -> None:
    pass
