"""relayd from its wheel, as processes of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, Exchange, Start
from tests.support.ports import free_port
from tests.support.wheel import Installation, installation

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests below this folder are marked, so that `-m "not e2e"` leaves them out."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def relayd() -> Installation:
    """The wheel of the tree as it stands, installed."""
    return installation()


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty folder far from the tree. (pytest's own has a path too long for a unix socket.)"""
    with tempfile.TemporaryDirectory(prefix="relayd-") as path:
        yield Path(path)


@pytest.fixture
def exchange(relayd: Installation, place: Path) -> Iterator[Exchange]:
    """A simulated exchange."""
    with Exchange(relayd, place) as running:
        yield running


@pytest.fixture
def start(relayd: Installation, place: Path) -> Iterator[Start]:
    """Starts relayd with a configuration, in which `$PORT` is a free port, and waits until it listens."""
    with ExitStack() as stack:

        def begin(text: str, *options: str, wait: bool = True, **env: str) -> Daemon:
            port = free_port()
            file = place / f"relay-{port}.yaml"
            file.write_text(text.replace("$PORT", str(port)), "utf-8")
            daemon = stack.enter_context(Daemon(relayd, file, port, *options, **env))
            if wait:
                daemon.listens()
            return daemon

        yield begin
