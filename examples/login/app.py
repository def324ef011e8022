"""A small application with a login: who somebody is, and the notes that people send to each other."""

from __future__ import annotations

import itertools
import secrets
import time
from collections import defaultdict, deque
from typing import Any

from flask import Flask, Response, jsonify, redirect, render_template, request, session, url_for
from push import Push
from relayd_client import RelayError, topic
from werkzeug.security import check_password_hash, generate_password_hash
from werkzeug.wrappers import Response as AnyResponse

#: A real application has a database. These words stand on the page, so that you can sign in.
PEOPLE = {"alice": generate_password_hash("tea"), "bob": generate_password_hash("cake")}
NOTES_KEPT = 20
NOTE_CHARS_MAX = 280


def make_app(push: Push, relay: str, session_s: int) -> Flask:
    """The application.

    Args:
        push: to relayd.
        relay: relayd as the browser reaches it, `127.0.0.1:8080`.
        session_s: how long somebody stays signed in.
    """
    app = Flask(__name__)
    app.secret_key = secrets.token_bytes(32)  # all are signed out when this program restarts
    app.config.update(SESSION_COOKIE_HTTPONLY=True, SESSION_COOKIE_SAMESITE="Strict")
    notes: defaultdict[str, deque[dict[str, Any]]] = defaultdict(lambda: deque(maxlen=NOTES_KEPT))
    numbers = itertools.count(1)

    def tell(where: str, data: object) -> None:
        """To open pages. Where that fails, they find it when they are opened anew."""
        try:
            push.publish(where, data)
        except (RelayError, TimeoutError) as fault:
            app.logger.warning("not pushed to %s: %s", where, fault)

    def who() -> str | None:
        """Who asks, by the cookie; nobody when the session has ended."""
        name = session.get("name")
        return name if name in PEOPLE and session["exp"] > time.time() else None

    @app.get("/")
    def page() -> str | AnyResponse:
        name = who()
        if name is None:
            return redirect(url_for("sign_in"))
        others = sorted(set(PEOPLE) - {name})
        return render_template(
            "notes.html",
            name=name, others=others, notes=list(notes[name]), relay=relay, inbox=topic("user", name, "notes"),
            news=topic("user", name, "session"), other=topic("user", others[0], "notes"), longest=NOTE_CHARS_MAX,
        )  # fmt: skip

    @app.route("/sign-in", methods=["GET", "POST"])
    def sign_in() -> tuple[str, int] | AnyResponse:
        if request.method == "GET":
            return render_template("sign_in.html", problem=""), 200
        name = request.form.get("name", "")
        if not check_password_hash(PEOPLE.get(name, ""), request.form.get("password", "")):
            return render_template("sign_in.html", problem="That name and that password do not go together."), 403
        session.update(name=name, exp=int(time.time()) + session_s)
        return redirect(url_for("page"))

    @app.post("/sign-out")
    def sign_out() -> AnyResponse:
        name = who()
        session.clear()
        if name is not None:
            tell(topic("user", name, "session"), "ended")
        return redirect(url_for("sign_in"))

    @app.post("/relayd/who")
    def relayd_who() -> tuple[Response, int]:
        """relayd asks for whoever opens a connection, and hands over their cookie: 200 and claims, or 401."""
        name = who()
        if name is None:
            return jsonify(message="signed out"), 401
        return jsonify(sub=name, exp=session["exp"]), 200

    @app.post("/notes")
    def send() -> tuple[Response, int]:
        name = who()
        to, text = request.form.get("to", ""), request.form.get("text", "").strip()
        if name is None:
            return jsonify(message="You are signed out."), 401
        if to not in PEOPLE or not 0 < len(text) <= NOTE_CHARS_MAX:
            return jsonify(message=f"A note has a reader and 1 to {NOTE_CHARS_MAX} letters."), 400
        note = {"number": next(numbers), "from": name, "text": text, "at": time.strftime("%H:%M")}
        notes[to].append(note)
        tell(topic("user", to, "notes"), note)
        return jsonify(note), 201

    @app.after_request
    def policy(response: Response) -> Response:
        """The page loads from here and from relayd, and talks to both, and to nothing else."""
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; style-src 'self'; script-src 'self' http://{relay}; connect-src 'self' ws://{relay}; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        return response

    return app
