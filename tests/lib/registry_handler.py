"""One connection of a stand-in server: answers, files with Range, the log, and faults in all of it."""
import json
import os
import re
import socket
import time
from http.server import BaseHTTPRequestHandler
from typing import Any, Dict, Iterator, Optional

from registry_faults import number
from registry_store import PIECE


class Broken(Exception):
    """The connection ends here, without more of an answer."""


class Handler(BaseHTTPRequestHandler):
    """One connection. `route` answers a request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: Any

    def log_message(self, format: str, *args: Any) -> None:  # pylint: disable=redefined-builtin
        """Nothing on standard error: requests go to the log."""

    # one request

    def handle_one_request(self) -> None:
        self.received = self.sent = self.status = 0
        self.left = 0
        self.hit: Dict[str, str] = {}
        try:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            self.left = int(self.headers.get("Content-Length") or 0)
            control = self.path.startswith("/control/")
            self.server.busy(0 if control else 1)
            try:
                self.route()
                self.drain()
                self.wfile.flush()
            finally:
                if not control:
                    self.record()
                    self.server.busy(-1)
        except (Broken, OSError):
            self.close_connection = True
            try:
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
            except (OSError, ValueError):
                pass

    def record(self) -> None:
        """A line of the log."""
        authorization = self.headers.get("Authorization")
        line = {"server": self.server.role, "method": self.command, "path": self.path,
                "status": self.status, "received": self.received, "sent": self.sent,
                "authorization": authorization.split(" ")[0] if authorization else None,
                "range": self.headers.get("Range") or self.headers.get("Content-Range"),
                "connection": self.client_address[1]}
        with self.server.log_lock:
            self.server.log.write(json.dumps(line) + "\n")
            self.server.log.flush()

    def body(self, limit: Optional[int] = None) -> Iterator[bytes]:
        """The request's body in pieces; Broken after `limit` bytes."""
        while self.left > 0:
            want = min(self.left, PIECE)
            if limit is not None:
                want = min(want, limit - self.received)
                if want <= 0:
                    raise Broken
            piece = self.rfile.read1(want)
            if not piece:
                raise Broken
            self.left -= len(piece)
            self.received += len(piece)
            yield piece

    def drain(self) -> None:
        """Reads what nobody wanted, so that the connection can go on."""
        for _ in self.body():
            pass

    def start(self, status: int, headers: Dict[str, str]) -> None:
        """Status line and headers."""
        self.status = status
        self.send_response_only(status)
        if "digest-header" in self.hit and "Docker-Content-Digest" in headers:
            headers["Docker-Content-Digest"] = self.hit["digest-header"]
        if "type" in self.hit:
            headers["Content-Type"] = self.hit["type"]
        for key, value in headers.items():
            self.send_header(key, value)
        if "header" in self.hit:
            self.send_header(*self.hit["header"].split(": ", 1))
        for i in range(number(self.hit, "many-headers") or 0):
            self.send_header("X-Filler-%d" % i, "x" * 1000)
        self.end_headers()

    def answer(self, status: int, headers: Optional[Dict[str, str]] = None, data: bytes = b"",
               ) -> None:
        """A whole small answer. What is left of the request is read before it."""
        headers = dict(headers or {})
        self.drain()
        if status != 204:
            headers["Content-Length"] = str(len(data))
        self.start(status, headers)
        if self.command != "HEAD" and status != 204:
            self.wfile.write(data)
            self.sent += len(data)

    def fail(self, status: int, code: str, headers: Optional[Dict[str, str]] = None) -> None:
        """An error as registries give it."""
        data = json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode()
        self.answer(status, {"Content-Type": "application/json", **(headers or {})}, data)

    # a file, or a part of one

    def give_file(self, path: str, headers: Dict[str, str]) -> None:
        """A blob or file, by Range when one is asked for, with what faults are on."""
        size = os.path.getsize(path)
        wanted = self.headers.get("Range")
        at, end, status = 0, size, 200
        if self.headers.get("If-Range") not in (None, headers.get("ETag")):
            wanted = None
        if wanted and "ignore-range" not in self.hit:
            match = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted)
            if not match or wanted == "bytes=-":
                return self.fail(416, "RANGE", {"Content-Range": "bytes */%d" % size})
            if match[1]:
                at = int(match[1])
                end = min(size, int(match[2]) + 1) if match[2] else size
            else:
                at = max(0, size - int(match[2]))
            if at >= end:
                return self.fail(416, "RANGE", {"Content-Range": "bytes */%d" % size})
            status = 206
            shift = 1 if "content-range" in self.hit else 0
            headers["Content-Range"] = "bytes %d-%d/%d" % (at + shift, end - 1 + shift, size)
        headers["Accept-Ranges"] = "bytes"
        end = min(end, at + (number(self.hit, "truncate") or size))
        self.drain()
        if "endless" in self.hit or "no-length" in self.hit:
            headers["Connection"] = "close"
            self.close_connection = True
        else:
            headers["Content-Length"] = str(end - at + (number(self.hit, "length") or 0))
        self.start(status, headers)
        if self.command != "HEAD":
            with open(path, "rb") as file:
                file.seek(at)
                self.give_bytes(file, end - at)
        if number(self.hit, "length"):
            raise Broken

    def give_bytes(self, file: Any, count: int) -> None:
        """The body: `count` bytes of a file."""
        until = number(self.hit, "break-download")
        while count > 0 or "endless" in self.hit:
            want = 1 if "drip" in self.hit else min(PIECE, count) if count > 0 else PIECE
            if until is not None:
                want = min(want, until - self.sent)
            piece = file.read(want) if count > 0 else bytes(want)
            if until is not None and self.sent >= until:
                raise Broken
            if "wrong-content" in self.hit and self.sent == 0 and piece:
                piece = bytes([piece[0] ^ 1]) + piece[1:]
            self.wfile.write(piece)
            self.sent += len(piece)
            count -= len(piece)
            if "drip" in self.hit:
                self.wfile.flush()
                time.sleep(float(self.hit["drip"]))

    def route(self) -> None:
        """To be defined."""
        raise NotImplementedError
