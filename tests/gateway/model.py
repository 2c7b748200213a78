"""A language model of our own behind the real gateway: what a prompt asks for in double brackets, it does."""

from __future__ import annotations

import json
import re
import secrets
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

_ASKED = re.compile(r"\[\[(say|slow|hang|once|spawn|use|fail)(?:: ([^\]]*))?\]\]")
_OF_THE_GATEWAY = re.compile(r"<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>.*?<<<END_OPENCLAW_INTERNAL_CONTEXT>>>", re.DOTALL)
"""What the gateway itself tells of sub-agents, among it the tasks that they were given."""


@dataclass
class Model:
    """`asked` are the requests it got, `keys` what each came with; `hanging` and `left` tell of one told to hang."""

    port: int
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    hanging: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    def answers(self) -> list[str]:
        """What tools have answered, in the requests in which it was told."""
        messages = [message for request in self.asked for message in request.get("messages", [])]
        return [str(message["content"]) for message in messages if message["role"] == "tool"]

    def prompts(self, word: str) -> list[str]:
        """All that was said in the requests in which `word` stands."""
        return [text for text in map(_text, self.asked) if word in text]


def _text(request: dict[str, Any]) -> str:
    return json.dumps(request.get("messages", []), ensure_ascii=False)


def _words(message: dict[str, Any]) -> str:
    content = message.get("content")
    parts = [{"text": content}] if isinstance(content, str) else content or []
    return _OF_THE_GATEWAY.sub("", " ".join(part.get("text", "") for part in parts))


def _wish(request: dict[str, Any]) -> tuple[str, str, int]:
    """What the last wish asks for, with its value, and how many tools were called for it."""
    messages = request["messages"]
    users = [(number, _words(message)) for number, message in enumerate(messages) if message["role"] == "user"]
    # What wakes an agent names the wish of its sub-agent.
    own = [(number, words) for number, words in users if "[[spawn:" in words] or users
    for number, words in reversed(own):
        if asked := _ASKED.findall(words):
            return *asked[-1], sum(bool(message.get("tool_calls")) for message in messages[number:])
    return "say", "nothing was asked", 0


class _Handler(BaseHTTPRequestHandler):
    model: Model

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.model.asked.append(request)
        self.model.keys.append((self.headers.get("Authorization") or "").removeprefix("Bearer "))
        action, value, calls = _wish(request)
        try:
            if action == "spawn":
                self._spawn(value, calls)
            elif action == "use":
                self._use(value, calls)
            else:
                getattr(self, f"_{action}")(value)
        except OSError:
            self.model.left.set()

    def _say(self, text: str) -> None:
        self._begin()
        self._chunk(text)
        self._end()

    def _slow(self, seconds: str) -> None:
        """A word every half second."""
        self._begin()
        deadline = time.monotonic() + float(seconds)
        while time.monotonic() < deadline:
            self._chunk("word ")
            time.sleep(0.5)
        self._chunk("end.")
        self._end()

    def _hang(self, _value: str) -> None:
        self._begin()
        self._chunk("Let me think. ")
        self.model.hanging.set()
        select.select([self.connection], [], [], 120)
        self.model.left.set()

    def _once(self, text: str) -> None:
        """Hang when it is asked first, and say it when it is asked again."""
        if len(self.model.prompts(f"[[once: {text}]]")) > 1:
            self._say(text)
        else:
            self._hang(text)

    def _spawn(self, wish: str, calls: int) -> None:
        """Give a sub-agent a wish, wait for it, and say so."""
        match calls:
            case 0:
                task = f"[[{wish.replace(' ', ': ', 1)}]]"
                self._call("tool_call", {"id": "sessions_spawn", "args": {"task": task}})
            case 1:
                self._call("sessions_yield", {})
            case _:
                self._say("The sub-agent has ended.")

    def _use(self, wish: str, calls: int) -> None:
        """Call a tool with a JSON object, and say so."""
        name, _, arguments = wish.partition(" ")
        if calls == 0:
            self._call("tool_call", {"id": name, "args": json.loads(arguments)})
        else:
            self._say(f"{name} has answered.")

    def _call(self, tool: str, arguments: dict[str, Any]) -> None:
        called = {"name": tool, "arguments": json.dumps(arguments)}
        call = {"index": 0, "id": f"call_{secrets.token_hex(4)}", "type": "function", "function": called}
        self._begin()
        self._event({"tool_calls": [call]})
        self._end("tool_calls")

    def _fail(self, status: str) -> None:
        body = json.dumps({"error": {"message": "the model is overloaded", "type": "overloaded"}}).encode()
        self.send_response(int(status))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self._event({"role": "assistant", "content": ""})

    def _chunk(self, text: str) -> None:
        self._event({"content": text})

    def _end(self, finish: str = "stop") -> None:
        self._event({}, finish)
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, delta: dict[str, Any], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        event = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "echo", "choices": [choice]}
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
        """Say nothing."""


@contextmanager
def model_server() -> Iterator[Model]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), cast("type[BaseHTTPRequestHandler]", type("H", (_Handler,), {})))
    server.daemon_threads = True
    model = server.RequestHandlerClass.model = Model(server.server_address[1])  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
