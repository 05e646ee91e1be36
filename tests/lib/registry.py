#!/usr/bin/env python3
"""A registry on this machine, by the OCI distribution specification 1.1, for tests.

    registry.py --root DIR [--log FILE] [--files DIR] [--no-referrers] [--user NAME:PASSWORD]
                [--token [--token-uses N] [--anonymous-pull] [--refresh-token TEXT] [--realm URL]]
                [--tls CERT KEY] [--fault FAULT]...

Its first line is "PORT OTHER-PORT": both on 127.0.0.1; the other one gives the same blobs and files
and asks for nothing. It ends with its standard input. FAULT: see registry_faults.py.

Without authentication: GET or HEAD /files/NAME gives a file of --files, with Range, ETag and
Last-Modified. PUT /control/faults takes a JSON list of faults in place of the ones in force.
GET /control/idle answers when all other requests are done and in the log. Each other request is a JSON line of the log: server (main, other), method, path, status, received and
sent (bytes of bodies), authorization (its scheme, or null), range, connection (port of the client).
"""
import argparse
import json
import os
import re
import ssl
import sys
import threading
from email.utils import formatdate
from http.server import ThreadingHTTPServer
from typing import Any, Dict, Optional, Set, Tuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

from registry_auth import Auth
from registry_faults import Faults, number
from registry_handler import Handler
from registry_store import Store, digest_of

INDEX = "application/vnd.oci.image.index.v1+json"
NAME = r"(?P<name>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"


class Server(ThreadingHTTPServer):
    """One port; `role` is main or other."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, role: str, options: argparse.Namespace, store: Store, faults: Faults,
                 auth: Auth, log: Any) -> None:
        super().__init__(("127.0.0.1", 0), Registry)
        self.role, self.options, self.store = role, options, store
        self.faults, self.auth, self.log = faults, auth, log
        self.other = self
        self.log_lock = threading.Lock()
        self.requests = 0
        self.changed = threading.Condition()

    def busy(self, change: int) -> None:
        """Counts the requests that are being answered."""
        with self.changed:
            self.requests += change
            self.changed.notify_all()

    def idle(self) -> bool:
        """Waits, not for ever, until there are none."""
        with self.changed:
            return self.changed.wait_for(lambda: self.requests == 0, timeout=20)

    def address(self) -> str:
        """Scheme, host and port."""
        scheme = "https" if self.options.tls and self.role == "main" else "http"
        return "%s://127.0.0.1:%d" % (scheme, self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are what some tests are about."""
        if not isinstance(sys.exc_info()[1], (OSError, ValueError)):
            super().handle_error(request, client_address)


class Registry(Handler):
    """Control, files, tokens and the registry."""

    def route(self) -> None:
        """Control, files, tokens; then faults of any answer, authentication, the registry."""
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        if path == "/control/faults":
            self.server.faults.set(json.loads(b"".join(self.body()) or b"[]"))
            return self.answer(204)
        if path == "/control/idle":
            idle = self.server.idle() and self.server.other.idle()
            return self.answer(204 if idle else 503)
        self.hit = self.server.faults.hit("%s %s" % (self.command, self.path))
        if "refuse" in self.hit:
            raise Broken
        if "status" in self.hit:
            extra = {"Retry-After": self.hit["retry-after"]} if "retry-after" in self.hit else {}
            return self.fail(int(self.hit["status"]), "FAULT", extra)
        if "redirect-loop" in self.hit:
            return self.answer(307, {"Location": self.path})
        if self.hit.get("redirect"):
            return self.answer(307, {"Location": self.hit["redirect"]})
        if path == "/token":
            form = b"".join(self.body()).decode() if self.command == "POST" else None
            status, answer = self.server.auth.give(self.headers.get("Authorization", ""),
                                                   parts.query, form)
            return self.answer(status, {"Content-Type": "application/json"},
                               json.dumps(answer).encode())
        if path.startswith("/files/") and self.command in ("GET", "HEAD"):
            return self.file(path[7:])
        return self.registry(path, parse_qs(parts.query, keep_blank_values=True))

    def file(self, name: str) -> None:
        """A plain file."""
        path = os.path.join(self.server.options.files or "/nonexistent", os.path.basename(name))
        if not os.path.isfile(path):
            return self.fail(404, "NO_FILE")
        if "redirect" in self.hit and self.server.role == "main":
            return self.answer(302, {"Location": self.server.other.address() + self.path})
        state = os.stat(path)
        etag = self.hit.get("etag", '"%x-%x"' % (state.st_mtime_ns, state.st_size))
        self.give_file(path, {"Content-Type": "application/octet-stream", "ETag": etag,
                              "Last-Modified": formatdate(state.st_mtime, usegmt=True)})

    def wanted(self, name: str, query: Dict[str, list]) -> Set[Tuple[str, str]]:
        """What a request needs of a token."""
        if not name:
            return set()
        needed = {(name, "pull")}
        if self.command not in ("GET", "HEAD"):
            needed.add((name, "push"))
        if "from" in query and self.server.options.strict_mount:
            needed.add((query["from"][0], "pull"))
        return needed

    def registry(self, path: str, query: Dict[str, list]) -> None:
        """Everything below /v2/."""
        routes = (("/v2/", "base"), ("/v2/%s/blobs/uploads/" % NAME, "uploads"),
                  ("/v2/%s/blobs/uploads/(?P<what>[0-9a-f-]+)" % NAME, "upload"),
                  ("/v2/%s/blobs/(?P<what>sha256:[0-9a-f]{64})" % NAME, "blob"),
                  ("/v2/%s/manifests/(?P<what>[^/]+)" % NAME, "manifest"),
                  ("/v2/%s/referrers/(?P<what>sha256:[0-9a-f]{64})" % NAME, "referrers"))
        for pattern, what in routes:
            match = re.fullmatch(pattern, path)
            if match:
                break
        else:
            return self.fail(404, "NOT_FOUND")
        groups = match.groupdict()
        name = groups.get("name", "")
        if self.server.role == "main":
            challenge = self.server.auth.check(self.headers.get("Authorization", ""),
                                               self.wanted(name, query))
            if challenge is not None:
                return self.fail(401, "UNAUTHORIZED", {"WWW-Authenticate": challenge})
        return getattr(self, "on_" + what)(name, groups.get("what", ""), query)

    def on_base(self, _name: str, _what: str, _query: Dict[str, list]) -> None:
        """GET /v2/"""
        self.answer(200, {"Content-Type": "application/json"}, b"{}")

    def on_blob(self, name: str, digest: str, _query: Dict[str, list]) -> None:
        """GET, HEAD, DELETE of a blob."""
        path = self.server.store.blob(name, digest)
        if path is None:
            return self.fail(404, "BLOB_UNKNOWN")
        if self.command not in ("GET", "HEAD") or \
                (self.command == "HEAD" and "no-head" in self.hit):
            return self.fail(405, "UNSUPPORTED")
        if "redirect" in self.hit and self.server.role == "main":
            return self.answer(307, {"Location": self.server.other.address() + self.path})
        return self.give_file(path, {"Content-Type": "application/octet-stream",
                                     "Docker-Content-Digest": digest,
                                     "ETag": '"%s"' % digest})

    # uploads

    def location(self, name: str, session: str) -> str:
        """Where the next request of a session goes, in the form that a fault asks for."""
        path = "/v2/%s/blobs/uploads/%s" % (name, session)
        kind = self.hit.get("location", "relative")
        return {"relative": path, "absolute": self.server.address() + path,
                "query": "%s%s?_state=%s" % (self.server.address(), path, quote("a+b/c==")),
                "other": self.server.other.address() + path,
                "userinfo": "http://user:password@127.0.0.1%s" % path,
                "garbage": "http://[:::/" + path}[kind]

    def session(self, status: int, name: str, session: str, size: int) -> None:
        """The answer to all that leaves a session open."""
        headers = {"Location": self.location(name, session), "Docker-Upload-UUID": session,
                   "Range": "0-%d" % max(0, size - 1 - ("range-lie" in self.hit))}
        if "chunk-min" in self.hit:
            headers["OCI-Chunk-Min-Length"] = self.hit["chunk-min"]
        self.answer(status, headers)

    def on_uploads(self, name: str, _what: str, query: Dict[str, list]) -> None:
        """POST: a session, or a mount."""
        store = self.server.store
        if self.command != "POST":
            return self.fail(405, "UNSUPPORTED")
        if "mount" in query and "no-mount" not in self.hit and \
                store.mount(name, query["mount"][0], query.get("from", [""])[0]):
            return self.created(name, "blobs", query["mount"][0])
        return self.session(202, name, store.upload_begin(name), 0)

    def created(self, name: str, kind: str, digest: str,
                headers: Optional[Dict[str, str]] = None) -> None:
        """201 with the digest."""
        self.answer(201, {"Location": "/v2/%s/%s/%s" % (name, kind, digest),
                          "Docker-Content-Digest": digest, **(headers or {})})

    def receive(self, session: str) -> None:
        """Appends the body to a session: each piece as it arrives, so that what came before a
        broken connection stays."""
        with open(self.server.store.upload_path(session), "ab", buffering=0) as file:
            for piece in self.body(number(self.hit, "break-upload")):
                file.write(piece)

    def on_upload(self, name: str, session: str, query: Dict[str, list]) -> None:
        """GET, PATCH, PUT, DELETE of a session."""
        store = self.server.store
        size = store.upload_size(name, session)
        if size is None or "upload-gone" in self.hit:
            return self.fail(404, "BLOB_UPLOAD_UNKNOWN")
        if self.command == "GET":
            return self.session(204, name, session, size)
        if self.command == "DELETE":
            store.upload_drop(session)
            return self.answer(204)
        if self.command not in ("PATCH", "PUT"):
            return self.fail(405, "UNSUPPORTED")
        chunk = re.fullmatch(r"(\d+)-(\d+)", self.headers.get("Content-Range", ""))
        if self.command == "PATCH" and "append" not in self.hit and \
                (not chunk or int(chunk[1]) != size or
                 int(chunk[2]) - int(chunk[1]) + 1 != self.left):
            return self.session(416, name, session, size)
        self.receive(session)
        if self.command == "PATCH":
            return self.session(202, name, session, store.upload_size(name, session) or 0)
        digest = query.get("digest", [""])[0]
        if not store.upload_finish(name, session, digest):
            return self.fail(400, "DIGEST_INVALID")
        return self.created(name, "blobs", digest)

    # manifests

    def on_manifest(self, name: str, reference: str, _query: Dict[str, list]) -> None:
        """GET, HEAD, PUT of a manifest."""
        store = self.server.store
        if self.command == "PUT":
            data = b"".join(self.body())
            if reference.startswith("sha256:") and digest_of(data) != reference:
                return self.fail(400, "DIGEST_INVALID")
            kind = self.headers.get("Content-Type", "")
            if "lose" in self.hit:
                return self.created(name, "manifests", digest_of(data))
            digest = store.put_manifest(name, reference, kind, data)
            subject = ((json.loads(data) or {}).get("subject") or {}).get("digest")
            extra = {"OCI-Subject": subject} if subject and self.server.options.referrers else {}
            return self.created(name, "manifests", digest, extra)
        found = store.manifest(name, reference)
        if found is None:
            return self.fail(404, "MANIFEST_UNKNOWN")
        digest, kind, data = found
        if "manifest-bytes" in self.hit:
            data += b" "
        return self.answer(200, {"Content-Type": kind, "Docker-Content-Digest": digest}, data)

    def on_referrers(self, name: str, digest: str, query: Dict[str, list]) -> None:
        """GET of the referrers, page by page when a fault says so."""
        if not self.server.options.referrers:
            return self.fail(404, "NOT_FOUND")
        kind = query.get("artifactType", [None])[0]
        found = self.server.store.referrers(name, digest, kind)
        headers = {"Content-Type": INDEX}
        if kind is not None:
            headers["OCI-Filters-Applied"] = "artifactType"
        page = number(self.hit, "page")
        at = int(query.get("at", ["0"])[0])
        if page is not None:
            more = at + page < len(found)
            if more or "page-loop" in self.hit:
                headers["Link"] = '</v2/%s/referrers/%s?at=%d%s>; rel="next"' % (
                    name, digest, at + page if more else at,
                    "&artifactType=" + quote(kind, safe="") if kind else "")
            found = found[at:at + page]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": found}
        return self.answer(200, headers, json.dumps(index).encode())


def main() -> None:
    """Serves until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True)
    parser.add_argument("--log", default="/dev/null")
    parser.add_argument("--files")
    parser.add_argument("--no-referrers", dest="referrers", action="store_false")
    parser.add_argument("--user")
    parser.add_argument("--token", action="store_true")
    parser.add_argument("--token-uses", type=int)
    parser.add_argument("--anonymous-pull", action="store_true")
    parser.add_argument("--refresh-token")
    parser.add_argument("--realm")
    parser.add_argument("--strict-mount", action="store_true")
    parser.add_argument("--tls", nargs=2)
    parser.add_argument("--fault", action="append", default=[])
    options = parser.parse_args()
    auth = Auth(options.user, options.token, options.token_uses, options.anonymous_pull,
                options.refresh_token)
    with open(options.log, "a", encoding="utf-8") as log:
        shared = (options, Store(options.root), Faults(options.fault), auth, log)
        server, other = Server("main", *shared), Server("other", *shared)
        server.other, other.other = other, server
        other.log_lock = server.log_lock
        if options.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*options.tls)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        auth.realm = (options.realm or "MAIN/token").replace("MAIN", server.address()).replace(
            "OTHER", other.address())
        for one in (server, other):
            threading.Thread(target=one.serve_forever, daemon=True).start()
        print(server.server_address[1], other.server_address[1], flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
