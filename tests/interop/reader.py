#!/usr/bin/env python3
"""A second reader of protected archives, written from spec/lmodel-format.md alone.

    reader.py ARCHIVE OUT [-i KEY]... [-g GRANT]...

Reads all of ARCHIVE at each level that the keys open, and writes the input files again: OUT/0 is
the base, OUT/1 the lowest tier put over it, and so on. KEY is a file that age(1) takes with -i,
GRANT a detached grant. Prints one JSON object that says what was found. Exit status 4: the archive
was refused, 3: no key, each with a line that says why.

It shares no code with the library, nor with what else the tests have. Numbers in comments are
sections of the specification. age(1) opens slots, zstd(1) frames; python3-cryptography has the
ciphers. It holds everything in memory, and checks of an archive with tiers what a reader MUST check
before it gives something out, and some rules for writers. It does not try passphrases.
"""
import argparse
import hmac
import json
import math
import os
import pathlib
import sqlite3
import struct
import subprocess
import sys
import tempfile

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from reader_parts import (Refused, decode, derive, need, open_sealed, plain_length, positions,
                          sha256, unlock)

BITS = {"F6_E2M3": 6, "F6_E3M2": 6, "F4": 4, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
        "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64}
TABLES = ("archive", "statement", "member", "source", "metadata", "tensor", "attachment", "dead",
          "tier", "shard", "sealed", "key_slot", "owner")


class NoKey(Exception):
    pass


# ---- 2.2, 3.1: slots and rows ----


def read_slot(data, at, size):
    """(commit counter, image), or None where the slot is not valid."""
    foot = data[at + size - 512:at + size]
    if len(foot) < 512:
        return None
    magic, version, length, counter, used, end, told = struct.unpack("<8sIIQQQQ", foot[:48])
    image = data[at:at + used]
    if (magic != b"LMODEL\x1a\n" or (length, told) != (512, size) or not 0 < used <= size - 512 or
            end > len(data) or sha256(image + foot[:48]) != foot[48:80]):
        return None
    need(version == 1, "format version")
    return counter, image


def read_rows(data):
    need(data[:8] == b"mimetype", "mimetype")
    need(data[512:541] == b"application/vnd.lmodel.v1+tar", "mimetype's content")
    size = int(data[1024 + 124:1024 + 135], 8)
    slots = [s for s in (read_slot(data, 1536, size), read_slot(data, 2048 + size, size)) if s]
    need(slots, "no valid slot")
    image = max(slots, key=lambda s: s[0])[1]
    with tempfile.NamedTemporaryFile() as f:
        f.write(image)
        f.flush()
        db = sqlite3.connect(f"file:{f.name}?mode=ro&immutable=1", uri=True)
        db.row_factory = sqlite3.Row
        need(db.execute("PRAGMA quick_check").fetchall()[0][0] == "ok", "quick_check")
        there = {t for t, in db.execute("SELECT name FROM sqlite_schema")}
        rows = {t: [dict(r) for r in db.execute(f"SELECT * FROM {t} ORDER BY rowid")]
                if t in there else [] for t in TABLES}
        db.close()
    check_places(rows["member"], 2048 + 2 * size)
    return rows


def check_places(members, end):
    """Section 3.3."""
    for m in members:
        if m["path"] == "":
            need(m["id"] > 0 and m["offset"] == end, "a joined row's place")
        else:
            need(m["offset"] % 512 == 0 and m["offset"] >= -(-end // 512) * 512 + 512,
                 f"{m['path']}: place")
        end = m["offset"] + m["length"]


# ---- 6.2, 6.3: root and statement ----


def field(value):
    if isinstance(value, int):
        value = struct.pack("<Q", value)
    elif isinstance(value, str):
        value = value.encode()
    return struct.pack("<Q", len(value)) + value


def leaf(kind, row, *values):
    return field(b"".join(map(field, (kind, row, *values))))


def shape_of(tensor):
    return json.loads(tensor["shape"])


def member_leaf(m):
    return leaf("member", m["id"], *(m[k] for k in ("path", "bytes", "coding", "chunk_bytes",
                                                    "chunks", "digest")))


def tensor_leaf(t):
    shape = b"".join(struct.pack("<Q", d) for d in shape_of(t))
    alias = t["alias"] is not None
    return leaf("tensor", t["id"], t["name"], t["dtype"], shape, t["bytes"], t["source"],
                int(alias), t["alias"] if alias else t["member"])


def content_root(rows):
    def leaves(table, *columns):
        return b"".join(leaf(table, r["id"], *(r[c] for c in columns)) for r in rows[table])

    head = rows["archive"][0]
    text = leaf("archive", 0, *(head[k] for k in ("id", "format", "created", "tool",
                                                  "source_format", "must_understand")))
    text += leaves("attachment", "name", "member")
    text += b"".join(map(member_leaf, rows["member"]))
    text += leaves("metadata", "source", "key", "value")
    text += leaves("sealed", "name", "tier", "length", "digest")
    text += leaves("shard", "tier", "tensor", "unit", "positions_length", "positions_digest",
                   "values_length", "values_digest")
    text += leaves("source", "name", "format", "bytes", "skeleton")
    text += b"".join(map(tensor_leaf, rows["tensor"]))
    text += leaves("tier", "name", "generation", "selection", "mask", "unit", "scope", "amount",
                   "key_commitment", "position_commitment")
    return sha256(b"lmodel-content-root-v1\n" + text)


def check_statement(rows):
    head, owner = rows["archive"][0], rows["owner"][0]
    masks = {t["mask"] for t in rows["tier"]}
    features = sorted({"tiers"} | masks & {"deep-lock", "perturb"})
    need(head["must_understand"] == "\n".join(features), "features")
    need("deep-lock" not in masks or len(rows["tier"]) == 1, "a locked tier is not alone")
    need("deep-lock" not in masks or {s["unit"] for s in rows["shard"]} == {"tensor"},
         "a unit of a locked tier")
    lines = ["lmodel-statement-v1", f"archive {head['id']}",
             f"content-generation {head['content_generation']}",
             f"content-root {content_root(rows).hex()}", "format 1",
             "must-understand " + " ".join(features),
             f"owner ed25519 {owner['public_key'].hex()}"]
    for t in rows["tier"]:
        lines.append(f"tier {t['id']:02} {t['name']} generation {t['generation']} "
                     f"key {t['key_commitment'].hex()} positions {t['position_commitment'].hex()}")
    text = "".join(line + "\n" for line in lines)
    need(text == rows["statement"][0]["text"], "the statement is not that of the rows")
    try:
        Ed25519PublicKey.from_public_bytes(owner["public_key"]).verify(
            owner["signature"], b"lmodel-owner-signature-v1\n" + text.encode())
    except (InvalidSignature, ValueError):
        raise Refused("the owner's signature") from None
    return text.encode()


# ---- 4, 6.1: members ----


def read_member(data, m):
    count = -(-m["bytes"] // m["chunk_bytes"])
    need(len(m["chunks"]) == 4 * count, "a chunk index")
    index = struct.unpack(f"<{count}I", m["chunks"])
    at = m["offset"]
    size = 32 * count if count > 1 else 0
    hashes = data[at + m["length"] - size:at + m["length"]]
    need(count == 1 or sha256(hashes) == m["digest"], f"{m['path']}: the SHA-256 list")
    hashes = m["digest"] if count == 1 else hashes
    out = []
    for k, entry in enumerate(index):
        stored = data[at:at + (entry & 2**28 - 1)]
        at += len(stored)
        need(sha256(stored) == hashes[32 * k:32 * k + 32], f"{m['path']}: chunk {k}")
        raw = min(m["chunk_bytes"], m["bytes"] - k * m["chunk_bytes"])
        out.append(decode(entry >> 28, stored, raw, m["coding"]))
    need(at + size == m["offset"] + m["length"], f"{m['path']}: length")
    return b"".join(out)


# ---- 8.2, 8.3, 8.5: keys and grants ----


def age(file, keys):
    """What some key opens, or None."""
    for key in keys:
        done = subprocess.run(["age", "-d", "-i", key], input=file, capture_output=True,
                              check=False)
        if done.returncode == 0:
            return done.stdout
    return None


def stanzas(file):
    return file.split(b"\n---")[0].count(b"\n-> ")


def digits(word):
    need(len(word) == 64 and not set(word) - set("0123456789abcdef"), "a grant's key")
    return bytes.fromhex(word)


def parse_grant(text):
    lines = text.decode("ascii").rstrip("\n").split("\n")
    need(lines[0] == "lmodel-grant-v1", "a grant's first line")
    words = [line.split(" ") for line in lines[1:]]
    wanted = ["archive", "role", "owner"]
    if words[1][1] == "owner":
        wanted += ["owner-key", "owner-seed"]
    grant = {"tiers": [], "length": len(text)}
    for name, line in zip(wanted, words):
        need(line[0] == name and len(line) == 2, "a grant's form")
        grant[name] = line[1] if name in ("archive", "role") else digits(line[1])
    need(grant["role"] in ("holder", "audit", "owner"), "a grant's role")
    for line in words[len(wanted):]:
        word = "poskey" if grant["role"] == "audit" else "key"
        need(len(line) == 6 and (line[0], line[2], line[4]) == ("tier", "gen", word),
             "a grant's form")
        grant["tiers"].append((line[1], int(line[3]), digits(line[5])))
    need(grant["tiers"], "a grant without tiers")
    return grant


class Keys:
    """What grants have opened: tier keys and position keys by tier, the owner's."""

    def __init__(self, rows, statement):
        self.rows, self.statement = rows, statement
        self.archive = rows["archive"][0]["id"]
        self.tier, self.position, self.owner = {}, {}, None
        self.roles, self.lengths, self.outdated = set(), set(), set()

    def derive(self, key, label, tier):
        return derive(key, label, self.archive, tier["name"], tier["generation"])

    def take(self, grant):
        """A grant fits as a whole (8.2)."""
        other = "is not the archive that the grant is for"
        public = self.rows["owner"][0]["public_key"]
        need(grant["owner"] == public, f"{other}: owner")
        if grant["role"] == "owner":
            self.owner = grant["owner-key"]
        names = {t["name"]: t for t in self.rows["tier"]}
        for name, generation, key in grant["tiers"]:
            need(name in names and generation <= names[name]["generation"], f"{other}: {name}")
            tier = names[name]
            if generation < tier["generation"]:
                self.outdated.add(tier["id"])
            elif grant["role"] == "audit":
                need(self.derive(key, "position commitment", tier) == tier["position_commitment"],
                     f"{other}: {name}")
                self.position.setdefault(tier["id"], key)
            else:
                need(self.derive(key, "commitment", tier) == tier["key_commitment"],
                     f"{other}: {name}")
                self.tier[tier["id"]] = key
                self.position[tier["id"]] = self.derive(key, "positions", tier)
        self.roles.add(grant["role"])
        self.lengths.add(grant["length"])

    def unlock(self, files, keys):
        """8.5: detached grants for this archive, or else the slots, newest first."""
        grants = [g for g in self.open(files, keys) if g["archive"] == self.archive]
        if not grants:
            slots = [s["grant"] for s in reversed(self.rows["key_slot"])
                     if s["identity"] is None and stanzas(s["grant"]) == 1]
            grants = [g for g in self.open(slots, keys) if g["archive"] == self.archive]
        for grant in grants:
            self.take(grant)
        if self.outdated - set(self.position):
            raise NoKey("outdated grant")
        if not self.position:
            raise NoKey("none of the keys opens it")
        for i, tier in enumerate(self.rows["tier"]):
            for held, label, mac in ((self.tier, "mac", "key_mac"),
                                     (self.position, "position mac", "position_mac")):
                if i in held:
                    key = self.derive(held[i], label, tier)
                    need(hmac.digest(key, self.statement, "sha256") == tier[mac],
                         f"the MAC of tier {tier['name']}")

    @staticmethod
    def open(files, keys):
        grants = []
        for file in files:
            text = age(file, keys)
            try:
                grants += [parse_grant(text)] if text is not None else []
            except (Refused, ValueError, IndexError):
                continue
        return grants

    def level(self):
        level = 0
        while level in self.tier:
            level += 1
        return level


# ---- 7.1: units ----


def units(tensor, unit):
    """(how many, a function from the set to the (offset, length) of what it stands for)."""
    shape, total, bits = shape_of(tensor), tensor["bytes"], BITS.get(tensor["dtype"], 8)
    if unit == "column":
        need(len(shape) >= 2 and bits % 8 == 0, "a unit")
        size, wide = bits // 8, shape[-1]
        return wide, lambda numbers: [((row * wide + c) * size, size)
                                      for row in range(total // (wide * size)) for c in numbers]
    held = {"element": lambda: 1, "slice": lambda: math.prod(shape[2:]),
            "row": lambda: math.prod(shape[1:]), "block": lambda: 64,
            "tensor": lambda: math.prod(shape)}[unit]() * bits
    rank = {"slice": 3, "row": 2}.get(unit, 0)
    need(held % 8 == 0 and held > 0 and len(shape) >= rank, "a unit")
    size = held // 8
    return -(-total // size), lambda numbers: [(n * size, min(size, total - n * size))
                                               for n in numbers]


# ---- an archive ----


class Archive:
    def __init__(self, path):
        self.data = pathlib.Path(path).read_bytes()
        self.rows = read_rows(self.data)
        need(self.rows["tier"], "nothing in it is protected")
        self.statement = check_statement(self.rows)
        self.keys = Keys(self.rows, self.statement)
        self.forms, self.units, self.places, self.held = {}, {}, {}, {}

    def stream(self, shard, kind, key):
        """A shard's stream, opened, when it has its digest."""
        tier, tensor = self.rows["tier"][shard["tier"]], self.rows["tensor"][shard["tensor"]]
        at = tier[f"{kind}_offset"] + sum(
            s[f"{kind}_length"] for s in self.rows["shard"]
            if s["tier"] == shard["tier"] and s["id"] < shard["id"])
        sealed = self.data[at:at + shard[f"{kind}_length"]]
        need(sha256(sealed) == shard[f"{kind}_digest"], f"{tensor['name']}: digest of {kind}")
        self.places[kind] = at
        base = sha256(b"lmodel-base-tensor-v1\n" + tensor_leaf(tensor) +
                      member_leaf(self.rows["member"][tensor["member"]]))
        fields = ("lmodel/1/shard", self.keys.archive, tier["name"], tier["generation"], base,
                  shard["unit"], kind, plain_length(len(sealed)))
        return open_sealed(key, sealed, b"".join(map(field, fields)))

    def sealed_files(self, level):
        """The side files of the tiers below `level` (7.9): (name, bytes)."""
        for row in self.rows["sealed"]:
            tier = self.rows["tier"][row["tier"]]
            if row["tier"] >= level or tier["values_offset"] is None:
                continue
            at = tier["values_offset"] + sum(
                s["values_length"] for s in self.rows["shard"] if s["tier"] == row["tier"]) + sum(
                s["length"] for s in self.rows["sealed"]
                if s["tier"] == row["tier"] and s["id"] < row["id"])
            sealed = self.data[at:at + row["length"]]
            need(sha256(sealed) == row["digest"], f"{row['name']}: digest")
            self.places["sealed"] = at
            fields = ("lmodel/1/attachment", self.keys.archive, tier["name"], tier["generation"],
                      row["name"], plain_length(len(sealed)))
            key = self.keys.derive(self.keys.tier[row["tier"]], "values", tier)
            yield row["name"], open_sealed(key, sealed, b"".join(map(field, fields)))

    def patches(self, shard):
        """What to put over the base: (offset, bytes). Without the tier key nothing; the positions
        are checked all the same."""
        tensor, number = self.rows["tensor"][shard["tensor"]], shard["tier"]
        if number not in self.keys.position:
            return []
        universe, places = units(tensor, shard["unit"])
        form, numbers = positions(self.stream(shard, "positions", self.keys.position[number]),
                                  universe)
        name = ("none", "all", "gaps", "complement", "runs")[form]
        self.forms[name] = self.forms.get(name, 0) + 1
        self.units[shard["unit"]] = self.units.get(shard["unit"], 0) + len(numbers)
        patches = places(numbers)
        held = self.held.setdefault(tensor["id"], bytearray(tensor["bytes"]))
        for at, length in patches:
            need(not any(held[at:at + length]), f"{tensor['name']}: a unit is in two tiers")
            held[at:at + length] = b"\1" * length
        if number not in self.keys.tier:
            return []
        key = self.keys.derive(self.keys.tier[number], "values", self.rows["tier"][number])
        values, at = self.stream(shard, "values", key), 0
        if self.rows["tier"][number]["mask"] == "deep-lock":
            need(list(numbers) == [0], f"{tensor['name']}: the set of a locked tensor")
            return [(0, unlock(values, read_member(self.data,
                                                   self.rows["member"][tensor["member"]])))]
        need(len(values) == sum(length for _, length in patches), f"{tensor['name']}: values")
        out = []
        for place, length in patches:
            out.append((place, values[at:at + length]))
            at += length
        return out

    def levels(self):
        """The raw bytes of each tensor, for each level from the base up."""
        tensors = {}
        self.places["base"] = max(self.rows["member"], key=lambda m: m["length"])["offset"]
        for t in self.rows["tensor"]:
            member = self.rows["member"][t["member"] if t["alias"] is None else
                                         self.rows["tensor"][t["alias"]]["member"]]
            if t["alias"] is None:
                tensors[t["id"]] = bytearray(read_member(self.data, member))
            else:
                tensors[t["id"]] = tensors[t["alias"]]
        yield 0, tensors
        for tier in range(len(self.rows["tier"])):
            if self.rows["tier"][tier]["values_offset"] is None:
                return
            for shard in self.rows["shard"]:
                if shard["tier"] == tier:
                    for at, values in self.patches(shard):
                        tensors[shard["tensor"]][at:at + len(values)] = values
            if tier < self.keys.level():
                yield tier + 1, tensors

    def files(self, level, tensors):
        """The inputs again, by their skeletons (3.6), and attachments: (name, bytes)."""
        for source in self.rows["source"]:
            code, at, out = read_member(self.data, self.rows["member"][source["skeleton"]]), 0, b""
            while at < len(code):
                kind, first = struct.unpack_from("<BQ", code, at)
                if kind == 1:
                    out += code[at + 9:at + 9 + first]
                    at += 9 + first
                else:
                    need(kind == 2, "a skeleton's record")
                    count, = struct.unpack_from("<Q", code, at + 9)
                    out += b"".join(tensors[i] for i in range(first, first + count))
                    at += 17
            need(len(out) == source["bytes"], f"{source['name']}: its length")
            yield source["name"], out
        for a in self.rows["attachment"]:
            yield a["name"], read_member(self.data, self.rows["member"][a["member"]])
        yield from self.sealed_files(level)

    def book(self):
        """8.4, as (slot id, role, tier, label)."""
        owner = self.rows["owner"][0]
        key = derive(self.keys.owner, "book", self.keys.archive, "", 0)
        context = (b"lmodel/1/book\0" + self.keys.archive.encode() + b"\0" +
                   struct.pack("<Q", owner["book_counter"]))
        head, *lines = open_sealed(key, owner["book"], context).decode().split("\n")
        need(head == "lmodel-book-v1" and lines.pop() == "", "the book's form")
        slots = {sha256(sha256(s["kind"].encode()) + sha256(s["grant"]) +
                        sha256(s["identity"] or b"")).hex(): s["id"]
                 for s in self.rows["key_slot"]}
        need(len(slots) == len(self.rows["key_slot"]), "two slots are the same")
        entries = []
        while lines and lines[0].startswith("exposed\t"):
            need(lines.pop(0)[8:] in (t["name"] for t in self.rows["tier"]), "an exposed tier")
        for line in lines:
            slot, role, tier, _, _, label = line.split("\t")
            entries += [(slots[slot], role, tier, label)] if slot in slots else []
        return entries


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("archive")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("-i", dest="keys", action="append", default=[])
    parser.add_argument("-g", dest="grants", action="append", default=[])
    given = parser.parse_args()
    archive = Archive(given.archive)
    keys, found = archive.keys, {}
    if given.keys:
        keys.unlock([pathlib.Path(g).read_bytes() for g in given.grants], given.keys)
    if keys.owner:
        try:
            found["book"] = archive.book()
        except Refused:
            found["book"] = None        # it keeps nobody from reading
    for level, tensors in archive.levels():
        for name, content in archive.files(level, tensors):
            path = given.out / str(level) / name
            os.makedirs(path.parent, exist_ok=True)
            path.write_bytes(content)
    found |= {"role": sorted(keys.roles), "level": keys.level(), "grants": sorted(keys.lengths),
              "positions": sorted(keys.position), "forms": archive.forms, "units": archive.units,
              "places": archive.places}
    json.dump(found, sys.stdout, sort_keys=True)
    print()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Refused, NoKey) as e:
        print(f"reader: {e}", file=sys.stderr)
        sys.exit(4 if isinstance(e, Refused) else 3)
