"""`relayd client-test`: a scripted server that judges a client of relayd.v1."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from relayd.clienttest.run import Plan, Result
    from relayd.clienttest.stage import Scenario


@click.command("client-test", context_settings={"ignore_unknown_options": True})
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Listen here; any free port otherwise.")
@click.option("--scenario", "-s", "names", multiple=True, metavar="NAME", help="Only this one; can be repeated.")
@click.option("--jobs", "-j", default=4, show_default=True, type=click.IntRange(1, 64), help="Scenarios at a time.")
@click.option("--list", "only_list", is_flag=True, help="Print the scenarios, and run none.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def client_test(port: int, names: tuple[str, ...], jobs: int, only_list: bool, command: tuple[str, ...]) -> None:
    """Judge a client: does it come back, resume, and obey, as docs/protocol.md says?

    COMMAND is the client, after `--`. It is run once per scenario, and is to subscribe to {topic} of the relayd at
    {url} until it is ended:

        relayd client-test -- python my_client.py {url} {topic} {token} {publish}

    Where {publish} is a topic and not empty, it is to publish one JSON value there, once it is connected.
    Without any of these words, the URL and the topic are appended. Without a command, the URLs are printed, for a
    client that you start by hand. The exit status is 1 if a scenario failed.
    """
    from twisted.internet import task
    from twisted.internet.defer import Deferred

    from relayd.clienttest.run import Plan, carry_out
    from relayd.clienttest.scenarios import BY_NAME, SCENARIOS

    if unknown := [name for name in names if name not in BY_NAME]:
        raise click.BadParameter(f"{unknown[0]} is none; known: {', '.join(BY_NAME)}", param_hint="--scenario")
    chosen = [scenario for scenario in SCENARIOS if not names or scenario.name in names]
    if only_list:
        _table([(scenario.name, scenario.expects) for scenario in chosen], "scenario", "a good client")
        return
    if command and shutil.which(command[0]) is None:
        raise click.BadParameter(f"{command[0]} is no program that can be run", param_hint="COMMAND")
    plan = Plan(chosen, command, port, jobs)
    results: list[Result] = []

    def main(reactor: Any) -> Deferred[None]:
        async def run() -> None:
            # No client is started before the reactor hears the signals that would leave it behind.
            await task.deferLater(reactor, 0)
            begun = partial(_begun, plan)
            results.extend(await carry_out(reactor, plan, begun, started))

        return Deferred.fromCoroutine(run())

    with ExitStack() as started:
        try:
            task.react(main)
        except SystemExit as end:
            if end.code:
                raise
    if not results:
        raise click.ClickException("stopped before the end: nothing is judged")
    _report(results)
    sys.exit(1 if any(result.verdict.value == "failed" for result in results) else 0)


def _begun(plan: Plan, scenario: Scenario, url: str) -> None:
    if plan.command:
        return
    click.echo(f"{scenario.name}: {scenario.expects}")
    token = ", and a token" if scenario.needs_token else ""
    to_publish = ", and have it publish one value there" if scenario.publishes else ""
    click.echo(f"  start your client with {url}, topic {scenario.topic}{token}{to_publish}")


def _report(results: list[Result]) -> None:
    colours = {"passed": "green", "failed": "red", "skipped": "yellow"}
    rows = [
        (
            result.scenario.name,
            f"[{colours[result.verdict.value]}]{result.verdict.value}[/]",
            result.reason or result.scenario.expects,
        )
        for result in results
    ]
    _table(rows, "scenario", "", "a good client / what went wrong")
    words: dict[str, list[str]] = {}
    for result in results:
        if result.output:
            words.setdefault(result.output, []).append(result.scenario.name)
    for output, names in words.items():
        click.echo(f"-- {', '.join(names)}: the client's last words\n{output.rstrip()}")
    counts = {word: sum(result.verdict.value == word for result in results) for word in colours}
    click.echo(", ".join(f"{count} {word}" for word, count in counts.items() if count or word == "passed"))


def _table(rows: Sequence[tuple[str, ...]], *titles: str) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*titles, box=SIMPLE_HEAD, pad_edge=False)
    for first, *middle, last in rows:
        table.add_row(first, *middle, escape(last))
    Console(emoji=False).print(table)
