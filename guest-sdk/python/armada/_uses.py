"""Which capabilities a project uses, as far as its sources tell: what `armada check` shows. It is a help for people and
decides nothing; what a project may do is decided by its grant, call by call.

A capability is used by what leads to it: an attribute of a context (`agent_ctx.database`), a module of the SDK
(`armada.http`), a method that only it has. What merely has such a name, such as a variable `database`, is the author's own.
Names are followed through the whole project as if it had one scope: an agent context is passed on as it is called.
"""

import ast
from collections.abc import Iterable, Iterator

_CAPABILITIES = (
    "browser",
    "database",
    "fingerprint",
    "http",
    "identity",
    "monitoring",
    "proxy",
    "screen",
    "secrets",
)
# What contexts have, beside attributes of a capability's own name.
_ATTRIBUTES = {"fingerprint_manager": "fingerprint", "monitoring_client": "monitoring", "proxy_manager": "proxy"}
# What contexts do not have, though it has a capability's name.
_MODULES_ONLY = {"fingerprint", "http", "monitoring", "secrets"}
# What nothing else is called.
_METHODS = {"fill_secret": "secrets", "post_to_db": "database", "select_from_db": "database"}
# Modules of the reference.
_MODULES = {"src.database_connector": "database", "src.monitoring_client": "monitoring"}
# What a module of the SDK has of another capability.
_MEMBERS = {"armada.http.Secret": "secrets"}
_CONTEXTS = {"Agent", "AgentContext", "Job", "JobContext"}
# What a context is called in its own class, in place of `self`, which others are called, too.
_SELF = "self of a context"


def uses(sources: Iterable[str]) -> list[str]:
    """The capabilities that these sources use."""
    project = [node for source in sources for node in _nodes(source)]
    found = {capability for node in project for capability in _imported(node)}
    imports = [alias for node in project if isinstance(node, ast.Import) for alias in node.names]
    packages = {"armada", *(alias.asname for alias in imports if alias.name == "armada")}
    modules = _modules(project)
    contexts = _contexts(project)
    own = _own_attributes(project, contexts)
    for owner, name in _accesses(project):
        if name in _METHODS:
            found.add(_METHODS[name])
        elif (member := f"{modules.get(_last_name(owner))}.{name}") in _MEMBERS:
            found.add(_MEMBERS[member])
        elif isinstance(owner, ast.Name) and owner.id in packages:
            found.add(name)
        elif _last_name(owner) in contexts and name not in own and name not in _MODULES_ONLY:
            found.add(_ATTRIBUTES.get(name, name))
    return [capability for capability in _CAPABILITIES if capability in found]


def _nodes(source: str) -> list[ast.AST]:
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:
        # Nothing has imported it, so it is not finished.
        return []
    for node in nodes:
        if isinstance(node, ast.ClassDef) and (node.name in _CONTEXTS or any(map(_is_context, node.bases))):
            for name in ast.walk(node):
                if isinstance(name, ast.Name) and name.id == "self":
                    name.id = _SELF
    return nodes


def _imported(node: ast.AST) -> Iterator[str]:
    """What an import leads to."""
    for name, _ in _imports(node):
        package, _, rest = name.partition(".")
        yield _MODULES.get(name, rest.partition(".")[0] if package == "armada" else "")
        yield _MEMBERS.get(name, "")


def _imports(node: ast.AST) -> list[tuple[str, str | None]]:
    """What a statement imports, by its whole name, and what it is called then if that is another name than its last."""
    match node:
        case ast.Import(names=names):
            return [(alias.name, alias.asname) for alias in names]
        case ast.ImportFrom(module=str(module), names=names, level=0):
            return [(module, None), *((f"{module}.{alias.name}", alias.asname) for alias in names)]
        case _:
            return []


def _modules(project: Iterable[ast.AST]) -> dict[str, str]:
    """The modules of the SDK that have members of another capability, by what they are called."""
    whole = {member.rpartition(".")[0] for member in _MEMBERS}
    imported = [pair for node in project for pair in _imports(node)]
    called = {name.rpartition(".")[2]: name for name in whole}
    return called | {alias: name for name, alias in imported if alias is not None and name in whole}


def _accesses(project: Iterable[ast.AST]) -> Iterator[tuple[ast.expr, str]]:
    """Every `owner.name`, also where it is written `getattr(owner, "name")`."""
    for node in project:
        match node:
            case ast.Attribute(value=owner, attr=name, ctx=ast.Load()):
                yield owner, name
            case ast.Call(func=ast.Name(id="getattr"), args=[owner, ast.Constant(value=str(name)), *_]):
                yield owner, name
            case _:
                pass


def _contexts(project: list[ast.AST]) -> set[str]:
    """What contexts are called: what the script calls them, what is annotated as one, and whatever one of these is passed or
    assigned to."""
    contexts = {"agent_ctx", "job_ctx", _SELF}
    parameters: dict[str, list[list[str]]] = {}
    for node in project:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            contexts |= {one.arg for one in arguments if node.name == "ctx_script" or _is_context(one.annotation)}
            names = [one.arg for one in arguments]
            parameters.setdefault(node.name, []).append(names[1:] if names[:1] in (["self"], ["cls"]) else names)
        elif isinstance(node, ast.ClassDef):
            made = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
            parameters.setdefault(node.name, []).extend([one.arg for one in init.args.args[1:]] for init in made)
    while True:
        known = len(contexts)
        for node in project:
            match node:
                case ast.Assign(targets=targets, value=value) if _last_name(value) in contexts:
                    contexts |= {_last_name(target) for target in targets}
                case ast.AnnAssign(target=target, value=value) if _last_name(value) in contexts:
                    contexts.add(_last_name(target))
                case ast.Call(func=function, args=positional, keywords=keywords):
                    for names in parameters.get(_last_name(function), []):
                        contexts |= {name for name, value in zip(names, positional) if _last_name(value) in contexts}
                        contexts |= {one.arg for one in keywords if one.arg in names and _last_name(one.value) in contexts}
                case _:
                    pass
        contexts.discard("")
        if len(contexts) == known:
            return contexts


def _is_context(annotation: ast.expr | None) -> bool:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value.rpartition(".")[2] in _CONTEXTS
    return _last_name(annotation) in _CONTEXTS


def _own_attributes(project: Iterable[ast.AST], contexts: set[str]) -> set[str]:
    """What the project gives its contexts itself: attributes that are assigned something else than what they were."""
    own: set[str] = set()
    for node in project:
        match node:
            case ast.Assign(targets=targets, value=ast.expr() as value):
                pass
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                targets = [target]
            case _:
                continue
        read = {name for _, name in _accesses(ast.walk(value))}
        assigned = [target for target in targets if isinstance(target, ast.Attribute)]
        own |= {target.attr for target in assigned if _last_name(target.value) in contexts} - read
    return own


def _last_name(node: ast.expr | None) -> str:
    """`c` of `c` and of `a.b.c`; nothing of anything else."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
