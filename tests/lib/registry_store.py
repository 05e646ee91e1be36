"""What a stand-in registry keeps: blobs, manifests, tags and uploads, as files of one directory."""
import hashlib
import json
import os
import threading
import uuid
from typing import Any, Dict, List, Optional, Tuple

PIECE = 1 << 20


def digest_of(data: bytes) -> str:
    """The digest of bytes as OCI writes it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_of_file(path: str) -> str:
    """The same of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(PIECE), b""):
            digest.update(piece)
    return "sha256:" + digest.hexdigest()


class Store:
    """Repositories share blobs' bytes, but each has its own list of them."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.lock = threading.RLock()
        self.manifests: Dict[Tuple[str, str], Tuple[str, bytes]] = {}  # (name, digest): type, bytes
        self.tags: Dict[Tuple[str, str], str] = {}
        self.blobs: Dict[str, set] = {}  # name: digests
        self.uploads: Dict[str, str] = {}  # id: name
        for part in ("blobs", "uploads"):
            os.makedirs(os.path.join(root, part), exist_ok=True)

    # blobs

    def blob_path(self, digest: str) -> str:
        """Where the bytes of a blob are."""
        return os.path.join(self.root, "blobs", digest.replace(":", "-"))

    def blob(self, name: str, digest: str) -> Optional[str]:
        """The file of a blob that the repository has."""
        with self.lock:
            return self.blob_path(digest) if digest in self.blobs.get(name, ()) else None

    def link(self, name: str, digest: str) -> None:
        """Makes a stored blob one of a repository."""
        with self.lock:
            self.blobs.setdefault(name, set()).add(digest)

    def mount(self, name: str, digest: str, source: str) -> bool:
        """Takes a blob over from another repository."""
        if self.blob(source, digest) is None:
            return False
        self.link(name, digest)
        return True

    # uploads

    def upload_begin(self, name: str) -> str:
        """A new session."""
        session = str(uuid.uuid4())
        with self.lock:
            self.uploads[session] = name
        open(self.upload_path(session), "wb").close()
        return session

    def upload_path(self, session: str) -> str:
        """Where the bytes of a session are."""
        return os.path.join(self.root, "uploads", session)

    def upload_size(self, name: str, session: str) -> Optional[int]:
        """How much of a session has arrived; None when there is no such session."""
        with self.lock:
            if self.uploads.get(session) != name:
                return None
        return os.path.getsize(self.upload_path(session))

    def upload_finish(self, name: str, session: str, digest: str) -> bool:
        """Makes a session a blob; False when the bytes have another digest."""
        path = self.upload_path(session)
        if digest_of_file(path) != digest:
            return False
        os.replace(path, self.blob_path(digest))
        with self.lock:
            del self.uploads[session]
            self.link(name, digest)
        return True

    def upload_drop(self, session: str) -> None:
        """Forgets a session."""
        with self.lock:
            self.uploads.pop(session, None)
        if os.path.exists(self.upload_path(session)):
            os.unlink(self.upload_path(session))

    # manifests

    def manifest(self, name: str, reference: str) -> Optional[Tuple[str, str, bytes]]:
        """Digest, type and bytes of what a tag or a digest names."""
        with self.lock:
            digest = self.tags.get((name, reference), reference)
            found = self.manifests.get((name, digest))
        return None if found is None else (digest, found[0], found[1])

    def put_manifest(self, name: str, reference: str, kind: str, data: bytes) -> str:
        """Stores a manifest under a tag or its digest; gives the digest."""
        digest = digest_of(data)
        with self.lock:
            self.manifests[name, digest] = (kind, data)
            if not reference.startswith("sha256:"):
                self.tags[name, reference] = digest
        return digest

    def referrers(self, name: str, subject: str, kind: Optional[str]) -> List[Dict[str, Any]]:
        """Descriptors of the manifests whose subject is this one."""
        found = []
        with self.lock:
            manifests = [(d, t, b) for (n, d), (t, b) in self.manifests.items() if n == name]
        for digest, media_type, data in manifests:
            try:
                manifest = json.loads(data)
            except ValueError:
                continue
            artifact = manifest.get("artifactType") or \
                (manifest.get("config") or {}).get("mediaType", "")
            if (manifest.get("subject") or {}).get("digest") == subject and \
                    kind in (None, artifact):
                found.append({"mediaType": media_type, "digest": digest, "size": len(data),
                              "artifactType": artifact,
                              "annotations": manifest.get("annotations") or {}})
        return sorted(found, key=lambda d: d["digest"])
