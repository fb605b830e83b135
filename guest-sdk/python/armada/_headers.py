"""Headers of HTTP messages: of responses to requests of the script, and of the browser's traffic."""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, TypeAlias

Given: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]
"""What headers are made of: a `dict`, pairs where a name may be there more than once, or other headers."""


class Headers(MutableMapping[str, str]):
    """Headers, by name; upper and lower case do not matter. The values of a name that is there more than once are joined with
    commas, and setting it sets one in place of all; `get_list` has them one by one, and `add` adds one."""

    def __init__(self, given: Given = ()) -> None:
        self._pairs = [_checked(name, value) for name, value in _listed(given)]

    def __repr__(self) -> str:
        return f"Headers({self._pairs!r})"

    def __getitem__(self, name: str) -> str:
        values = self.get_list(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __setitem__(self, name: str, value: str) -> None:
        name, value = _checked(name, value)
        places = [at for at, (known, _) in enumerate(self._pairs) if known.lower() == name.lower()]
        if not places:
            self._pairs.append((name, value))
            return
        self._pairs[places[0]] = (name, value)
        for at in reversed(places[1:]):
            del self._pairs[at]

    def __delitem__(self, name: str) -> None:
        left = [pair for pair in self._pairs if pair[0].lower() != name.lower()]
        if len(left) == len(self._pairs):
            raise KeyError(name)
        self._pairs = left

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower() for name, _ in self._pairs))

    def __len__(self) -> int:
        return len({name.lower() for name, _ in self._pairs})

    def get_list(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for known, value in self._pairs if known.lower() == name.lower()]

    def add(self, name: str, value: str) -> None:
        """Adds a header, beside those of its name that there are."""
        self._pairs.append(_checked(name, value))

    def multi_items(self) -> list[tuple[str, str]]:
        """Every header, in order."""
        return list(self._pairs)


def _listed(given: Any) -> list[tuple[Any, Any]]:
    if isinstance(given, Headers):
        return given.multi_items()
    try:
        return [(name, value) for name, value in (given.items() if hasattr(given, "items") else given)]
    except (TypeError, ValueError):
        pair = '("x-test", "1")'
        raise TypeError(f'headers must be a dict such as {{"x-test": "1"}}, or a list of pairs such as {pair}') from None


def _checked(name: Any, value: Any) -> tuple[str, str]:
    if not isinstance(name, str):
        raise TypeError(f"the name of a header must be a str, not {type(name).__name__}")
    if isinstance(value, str):
        return name, value
    wrong = f"the header `{name}` must be a str, not {'None' if value is None else type(value).__name__}"
    match value:
        case None:
            raise TypeError(f"{wrong}: `del headers[{name!r}]` removes it")
        case list() | tuple():
            raise TypeError(f"{wrong}: `add` each of its values")
        case int() | float():
            raise TypeError(f"{wrong}: write {str(value)!r}")
        case _:
            raise TypeError(wrong)
