#!/usr/bin/env python3
"""A registry of npm packages on this machine, as small as one can be: publish and install.

    npm_registry.py DIR

Its first line is its port on 127.0.0.1. Packages are kept in DIR: NAME.json, what npm knows of the
package, and the archives of its versions. It ends with its standard input. Nobody is asked who he
is: for an example, not for the world.
"""
import base64
import json
import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

NAME = r"(?:@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*"
FILE = r"[a-z0-9][A-Za-z0-9._-]*\.tgz"


class Registry(BaseHTTPRequestHandler):
    """PUT /NAME publishes, GET /NAME tells of the versions, GET /NAME/-/FILE gives one."""

    protocol_version = "HTTP/1.1"
    root = "."

    def path_of(self, name: str) -> str:
        """Where a package, or a file of it, is kept."""
        return os.path.join(self.root, name.replace("/", "%2f"))

    def answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        """One whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def tell(self, status: int, document: Any) -> None:
        """An answer in JSON."""
        self.answer(status, json.dumps(document).encode())

    def load(self, name: str) -> Any:
        """What is known of a package; None."""
        try:
            with open(self.path_of(name + ".json"), encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return None

    def do_PUT(self) -> None:  # pylint: disable=invalid-name
        """npm publish: metadata and the package in one document."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name = unquote(self.path[1:].partition("?")[0])
        if not re.fullmatch(NAME, name):
            return self.tell(400, {"error": "no name of a package"})
        new, old = json.loads(body), self.load(name)
        if old and set(old["versions"]) & set(new["versions"]):
            return self.tell(409, {"error": "this version is there"})
        for file, content in new.pop("_attachments").items():
            file = file.rpartition("/")[2]
            if not re.fullmatch(FILE, file):
                return self.tell(400, {"error": "no name of a file"})
            with open(self.path_of(name + "/" + file), "wb") as out:
                out.write(base64.b64decode(content["data"]))
        if old:
            old["versions"].update(new["versions"])
            old["dist-tags"].update(new["dist-tags"])
            new = old
        with open(self.path_of(name + ".json"), "w", encoding="utf-8") as out:
            json.dump(new, out)
        return self.tell(201, {"ok": True})

    def do_GET(self) -> None:  # pylint: disable=invalid-name
        """What npm view and npm install ask for."""
        path = unquote(self.path[1:].partition("?")[0])
        name, found, file = path.partition("/-/")
        if not re.fullmatch(NAME, name) or found and not re.fullmatch(FILE, file):
            return self.tell(404, {"error": "not found"})
        if found:
            try:
                with open(self.path_of(name + "/" + file), "rb") as data:
                    return self.answer(200, data.read(), "application/octet-stream")
            except FileNotFoundError:
                return self.tell(404, {"error": "not found"})
        document = self.load(name)
        return self.tell(200 if document else 404, document or {"error": "not found"})

    def log_message(self, *arguments: Any) -> None:
        """In silence."""


def main() -> None:
    """Serves until standard input ends."""
    Registry.root = sys.argv[1]
    os.makedirs(Registry.root, exist_ok=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
