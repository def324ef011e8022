"""Whether the topics of a route are a state and its changes: which `for` variants of an upstream apply to a route."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from relayd.config.check.values import Fit, fit
from relayd.config.model import AllowRule, Route, Upstream
from relayd.core.routes import AllowAny, AllowValues

_ANY: Final = AllowAny()
# Allow lists are short; beyond this many combinations the variants are judged one by one (guess).
_MAX_COMBINATIONS: Final = 10_000

For = Mapping[str, tuple[str, ...]]


def deltas_of(route: Route, upstream: Upstream) -> Fit:
    """How many of a route's topics are a snapshot and its deltas: those to which a `snapshot` variant applies."""
    return variants_fit(route, [variant.for_ for variant in upstream.snapshot])


def variants_fit(route: Route, variants: Sequence[For | None]) -> Fit:
    """How many of a route's topics some of these variants applies to."""
    if any(variant is None for variant in variants):
        return Fit.ALL
    named = [variant for variant in variants if variant is not None]
    single = _singles(route, named)
    if single is not None:
        fits = {any(_variant_fit(values, variant) is Fit.ALL for variant in named) for values in single}
        return Fit.SOME if len(fits) > 1 else Fit.ALL if True in fits else Fit.NONE
    found = [_variant_fit(route.allow, variant) for variant in named]
    if Fit.ALL in found:
        return Fit.ALL
    return Fit.SOME if Fit.SOME in found else Fit.NONE


def _variant_fit(allow: Mapping[str, AllowRule], variant: For) -> Fit:
    fits = [fit(allow.get(name, _ANY), globs) for name, globs in variant.items()]
    if Fit.NONE in fits:
        return Fit.NONE
    return Fit.SOME if Fit.SOME in fits else Fit.ALL


def _singles(route: Route, variants: Sequence[For]) -> Iterator[Mapping[str, AllowRule]] | None:
    """Every combination of values of the fields that the variants ask about, where `allow` lists them all."""
    names = list(dict.fromkeys(name for variant in variants for name in variant))
    lists: list[tuple[str, ...]] = []
    total = 1
    for name in names:
        rule = route.allow.get(name)
        if not isinstance(rule, AllowValues):
            return None
        lists.append(rule.values)
        total *= len(rule.values)
    if total > _MAX_COMBINATIONS:
        return None
    return (
        {name: AllowValues((value,)) for name, value in zip(names, values, strict=True)}
        for values in itertools.product(*lists)
    )
