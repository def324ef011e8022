"""What a configuration means, as plain data in the keys of the file: every default written out, secrets masked.

What comes out can be read again and means the same, but for what was masked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from relayd.config.check.deltas import deltas_of
from relayd.config.check.values import Fit
from relayd.config.expressions import CodeRange, Hours
from relayd.config.model import Config, Route, Upstream
from relayd.config.model.block import Block
from relayd.config.problem import SECRET_KEYS
from relayd.config.scalars import History, OffSchema, Rate
from relayd.config.written import write_duration, write_size
from relayd.core.routes import AllowAny, AllowGlob, AllowRegex, AllowValues

MASK: Final = "***"
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: Lists of which one alone is written without brackets; elsewhere a list stays one.
_ONE_ALONE: Final = frozenset({"at", "dedupe", "payload", "text"})
#: Among what may hold a secret, these compare messages, or say where something stands in them.
_READS: Final = frozenset({"ack", "expect", "fail", "save", "unless", "when"})
#: Where a secret may stand, a text of such a name is taken for one, unless it holds a placeholder.
_SECRET_NAME: Final = re.compile(
    r"authorization|auth[-_]?(key|token)|bearer|cookie|credential|passphrase|passw|private|secret|signature|token|(api|access)[-_]?key|^key$",
    re.IGNORECASE,
)
_DEFAULT: Final = re.compile(r"(\$\{[^{}:]*:-)[^{}]+(\})")
_USER: Final = re.compile(r"(?<=://)[^/@?#$]+(?=@)")
_ARGUMENT: Final = re.compile(r"(?<=[?&])([^=&#]+)=([^&#$]+)(?=&|#|$)")


def effective(config: Config) -> dict[str, Any]:
    """The configuration as a file would say it: only dicts, lists, texts, numbers, booleans and None in it."""
    data: dict[str, Any] = _block(config)
    for name, upstream in config.upstreams.items():
        data["upstreams"][name] = _upstream(upstream)
    if "auth" in data:
        data["auth"] = _masked("auth", data["auth"], False)
    data["routes"] = [
        _local(route) if route.upstream is None else _route(route, config.upstreams[route.upstream])
        for route in config.routes
    ]
    return data


def _upstream(upstream: Upstream) -> dict[str, Any]:
    data = _block(upstream)
    data["dial"] = upstream.dial or ("demand" if upstream.subscribe else "start")
    return {key: _masked(key, value, key in SECRET_KEYS) for key, value in data.items()}


def _route(route: Route, upstream: Upstream) -> dict[str, Any]:
    data = _block(route)
    if "publish" in data:
        data["publish"] = _masked("publish", data["publish"], True)
    if route.exclusive:
        return {key: value for key, value in data.items() if key not in ("deliver", "linger", "pin", "stale_after")}
    if route.deliver.mode is None:
        data["deliver"] = {"mode": "lossless" if deltas_of(route, upstream) is Fit.ALL else "queue", **data["deliver"]}
    return data


def _local(route: Route) -> dict[str, Any]:
    """Without what has a meaning only with an upstream."""
    data = {key: value for key, value in _block(route).items() if key not in ("exclusive", "linger", "pin")}
    return data | {"deliver": {"mode": route.deliver.mode or "queue", **data["deliver"]}}


def _block(block: Block) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for name, info in type(block).model_fields.items():
        value = getattr(block, name)
        if info.alias == "*":  # the keys of a row that are no keys of ours
            data.update(value)
        elif value is None:
            if any(isinstance(one, OffSchema) for one in info.metadata):
                data[info.alias or name] = "off"
        else:
            written = _value(name, value)
            if written or not isinstance(written, list | dict):
                data[info.alias or name] = written
    return data


def _value(name: str, value: Any) -> Any:
    if isinstance(value, Block):
        return _block(value)
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int | float):
        return _number(name, value)
    if isinstance(value, Mapping):
        return {_number_key(key): _member(name, one) for key, one in value.items()}
    if isinstance(value, tuple) and len(value) == 1 and name in _ONE_ALONE:
        return value[0]
    if isinstance(value, list | tuple):
        return [_value("", one) for one in value]
    return _scalar(value)


def _member(name: str, value: Any) -> Any:
    """A value of a table: behind a close code or a status a number is a duration, a list of one stands for itself."""
    if name in ("codes", "status") and isinstance(value, float):
        return write_duration(value)
    if isinstance(value, tuple) and len(value) == 1:
        return value[0]
    return _value("", value)


def _number(name: str, value: float) -> Any:
    if name.endswith("_s"):
        return write_duration(value)
    return write_size(int(value)) if name.endswith("bytes") else value


def _number_key(key: Any) -> Any:
    if isinstance(key, CodeRange):
        return str(key.first) if key.first == key.last else f"{key.first}-{key.last}"
    return key


def _scalar(value: Any) -> Any:
    match value:
        case Rate():
            return f"{value.count}/{write_duration(value.period_s)}"
        case History():
            return f"{value.count}/{write_duration(value.age_s)}/{write_size(value.bytes)}"
        case Hours():
            spans = ",".join(f"{_clock(start)}-{_clock(end)}" for start, end in value.spans)
            return f"{spans} {value.zone} {','.join(_DAYS[day] for day in value.days)}"
        case AllowValues():
            return list(value.values)
        case AllowGlob():
            return value.glob
        case AllowRegex():
            return {"regex": value.regex.pattern}
        case AllowAny():
            return "any"
    raise TypeError(f"{type(value).__name__} has no written form yet")


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _masked(name: str, value: Any, may_be_secret: bool) -> Any:
    if isinstance(value, dict):
        return {
            key: _masked(str(key), one, (may_be_secret or key in SECRET_KEYS) and key not in _READS)
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [_masked(name, one, may_be_secret) for one in value]
    if not isinstance(value, str):
        return value
    if may_be_secret and "$" not in value and _SECRET_NAME.search(name):
        return MASK
    value = _DEFAULT.sub(rf"\g<1>{MASK}\2", value)
    if "://" in value:
        value = _ARGUMENT.sub(rf"\1={MASK}", _USER.sub(MASK, value))
    return value
