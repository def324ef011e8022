"""What the figures were measured on: printed with every result, since a figure without its machine means little."""

from __future__ import annotations

import os
import platform
import resource
from pathlib import Path

from bench import cpu

SERVER_CORE = 0
LOAD_CORE = 1

SYSCTLS = (
    "net/core/somaxconn",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/tcp_rmem",
    "net/ipv4/tcp_wmem",
    "net/ipv4/tcp_mem",
    "net/core/wmem_max",
    "net/core/rmem_max",
)


class MachineTooSmall(Exception):
    """This machine cannot carry the benchmark; the text says what is missing and how to get it."""


def _first(path: str, key: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(key):
            return line.partition(":")[2].strip()
    return "unknown"


def facts() -> dict[str, str]:
    """Everything about the machine that moves a figure, as text."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    known = {
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": f"{_first('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores",
        "memory": _first("/proc/meminfo", "MemTotal"),
        "python": platform.python_version(),
        "nofile": f"{soft} soft, {hard} hard",
        "load average at start": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "ksoftirqd of the server's core": (
            "not visible, its time is not counted"
            if cpu.softirq_s(SERVER_CORE) is None
            else "visible, its time is counted as the server's"
        ),
    }
    for name in SYSCTLS:
        path = Path("/proc/sys", name)
        if path.exists():
            known[name.replace("/", ".")] = " ".join(path.read_text().split())
    return known


def demand(descriptors: int) -> None:
    """Raise the soft descriptor limit to the hard one; MachineTooSmall without two cores or `descriptors`."""
    if not {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        raise MachineTooSmall("the benchmark needs cores 0 and 1: one for the server, one for the load")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < descriptors:
        raise MachineTooSmall(
            f"a process may hold {hard} descriptors and {descriptors} are needed: raise `ulimit -Hn` "
            "(systemd: LimitNOFILE=) and start again"
        )


def kernel_socket_bytes() -> int:
    """Memory that all TCP sockets of the machine hold in the kernel, from /proc/net/sockstat (in pages there)."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        words = line.split()
        if words[:1] == ["TCP:"]:
            return int(words[words.index("mem") + 1]) * resource.getpagesize()
    return 0
