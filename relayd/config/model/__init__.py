"""The typed form of relay.yaml. Attributes are the YAML keys, with their unit where they have one.

A model is made from what stands in the file (`linger: 7s`) and holds numbers (`route.linger_s == 7.0`).
"""

from relayd.config.expressions import CodeRange, Hours
from relayd.config.model.allow import AllowRule
from relayd.config.model.auth import Auth, Jwt, Webhook
from relayd.config.model.block import Block
from relayd.config.model.config import Config
from relayd.config.model.connect import (
    Connect,
    ConnectTls,
    Hmac,
    Http,
    HttpStep,
    LoginStep,
    Reconnect,
    Refresh,
    Silence,
    UpstreamLimits,
)
from relayd.config.model.dialect import (
    Ack,
    Control,
    Cursor,
    Decode,
    Fail,
    FeedName,
    Heartbeat,
    Request,
    Sequence,
    Snapshot,
    Subscribe,
    Topic,
)
from relayd.config.model.drain import Drain
from relayd.config.model.limits import Limits
from relayd.config.model.listener import Admin, Listener, ListenerTls
from relayd.config.model.log import Log
from relayd.config.model.route import Access, Deliver, Mode, Route
from relayd.config.model.state import State
from relayd.config.model.upstream import Upstream
from relayd.config.scalars import History, Rate

__all__ = [
    "Access",
    "Ack",
    "Admin",
    "AllowRule",
    "Auth",
    "Block",
    "CodeRange",
    "Config",
    "Connect",
    "ConnectTls",
    "Control",
    "Cursor",
    "Decode",
    "Deliver",
    "Drain",
    "Fail",
    "FeedName",
    "Heartbeat",
    "History",
    "Hmac",
    "Hours",
    "Http",
    "HttpStep",
    "Jwt",
    "Limits",
    "Listener",
    "ListenerTls",
    "Log",
    "LoginStep",
    "Mode",
    "Rate",
    "Reconnect",
    "Refresh",
    "Request",
    "Route",
    "Sequence",
    "Silence",
    "Snapshot",
    "State",
    "Subscribe",
    "Topic",
    "Upstream",
    "UpstreamLimits",
    "Webhook",
]
