"""Which capabilities a project uses, as far as its sources tell: what `armada check` shows. It is a help for people and
decides nothing; what a project may do is decided by its grant, call by call.
"""

import ast
from collections.abc import Iterable, Iterator

# What sources that use a capability speak of.
_NAMES = {
    "browser": {"browser"},
    "database": {"database", "DatabaseConnector", "post_to_db", "select_from_db"},
    "fingerprint": {"fingerprint", "fingerprint_manager"},
    "http": {"http"},
    "identity": {"identity"},
    "monitoring": {"monitoring", "monitoring_client", "MonitoringClient"},
    "proxy": {"proxy", "proxy_manager", "Proxy"},
    "screen": {"screen"},
    "secrets": {"fill_secret", "reveal"},
}


def uses(sources: Iterable[str]) -> list[str]:
    """The capabilities that these sources name in code, as an attribute, a variable or a module."""
    named = {name for source in sources for name in _named(source)}
    return [capability for capability, names in _NAMES.items() if names & named]


def _named(source: str) -> Iterator[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        # Nothing has imported it, so it is not finished.
        return
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.arg(arg=name):
                yield name
            case ast.Import(names=names):
                for alias in names:
                    yield from alias.name.split(".")
            case ast.ImportFrom(module=module, names=names):
                yield from (module or "").split(".")
                yield from (alias.name for alias in names)
            case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str(name)), *_]):
                yield name
            case _:
                pass
