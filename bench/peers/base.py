"""What the benchmark knows of a server: how to start it, how browsers subscribe to it, how it takes publications."""

from __future__ import annotations

import abc
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from bench import build
from bench.workload import Workload

Options = dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one start of a server happens."""

    port: int  # browsers connect here
    publish_port: int  # the publisher connects here; for a relay: listens here
    folder: Path  # for its files; gone after the run
    workload: Workload


@dataclass(frozen=True, slots=True)
class Start:
    """How a server is started."""

    argv: list[str]
    env: Mapping[str, str] = field(default_factory=dict)


class Peer(abc.ABC):
    """One server under measurement."""

    name: ClassVar[str]
    topics: ClassVar[bool] = False  # whether it has topics at all, or sends everything to everybody
    publisher_first: ClassVar[bool] = False  # a relay dials its feed, which must stand before it

    def prepare(self) -> None:  # noqa: B027  # most need nothing
        """Install or build what it needs; build.BuildFailed with the reason when that cannot be had here."""

    @abc.abstractmethod
    def version(self) -> str:
        """Its version, as it says itself."""

    @abc.abstractmethod
    def start(self, place: Place) -> Start:
        """Write its configuration into place.folder; return the command."""

    def load_options(self, place: Place) -> Options:
        """Options of the load generator: path, subscribe message, what counts as control. Default: nothing to say."""
        return {}

    def publish_options(self, place: Place) -> Options:
        """Options of the publisher. Default: one ticker a line to publish_port."""
        return {"dialect": "lines", "port": place.publish_port}


def said(*argv: str) -> str:
    """What a command prints, stdout and stderr, stripped. build.BuildFailed when it is not installed."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except OSError as error:
        raise build.BuildFailed(f"{argv[0]}: not installed ({error.strerror})") from error
    return (done.stdout + done.stderr).strip()


def installed(package: str) -> str:
    """Version of a package in the peers' virtualenv."""
    return said(str(build.VENV_PYTHON), "-c", f"import importlib.metadata as m; print(m.version({package!r}))")


def node_version() -> str:
    """Node's own version."""
    return said("node", "--version")
