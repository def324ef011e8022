"""Short relay.yaml files, and what the loader says about them."""

from __future__ import annotations

from textwrap import dedent, indent

from relayd.config.load import loads
from relayd.config.model import Config
from relayd.core.errors import ConfigErrors

UPSTREAM = """\
connect: {url: "wss://feed.example.com/ws"}
topic: {at: {channel: type, symbol: product_id}}
subscribe: {each: $symbol, send: {op: $verb, channel: $channel, symbols: $topics}}
"""
ROUTE = "{topic: m/$symbol, upstream: feed, allow: {channel: [ticker], symbol: any}}"


def relay_yaml(upstream: str = UPSTREAM, route: str = ROUTE, top: str = "") -> str:
    """A whole file with one upstream called `feed`, and one route, or several (each starts with `- `)."""
    routes = route if route.startswith("- ") else f"- {route}"
    blocks = [
        "upstreams:",
        "  feed:",
        indent(dedent(upstream).strip(), "    "),
        "routes:",
        indent(dedent(routes).strip(), "  "),
    ]
    return "\n".join([*blocks, dedent(top).strip(), ""])


def problems(text: str, **environ: str) -> list[str]:
    """Every problem of a text, without the name of the file; none = it was accepted."""
    try:
        loads(text, "relay.yaml", environ)
    except ConfigErrors as errors:
        return [str(error).removeprefix("relay.yaml:") for error in errors.errors]
    return []


def told(text: str, **environ: str) -> list[str]:
    """Every problem of a text, without file, line and column."""
    return [problem.split(": ", 1)[1] for problem in problems(text, **environ)]


def config(text: str, **environ: str) -> Config:
    """The Config of a text that is right."""
    return loads(text, "relay.yaml", environ)
