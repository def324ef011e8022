"""relayd: a WebSocket relay. One YAML file names upstream feeds and routes; browsers subscribe to topics."""

__version__ = "0.1.0"
