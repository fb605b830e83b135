"""Values as JSON: what the host gives, and what a script gives back."""

import dataclasses
import datetime
import enum
import json
from typing import Any, cast


def read(text: str) -> Any:
    """A value that the host gave."""
    return json.loads(text)


def write(value: Any, what: str) -> str:
    """A value for the host. Beside what JSON knows, it may have dataclasses, enums, sets, and dates and times (ISO
    8601)."""
    try:
        return text(json.dumps(value, default=_plain, allow_nan=False, ensure_ascii=False))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what} cannot be written as JSON: {error}") from None


def text(text: str) -> str:
    """A text that the host takes: UTF-8 knows no halves of characters."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return list(cast(set[Any], value))
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no type of JSON")
