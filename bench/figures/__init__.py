"""The figures relayd is held against, in the order they are measured."""

from __future__ import annotations

from collections.abc import Callable

from bench.figure import Effort, Figure
from bench.figures import accept, fan_out, idle, ingest, never_readers, own_sets, throughput

FIGURES: dict[str, Callable[[Effort], Figure]] = {
    "fan_out": fan_out.run,
    "throughput": throughput.run,
    "own_sets": own_sets.run,
    "never_readers": never_readers.run,
    "accept": accept.run,
    "idle": idle.run,
    "ingest": ingest.run,
}
TITLES = {
    "fan_out": fan_out.TITLE,
    "throughput": throughput.TITLE,
    "own_sets": own_sets.TITLE,
    "never_readers": never_readers.TITLE,
    "accept": accept.TITLE,
    "idle": idle.TITLE,
    "ingest": ingest.TITLE,
}
QUICK = ("fan_out", "throughput", "never_readers")
