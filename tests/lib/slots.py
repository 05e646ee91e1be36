"""The manifest slots of an archive, read by other code than the library's (spec: 2.2 to 2.4)."""
import hashlib
import sqlite3
import struct
import tempfile


class Slot:
    """Where it is, whether it is valid, which grants it holds, (id, age file), and the identities
    that passphrases open: age files."""

    def __init__(self, raw, at, size):
        self.at, self.size, self.counter, self.padded = at, size, 0, False
        self.grants, self.identities = [], []
        self.bytes = raw[at:at + size]
        foot = self.bytes[-512:]
        magic, form, length, counter, used, _, told = struct.unpack("<8sIIQQQQ", foot[:48])
        image = self.bytes[:used] if used <= size - 512 else b""
        self.valid = (magic == b"LMODEL\x1a\n" and (form, length, told) == (1, 512, size) and
                      bool(image) and hashlib.sha256(image + foot[:48]).digest() == foot[48:80])
        if not self.valid:
            return
        self.counter = counter
        self.padded = not any(self.bytes[used:-512]) and not any(foot[80:])
        with tempfile.NamedTemporaryFile() as f:
            f.write(image)
            f.flush()
            db = sqlite3.connect(f"file:{f.name}?immutable=1", uri=True)
            if db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'key_slot'").fetchall():
                self.grants = db.execute(
                    'SELECT id, "grant" FROM key_slot ORDER BY id').fetchall()
                self.identities = [i for i, in db.execute(
                    "SELECT identity FROM key_slot WHERE identity IS NOT NULL")]
            db.close()


def slots(raw):
    size = int(raw[1024 + 124:1024 + 135], 8)
    return Slot(raw, 1536, size), Slot(raw, 1536 + size + 512, size)


def in_force(pair):
    return max((s for s in pair if s.valid), key=lambda s: s.counter, default=None)
