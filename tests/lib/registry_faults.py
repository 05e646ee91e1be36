"""Faults that a stand-in registry has on purpose.

A fault is text, `NAME[=VALUE][,times=N][,after=N][,match=REGEX]`: it hits requests whose
"METHOD PATH" the expression finds, N of them (all, without a number), the first `after` spared.

    status=503               the answer is this one             retry-after=SECONDS (in such answers)
    refuse                   the connection is closed without an answer
    wrong-content            one byte of the body is another    manifest-bytes   a manifest has a space more
    truncate=N               the body ends after N bytes, and Content-Length says so
    break-download=N         the connection breaks after N bytes of the answer's body
    break-upload=N           ... after N bytes of the request's body; those are kept
    length=DELTA             Content-Length is wrong by that
    endless                  the body never ends                no-length        without Content-Length
    drip=SECONDS             a byte, then a wait, and so on
    redirect                 blobs come from the other port     redirect=URL     go there
    redirect-loop            to itself, for ever
    ignore-range             Range is not looked at             content-range    is another one
    no-mount                 mounts are uploads                 no-head          HEAD is 405
    range-lie                the Range of an upload is one byte less
    append                   chunks are taken in any order      upload-gone      sessions are unknown
    location=KIND            relative, absolute, query, other (another port), userinfo, garbage
    chunk-min=N              OCI-Chunk-Min-Length
    digest-header=TEXT       Docker-Content-Digest is this      type=TEXT        Content-Type is this
    header=NAME: VALUE       one more header                    many-headers=N   so many more
    etag=TEXT                of a file                          page=N           referrers on a page
    lose                     a manifest that is put is gone at once
    page-loop                the last page of referrers leads to itself
"""
import re
import threading
from typing import Dict, List, Optional

NAMES = set(re.findall(r"[a-z]+(?:-[a-z]+)*", """
    status retry-after refuse wrong-content manifest-bytes truncate break-download break-upload
    length endless no-length drip redirect redirect-loop ignore-range content-range no-mount
    no-head range-lie append upload-gone location chunk-min digest-header type header many-headers
    etag page page-loop lose"""))


class Fault:
    """One fault, parsed."""

    def __init__(self, text: str) -> None:
        parts = re.split(r",(?=(?:times|after|match)=)", text)
        self.text = text
        self.name, _, self.value = parts[0].partition("=")
        options: Dict[str, str] = dict(p.partition("=")[::2] for p in parts[1:])
        self.times = int(options.get("times", "-1"))
        self.after = int(options.get("after", "0"))
        self.match = re.compile(options.get("match", ""))
        if self.name not in NAMES:
            raise ValueError("no fault " + self.name)


class Faults:
    """Those in force."""

    def __init__(self, texts: List[str]) -> None:
        self.lock = threading.Lock()
        self.faults = [Fault(t) for t in texts]

    def set(self, texts: List[str]) -> None:
        """Replaces all."""
        faults = [Fault(t) for t in texts]
        with self.lock:
            self.faults = faults

    def hit(self, request: str) -> Dict[str, str]:
        """Names and values of those that hit this request ("METHOD PATH"); counts it."""
        found: Dict[str, str] = {}
        with self.lock:
            for fault in self.faults:
                if fault.times == 0 or not fault.match.search(request):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                fault.times -= fault.times > 0
                found.setdefault(fault.name, fault.value)
        return found


def number(found: Dict[str, str], name: str) -> Optional[int]:
    """The value of a fault as a number."""
    return int(found[name]) if name in found else None
