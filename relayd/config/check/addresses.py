"""Addresses that stand in a URL of the file: those that relayd would refuse to dial are an error at once."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from relayd.core.dial_rules import DialRules


def check_address(host: str, allowed: Sequence[str], setting: str) -> str:
    """Why this host is not dialled; empty where it may be, or is a name, which is judged by where it leads.

    Args:
        host: a name or an address without brackets.
        allowed: the networks that `setting` names.
    """
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    return DialRules.parse(allowed, setting).refusal(host)
