"""From a typed upstream block to its dialect: the model's attributes become the keys of the file again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relayd.config.expressions import CodeRange
from relayd.config.model import Block, Upstream
from relayd.config.model.dialect import FeedName
from relayd.config.scalars import Rate
from relayd.core.feed.build import build_dialect
from relayd.core.feed.dialect import Dialect
from relayd.core.feed.spec import RateSpec


def compile_upstream(upstream: Upstream) -> Dialect:
    """The dialect of an upstream. Raises DialectError, with every place in it that cannot be meant."""
    return build_dialect(_block(upstream) | {"heartbeat": _off_or(upstream.heartbeat)})


def _off_or(block: Block | None) -> Any:
    return "off" if block is None else _plain(block)


def _block(block: Block) -> dict[str, Any]:
    """A block's keys and values; what is left out or switched off is not there."""
    values = {info.alias or name: getattr(block, name) for name, info in type(block).model_fields.items()}
    return {key: _plain(value) for key, value in values.items() if value is not None and value != ()}


def _plain(value: Any) -> Any:
    if isinstance(value, FeedName):
        return dict(value.values) | ({} if value.as_ is None else {"as": value.as_})
    if isinstance(value, Block):
        return _block(value)
    if isinstance(value, CodeRange):
        return f"{value.first}-{value.last}"
    if isinstance(value, Rate):
        return RateSpec(value.count, value.period_s)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value
