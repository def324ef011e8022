"""Whether a dialect's parts fit together: every placeholder has a source, and what asking uses messages yield."""

from __future__ import annotations

from collections.abc import Iterable

from relayd.core.feed.dialect import Dialect
from relayd.core.feed.errors import Place, Problems
from relayd.core.feed.sign import Sets, Signature
from relayd.core.feed.subscription import ROW, Variant
from relayd.core.feed.template import SECRET_ROOTS, Node, names_of, refs_of

CLOCK = frozenset({"now", "now_ms", "uuid"})
MESSAGE = CLOCK | {"id"}
PER_SUBSCRIPTION = frozenset({"topic", "bound"})


def is_secret(name: str) -> bool:
    """Whether a placeholder's value comes from the environment, a file, or the browser."""
    return name.partition(".")[0] in SECRET_ROOTS and "." in name


def saved_names(dialect: Dialect) -> frozenset[str]:
    """What replies before or at login, or a refresh, leave for later messages."""
    saves = [step.save for step in dialect.connect.before] + [step.save for step in dialect.login]
    if dialect.connect.refresh is not None:
        saves.append(dialect.connect.refresh.save)
    computed = frozenset(name for step in dialect.login for name in step.sets.names)
    return computed | {name for save in saves for name in save}


def row_names(dialect: Dialect) -> frozenset[str]:
    """The placeholders that the `topics` table fills."""
    return frozenset(name for row in (dialect.topics or {}).values() for name in row.values)


def fields_used(dialect: Dialect, variant: Variant) -> tuple[str, ...]:
    """The fields that asking for a subscription uses: those in its message, all of the feed name if that is used."""
    names = variant.names - MESSAGE - {"verb", "cursor", "bound", ROW} - saved_names(dialect) - variant.sets.names
    used: dict[str, None] = {}
    if dialect.fields.name is not None:
        of_name = {"topic"} | row_names(dialect)
        if names & of_name:
            used.update(dict.fromkeys(dialect.fields.name.fields))
        names -= of_name
    for name in sorted(names):
        if not is_secret(name):
            used[name] = None
    return tuple(used)


def identities_of(dialect: Dialect) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Of each `subscribe` variant the fields of its identity, and all fields that a message can have."""
    chosen_by = [name for variant in dialect.subscribe for name in variant.applies.fields]
    identities = tuple(
        tuple(dict.fromkeys((*fields_used(dialect, variant), *chosen_by))) for variant in dialect.subscribe
    )
    made_with = [name for identity in identities for name in identity] if dialect.fields.bound is not None else []
    return identities, tuple(dict.fromkeys((*dialect.fields.yields, *made_with)))


def check_usage(problems: Problems, dialect: Dialect) -> tuple[str, ...]:
    """Notes every placeholder without a source. Returns the secrets that must be there, in order of appearance."""
    _check_connect(problems, dialect)
    saved = frozenset(name for step in dialect.connect.before for name in step.save)
    _check_names(problems, dialect)
    for at, step in enumerate(dialect.login):
        known = saved | MESSAGE | step.sets.names
        _unknown(problems, ("login", at), (*names_of(step.send), *step.sets.uses), known)
        saved |= frozenset(step.save) | step.sets.names
    saved = saved_names(dialect)
    for at, variant in enumerate(dialect.subscribe):
        _check_variant(problems, ("subscribe", at), dialect, variant, saved)
    asked_with = {name for variant in dialect.subscribe for name in fields_used(dialect, variant)}
    asked_with |= {name for variant in dialect.subscribe for name in variant.applies.fields}
    for at, variant in enumerate(dialect.unsubscribe):
        _check_variant(problems, ("unsubscribe", at), dialect, variant, saved)
        for name in fields_used(dialect, variant):
            if name not in asked_with:
                problems.add(("unsubscribe", at), f"${name} is not used to subscribe: what is ended may hold several")
    for at, rule in enumerate(dialect.control):
        _unknown(problems, ("control", at, "send"), names_of(rule.send), saved | MESSAGE | {"msg", "cursor"})
    beat = dialect.beat
    if beat is not None:
        _unknown(problems, ("heartbeat", "send"), names_of(beat.send), saved | MESSAGE | {"cursor"})
        if not isinstance(beat.every, float):
            _unknown(problems, ("heartbeat", "every"), names_of(beat.every), saved)
        _check_companion(problems, dialect)
    return _secrets(dialect)


def _check_names(problems: Problems, dialect: Dialect) -> None:
    taken = MESSAGE | {"verb", "cursor", "bound", "msg", ROW}
    taken |= {"topic"} if dialect.fields.name is not None else set()
    for name in dialect.fields.yields:
        if name in taken:
            problems.add(("topic",), f"${name} has a meaning of its own; give the field another name")


def _check_connect(problems: Problems, dialect: Dialect) -> None:
    connect = dialect.connect
    saved: frozenset[str] = frozenset()
    for at, step in enumerate(connect.before):
        _unknown(problems, ("connect", "before", at), step.http.names, saved | CLOCK)
        saved |= frozenset(step.save)
    in_url = frozenset({ROW, "topic"}) if dialect.topics_in_url else frozenset()
    names = connect.names
    if dialect.topics_in_url:
        names -= frozenset(dialect.fields.yields)
        if not connect.url.names & {ROW, "topic", *dialect.fields.yields}:
            problems.add(("connect", "url"), "`in: url` puts the topics into the URL, but it holds no $topics")
    _unknown(problems, ("connect",), names, saved | CLOCK | {"cursor"} | in_url)
    if connect.refresh is not None:
        _unknown(problems, ("connect", "refresh"), connect.refresh.http.names, saved_names(dialect) | CLOCK)


def _check_variant(problems: Problems, place: Place, dialect: Dialect, variant: Variant, saved: frozenset[str]) -> None:
    fields = dialect.fields
    if fields.name is None and "topic" in variant.names and "topic" not in fields.yields:
        problems.add(place, "$topic is the feed name, and with a table `at` there is none; use the fields")
    if dialect.fields.bound is not None:
        return
    known = saved | MESSAGE | variant.sets.names | row_names(dialect) | {"verb", "cursor", "topic", ROW, "bound"}
    _unknown(problems, place, variant.names, known | frozenset(fields.yields))
    for name in variant.applies.fields:
        if name not in fields.yields:
            problems.add((*place, "for"), f"messages yield no field {name}; `topic` must")


def _check_companion(problems: Problems, dialect: Dialect) -> None:
    also = dialect.beat.also if dialect.beat is not None else None
    if also is None:
        return
    _, names = identities_of(dialect)
    for name, text in also.items():
        _unknown(problems, ("heartbeat", "also", name), names_of(text), frozenset(names))
        if name not in names:
            problems.add(("heartbeat", "also"), f"there is no field {name}")


def _unknown(problems: Problems, place: Place, names: Iterable[str], known: frozenset[str]) -> None:
    for name in sorted(set(names)):
        if name in known or is_secret(name):
            continue
        there = ", ".join(f"${one}" for one in sorted(known)) or "none"
        problems.add(place, f"${name} has no value here; there are {there}")


def _secrets(dialect: Dialect) -> tuple[str, ...]:
    connect = dialect.connect
    nodes: list[Node] = [connect.url.base, *connect.url.query.values(), *connect.headers.values()]
    variants = (*dialect.subscribe, *dialect.unsubscribe)
    https = [step.http for step in connect.before] + ([connect.refresh.http] if connect.refresh else [])
    https += [one.http for one in variants if one.http is not None]
    https += [one.http for one in dialect.snapshots if one.http is not None]
    for http in https:
        nodes += [http.url.base, *http.url.query.values(), *http.headers.values(), http.json]
        nodes += (http.form or {}).values()
    nodes += [step.send for step in dialect.login]
    nodes += [variant.send for variant in variants]
    nodes += [one.send for one in dialect.snapshots]
    nodes += [rule.send for rule in dialect.control]
    for sets in [step.sets for step in dialect.login] + [variant.sets for variant in variants]:
        nodes += _set_nodes(sets)
    if dialect.beat is not None:
        nodes.append(dialect.beat.send)
    refs = [ref for node in nodes for ref in refs_of(node)]
    return tuple(dict.fromkeys(ref.name for ref in refs if is_secret(ref.name) and ref.default is None))


def _set_nodes(sets: Sets) -> list[Node]:
    return [(entry.key, entry.text) if isinstance(entry, Signature) else entry for _, entry in sets.entries]
