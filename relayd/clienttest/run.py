"""Runs scenarios: each on a port of its own, with the client's command, or with a client that a person starts."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import TimeoutError as TwistedTimeout

from relayd.clienttest.server import StageFactory, Waits
from relayd.clienttest.stage import Fault, NotAsked, Scenario

LOOPBACK: Final = "127.0.0.1"
#: What a client is told to show; no relayd has ever made it.
TOKEN: Final = "client-test-token"
#: From SIGTERM to SIGKILL.
END_WITHIN_S: Final = 3.0
#: Of its output, with a failure.
OUTPUT_CHARS: Final = 400
#: Room for as many, of four bytes at most (RFC 3629).
OUTPUT_BYTES: Final = 4 * OUTPUT_CHARS
#: For a person to start a client by hand.
BY_HAND_S: Final = 300.0


class Verdict(Enum):
    """What came out."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """Of one scenario, with the reason where it is not good."""

    scenario: Scenario
    verdict: Verdict
    reason: str = ""
    output: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Args:
        scenarios: in the order of the table.
        command: the client's program and arguments, in which `{url}`, `{topic}` and `{token}` stand for what they say,
            and `{publish}` for the topic to publish to, or nothing; empty for a client that a person starts.
        port: to listen on; 0 for any free one.
        jobs: scenarios at a time.
    """

    scenarios: Sequence[Scenario]
    command: Sequence[str]
    port: int = 0
    jobs: int = 4


async def carry_out(
    reactor: Any, plan: Plan, begun: Callable[[Scenario, str], None], started: ExitStack
) -> list[Result]:
    """Runs all of them. `begun` is told each scenario and its URL. Closing `started` kills the clients that still run
    because the reactor was stopped: none has heard of that, in a session of its own.
    """
    by_hand = not plan.command
    turns = DeferredSemaphore(1 if by_hand or plan.port else plan.jobs)

    def one(scenario: Scenario) -> Deferred[Result]:
        return turns.run(lambda: Deferred.fromCoroutine(_run(reactor, plan, scenario, begun, started)))

    return list(await gatherResults([one(scenario) for scenario in plan.scenarios]))


async def _run(
    reactor: Any, plan: Plan, scenario: Scenario, begun: Callable[[Scenario, str], None], started: ExitStack
) -> Result:
    if plan.command and scenario.needs_token and not _has("{token}", plan.command):
        return Result(scenario, Verdict.SKIPPED, "the command has no {token}: it is not told one")
    if plan.command and scenario.publishes and not _has("{publish}", plan.command):
        return Result(scenario, Verdict.SKIPPED, "the command has no {publish}: it is not told where to")
    client: Client | None = None
    waits = Waits(reactor)
    scripted = {"subscribe", "ack", "publish"} | ({"auth"} if scenario.needs_token else set())
    stage = StageFactory(waits, lambda: "" if client is None else client.how_it_ended(), frozenset(scripted))
    listening = await TCP4ServerEndpoint(reactor, plan.port, interface=LOOPBACK).listen(stage)
    url = f"ws://{LOOPBACK}:{listening.getHost().port}/ws"
    begun(scenario, url)
    reason = skipped = ""
    try:
        if plan.command:
            client = Client(plan.command, url, scenario.topic, scenario.topic if scenario.publishes else "")
            started.callback(client.kill)
        script = Deferred.fromCoroutine(scenario.script(stage))
        script.addTimeout(scenario.within_s if plan.command else BY_HAND_S, reactor)
        await script
        if client is not None and not scenario.may_end and (ended := client.how_it_ended()):
            raise Fault(ended)
    except Fault as fault:
        reason = str(fault)
    except NotAsked as why:
        skipped = str(why)
    except TwistedTimeout:
        reason = f"took longer than {scenario.within_s:g} s"
    finally:
        if client is not None:
            await client.end(waits)
        await listening.stopListening()
        for peer in stage.peers:
            peer.drop()
    if skipped:
        return Result(scenario, Verdict.SKIPPED, skipped)
    verdict = Verdict.FAILED if reason else Verdict.PASSED
    return Result(scenario, verdict, reason, client.output if client is not None and reason else "")


def _has(placeholder: str, command: Sequence[str]) -> bool:
    return any(placeholder in word for word in command)


class Client:
    """The program under test, in a session of its own, so that what it starts ends with it."""

    def __init__(self, command: Sequence[str], url: str, topic: str, publish: str) -> None:
        values = {"{url}": url, "{topic}": topic, "{token}": TOKEN, "{publish}": publish}
        words = [_filled(word, values) for word in command]
        if list(command) == words:
            words += [url, topic]
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # until it ends; without a name nothing is left of it
        known = {"RELAYD_URL": url, "RELAYD_TOPIC": topic}
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **known},
            start_new_session=True,
        )

    @property
    def output(self) -> str:
        """The end of what it wrote."""
        # By position: to seek would move where the client writes, which has the same open file.
        descriptor = self._output.fileno()
        start = max(0, os.fstat(descriptor).st_size - OUTPUT_BYTES)
        return os.pread(descriptor, OUTPUT_BYTES, start).decode("utf-8", "replace")[-OUTPUT_CHARS:]

    def how_it_ended(self) -> str:
        """"" while it runs."""
        status = self._process.poll()
        return "" if status is None else f"the client ended with status {status}"

    async def end(self, waits: Waits) -> None:
        """SIGTERM, then SIGKILL, for all of its processes."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            if await waits.until(lambda: self._process.poll() is not None, END_WITHIN_S):
                break

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _filled(word: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word
