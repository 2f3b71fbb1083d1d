"""A server that speaks OpenAI's embeddings interface, over real HTTP on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

DIMENSIONS = 8
Answer = Callable[[dict[str, Any]], tuple[int, bytes]]


def vectors(request: dict[str, Any]) -> tuple[int, bytes]:
    """As a good server answers; a text's vector is made of its bytes. Last text first, which the interface allows."""
    letters = range(97, 97 + DIMENSIONS)
    data = [
        {"index": number, "object": "embedding", "embedding": [1.0 + text.encode().count(letter) for letter in letters]}
        for number, text in enumerate(request["input"])
    ]
    return 200, json.dumps({"object": "list", "data": data[::-1], "model": request["model"]}).encode()


class Server:
    """A context manager. `answer` may be exchanged at any time. `heard`: every request body; `headers`: of the last.
    `cut`: so many requests to come are cut off without an answer."""

    def __init__(self, answer: Answer = vectors) -> None:
        self.answer = answer
        self.heard: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.cut = 0
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def texts(self) -> list[str]:
        """All that ever left."""
        return [text for request in self.heard for text in request["input"]]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def _handler(server: Self) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if server.cut:
                    server.cut -= 1
                    self.close_connection = True
                    return
                server.heard.append(request | {"path": self.path})
                server.headers = dict(self.headers)
                status, body = server.answer(request)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
