"""The Python client beside relayd: the same codes, topics and version, and what its wheel holds."""

from __future__ import annotations

import ast
import subprocess
import zipfile
from email.parser import Parser

import pytest
import relayd_client
from hypothesis import given
from hypothesis import strategies as st
from relayd_client.codes import RETRY_S_MAX, is_final, retry_hint_s
from relayd_client.topics import matcher

import relayd
from relayd.core.closecode import CLOSE_CODES, CloseCode, reason
from relayd.core.closecode import RETRY_S_MAX as SERVER_RETRY_S_MAX
from relayd.core.topic import escape
from tests.support.client_wheel import CLIENT, client_installation, client_wheel
from tests.support.wheel import ROOT


@pytest.mark.parametrize("close", CLOSE_CODES, ids=lambda close: close.name)
def test_close_codes(close: CloseCode) -> None:
    """It comes back where relayd's table says so."""
    assert is_final(close.code) is not close.may_come_back


@pytest.mark.parametrize("close", CLOSE_CODES, ids=lambda close: close.name)
@given(st.integers(0, SERVER_RETRY_S_MAX))
def test_hints(close: CloseCode, seconds: int) -> None:
    """It reads the hints that relayd writes."""
    assert retry_hint_s(reason(close, seconds)) == seconds
    assert retry_hint_s(reason(close)) == 0
    assert RETRY_S_MAX == SERVER_RETRY_S_MAX


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=4))
def test_topics(values: list[str]) -> None:
    """It escapes as relayd does."""
    made = relayd_client.topic(*values)
    assert made == "/".join(escape(value) for value in values)
    assert matcher("/".join(["*"] * len(values)))(made)


def test_wheel() -> None:
    """Modules, types and licence, under relayd's version; it needs websockets and nothing else."""
    with zipfile.ZipFile(client_wheel()) as wheel:
        names = set(wheel.namelist())
        info = f"relayd_client-{relayd.__version__}.dist-info"
        about = Parser().parsestr(wheel.read(f"{info}/METADATA").decode())
        assert wheel.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    modules = {f"relayd_client/{path.name}" for path in (CLIENT / "src/relayd_client").glob("*.py")}
    assert {name for name in names if not name.startswith(info)} == {*modules, "relayd_client/py.typed"}
    assert about["Version"] == relayd.__version__ == relayd_client.__version__
    assert [need.split(">")[0].strip() for need in about.get_all("Requires-Dist") or []] == ["websockets"]


def test_stands_alone() -> None:
    """Installed, without relayd beside it."""
    code = "import relayd_client, importlib.util as u; assert not u.find_spec('relayd'); print(relayd_client.__all__)"
    done = subprocess.run(
        [client_installation().python, "-I", "-c", code], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert set(ast.literal_eval(done.stdout)) == set(relayd_client.__all__)
