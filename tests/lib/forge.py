#!/usr/bin/env python3
"""Makes an archive that only a liar could make: every digest in it is right. Standard library only.

    forge.py NAME IN.lmodel OUT.lmodel

IN is an archive that `lmodel pack` made. Its rows and members are changed as the forgery NAME
says (`forge.py list` tells the names). Then all places, digests, the content root, the statement,
both slots and the tar headers are made anew, so that nothing but the forgery itself is wrong.

tamper.py does the same to archives with tiers: it imports what is here.
"""
import hashlib
import json
import os
import re
import sqlite3
import struct
import sys

BLOCK = 512
SLOT_A = 3 * BLOCK      # behind the header and data of mimetype and the header of slot A
FOOTER = 512
SQLITE_WRITE_VERSION = 18
SQLITE_ENCODING = 56
STREAMS = ("positions", "values")
SCHEMA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../schema/manifest.sql")


def sha256(data):
    return hashlib.sha256(data).digest()


def u64(*numbers):
    return struct.pack("<%dQ" % len(numbers), *numbers)


def padding(length):
    return bytes(-length % BLOCK)


def tar_header(name, size, mtime, kind=b"0"):
    """A ustar header, with its fields as section 2.1 has them."""
    h = bytearray(BLOCK)
    for at, data in ((0, name.encode()), (100, b"000644 "), (108, b"000000 "), (116, b"000000 "),
                     (124, b"%011o " % size), (136, b"%011o " % mtime), (148, b" " * 8),
                     (156, kind), (257, b"ustar\00000"), (329, b"000000 "), (337, b"000000 ")):
        h[at:at + len(data)] = data
    h[148:156] = b"%06o\0 " % sum(h)
    return bytes(h)


def whole_schema(image, only=None):
    """A database with the rows of the image and all tables, those without rows too; or of these
    only some."""
    given = sqlite3.connect(":memory:", isolation_level=None)
    given.deserialize(image)
    there = [name for name, in given.execute("SELECT name FROM sqlite_schema")]
    db = sqlite3.connect(":memory:", isolation_level=None)
    for pragma in ("page_size", "application_id", "user_version"):
        db.execute("PRAGMA %s = %d" % (pragma, *given.execute("PRAGMA " + pragma).fetchone()))
    with open(SCHEMA) as f:
        statements = re.findall(r"CREATE TABLE [^;]*", f.read())
    for statement in statements:
        table = statement.split()[2]
        if only is None or table in only or table in there:
            db.execute(statement)
    for table in there:
        for row in given.execute("SELECT * FROM %s ORDER BY rowid" % table):
            db.execute("INSERT INTO %s VALUES (%s)" % (table, ", ".join("?" * len(row))), row)
    return db


class Member:
    """A member of the tar, named by a row of table `member`, of table `dead`, or by none; or a
    column of a row of table `tier`, which is then `table`, with the tier's id in `tier`."""

    def __init__(self, path, data, table="member"):
        self.path, self.data, self.table = path, data, table
        self.header = None              # another tar header than its own
        self.shift = 0                  # how far off its row says that it is
        self.tier = None
        self.bytes, self.coding, self.chunk_bytes, self.chunks = 0, "w1", 1 << 20, b""

    def fill(self, raw):
        """Holds other raw bytes: in one chunk, method raw."""
        assert 0 < len(raw) <= self.chunk_bytes
        self.bytes, self.coding = len(raw), "w1"
        self.chunks = struct.pack("<I", len(raw))
        self.data = raw

    def digest(self):
        """Of the only chunk, or of the list behind the chunks."""
        count = len(self.chunks) // 4
        return sha256(self.data if count == 1 else self.data[len(self.data) - 32 * count:])


class Archive:
    def __init__(self, path):
        with open(path, "rb") as f:
            self.file = f.read()
        self.slot_size = int(self.file[2 * BLOCK + 124:2 * BLOCK + 135], 8)
        footer = self.file[SLOT_A + self.slot_size - FOOTER:SLOT_A + self.slot_size]
        length, = struct.unpack_from("<Q", footer, 24)
        image = bytearray(self.file[SLOT_A:SLOT_A + length])
        image[SQLITE_WRITE_VERSION] = 1         # 3 is read-only for SQLite
        self.db = whole_schema(bytes(image))
        self.created = self.rows("SELECT created FROM archive")[0][0]
        self.members = [self.load(row) for row in self.rows(
            "SELECT path, offset, length, bytes, coding, chunk_bytes, chunks FROM member"
            " ORDER BY id")]
        self.members += self.load_streams()
        self.encoding = None            # another text encoding for the header of the image
        self.dead_over_live = False     # the last member has a row of table `dead` as well
        self.owner = None               # makes another owner's row; gives the statement

    def rows(self, sql, *values):
        return self.db.execute(sql, values).fetchall()

    def load(self, row):
        path, offset, length, *rest = row
        member = Member(path, self.file[offset:offset + length])
        member.bytes, member.coding, member.chunk_bytes, member.chunks = rest
        return member

    def load_streams(self):
        """The ciphertext of each tier, in the order of the file."""
        found = []
        for tier, *offsets in self.rows("SELECT id, positions_offset, values_offset FROM tier"):
            for kind, offset in zip(STREAMS, offsets):
                length, = self.rows("SELECT sum(%s_length) FROM shard WHERE tier = ?" % kind,
                                    tier)[0]
                if offset is not None:
                    stream = Member(None, self.file[offset:offset + length], kind + "_offset")
                    stream.tier = tier
                    found.append((offset, stream))
        return [stream for _, stream in sorted(found, key=lambda pair: pair[0])]

    def path(self, member):
        if member.tier is None:
            return member.path
        return "shard/g%d/%s/%s" % (*self.rows("SELECT generation, name FROM tier WHERE id = ?",
                                               member.tier)[0], member.table[:-len("_offset")])

    def is_joined(self, index):
        """Whether its data are in the tar member of the one before (spec: 3.3)."""
        m = self.members[index]
        return m.table == "member" and m.path == "" and index > 0

    def bundle(self, index):
        """Those whose data are in its tar member, itself first."""
        yield index
        while index + 1 < len(self.members) and self.is_joined(index + 1):
            index += 1
            yield index

    def place(self):
        """Fills the tables of places; returns the tar from the end of slot B on."""
        body, live = b"", 0
        self.rows("DELETE FROM member")
        self.rows("DELETE FROM dead")
        for i, m in enumerate(self.members):
            if not self.is_joined(i):
                joined = sum(len(self.members[j].data) for j in self.bundle(i))
                body += padding(len(body))
                body += m.header or tar_header(self.path(m), joined, self.created)
            offset = 4 * BLOCK + 2 * self.slot_size + len(body)
            body += m.data
            if m.table == "member":
                self.rows("INSERT INTO member VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", live, m.path,
                          offset + m.shift, len(m.data), m.bytes, m.coding, m.chunk_bytes, m.chunks,
                          m.digest())
                live += 1
            if m.tier is not None:
                self.rows("UPDATE tier SET %s = ? WHERE id = ?" % m.table, offset, m.tier)
            if m.table == "dead" or (m is self.members[-1] and self.dead_over_live):
                self.rows("INSERT INTO dead VALUES (?, ?, 'zero')", offset, len(m.data))
        return body + padding(len(body))

    def root(self):
        """The content root: section 6.2."""
        text = b"lmodel-content-root-v1\n"

        def field(value):
            value = value.encode() if isinstance(value, str) else value
            value = u64(value) if isinstance(value, int) else value
            return u64(len(value)) + value

        def leaf(*fields):
            body = b"".join(field(f) for f in fields)
            return u64(len(body)) + body

        text += leaf("archive", 0, *self.rows(
            "SELECT id, format, created, tool, source_format, must_understand FROM archive")[0])
        for kind, columns in (
                ("attachment", "id, name, member"),
                ("member", "id, path, bytes, coding, chunk_bytes, chunks, digest"),
                ("metadata", "id, source, key, value"),
                ("shard", "id, tier, tensor, unit, positions_length, positions_digest,"
                          " values_length, values_digest"),
                ("source", "id, name, format, bytes, skeleton")):
            for row in self.rows("SELECT %s FROM %s ORDER BY id" % (columns, kind)):
                text += leaf(kind, *row)
        for *row, shape, size, source, member, alias in self.rows(
                "SELECT id, name, dtype, shape, bytes, source, member, alias FROM tensor"
                " ORDER BY id"):
            target = (0, member) if alias is None else (1, alias)
            text += leaf("tensor", *row, u64(*json.loads(shape)), size, source, *target)
        for row in self.rows("SELECT id, name, generation, selection, mask, unit, scope, amount,"
                             " key_commitment, position_commitment FROM tier ORDER BY id"):
            text += leaf("tier", *row)
        return hashlib.sha256(text).hexdigest()

    def statement(self):
        """Section 6.3."""
        ident, generation, features = self.rows(
            "SELECT id, content_generation, must_understand FROM archive")[0]
        text = ("lmodel-statement-v1\narchive %s\ncontent-generation %d\ncontent-root %s\n"
                "format 1\n" % (ident, generation, self.root()))
        if features:
            text += "must-understand %s\n" % features.replace("\n", " ")
        for key, in self.rows("SELECT public_key FROM owner"):
            text += "owner ed25519 %s\n" % key.hex()
        for index, name, tier_generation, key, positions in self.rows(
                "SELECT id, name, generation, key_commitment, position_commitment FROM tier"
                " ORDER BY id"):
            text += "tier %02d %s generation %d key %s positions %s\n" % (
                index, name, tier_generation, key.hex(), positions.hex())
        return text

    def image(self):
        text = self.statement()
        if self.owner is not None and text != self.rows("SELECT text FROM statement")[0][0]:
            text = self.owner(self)
        self.rows("UPDATE statement SET text = ?", text)
        self.rows("VACUUM")
        image = bytearray(self.db.serialize())
        image[SQLITE_WRITE_VERSION] = 3
        if self.encoding is not None:
            struct.pack_into(">I", image, SQLITE_ENCODING, self.encoding)
        return bytes(image)

    def build(self):
        body = self.place()
        image = self.image()
        if len(image) > self.slot_size - FOOTER:
            self.slot_size = len(image) + len(padding(len(image))) + 2048 + FOOTER
            return self.build()
        footer = b"LMODEL\x1a\n" + struct.pack("<II", 1, FOOTER)
        footer += u64(1, len(image), 4 * BLOCK + 2 * self.slot_size + len(body), self.slot_size)
        footer += sha256(image + footer)
        slot = image.ljust(self.slot_size - FOOTER, b"\0") + footer.ljust(FOOTER, b"\0")
        return (self.file[:2 * BLOCK] +
                tar_header("manifest.sqlite", self.slot_size, self.created) + slot +
                tar_header("manifest.backup.sqlite", self.slot_size, self.created) + slot +
                body + bytes(2 * BLOCK))


def nothing(_):
    """No change: proves this builder."""


def lie(a):
    """The skeleton is one literal: a whole file, with other tensors than the rows."""
    header = b'{"other":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}'
    whole = u64(len(header)) + header + b"evil"
    a.members[0].fill(b"\1" + u64(len(whole)) + whole)
    a.rows("UPDATE source SET bytes = ?", len(whole))


def alone(a):
    """The last member, in a member of the tar that is its own."""
    a.members[-1].path = "base/x"
    return a.members[-1]


def shift(a):
    """The last member begins with what a pax header holds, and one more header: to a tar reader
    its name and length are right, and its data begin two blocks later."""
    last = alone(a)
    record = b" path=%s\n" % last.path.encode()
    record = b"%d%s" % (len(record) + 2, record)
    assert 10 <= len(record) <= 99 and last.bytes >= 2 * BLOCK
    inner = tar_header(last.path, last.bytes, a.created)
    last.fill((record + padding(len(record)) + inner).ljust(last.bytes, b"A"))
    last.header = tar_header("PaxHeaders/x", len(record), a.created, b"x")


def dead_data(a):
    """A member that was replaced, said to be zero, that is not."""
    a.members.append(Member("base/old", bytes(600) + b"secret" + bytes(94), table="dead"))


def dead_zero(a):
    """No forgery: the same as it should be."""
    a.members.append(Member("base/old", bytes(700), table="dead"))


def stowaway(a):
    """A member of the tar that is in no table."""
    a.members.append(Member("base/stowaway", b"contraband", table=None))


def cover(a):
    """The last member is inside of another member, so that the tar does not show it."""
    outer = Member("base/cover", b"", table=None)
    outer.header = tar_header(outer.path, BLOCK + len(alone(a).data), a.created)
    a.members.insert(-1, outer)


def joined_gap(a):
    """The last row is joined, and begins behind the end of the one before."""
    a.members[-1].shift = 1


def joined_overlap(a):
    """The same, and begins before that end."""
    a.members[-1].shift = -1


def joined_first(a):
    """The first row is joined to nothing."""
    a.members[0].path = ""


def joined_short(a):
    """The tar member is as long as the first row says, and holds those joined to it as well."""
    first = a.members[-2]
    first.header = tar_header(first.path, len(first.data), a.created)


def joined_long(a):
    """The tar member is longer than its rows together."""
    first = a.members[-2]
    first.header = tar_header(first.path, len(first.data) + len(a.members[-1].data) + 1, a.created)


def joined_split(a):
    """The rows say two members of the tar, and the tar has both in one."""
    first, last = a.members[-2], alone(a)
    last.header = tar_header(last.path, len(last.data), a.created)
    first.header = tar_header(first.path, len(first.data) + len(padding(len(first.data))) + BLOCK +
                              len(last.data), a.created)


# Forgeries of rows alone.
SQL = {
    "metadata": "INSERT INTO metadata SELECT count(*), 0, 'license', 'forged' FROM metadata",
    "attachment": "UPDATE attachment SET name = 'model.safetensors'",
    "directory": "UPDATE attachment SET name = (SELECT name FROM source) || '/x'",
    "escape": "UPDATE source SET format = 'x' || char(27) || '[31mRED' || char(10) || 'id  0'",
    "folder": "UPDATE source SET name = 'a-folder-longer-than-all-names-of-tensors/' || name",
    "hidden": "UPDATE source SET name = '.bashrc'",
    "feature": "UPDATE archive SET must_understand = 'telepathy'",
    "table": "CREATE TABLE more (id INTEGER PRIMARY KEY, x TEXT NOT NULL) STRICT",
}
# Forgeries of what build() does: attributes of the archive.
BUILD = {
    "encoding0": ("encoding", 0),
    "encoding2": ("encoding", 2),
    "dead_live": ("dead_over_live", True),
}
MEMBERS = {f.__name__: f for f in (
    nothing, lie, shift, stowaway, cover, dead_data, dead_zero, joined_gap, joined_overlap,
    joined_first, joined_short, joined_long, joined_split)}


def main(args):
    if args == ["list"]:
        return print("\n".join([*MEMBERS, *SQL, *BUILD]))
    if len(args) != 3 or args[0] not in {**MEMBERS, **SQL, **BUILD}:
        raise SystemExit(__doc__)
    name, source, out = args
    archive = Archive(source)
    if name in SQL:
        archive.rows(SQL[name])
    elif name in BUILD:
        setattr(archive, *BUILD[name])
    else:
        MEMBERS[name](archive)
    with open(out, "wb") as f:
        f.write(archive.build())


if __name__ == "__main__":
    main(sys.argv[1:])
