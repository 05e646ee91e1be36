#!/usr/bin/env python3
"""A token server for a real registry on this machine, by distribution's token authentication.

    token_server.py KEY CERTIFICATE NAME:PASSWORD [--life SECONDS]

Prints its port. Its JSON Web Tokens are signed (RS256) by openssl with the key, and bring the
certificate (x5c), which is what the registry is configured to trust. Everybody may pull, the user
may push. It ends with its standard input.
"""
import argparse
import base64
import json
import secrets
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, List
from urllib.parse import parse_qs, urlsplit

ISSUER = "lmodel-test-issuer"


def b64(data: bytes) -> str:
    """Base 64 of JSON Web Tokens."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Handler(BaseHTTPRequestHandler):
    """GET ?service=S&scope=repository:NAME:ACTIONS..."""

    protocol_version = "HTTP/1.1"
    options: argparse.Namespace

    def log_message(self, format: str, *args: Any) -> None:  # pylint: disable=redefined-builtin
        """Nothing."""

    def do_GET(self) -> None:  # pylint: disable=invalid-name
        """Answers with a token, or 401 when a password is wrong."""
        header = self.headers.get("Authorization", "")
        known = header == "Basic " + base64.b64encode(self.options.user.encode()).decode()
        if header and not known:
            return self.answer(401, {"errors": [{"code": "UNAUTHORIZED"}]})
        query = parse_qs(urlsplit(self.path).query)
        access: List[Dict[str, Any]] = []
        for scope in " ".join(query.get("scope", [])).split():
            kind, name, actions = scope.split(":", 2)
            allowed = [a for a in actions.split(",") if known or a == "pull"]
            access.append({"type": kind, "name": name, "actions": allowed})
        return self.answer(200, {"token": self.token(query["service"][0], access),
                                 "expires_in": self.options.life})

    def token(self, service: str, access: List[Dict[str, Any]]) -> str:
        """A signed token for these."""
        with open(self.options.certificate, encoding="ascii") as file:
            body = "".join(file.read().split("-----")[2].split())
        now = int(time.time())
        header = {"typ": "JWT", "alg": "RS256", "x5c": [body]}
        claims = {"iss": ISSUER, "sub": "test", "aud": service, "exp": now + self.options.life,
                  "nbf": now - 10, "iat": now, "jti": secrets.token_hex(8), "access": access}
        signed = b64(json.dumps(header).encode()) + "." + b64(json.dumps(claims).encode())
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.options.key],
                                   input=signed.encode(), stdout=subprocess.PIPE, check=True)
        return signed + "." + b64(signature.stdout)

    def answer(self, status: int, content: Dict[str, Any]) -> None:
        """JSON."""
        data = json.dumps(content).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main() -> None:
    """Serves until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("key")
    parser.add_argument("certificate")
    parser.add_argument("user")
    parser.add_argument("--life", type=int, default=300)
    Handler.options = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
