#!/usr/bin/env python3
"""Where the data of a tensor, an attachment or a skeleton are in an archive, by its manifest, read
by other code than the library's. Standard library only.

    places.py ARCHIVE NAME      prints offset and length
"""
import os
import sqlite3
import sys
import tempfile

SQL = "SELECT offset, length FROM member WHERE id IN (SELECT %s FROM %s WHERE name = ?)"
USERS = (("member", "tensor"), ("member", "attachment"), ("skeleton", "source"))


def image(raw: bytes) -> bytes:
    """The SQLite image of slot A (spec: 2.2)."""
    size = int(raw[1024 + 124:1024 + 135], 8)
    foot = raw[1536 + size - 512:1536 + size]
    return raw[1536:1536 + int.from_bytes(foot[24:32], "little")]


def place(raw: bytes, name: str) -> "tuple[int, int]":
    """Offset and length of the data of what has this name."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "db")
        with open(path, "wb") as f:
            f.write(image(raw))
        db = sqlite3.connect("file:%s?immutable=1" % path, uri=True)
        tables = {t for t, in db.execute("SELECT name FROM sqlite_schema")}
        found = [row for column, table in USERS if table in tables
                 for row in db.execute(SQL % (column, table), (name,))]
        db.close()
    (one,) = found
    return one


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as archive:
        print(*place(archive.read(), sys.argv[2]))
