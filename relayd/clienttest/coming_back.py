"""Scenarios: when a client comes back, and when it does not."""

from __future__ import annotations

from itertools import pairwise

from relayd.clienttest.stage import (
    FIRST_WAIT_S,
    SLACK_S,
    TOPIC,
    Fault,
    Peer,
    Script,
    Stage,
    asked,
    expect,
    opened,
    publish,
    subscribed,
    welcome,
)

#: Five waits with full jitter sum up to less than this once in 50,000 runs: 1.2^5 / (5! x 1 x 2 x 4 x 8 x 16). A client
#: that does not wait is quicker, also on a busy machine.
SUM_MIN_S = 1.2
#: Waits whose longest and shortest differ by less than this part are the same.
SAME = 0.1
#: Long enough for a first wait with full jitter, twice.
FOR_GOOD_S = 3.0


async def drops(stage: Stage) -> None:
    """Six connections in a row end at once."""
    gaps = []
    ended = None
    for number in range(6):
        peer = await stage.connection(20.0 if ended is None else FIRST_WAIT_S * 2 ** (number - 1) + SLACK_S)
        if ended is not None:
            gaps.append(peer.began_at - ended)
        peer.drop()
        ended = peer.ended_at
    judge_waits(gaps)


def judge_waits(gaps: list[float]) -> None:
    """Not at once, not all the same, not by a rule."""
    told = ", ".join(f"{gap:.2f}" for gap in gaps)
    expect(sum(gaps) >= SUM_MIN_S, f"comes back at once, after {told} s: a restarted server meets a storm")
    is_same = max(gaps) - min(gaps) < SAME * max(gaps)
    expect(not is_same, f"always waits the same, {told} s: clients that were cut together come back together")
    doubles = [abs(later / sooner - 2) < SAME for sooner, later in pairwise(gaps) if sooner > 0]
    expect(not all(doubles), f"waits {told} s: they grow, but without chance")


async def refused_handshakes(stage: Stage) -> None:
    """503 five times, then all is well."""
    stage.refuse(5)
    peer = await stage.connection(60.0)
    welcome(peer)
    subscribed(peer, await asked(peer), {TOPIC: {"position": "e:0"}})
    await peer.stays(1.0)
    judge_waits([b - a for a, b in pairwise(stage.attempts)])


async def hung_handshake(stage: Stage) -> None:
    """A server that takes the connection and never answers."""
    stage.hang()
    peer = await stage.connection(45.0)
    welcome(peer)
    await asked(peer)


def closed(code: int, reason: str, *, after_s: float = 0.0) -> Script:
    """It is closed with this code, and comes back: after the time the reason tells, plus its own jitter."""

    async def script(stage: Stage) -> None:
        peer = await opened(stage)
        publish(peer, 1, 2)
        peer.close(code, reason)
        await peer.gone(SLACK_S, f"did not answer the close frame of {code}")
        again = await stage.connection(after_s + FIRST_WAIT_S + SLACK_S)
        waited = again.began_at - peer.ended_at
        expect(waited >= after_s - 0.05, f"came back after {waited:.2f} s, though {code} said {reason!r}")
        welcome(again)
        request = await asked(again)
        expect(request.since.get(TOPIC) == "e:2", f"came back with since {request.since.get(TOPIC)!r}, expected 'e:2'")

    return script


def ended(code: int, reason: str) -> Script:
    """It is closed with this code, and stays away."""

    async def script(stage: Stage) -> None:
        peer = await opened(stage)
        publish(peer, 1)
        peer.close(code, reason)
        await peer.gone(SLACK_S, f"did not answer the close frame of {code}")
        await stage.nobody(FOR_GOOD_S, f"came back after {code} {reason}, which is for good")

    return script


async def slow_close(stage: Stage) -> None:
    """A close frame, and then the server forgets to end the connection."""
    peer = await opened(stage)
    publish(peer, 1)
    peer.close(1012, "restart", stay=True)
    again = await stage.connection(15.0)
    welcome(again)
    await asked(again)


async def after_refusal(stage: Stage) -> None:
    """Closed right after the handshake, as for a bad token: nothing to resume, and no second try."""
    peer = await stage.connection(20.0)
    peer.close(4500, "bad-token")
    await peer.gone(SLACK_S, "did not answer the close frame of 4500")
    await stage.nobody(FOR_GOOD_S, "came back after 4500 bad-token with nothing new to show")


async def token_first(stage: Stage) -> None:
    """A token is shown before anything else, and its verdict is awaited."""
    peer = await stage.connection(20.0)
    welcome(peer)
    shown = await peer.heard("auth")
    expect(isinstance(shown.get("token"), str) and shown["token"] != "", f"auth without a token: {shown}")
    await peer.quiet("subscribe", 1.0, "subscribed before its token was accepted: it may be refused what it may have")
    peer.say(op="authorized", id=shown.get("id"), subject="tester")
    subscribed(peer, await asked(peer), {TOPIC: {"position": "e:0"}})
    await peer.stays(0.5)


async def token_expired(stage: Stage) -> None:
    """4005: it comes back and shows a token again."""
    peer = await authorized(stage, 20.0)
    publish(peer, 1, 2, 3)
    peer.close(4005, "token-expired")
    await peer.gone(SLACK_S, "did not answer the close frame of 4005")
    await authorized(stage, FIRST_WAIT_S + SLACK_S, since="e:3")


async def authorized(stage: Stage, within_s: float, since: str | None = None) -> Peer:
    """A connection with a token and a subscription."""
    peer = await stage.connection(within_s)
    welcome(peer)
    try:
        shown = await peer.heard("auth")
    except Fault as fault:
        raise Fault(f"showed no token: {fault}") from None
    peer.say(op="authorized", id=shown.get("id"), subject="tester")
    request = await asked(peer)
    found = request.since.get(TOPIC)
    expect(since is None or found == since, f"came back with since {found!r}, expected {since!r}")
    subscribed(peer, request, {TOPIC: {"position": since or "e:0"}})
    return peer


async def silence(stage: Stage) -> None:
    """A server that dies without a word: asked, then given up."""
    peer = await stage.connection(20.0)
    welcome(peer, ping_every_s=1)
    subscribed(peer, await asked(peer), {TOPIC: {"position": "e:0"}})
    publish(peer, 1)
    peer.ignore()
    await peer.gone(40.0, "is still there 40 s after the last word, though relayd would have pinged every second")
    again = await stage.connection(FIRST_WAIT_S + SLACK_S)
    welcome(again)
    await asked(again)


async def answers_pings(stage: Stage) -> None:
    """RFC 6455 5.5.2, also amid data, also with a payload."""
    peer = await opened(stage)
    for number, payload in enumerate((b"", b"relayd", bytes(range(125)))):
        publish(peer, number + 1)
        await peer.pinged(payload, 5.0)


