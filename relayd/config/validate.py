"""The data of a file against the model: typed blocks, and a problem for everything that does not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from relayd.config.findings import Finding
from relayd.config.later import find_later
from relayd.config.model import Admin, Auth, Block, Config, Listener, Route, Upstream
from relayd.config.problem import KeyPath, Problem, Source

B = TypeVar("B", bound=Block)


@dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks of a file that are right in themselves, under the names and positions they have in the file."""

    listeners: Mapping[int, Listener] = field(default_factory=dict)
    admin: Admin | None = None
    auth: Auth | None = None
    has_auth: bool = False
    """Whether the file has such a block, right or wrong."""
    upstreams: Mapping[str, Upstream | None] | None = None
    """By name; None as a value: something is wrong with this one. None as a whole: nobody knows which there are."""
    routes: Mapping[int, Route] = field(default_factory=dict)


def validate(source: Source, refused: Sequence[Problem]) -> tuple[Config | None, Blocks, list[Problem]]:
    """The whole where nothing is wrong with it, the right blocks, and every problem so far: those the reader `refused`,
    keys that come later, and what the model says."""
    problems = [*refused, *_refuse_later(source)]
    try:
        config = Config.model_validate(source.data)
    except ValidationError as error:
        problems += _new([Finding(source, details) for details in error.errors(include_url=False)], problems)
        return None, _blocks(source.data, problems), problems
    if problems:
        return None, _blocks(source.data, problems), problems
    blocks = Blocks(
        dict(enumerate(config.listeners)),
        config.admin,
        config.auth,
        config.auth is not None,
        config.upstreams,
        dict(enumerate(config.routes)),
    )
    return config, blocks, problems


def _refuse_later(source: Source) -> Iterator[Problem]:
    for path, later in find_later(source.data):
        yield source.problem(path, f"not available yet: {later.until_then}", key=True)


def _new(findings: Sequence[Finding], problems: Sequence[Problem]) -> Iterator[Problem]:
    """What the model says, without what follows from a problem that is known already."""
    broken = {problem.path for problem in problems}
    deeper = {finding.path[:length] for finding in findings for length in range(len(finding.path))}
    # A table that lost a key to another problem, or holds a misspelt one, is not told that it is missing.
    maimed = {problem.path[:-1] for problem in problems if problem.path}
    misspelt = {(*finding.path[:-1], finding.meant) for finding in findings if finding.is_unknown}
    for finding in findings:
        if finding.is_missing:
            follows = finding.path[:-1] in maimed or finding.path in misspelt
        elif finding.is_too_short:
            follows = finding.path in maimed or finding.path in deeper
        else:
            follows = finding.path in broken
        if not follows:
            yield finding.problem()


def _blocks(data: Any, problems: Sequence[Problem]) -> Blocks:
    wrong = {problem.path[:2] for problem in problems if problem.path}
    named = {} if isinstance(data, Mapping) and "upstreams" not in data else _part(data, "upstreams", dict)
    upstreams: dict[str, Upstream | None] | None = None
    if named is not None:
        upstreams = {str(path[1]): None for path in wrong if path[0] == "upstreams" and len(path) == 2}
        upstreams |= {name: _right(Upstream, one) for name, one in named.items() if ("upstreams", name) not in wrong}
    return Blocks(
        dict(_right_ones(Listener, data, "listeners", wrong)),
        _right(Admin, _part(data, "admin", dict)),
        _right(Auth, _part(data, "auth", dict)),
        isinstance(data, Mapping) and "auth" in data,
        upstreams,
        dict(_right_ones(Route, data, "routes", wrong)),
    )


def _right_ones(kind: type[B], data: Any, key: str, wrong: Set[KeyPath]) -> Iterator[tuple[int, B]]:
    for at, one in enumerate(_part(data, key, list) or ()):
        block = _right(kind, one) if (key, at) not in wrong else None
        if block is not None:
            yield at, block


def _part(data: Any, key: str, kind: type) -> Any:
    part = data.get(key) if isinstance(data, Mapping) else None
    return part if isinstance(part, kind) else None


def _right(kind: type[B], data: Any) -> B | None:
    try:
        return kind.model_validate(data)
    except ValidationError:
        return None
