"""Headers of HTTP messages: of responses to requests of the script, and of the browser's traffic."""

from collections.abc import Iterable, Iterator, MutableMapping


class Headers(MutableMapping[str, str]):
    """Headers, by name; upper and lower case do not matter. The values of a name that is there more than once are joined with
    commas, and setting it sets one in place of all; `get_list` has them one by one."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs = list(pairs)

    def __repr__(self) -> str:
        return f"Headers({self._pairs!r})"

    def __getitem__(self, name: str) -> str:
        values = self.get_list(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __setitem__(self, name: str, value: str) -> None:
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

    def multi_items(self) -> list[tuple[str, str]]:
        """Every header, in order."""
        return list(self._pairs)
