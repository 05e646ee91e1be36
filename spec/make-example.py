#!/usr/bin/env python3
"""Prints worked-example.md: a tiny archive, made by the given lmodel, with its bytes explained.

    make-example.py [LMODEL] > worked-example.md

Follows lmodel-format.md and nothing else, and stops where a byte is not as that says. Needs the
zstd command. Standard library only.
"""
import hashlib
import hmac
import os
import sqlite3
import struct
import subprocess
import sys
import tempfile

SEED = b"\x00"
TABLES = {
    "archive": "", "member": " ORDER BY id", "source": " ORDER BY id",
    "metadata": " ORDER BY id", "tensor": " ORDER BY id", "attachment": " ORDER BY id",
    "dead": " ORDER BY rowid", "statement": "",
}


def need(condition, what):
    if not condition:
        sys.exit("make-example: not as the specification says: " + what)


def align(n, k):
    return (n + k - 1) // k * k


def u32(b, at=0):
    return struct.unpack_from("<I", b, at)[0]


def u64(b, at=0):
    return struct.unpack_from("<Q", b, at)[0]


def p64(n):
    return struct.pack("<Q", n)


def sha256(*parts):
    h = hashlib.sha256()
    for part in parts:
        h.update(part)
    return h.digest()


def model():
    """Two equal BF16 tensors, one F32 tensor of one value, one key-value."""
    header = (b'{"__metadata__":{"by":"spec"},'
              b'"w":{"dtype":"BF16","shape":[32],"data_offsets":[0,64]},'
              b'"again":{"dtype":"BF16","shape":[4,8],"data_offsets":[64,128]},'
              b'"c":{"dtype":"F32","shape":[4],"data_offsets":[128,144]}}')
    words = [0x3f80 + i * 37 % 128 + (0x8000 if i % 3 == 1 else 0) for i in range(32)]
    w = struct.pack("<32H", *words)
    return p64(len(header)) + header + w + w + struct.pack("<f", 1.5) * 4


def run(*command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, **more).stdout


def hexdump(data, base):
    """Lines of 16 bytes; a run of equal lines is one line with a star."""
    lines, before, star = [], None, False
    for i in range(0, len(data), 16):
        row = data[i:i + 16]
        if row == before and i + 16 < len(data):
            if not star:
                lines.append("    *")
                star = True
            continue
        before, star = row, False
        text = "".join(chr(c) if 0x20 <= c < 0x7f else "." for c in row)
        lines.append("    %06x  %-47s  %s" % (base + i, row.hex(" "), text))
    return "\n".join(lines)


def out(*lines):
    print("\n".join(lines))


def table(head, rows):
    out("", "| " + " | ".join(head) + " |", "|" + "---|" * len(head))
    for row in rows:
        out("| " + " | ".join(str(cell) for cell in row) + " |")
    out("")


def code(text):
    """Text in a table cell, its control characters visible."""
    return "`" + text.replace("\n", "\\n").replace("|", "\\|") + "`" if text else "(empty)"


def tar_header(file, at, path, size):
    """Checks a header block; gives the row that explains it."""
    block = file[at:at + 512]
    check = sum(block[:148]) + 8 * 32 + sum(block[156:])
    wanted = bytearray(512)
    wanted[0:len(path)] = path.encode()
    wanted[100:108] = b"000644 \0"
    wanted[108:116] = wanted[116:124] = b"000000 \0"
    wanted[124:136] = b"%011o " % size
    wanted[136:148] = b"%011o " % 0
    wanted[148:156] = b"%06o\0 " % check
    wanted[156:157] = b"0"
    wanted[257:265] = b"ustar\0" + b"00"
    wanted[329:337] = wanted[337:345] = b"000000 \0"
    need(block == wanted, "tar header at %d" % at)
    return at, code(path), size, code("%011o " % size), code("%06o" % check)


def footer(file, at, size):
    f = file[at + size - 512:at + size]
    need(f[:8] == b"LMODEL\x1a\n" and u32(f, 12) == 512 and u64(f, 40) == size, "footer")
    need(f[80:] == bytes(432), "zeros in the footer")
    image = file[at:at + u64(f, 24)]
    need(file[at + len(image):at + size - 512] == bytes(size - 512 - len(image)), "slot's zeros")
    need(f[48:80] == sha256(image, f[:48]), "digest of the slot")
    return f, image


def rows_of(image):
    with tempfile.NamedTemporaryFile(suffix=".db") as f:
        f.write(image)
        f.flush()
        db = sqlite3.connect("file:%s?mode=ro&immutable=1" % f.name, uri=True)
        db.row_factory = sqlite3.Row
        there = {r["name"] for r in db.execute("SELECT name FROM sqlite_schema")}
        rows = {t: [dict(r) for r in db.execute("SELECT * FROM %s%s" % (t, order))]
                if t in there else [] for t, order in TABLES.items()}
        db.close()
    return rows


def unzstd(frame, count):
    need(frame[:4] == b"\x28\xb5\x2f\xfd" and frame[4] & 0x3f == 0x20, "frame header")
    raw = run("zstd", "-dcq", input=frame)
    need(len(raw) == count, "length of a frame")
    return raw


def decode(coding, method, stored, raw_len):
    width = int(coding[1])
    if raw_len % width:
        coding, width = "w1", 1
    if method == 0:
        need(len(stored) == raw_len, "raw chunk")
        return stored
    if method == 1:
        need(len(stored) == width, "run chunk")
        return stored * (raw_len // width)
    if method == 2:
        return unzstd(stored, raw_len)
    need(method == 3, "method")
    count, at, planes = raw_len // width, 5 * width, []
    for p in range(width):
        kind, length = stored[5 * p], u32(stored, 5 * p + 1)
        piece = stored[at:at + length]
        at += length
        need(length == {0: count, 1: 1}.get(kind, length), "plane")
        planes.append({0: piece, 1: piece * count}.get(kind) if kind < 2
                      else unzstd(piece, count))
    need(at == len(stored), "end of the planes")
    words = []
    for i in range(count):
        v = int.from_bytes(bytes(plane[i] for plane in planes), "big")
        if coding[0] == "f":
            v = v >> 1 | (v & 1) << 8 * width - 1
        words.append(v.to_bytes(width, "little"))
    return b"".join(words)


def field(data):
    return p64(len(data)) + data


def leaves(rows, archive_id):
    """(name, its values, body) of each leaf of the content root."""
    def make(kind, number, *values):
        body = b""
        for v in (kind, number) + values:
            body += field(p64(v) if isinstance(v, int) else
                          v.encode() if isinstance(v, str) else v)
        return "%s %d" % (kind, number), body

    a = rows["archive"][0]
    yield make("archive", 0, archive_id, a["format"], a["created"], a["tool"],
               a["source_format"], a["must_understand"])
    for r in rows["attachment"]:
        yield make("attachment", r["id"], r["name"], r["member"])
    for r in rows["member"]:
        yield make("member", r["id"], r["path"], r["bytes"], r["coding"], r["chunk_bytes"],
                   r["chunks"], r["digest"])
    for r in rows["metadata"]:
        yield make("metadata", r["id"], r["source"], r["key"], r["value"])
    for r in rows["source"]:
        yield make("source", r["id"], r["name"], r["format"], r["bytes"], r["skeleton"])
    for r in rows["tensor"]:
        shape = b"".join(p64(int(n)) for n in r["shape"][1:-1].split(",") if n)
        alias = r["alias"] is not None
        yield make("tensor", r["id"], r["name"], r["dtype"], shape, r["bytes"], r["source"],
                   int(alias), r["alias"] if alias else r["member"])


def content_root(rows, archive_id):
    parts = [b"lmodel-content-root-v1\n"]
    for _, body in leaves(rows, archive_id):
        parts += [p64(len(body)), body]
    return sha256(*parts)


def explain_input(source):
    out("# A worked example", "",
        "<!-- Made by spec/make-example.py. Do not edit. -->", "",
        "A complete `.lmodel` file, from its first byte to its last. Numbers in brackets are "
        "sections of", "[lmodel-format.md](lmodel-format.md). "
        "[make-example.py](make-example.py) makes this page from a real archive,",
        "and checks each byte on the way.", "",
        "## The input", "",
        "`tiny.safetensors`, %d bytes: tensor `w`, tensor `again` with the same bytes and "
        "another shape, and" % len(source),
        "tensor `c` with four times the number 1.5.", "", hexdump(source, 0), "",
        "It was packed by", "",
        "    lmodel pack --level fast --seed 00 -o tiny.lmodel tiny.safetensors", "",
        "The seed makes the result the same each time [8]. Another version of zstd may code the "
        "skeleton in", "other bytes, with other digests from there on.")


def bundles(rows):
    """Rows of `member` whose data are in one member of the tar."""
    found = []
    for m in rows["member"]:
        if m["path"]:
            found.append([m])
        else:
            found[-1].append(m)
    return found


def explain_headers(file, slot, rows):
    committed = u64(file, 1536 + slot - 512 + 32)
    need(len(file) == committed + 1024 and file[committed:] == bytes(1024), "end of the file")
    heads = [tar_header(file, 0, "mimetype", 29),
             tar_header(file, 1024, "manifest.sqlite", slot),
             tar_header(file, 1536 + slot, "manifest.backup.sqlite", slot)]
    parts = [(0, 512, "tar header of `mimetype`"), (512, 512, "mimetype"),
             (1024, 512, "tar header of slot A"), (1536, slot, "slot A"),
             (1536 + slot, 512, "tar header of slot B"), (2048 + slot, slot, "slot B")]
    end = 2048 + 2 * slot
    for first, *joined in bundles(rows):
        length = first["length"]
        need(first["offset"] == end + 512, "offset of a member")
        for m in joined:
            need(m["offset"] == end + 512 + length, "offset of a joined row")
            length += m["length"]
        heads.append(tar_header(file, end, first["path"], length))
        padded = align(length, 512)
        need(file[end + 512 + length:end + 512 + padded] == bytes(padded - length), "padding")
        parts.append((end, 512, "tar header of `%s`" % first["path"]))
        parts += [(m["offset"], m["length"], "data of row %d" % m["id"]) for m in (first, *joined)]
        parts.append((end + 512 + length, padded - length, "zeros"))
        end += 512 + padded
    need(end == committed, "committed length")
    parts.append((end, 1024, "end of the tar"))
    out("", "## The file [2.1]", "", "R, the size of a slot, is %d." % slot)
    table(("offset", "size", "content"), parts)
    out("The first tar header:", "", hexdump(file[:512], 0), "",
        "All tar headers have the same bytes, but for name, size and checksum. The time is 0, as "
        "always with", "a seed.")
    table(("offset", "name", "bytes of data", "size field", "checksum field"), heads)
    out("The mimetype:", "", hexdump(file[512:1024], 512))
    need(file[512:1024] == b"application/vnd.lmodel.v1+tar" + bytes(483), "mimetype")


def explain_slot(file, slot):
    f, image = footer(file, 1536, slot)
    need(footer(file, 2048 + slot, slot) == (f, image), "both slots alike")
    payload = "bytes 1536 to %d" % (1536 + len(image))
    out("", "## Slot A [2.2]", "",
        "The image is %s, then zeros up to the footer at %d. Slot B is equal, byte for byte." %
        (payload, 1536 + slot - 512),
        "The digest depends on the SQLite library (below), so it is shown as `..` here.")
    at = 1536 + slot - 512
    shown = hexdump(f[:48], at).split("\n")
    shown += ["    %06x  %s" % (at + i, " ".join([".."] * 16)) for i in (48, 64)]
    shown += hexdump(f[80:], at + 80).split("\n")
    out("", "\n".join(shown))
    table(("offset in the footer", "field", "value"), (
        (0, "magic", code("LMODEL") + ", 1a, 0a"), (8, "format version", u32(f, 8)),
        (12, "footer length", u32(f, 12)), (16, "commit counter", u64(f, 16)),
        (24, "image length", u64(f, 24)), (32, "committed length", u64(f, 32)),
        (40, "slot size", u64(f, 40)),
        (48, "digest", "SHA-256 of the image and of the 48 bytes before")))
    page = struct.unpack_from(">H", image, 16)[0]
    need(image[:16] == b"SQLite format 3\0" and image[18:20] == b"\3\1", "SQLite header")
    need(struct.unpack_from(">3I", image, 56) == (1, 3, 0) and image[68:72] == b"LMDL",
         "SQLite header")
    need(page * struct.unpack_from(">I", image, 28)[0] == len(image), "pages")
    out("## The SQLite image [3.1]", "",
        "Its pages are SQLite's, which are explained in its own documents. The header of the "
        "first page, where", "`..` is the version of the library that wrote it:", "")
    lines = hexdump(image[:100], 1536).split("\n")
    lines[-1] = "    %06x  .. .. .. .." % (1536 + 96)
    out("\n".join(lines))
    table(("offset in the image", "value"), (
        (0, code("SQLite format 3") + " and a zero"), (16, "page size: %d" % page),
        (18, "write version 3: read-only"), (19, "read version 1"),
        (28, "%d pages" % (len(image) // page)), (56, "1: UTF-8"), (60, "schema version 3"),
        (68, code("LMDL")), (96, "SQLite's version")))


def explain_rows(rows):
    out("## The rows [3.2]", "", "Bytes are in hexadecimal.")
    for name, list_ in rows.items():
        if not list_:
            out("", "Table `%s` has no rows, and is left out." % name)
            continue
        out("", "Table `%s`:" % name)
        table(list_[0].keys(), (
            [v.hex() if isinstance(v, bytes) else code(v) if isinstance(v, str) else
             "NULL" if v is None else v for v in row.values()] for row in list_))
    need(rows["archive"][0]["format"] == 1, "format")


def explain_planes(stored, raw_len, coding):
    width = int(coding[1])
    at, rows = 5 * width, []
    for p in range(width):
        kind, length = stored[5 * p], u32(stored, 5 * p + 1)
        rows.append((p, stored[5 * p:5 * p + 5].hex(" "), ("raw", "run", "zstd")[kind], length,
                     at))
        at += length
    out("", "The planes, of %d bytes each when decoded:" % (raw_len // width))
    table(("plane", "entry", "method", "stored bytes", "offset in the chunk"), rows)


def explain_member(file, m):
    data = file[m["offset"]:m["offset"] + m["length"]]
    n = -(-m["bytes"] // m["chunk_bytes"])
    need(n == 1 and len(m["chunks"]) == 4, "one chunk")
    entry = u32(m["chunks"])
    method, length = entry >> 28, entry & 0x0fffffff
    stored = data
    need(length == len(data) and m["digest"] == sha256(stored), "hash of a chunk")
    raw = decode(m["coding"], method, stored, m["bytes"])
    out("", "### %s" % ("`%s`" % m["path"] if m["path"] else "Row %d, joined" % m["id"]), "",
        hexdump(data, m["offset"]), "",
        "Coding `%s`. The index has one entry, 0x%08x: method %d (%s), %d stored bytes for %d "
        "raw ones." % (m["coding"], entry, method, ("raw", "run", "zstd", "planes")[method],
                       length, m["bytes"]),
        "The SHA-256 of this chunk is the digest of the row: there is no list.")
    if method == 3:
        explain_planes(stored, m["bytes"], m["coding"])
    elif method == 2:
        out("", "The chunk is a zstd frame: magic `28 b5 2f fd`, descriptor `%02x` (single "
            "segment), content size %d" % (stored[4], stored[5]),
            "in one byte (`%02x`), then its blocks." % stored[5])
        need(stored[4] == 0x20 and stored[5] == m["bytes"], "frame header")
    out("", "The raw bytes:", "", hexdump(raw, 0))
    return raw


def explain_skeleton(raw, rows, tensors):
    at, records, file = 0, [], b""
    while at < len(raw):
        if raw[at] == 1:
            n = u64(raw, at + 1)
            records.append((at, "1: literal", "%d bytes" % n))
            file += raw[at + 9:at + 9 + n]
            at += 9 + n
        else:
            need(raw[at] == 2, "skeleton record")
            first, count = u64(raw, at + 1), u64(raw, at + 9)
            records.append((at, "2: tensors", "first %d, count %d" % (first, count)))
            file += b"".join(tensors[first:first + count])
            at += 17
    need(len(file) == rows["source"][0]["bytes"], "size of the source")
    out("", "## The input again [3.6]", "", "The records of the skeleton:")
    table(("offset", "kind", "content"), records)
    out("The literal, then the raw bytes of tensors 0, 1 (an alias of 0) and 2, are the input: "
        "%d bytes." % len(file))
    return file


def explain_root(rows):
    archive = rows["archive"][0]
    root = content_root(rows, archive["id"])
    out("", "## The content root [6.2]", "",
        "SHA-256 over `lmodel-content-root-v1` and a line feed, then these leaves. Each begins "
        "with its length.")
    for name, body in leaves(rows, archive["id"]):
        leaf = p64(len(body)) + body
        out("", "Leaf `%s`:" % name, "", hexdump(leaf, 0))
    out("", "The root is `%s`." % root.hex(), "",
        "The archive's id comes from the seed [8]: HMAC-SHA-256 with the key `00` over the root "
        "that the same", "leaves have with the nil UUID.")
    nil = content_root(rows, "00000000-0000-0000-0000-000000000000")
    mac = bytearray(hmac.new(SEED, nil, hashlib.sha256).digest()[:16])
    mac[6] = mac[6] & 0x0f | 0x40
    mac[8] = mac[8] & 0x3f | 0x80
    digits = mac.hex()
    need(archive["id"] == "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20],
                                    digits[20:])), "id")
    statement = ("lmodel-statement-v1\narchive %s\ncontent-generation %d\ncontent-root %s\n"
                 "format %d\n" % (archive["id"], archive["content_generation"], root.hex(),
                                  archive["format"]))
    need(rows["statement"] == [{"text": statement}], "statement")
    out("", "The statement [6.3]:", "",
        *("    " + line for line in statement.splitlines()))


def main(lmodel):
    source = model()
    if os.sep in lmodel:
        lmodel = os.path.abspath(lmodel)
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, "tiny.safetensors"), "wb") as f:
            f.write(source)
        run(lmodel, "pack", "--level", "fast", "--seed", SEED.hex(), "-o", "tiny.lmodel",
            "tiny.safetensors", cwd=directory)
        with open(os.path.join(directory, "tiny.lmodel"), "rb") as f:
            file = f.read()
    slot = int(file[1024 + 124:1024 + 135], 8)
    rows = rows_of(footer(file, 1536, slot)[1])
    explain_input(source)
    explain_headers(file, slot, rows)
    explain_slot(file, slot)
    explain_rows(rows)
    out("", "## The members [4, 5]")
    raw = [explain_member(file, m) for m in rows["member"]]
    tensors = []
    for t in rows["tensor"]:
        tensors.append(raw[t["member"]] if t["alias"] is None else tensors[t["alias"]])
    again = explain_skeleton(raw[rows["source"][0]["skeleton"]], rows, tensors)
    need(again == source, "the input comes back")
    explain_root(rows)


main(sys.argv[1] if len(sys.argv) > 1 else "lmodel")
