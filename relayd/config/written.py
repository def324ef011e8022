"""How a value of the model is written in the file: `5s`, `64KiB`, `500/1s`, `off`."""

from __future__ import annotations

from typing import Any, Final

from pydantic.fields import FieldInfo

from relayd.config.model import Listener
from relayd.config.scalars import History, OffSchema, Rate

_UNITS_S: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))
_UNITS_BYTES: Final = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


def write_duration(seconds: float) -> str:
    """`1m30s` of 90.0."""
    rest, text = round(seconds * 1000), ""
    for unit, size in _UNITS_S:
        if rest >= size:
            text += f"{rest // size}{unit}"
            rest %= size
    return text or "0s"


def write_size(count: int) -> str:
    """`64KiB` of 65536; bytes where no unit divides it."""
    return next((f"{count // size}{unit}" for unit, size in _UNITS_BYTES if count and count % size == 0), str(count))


def write_default(name: str, info: FieldInfo) -> Any:
    """What a field that is left out would be in the file; None where it must be given, or nothing can be written."""
    if info.is_required() or info.default_factory is not None:
        return None
    value = info.default
    if value is None:
        return "off" if any(isinstance(one, OffSchema) for one in info.metadata) else None
    if isinstance(value, Rate):
        return f"{value.count}/{write_duration(value.period_s)}"
    if isinstance(value, History):
        return f"{value.count}/{write_duration(value.age_s)}/{write_size(value.bytes)}"
    if name.endswith("_s"):
        return write_duration(value)
    if name.endswith("_bytes"):
        return write_size(value)
    if isinstance(value, tuple):
        return [{"endpoint": one.endpoint} if isinstance(one, Listener) else one for one in value]
    return value
