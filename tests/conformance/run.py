"""Runs the Autobahn Testsuite against relayd in both roles, and says how many cases of how many are right.

    python -m tests.conformance.run [--short] [--role server|client] [--way plain|tls|chopped]
    python -m tests.conformance.run --record      the short cases, kept for tests/conformance/test_transcripts.py

All cases in the clear; over TLS, and with every read in portions of one byte, the 247 short ones. The whole takes
about 25 minutes on an idle machine, and an hour beside work that wants its two cores: the 216 cases of compression
send a thousand messages each, and seven tenths of the time are the suite's own. `--short` takes about two minutes.
Reports and conformance.json are written to artifacts/conformance/. Without Python 2.7 it says SKIPPED, and fails where
CI is set.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.conformance import suite
from tests.conformance.peers import AGENT
from tests.conformance.transcripts import Recorded, recorder, save, transcribe
from tests.support import certs
from tests.support.ports import free_port
from tests.support.require import in_ci

REPORTS: Final = suite.ROOT / "artifacts" / "conformance"
ROLES: Final = ("server", "client")
WAYS: Final = ("plain", "tls", "chopped")
#: A case takes up to 480 s when it hangs. One role took 34 minutes at the lowest priority beside ten processes.
WITHIN_S: Final = 7200.0
START_WITHIN_S: Final = 20.0


@contextmanager
def program(args: list[str], log: Path, **how: object) -> Iterator[subprocess.Popen[str]]:
    """A process whose errors go to `log`; it is ended at the end."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as errors:
        process = subprocess.Popen(args, cwd=suite.ROOT, stderr=errors, text=True, **how)
        try:
            yield process
        finally:
            if process.stdin is not None:
                process.stdin.close()
            else:
                process.terminate()
            process.wait(10)


def peer(role: str, *options: str) -> list[str]:
    """The command of our side."""
    return [sys.executable, "-m", "tests.conformance.peers", role, *options]


def as_server(way: str, cases: tuple[str, ...], folder: Path, record: bool) -> list[Recorded]:
    """The suite attacks our guard; gives back what went over the wire, if that is to be recorded."""
    with program(
        peer("server", *{"tls": ["--tls"], "chopped": ["--chop"]}.get(way, [])),
        folder / "relayd.log",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        with recorded_if(record, port) as (port, connections), (folder / "suite.log").open("w") as log:
            url = f"{'wss' if way == 'tls' else 'ws'}://127.0.0.1:{port}/ws"
            command = suite.client_spec(folder, url, AGENT, cases)
            subprocess.run(command, cwd=folder, stdout=log, stderr=log, timeout=WITHIN_S, check=True)
    return connections


def as_client(way: str, cases: tuple[str, ...], folder: Path, record: bool) -> list[Recorded]:
    """Our upstream client connects to the suite; gives back what went over the wire, if that is to be recorded."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    files, options = None, ["--chop"] if way == "chopped" else []
    if way == "tls":
        files, ca = (folder / "cert.pem", folder / "key.pem"), folder / "ca.pem"
        for path, pem in zip(
            (*files, ca), (certs.good().pem, certs.good().key_pem, certs.authority().pem), strict=True
        ):
            path.write_bytes(pem)
        options = ["--ca", str(ca)]
    url = f"{'wss' if way == 'tls' else 'ws'}://127.0.0.1:{port}"
    with (folder / "suite.out").open("w") as out:
        command = suite.server_spec(folder, url, cases, files)
        with program(command, folder / "suite.log", stdout=out):
            wait_for(port)
            with recorded_if(record, port) as (via, connections), (folder / "relayd.log").open("w") as log:
                client = peer("client", str(port), "--via", str(via), *options)
                subprocess.run(client, cwd=suite.ROOT, stdout=log, stderr=log, timeout=WITHIN_S, check=True)
    return connections


@contextmanager
def recorded_if(record: bool, port: int) -> Iterator[tuple[int, list[Recorded]]]:
    """The port to connect to instead of `port`, and what goes through it."""
    if not record:
        yield port, []
        return
    with recorder(port) as through:
        yield through


def wait_for(port: int) -> None:
    """Until something listens there."""
    deadline = time.monotonic() + START_WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def main() -> int:
    """As above; the exit status says whether every case was right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="the 247 short cases only")
    parser.add_argument("--role", choices=ROLES)
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--record", action="store_true", help="keep the transcripts of the short cases")
    options = parser.parse_args()
    try:
        suite.prepare()
    except suite.SuiteMissing as missing:
        print(f"SKIPPED conformance: {missing}")
        return 1 if in_ci() else 0
    results: dict[str, dict[str, Any]] = {}
    for role in [options.role] if options.role else ROLES:
        for way in ["plain"] if options.record else [options.way] if options.way else WAYS:
            cases = suite.SHORT if options.short or options.record or way != "plain" else suite.ALL
            expected = suite.SHORT_CASES if cases is suite.SHORT else suite.ALL_CASES
            folder = REPORTS / f"{role}-{way}"
            started = time.monotonic()
            connections = (as_server if role == "server" else as_client)(way, cases, folder, options.record)
            verdicts = suite.read_verdicts(folder, AGENT)
            failures = verdicts.failures
            if len(verdicts.cases) != expected:
                failures = [f"{len(verdicts.cases)} cases ran, expected {expected}", *failures]
            took_s = round(time.monotonic() - started, 1)
            print(f"{role:6} {way:8} {len(verdicts.cases)} cases: {verdicts.counts} in {took_s} s", flush=True)
            for failure in failures:
                print(f"       {failure}")
            if options.record and not failures:
                kept = save(role, transcribe(role, connections, sorted(verdicts.cases, key=suite.order_of)))
                print(f"       transcripts in {kept}")
            results[f"{role}-{way}"] = {
                "cases": len(verdicts.cases),
                "counts": verdicts.counts,
                "failures": failures,
                "seconds": took_s,
            }
    (REPORTS / "conformance.json").write_text(json.dumps(results, indent=1))
    wrong = sum(len(result["failures"]) for result in results.values())
    cases = sum(result["cases"] for result in results.values())
    took_s = sum(result["seconds"] for result in results.values())
    print(f"{cases} cases in {len(results)} runs and {took_s / 60:.0f} minutes, {wrong or 'none'} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
