"""Who may do what at a stand-in registry: nobody asked, Basic, or Bearer tokens of its own."""
import base64
import secrets
import threading
import time
from typing import Dict, List, Optional, Set, Tuple
from urllib.parse import parse_qs

SERVICE = "stand-in"


class Auth:
    """Checks requests and gives out tokens.

    `user` is "name:password" or None; `tokens` is whether Bearer tokens are asked for; a token is
    good for `uses` requests (None: any number). `anonymous` gives pull to everyone who asks for a
    token. `refresh` is an identity token that stands for the user.
    """

    def __init__(self, user: Optional[str], tokens: bool, uses: Optional[int], anonymous: bool,
                 refresh: Optional[str]) -> None:
        self.user = user
        self.tokens = tokens
        self.uses = uses
        self.anonymous = anonymous
        self.refresh = refresh
        self.lock = threading.Lock()
        self.given: Dict[str, List] = {}  # token: [scopes, uses left]
        self.realm = ""

    def _basic(self, header: str) -> bool:
        try:
            return header.startswith("Basic ") and \
                base64.b64decode(header[6:], validate=True).decode() == self.user
        except ValueError:
            return False

    def check(self, header: str, wanted: Set[Tuple[str, str]]) -> Optional[str]:
        """None when the request may go on, else the challenge. `wanted` is (repository, action)."""
        if self.user is None and not self.tokens:
            return None
        if not self.tokens:
            return None if self._basic(header) else 'Basic realm="stand-in"'
        token = header[7:] if header.startswith("Bearer ") else ""
        with self.lock:
            entry = self.given.get(token)
            if entry is not None and wanted <= entry[0] and entry[1] != 0:
                entry[1] -= entry[1] is not None and entry[1] > 0
                return None
        scope = " ".join("repository:%s:%s" % (name, ",".join(sorted(
            a for n, a in wanted if n == name))) for name in sorted({n for n, _ in wanted}))
        return 'Bearer realm="%s",service="%s"%s%s' % (
            self.realm, SERVICE, ',scope="%s"' % scope if scope else "",
            ',error="invalid_token"' if token else "")

    def give(self, header: str, query: str, form: Optional[str]) -> Tuple[int, Dict]:
        """The token endpoint: status and JSON. `form` is the body of a POST."""
        fields = parse_qs(query if form is None else form)
        if fields.get("service", [""])[0] != SERVICE:
            return 400, {"errors": [{"code": "BAD_SERVICE"}]}
        known = self._basic(header)
        if form is not None:
            known = fields.get("grant_type") == ["refresh_token"] and self.refresh is not None and \
                fields.get("refresh_token") == [self.refresh]
        if not known and (form is not None or header or not self.anonymous):
            return 401, {"errors": [{"code": "UNAUTHORIZED"}]}
        scopes: Set[Tuple[str, str]] = set()
        for scope in " ".join(fields.get("scope", [])).split():
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            for action in actions.split(","):
                if kind == "repository" and (known or action == "pull"):
                    scopes.add((name, action))
        token = secrets.token_urlsafe(24)
        with self.lock:
            self.given[token] = [scopes, -1 if self.uses is None else self.uses]
        answer = {"expires_in": 300, "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        answer["token" if form is None else "access_token"] = token
        return 200, answer
