"""`relayd client-test`: good clients pass every scenario, one written in five minutes fails where it should."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from relayd.cli.main import main
from relayd.clienttest.coming_back import judge_waits
from relayd.clienttest.scenarios import BY_NAME, SCENARIOS
from relayd.clienttest.stage import Fault
from tests.e2e.test_real_clients import node_with_ws
from tests.support.client_wheel import client_installation
from tests.support.daemon import environment
from tests.support.process import Program
from tests.support.wheel import ROOT

HERE = Path(__file__).parent
JOBS = "12"
GIVEN = ("{url}", "{topic}", "{token}")
#: What a client need not do, and the smallest does not.
OPTIONS = {"window", "binary", "published", "publish-refused", "publish-lost"}
#: What a client that keeps nothing and waits for nothing must fail in, and cannot fail in.
NAIVE_FAILS = {
    "resumes", "gap", "gap-at-end", "lost-null", "rate", "too-late", "epoch", "colons", "splits", "states", "parts",
    "met-later", "restart", "overloaded", "slow", "unknown-4321", "done", "bad-token", "forbidden",
    "unknown-4789", "payloads", "unknown",
}  # fmt: skip
NAIVE_PASSES = {"pending", "late-answer", "refused-topic", "pings"}


def judged(program: Program) -> dict[str, tuple[str, str]]:
    """Verdict and reason by scenario, from the table."""
    program.ends(240)
    rows = re.findall(r"^ ([\w-]+) +(passed|failed|skipped) +(\S.*)$", program.output, re.MULTILINE)
    return {name: (verdict, reason) for name, verdict, reason in rows}


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands and their clients put what is for a moment."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def runs(temporary: Path) -> Iterator[dict[str, Program]]:
    """All at once: what they do is waiting."""
    python = str(client_installation().python)
    clients = {
        "relayd.js": ["node", str(HERE / "relayd_js.mjs"), *GIVEN, "{publish}"],
        "relayd-client": [python, str(HERE / "relayd_client_py.py"), *GIVEN, "{publish}"],
        "minimal": [sys.executable, str(ROOT / "examples/minimal-client/client.py"), *GIVEN],
        "naive": [python, str(HERE / "naive.py")],
    }
    env = environment(NODE_PATH=str(node_with_ws()), COLUMNS="200", PYTHONPATH=str(ROOT), TMPDIR=str(temporary))
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                Program([sys.executable, "-m", "relayd", "client-test", "-j", JOBS, "--", *command], ROOT, env)
            )
            for name, command in clients.items()
        }


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["relayd.js", "relayd-client", "minimal"])
def test_good_clients(runs: dict[str, Program], name: str) -> None:
    """All of it that it does."""
    found = judged(runs[name])
    skipped = OPTIONS if name == "minimal" else set()
    wanted = {scenario: "skipped" if scenario in skipped else "passed" for scenario in BY_NAME}
    assert {scenario: verdict for scenario, (verdict, _) in found.items()} == wanted, runs[name].output
    assert set(found) == set(BY_NAME)
    assert runs[name].returncode == 0


@pytest.mark.timeout(300)
def test_a_naive_client(runs: dict[str, Program]) -> None:
    """Every fault of it is found, and nothing is held against it that is none."""
    found = judged(runs["naive"])
    assert {name for name in NAIVE_FAILS if found[name][0] != "failed"} == set(), runs["naive"].output
    assert {name for name in NAIVE_PASSES if found[name][0] != "passed"} == set(), runs["naive"].output
    assert {name for name in found if found[name][0] == "skipped"} == {"token-first", "token-expired", *OPTIONS}
    assert "since None" in found["resumes"][1]
    assert "though 1012 said 'restart; retry=2'" in found["restart"][1]
    assert "came back after 4503 forbidden, which is for good" in found["forbidden"][1]
    # On a machine with ten times as much to do as it can, one of the two may look like patience.
    assert any("at once" in found[name][1] for name in ("drops", "503"))
    assert runs["naive"].returncode == 1


@pytest.mark.timeout(300)
def test_no_file_is_left(runs: dict[str, Program], temporary: Path) -> None:
    """What the clients said, whether it was shown or not."""
    for program in runs.values():
        program.ends(240)
    assert [*temporary.iterdir()] == []


def test_the_naive_client_ends_with_its_parent() -> None:
    """However that ends. What it inherited of it is closed then."""
    starts_it = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    with socket.create_server(("127.0.0.1", 0)) as dialled:
        url = f"ws://127.0.0.1:{dialled.getsockname()[1]}/"
        command = [sys.executable, "-c", starts_it, str(client_installation().python), str(HERE / "naive.py"), url, "t"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
            dialled.accept()[0].close()
            parent.kill()
            dialled.close()
            assert parent.stdout is not None
            assert parent.stdout.read() == b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_clients_end_with_it(tmp_path: Path, number: signal.Signals) -> None:
    """Who is stopped takes along what was started, although that has a session of its own."""
    alive = tmp_path / "alive"  # written to by the client, and open as long as it runs
    os.mkfifo(alive)
    client = ["sh", "-c", 'exec 3> "$0"; echo up >&3; exec sleep 100', str(alive)]
    command = [sys.executable, "-m", "relayd", "client-test", "-s", "pings", "--", *client]
    with Program(command, ROOT, environment(PYTHONPATH=str(ROOT))) as program, alive.open() as of_client:
        assert of_client.readline() == "up\n"
        program.signal(number)
        assert of_client.read() == ""
        assert program.ends() == 1
        assert "stopped before the end" in program.output


@pytest.mark.parametrize(
    ("gaps", "fault"),
    [
        ([0.001, 0.302, 0.01, 0.003, 0.1], "at once"),
        ([1.0, 1.001, 1.092, 1.0, 1.0], "the same"),
        ([1.0, 2.0, 4.02, 8.001, 16.0], "without chance"),
    ],
)
def test_waits_that_are_wrong(gaps: list[float], fault: str) -> None:
    """Each is told with its figures."""
    with pytest.raises(Fault, match=fault) as told:
        judge_waits(gaps)
    assert f"{gaps[-1]:.2f}" in str(told.value)


def test_waits_that_are_right() -> None:
    """Full jitter, also when it is lucky."""
    judge_waits([0.01, 1.9, 0.5, 7.0, 0.0])
    judge_waits([0.2, 0.4, 0.8, 0.1, 0.0])


def command(*arguments: str, status: int) -> str:
    """The output of the command, in this process."""
    done = CliRunner().invoke(main, ["client-test", *arguments])
    assert done.exit_code == status, done.output
    return done.output


def test_list() -> None:
    """Every scenario with what it expects."""
    output = " ".join(command("--list", status=0).split())
    assert all(scenario.name in output for scenario in SCENARIOS)


def test_unknown_scenario() -> None:
    """The known ones are told."""
    assert "token-expired" in command("-s", "nonsense", "--", "true", status=2)


def test_a_command_that_does_not_exist() -> None:
    """Is told as that."""
    output = command("-s", "pings", "--", "/nowhere/client", status=2)
    assert "/nowhere/client" in output


def test_names_and_bounds() -> None:
    """One row a name; each has a bound."""
    assert len(BY_NAME) == len(SCENARIOS)
    assert all(0 < scenario.within_s <= 90 for scenario in SCENARIOS)
