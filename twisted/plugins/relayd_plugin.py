"""Tells twistd about relayd. The module is named as a string, so that `twistd --help` imports none of it."""

from twisted.application.service import ServiceMaker

relayd = ServiceMaker("relayd", "relayd.tap", "Bridges upstream WebSocket feeds to many browsers.", "relayd")
