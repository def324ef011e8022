"""A Flask application with a login, and relayd beside it, by one command:

    python examples/login/run.py            then open http://127.0.0.1:5000/

What it does is what a supervisor and a proxy do on a real site: makes the token that the two share, and starts both.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE), str(HERE.parents[1] / "clients/python/src")]  # relayd-client need not be installed


def shared_token(tokens: Path) -> str:
    """A new token for the application; its line goes into the file that relay.yaml names."""
    made = subprocess.run(
        [sys.executable, "-m", "relayd", "token", "application", "--claim", "role=application"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    tokens.write_text(made.stdout, "utf-8")
    return made.stderr.splitlines()[0].removeprefix("token: ")


def main(port: int, relay_port: int, session_s: int) -> None:
    """Runs until it is told to stop."""
    from app import make_app
    from push import Push
    from werkzeug.serving import make_server

    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="relayd-login-") as folder:
        token = shared_token(Path(folder) / "tokens")
        text = (HERE / "relay.yaml").read_text("utf-8")
        file = Path(folder) / "relay.yaml"
        file.write_text(text.replace(":8080", f":{relay_port}").replace(":5000", f":{port}"), "utf-8")
        relayd = subprocess.Popen(
            [Path(sys.executable).with_name("twistd"), "-n", "--pidfile=", "relayd", "-c", file], cwd=folder
        )
        try:
            push = Push(f"ws://127.0.0.1:{relay_port}/ws", token)
            server = make_server("127.0.0.1", port, make_app(push, f"127.0.0.1:{relay_port}", session_s), threaded=True)
            threading.Thread(target=lambda: (relayd.wait(), server.shutdown()), daemon=True).start()
            print(f"Open http://127.0.0.1:{port}/   (Ctrl-C ends it)", flush=True)
            server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            relayd.terminate()
            relayd.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="notes with a login: Flask, and relayd beside it")
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--relay-port", type=int, default=8080)
    parser.add_argument("--session", type=int, default=3600, metavar="SECONDS", help="how long one stays signed in")
    arguments = parser.parse_args()
    main(arguments.port, arguments.relay_port, arguments.session)
