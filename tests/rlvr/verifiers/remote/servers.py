"""Servers that misbehave in the ways that servers do."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Answers the n-th POST with `behave(n, body)`, and a GET with `introduction`.

    A reply is a JSON value, (status, bytes, headers), or None to break the connection.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, behave, introduction=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave, self.introduction = behave, introduction
        self.lock, self.bodies, self.tokens, self.paths = threading.Lock(), [], [], []
        self.in_flight = self.most_in_flight = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """Clients go away in these tests."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.paths.append(self.path)
        self.send(self.server.introduction)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            number = len(self.server.bodies)
            self.server.bodies.append(body)
            self.server.tokens.append(self.headers.get("Authorization"))
            self.server.paths.append(self.path)
            self.server.in_flight += 1
            self.server.most_in_flight = max(self.server.most_in_flight, self.server.in_flight)
        try:
            reply = self.server.behave(number, body)
        finally:
            with self.server.lock:
                self.server.in_flight -= 1
        self.send(reply)

    def send(self, reply):
        if reply is None:
            self.close_connection = True
            return
        status, content, headers = reply if isinstance(reply, tuple) else (200, json.dumps(reply).encode(), {})
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json", "Content-Length": len(content)} | headers).items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving(behave, introduction=None):
    """A server in a thread."""
    server = Server(behave, introduction)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def chat(text, ended="stop"):
    """A chat completion."""
    return {"choices": [{"index": 0, "finish_reason": ended, "message": {"role": "assistant", "content": text}}]}


def quick_retries(monkeypatch):
    monkeypatch.setattr("rlvr.verifiers.remote.client.BACKOFF_S", 0.01)
