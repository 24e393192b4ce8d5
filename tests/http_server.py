"""Serve files on 127.0.0.1, well or badly: the first part of the path says how.

http://127.0.0.1:PORT/good/NAME serves files[NAME]; /404/NAME answers 404, and so on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"


class Handler(BaseHTTPRequestHandler):
    """Answer GET by the method named after the first part of the path."""

    server: Server
    wbufsize = 0

    def do_GET(self) -> None:
        """Answer, and remember the request."""
        how, _, name = self.path.lstrip("/").partition("/")
        self.server.requests.append((how, name))
        self.server.encodings.add(self.headers["Accept-Encoding"])
        self.close_connection = True
        data = self.server.files[name]
        if how in ("404", "500"):
            self.send_error(int(how))
        elif how == "loop":
            self.head(302, Location=self.path)
        elif how == "moved":
            self.head(302, Location=f"/good/{name}")
        elif how == "midheader":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Len")
        elif how == "badlength":
            self.head(200, Content_Length="many")
        elif how == "stall":
            self.head(200, Content_Length=str(len(data)))
            self.wfile.write(data[:10])
            self.server.stopping.wait(30)
        elif how == "silent":
            self.server.stopping.wait(30)
        elif how == "drip":
            self.head(200, Content_Length=str(len(data)))
            for i in range(len(data)):
                self.wfile.write(data[i : i + 1])
                if self.server.stopping.wait(0.01):
                    break
        else:
            body, claimed = self.body(how, data)
            self.head(200, Content_Length=str(claimed))
            self.wfile.write(body)

    @staticmethod
    def body(how: str, data: bytes) -> tuple[bytes, int]:
        """Return the bytes sent, and the length claimed for them."""
        return {
            "good": (data, len(data)),
            "truncated": (data[: len(data) // 2], len(data)),
            "short": (data[:-1], len(data) - 1),
            "long": (data + b"x" * 100_000, len(data) + 100_000),
            "wrong": (data[:-1] + bytes([data[-1] ^ 1]), len(data)),
            "empty": (b"", 0),
            "html": (PAGE, len(PAGE)),
        }[how]

    def head(self, status: int, **fields: str) -> None:
        """Send the status line and header fields."""
        self.send_response(status)
        for field, value in fields.items():
            self.send_header(field.replace("_", "-"), value)
        self.end_headers()

    def handle(self) -> None:
        """Handle a request; clients that hang up early are expected."""
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *args: object) -> None:
        """Stay silent."""


class Server(ThreadingHTTPServer):
    """Hold the files, the requests seen, and the wish to stop."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.requests: list[tuple[str, str]] = []
        self.encodings: set[str] = set()  # that clients said they accept
        self.stopping = threading.Event()

    def url(self, how: str, name: str) -> str:
        """Return the address of a file served in a certain way."""
        return f"http://127.0.0.1:{self.server_port}/{how}/{name}"


@contextmanager
def serve(files: dict[str, bytes]) -> Iterator[Server]:
    """Run a server in a thread for the time of the block."""
    server = Server(files)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()
