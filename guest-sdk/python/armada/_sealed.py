"""Closes what was open while the project was built.

The interpreter is kept as it is when the build is done, with the folders that it imported from still open in its memory, where
nothing answers any more: asking for a file in one of them would end the instance. From here on there are no such folders, and
whoever looks for source text finds what is carried along.
"""

import builtins
import errno
import functools
import io
import linecache
import os
import random
import sys
from collections.abc import Callable
from typing import Any, cast

from ._modules import MODULES

# The folders that componentize-py opens, and the one of them that the standard library was imported from.
_FOLDERS = ("/bundled", "/python", "/world", *(f"/{number}" for number in range(10)))
_LIBRARY = "/python/"
_FUNCTIONS: dict[Any, tuple[str, ...]] = {
    builtins: ("open",),
    io: ("open", "open_code"),
    os: ("access", "chdir", "chmod", "link", "listdir", "lstat", "mkdir", "open", "readlink", "remove", "rename", "replace",
         "rmdir", "scandir", "stat", "symlink", "truncate", "unlink", "utime"),
}  # fmt: skip


def seal() -> None:
    """Does it; before anything of the project runs."""
    for module, names in _FUNCTIONS.items():
        for name in names:
            if hasattr(module, name):
                setattr(module, name, _without_folders(getattr(module, name)))
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
