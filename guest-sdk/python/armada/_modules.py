"""Where modules come from.

A project has no files in the sandbox, so everything that it may import is carried along in its memory, compressed: its
own modules, the packages of its requirements, and Python's standard library. What is imported while the project is
built is part of the component as it is then; what a function imports later, or a library when it first needs it, is
taken from here.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, ModuleType
from typing import Any, NamedTuple

# Where the packages of the requirements are.
_PACKAGES = "packages"
# Of the standard library, what makes no sense in a component, or is no part of a program.
_LEFT_OUT = {
    "__pycache__",
    "_pyrepl",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "test",
    "tests",
    "tkinter",
    "turtledemo",
    "turtle.py",
    "venv",
}


class _Module(NamedTuple):
    """A module that can be imported."""

    file: str
    is_package: bool
    is_own: bool


class _Folder(importlib.abc.PathEntryFinder):
    """The modules in a folder, for those who want to know which there are (`pkgutil.iter_modules`)."""

    def __init__(self, modules: "Modules", folder: str) -> None:
        self._modules = modules
        self._folder = folder

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> None:
        """Nothing: what there is has been found by its whole name already."""

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        for name in self._modules.names_in(self._folder):
            if name.endswith(".py") and name != "__init__.py":
                yield prefix + name.removesuffix(".py"), False
            elif self._modules.has_file(f"{self._folder}/{name}/__init__.py"):
                yield prefix + name, True


class Modules(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads what is carried along."""

    def __init__(self) -> None:
        self._modules: dict[str, _Module] = {}
        self._files: dict[str, bytes] = {}
        self._folders: dict[str, dict[str, None]] = {}
        self._own_files: set[str] = set()
        # What compiles the modules of `tests/`, where they are part of the component.
        self.compile_tests: Callable[[bytes, str], CodeType] | None = None

    # While the project is built.

    def add(self, root: str, prefix: str, *, own: bool = False) -> None:
        """Carries along the files of a folder, under names that start with `prefix`. What is there already stays."""
        for path in _files(root, set() if own else _LEFT_OUT):
            relative = path[len(root) + 1 :]
            file = prefix + relative
            with open(path, "rb") as stream:
                self._files.setdefault(file, zlib.compress(stream.read(), 1))
            self._add_to_folder(file)
            if not relative.endswith(".py"):
                continue
            name = relative.removesuffix(".py").replace("/", ".")
            is_package = name == "__init__" or name.endswith(".__init__")
            name = name.removesuffix(".__init__")
            self._modules.setdefault(name, _Module(file, is_package, own))
            if own:
                self._own_files.add(file)
            # A folder without `__init__.py` is a package, too.
            while "." in name:
                name = name.rpartition(".")[0]
                self._modules.setdefault(name, _Module("", True, own))

    def _add_to_folder(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        names = self._folders.setdefault(folder, {})
        if folder and not names:
            self._add_to_folder(folder)
        names[name] = None

    def own_modules(self) -> list[str]:
        """The names of the project's own modules."""
        return sorted(name for name, module in self._modules.items() if module.is_own and module.file)

    def own_files(self) -> list[tuple[str, str]]:
        """The project's own modules, with their files."""
        return [(name, self._modules[name].file) for name in self.own_modules()]

    def is_own(self, file: str) -> bool:
        """Whether a file, as tracebacks name it, is the author's."""
        return file in self._own_files

    # As an importer.

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        module = self._modules.get(fullname)
        if module is None:
            return None
        loader = self if module.file else None
        spec = importlib.machinery.ModuleSpec(
            fullname, loader, origin=module.file or None, is_package=module.is_package
        )
        if module.is_package:
            spec.submodule_search_locations = [os.path.dirname(module.file) or fullname.replace(".", "/")]
        spec.has_location = loader is not None
        return spec

    def find_folder(self, path: str) -> _Folder:
        """The folder of this name, as `sys.path_hooks` asks for it."""
        if path not in self._folders:
            raise ImportError(f"{path} is no folder of modules", path=path)
        return _Folder(self, path)

    def find_distributions(self, context: Any) -> Iterator[Any]:
        """The packages that are installed (`importlib.metadata`)."""
        from ._resources import Distribution

        wanted = None if context.name is None else _normal(context.name)
        for name in self.names_in(_PACKAGES):
            package, is_record, _ = name.partition(".dist-info")
            if is_record and wanted in (None, _normal(package.split("-")[0])):
                yield Distribution(self, f"{_PACKAGES}/{name}")

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.get_code(module.__name__), module.__dict__)

    def is_package(self, fullname: str) -> bool:
        return self._module(fullname).is_package

    def get_code(self, fullname: str) -> Any:
        module = self._module(fullname)
        source = self.get_data(module.file)
        if self.compile_tests is not None and module.is_own and module.file.startswith("tests/"):
            return self.compile_tests(source, module.file)
        return compile(source, module.file, "exec", dont_inherit=True)

    def get_source(self, fullname: str) -> str:
        return self.get_text(self._module(fullname).file)

    def get_text(self, path: str) -> str:
        """The text of a source file that is carried along, in the encoding that it declares."""
        return importlib.util.decode_source(self.get_data(path))

    def get_filename(self, fullname: str) -> str:
        """The name that tracebacks have for a module's file."""
        return self._module(fullname).file

    def get_data(self, path: str) -> bytes:
        """The content of a file that is carried along (`pkgutil.get_data`)."""
        try:
            return zlib.decompress(self._files[os.path.normpath(path)])
        except KeyError:
            raise FileNotFoundError(f"{path} is no file of the project or its packages") from None

    def get_resource_reader(self, fullname: str) -> Any:
        """A package's files (`importlib.resources`)."""
        from ._resources import Reader

        return Reader(self, os.path.dirname(self._module(fullname).file)) if self.is_package(fullname) else None

    def has_file(self, path: str) -> bool:
        """Whether there is a file of this name."""
        return path in self._files

    def names_in(self, folder: str) -> list[str]:
        """The names of what is in a folder."""
        return list(self._folders.get(folder, ()))

    def _module(self, fullname: str) -> _Module:
        try:
            return self._modules[fullname]
        except KeyError:
            raise ImportError(f"there is no module {fullname!r}", name=fullname) from None


def _normal(name: str) -> str:
    """A package's name as they are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "_", name).lower()


def _files(root: str, left_out: set[str]) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(set(folders) - left_out)
        for file in sorted(set(files) - left_out):
            yield f"{folder}/{file}"


MODULES = Modules()
