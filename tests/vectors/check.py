#!/usr/bin/env python3
"""Recomputes the test vectors in the JSON files beside it, with python3-cryptography alone.

    check.py            checks all files, prints TAP
    check.py --write    computes "out" of every vector anew and writes the files

A file has "about" (one sentence), "naming" (how its vectors are named) and "vectors": each with
"name", "in" (written by hand) and "out" (computed here). Unit tests compute "out" a second time,
with the library. To add a file: write it with "in" alone, add one function below that makes "out"
of "in", list it in FILES, and run --write.

Bytes are in hexadecimal. Where "in" wants many, {"length": N, "seed": S} stands for N bytes: from
x = S, each step takes x = (1664525 x + 1013904223) mod 2^32 and appends x >> 24. Where "out" has
many, their SHA-256 stands for them. The functions are written from spec/lmodel-format.md.
"""
import hashlib
import hmac
import json
import pathlib
import struct
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SHORT = 256  # bytes: up to here "out" has them all


def pattern(rule):
    x, made = rule["seed"], bytearray()
    for _ in range(rule["length"]):
        x = (1664525 * x + 1013904223) % 2**32
        made.append(x >> 24)
    return bytes(made)


# ---- one function a file: "in" -> "out" ----


def seal(key, salt, context, plain):
    info = b"c2sp.org/chunked-encryption@v1+" + b"AEAD_AES_256_GCM" + b"\0" + salt + context
    derived = HKDFExpand(algorithm=SHA512(), length=32 + 12 + 32, info=info).derive(key)
    base, commitment = int.from_bytes(derived[32:44], "big"), derived[44:]
    sealed = salt + commitment
    for k in range(len(plain) // 16384 + 1):
        nonce = (base ^ k).to_bytes(12, "big")
        chunk = plain[k * 16384:(k + 1) * 16384]
        sealed += AESGCM(derived[:32]).encrypt(nonce, chunk, None)
    return sealed


def chunked(given):
    """c2sp.org/chunked-encryption with HKDF-SHA-512 and AES-256-GCM."""
    key, salt, context = (bytes.fromhex(given[k]) for k in ("key", "salt", "context"))
    sealed = seal(key, salt, context, pattern(given["plaintext"]))
    out = {
        "length": len(sealed),
        "head": sealed[:56].hex(),
        "sha256": hashlib.sha256(sealed).hexdigest(),
    }
    if len(sealed) <= SHORT:
        out["ciphertext"] = sealed.hex()
    return out


def derive(key, label, archive, tier, generation):
    names = b"".join(name.encode() + b"\0" for name in (label, archive, tier))
    info = b"lmodel/1/" + names + struct.pack("<Q", generation)
    return HKDFExpand(algorithm=SHA512(), length=32, info=info).derive(key)


def keys(given):
    """All that comes from a tier key, or from an owner key, and both MACs (spec: 8.1, 8.6)."""
    key, scope = bytes.fromhex(given["key"]), (given["archive"], given["tier"], given["generation"])
    if given["tier"] == "":
        return {"book": derive(key, "book", *scope).hex()}
    out = {label: derive(key, label, *scope)
           for label in ("values", "positions", "mac", "commitment")}
    out |= {label: derive(out["positions"], label, *scope)
            for label in ("position mac", "position commitment")}
    statement = given["statement"].encode()
    macs = {"key_mac": "mac", "position_mac": "position mac"}
    out |= {name: hmac.digest(out[label], statement, "sha256") for name, label in macs.items()}
    return {name: value.hex() for name, value in out.items()}


def padded(length):
    """The least length of few significant bits that takes 8 bytes and `length` (spec: 7.6)."""
    frame = max(8 + length, 256)
    magnitude = frame.bit_length() - 1
    step = 2**(magnitude - magnitude.bit_length())
    return (frame + step - 1) // step * step


def padding(given):
    plain = padded(given["length"])
    return {"padded": plain, "sealed": 24 + 32 + plain + 16 * (plain // 16384 + 1)}


def field(value):
    """Of a leaf or a context: bytes, a text, or a number, with the length before it."""
    if isinstance(value, int):
        value = struct.pack("<Q", value)
    elif isinstance(value, str):
        value = value.encode()
    return struct.pack("<Q", len(value)) + value


def leaf(kind, row, *values):
    return field(b"".join(map(field, (kind, row, *values))))


def tensor_leaf(row, t):
    shape = b"".join(struct.pack("<Q", d) for d in t["shape"])
    alias = t.get("alias")
    return leaf("tensor", row, t["name"], t["dtype"], shape, t["bytes"], t["source"],
                int(alias is not None), t["member"] if alias is None else alias)


def member_leaf(row, m):
    chunks = b"".join(struct.pack("<I", c) for c in m["chunks"])
    return leaf("member", row, m["path"], m["bytes"], m["coding"], m["chunk_bytes"], chunks,
                bytes.fromhex(m["digest"]))


def context(given):
    """What the streams of a shard are bound to (spec: 6.2, 7.6)."""
    tensor, member = given["tensor"], given["member"]
    base = hashlib.sha256(b"lmodel-base-tensor-v1\n" + tensor_leaf(given["row"], tensor) +
                          member_leaf(tensor["member"], member)).digest()
    out = {"base_digest": base.hex()}
    for kind in ("positions", "values"):
        fields = ("lmodel/1/shard", given["archive"], given["tier"], given["generation"], base,
                  given["unit"], kind, given["padded"])
        out[kind] = b"".join(map(field, fields)).hex()
    return out


def attachment(given):
    """What the stream of a tier's attachment is bound to (spec: 7.9)."""
    fields = ("lmodel/1/attachment", given["archive"], given["tier"], given["generation"],
              given["name"], given["padded"])
    return {"context": b"".join(map(field, fields)).hex()}


class Bits:
    """Bits that fill each byte from the low end on."""

    def __init__(self):
        self.bits = []

    def number(self, value, width):
        self.bits += [value >> i & 1 for i in range(width)]

    def golomb(self, divisor, value):
        quotient, rest = divmod(value, divisor)
        self.bits += [0] * quotient + [1]
        width = divisor.bit_length() - 1
        short = 2**(width + 1) - divisor
        if rest < short:
            self.number(rest, width)
        else:
            self.number((rest + short) // 2, width)
            self.number((rest + short) % 2, 1)

    def bytes(self):
        padded = self.bits + [0] * (-len(self.bits) % 8)
        return bytes(sum(bit << i for i, bit in enumerate(padded[at:at + 8]))
                     for at in range(0, len(padded), 8))


def leb128(value):
    out = b""
    while value >= 128:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def gaps(numbers, divisor):
    bits, after = Bits(), 0
    for n in numbers:
        bits.golomb(divisor, n - after)
        after = n + 1
    return bits.bytes()


def run_codes(runs, divisors):
    bits, after = Bits(), 0
    for first, count in runs:
        bits.golomb(divisors[0], first - after)
        bits.golomb(divisors[1], count - 1)
        after = first + count + 1
    return bits.bytes()


def positions(given):
    """A position stream in the form that is asked for (spec: 7.4)."""
    universe, runs, form = given["universe"], given["runs"], given["form"]
    count = sum(n for _, n in runs)
    head = bytes([("none", "all", "gaps", "complement", "runs").index(form)]) + leb128(universe)
    if form in ("none", "all"):
        return {"stream": head.hex()}
    if form == "runs":
        g, r = given["g"], given["r"]
        head += leb128(count) + leb128(len(runs)) + bytes([g, r])
        return {"stream": (head + run_codes(runs, (2**g, 2**r))).hex()}
    numbers = [n for first, many in runs for n in range(first, first + many)]
    if form == "complement":
        numbers = sorted(set(range(universe)) - set(numbers))
    head += leb128(count) + leb128(given["m"])
    return {"stream": (head + gaps(numbers, given["m"])).hex()}


def grant(given):
    """The text of a grant, with its padding (spec: 8.2)."""
    lines = ["lmodel-grant-v1", f"archive {given['archive']}", f"role {given['role']}",
             f"owner {given['owner']}"]
    if given["role"] == "owner":
        lines += [f"owner-key {given['owner_key']}", f"owner-seed {given['owner_seed']}"]
    word = "poskey" if given["role"] == "audit" else "key"
    for t in given["tiers"]:
        lines.append(f"tier {t['name']} gen {t['generation']} {word} {t['key']}")
    text = "\n".join(lines) + "\n"
    return {"length": len(text), "text": text.ljust(given["pad_to"], "\n")}


def book(given):
    """A sealed customer book (spec: 8.4)."""
    archive, digests, text = given["archive"], [], "lmodel-book-v1\n"
    text += "".join(f"exposed\t{tier}\n" for tier in given["exposed"])
    for e in given["entries"] * given["repeat"]:
        parts = e["kind"].encode(), bytes.fromhex(e["grant"]), bytes.fromhex(e["identity"] or "")
        sums = b"".join(hashlib.sha256(part).digest() for part in parts)
        digests.append(hashlib.sha256(sums).hexdigest())
        text += "\t".join((digests[-1], e["role"], e["tier"] or "", str(e["since"]), e["recipient"],
                           e["label"])) + "\n"
    content = text.encode()
    frame = (struct.pack("<Q", len(content)) + content).ljust(padded(len(content)), b"\0")
    key = derive(bytes.fromhex(given["owner_key"]), "book", archive, "", 0)
    about = b"lmodel/1/book\0" + archive.encode() + b"\0" + struct.pack("<Q", given["counter"])
    sealed = seal(key, bytes.fromhex(given["salt"]), about, frame)
    return {"slots": digests, "length": len(sealed), "sha256": hashlib.sha256(sealed).hexdigest()}


def statement(given):
    """Content root, statement and signature of a manifest (spec: 6.2, 6.3, 8.6)."""
    head, digest = given["archive"], bytes.fromhex
    root = leaf("archive", 0, head["id"], 1, head["created"], head["tool"], head["source_format"],
                "tiers" if given["tiers"] else "")
    for i, a in enumerate(given["attachments"]):
        root += leaf("attachment", i, a["name"], a["member"])
    for i, m in enumerate(given["members"]):
        root += member_leaf(i, m)
    for i, d in enumerate(given["metadata"]):
        root += leaf("metadata", i, d["source"], d["key"], d["value"])
    for i, s in enumerate(given["sealed"]):
        root += leaf("sealed", i, s["name"], s["tier"], s["length"], digest(s["digest"]))
    for i, s in enumerate(given["shards"]):
        streams = [value for kind in ("positions", "values")
                   for value in (s[kind]["length"], digest(s[kind]["digest"]))]
        root += leaf("shard", i, s["tier"], s["tensor"], s["unit"], *streams)
    for i, s in enumerate(given["sources"]):
        root += leaf("source", i, s["name"], s["format"], s["bytes"], s["skeleton"])
    for i, t in enumerate(given["tensors"]):
        root += tensor_leaf(i, t)
    for i, t in enumerate(given["tiers"]):
        words = [t[k] for k in ("selection", "mask", "unit", "scope", "amount")]
        root += leaf("tier", i, t["name"], t["generation"], *words, digest(t["key_commitment"]),
                     digest(t["position_commitment"]))
    root = hashlib.sha256(b"lmodel-content-root-v1\n" + root).hexdigest()
    text = (f"lmodel-statement-v1\narchive {head['id']}\n"
            f"content-generation {head['content_generation']}\n"
            f"content-root {root}\nformat 1\n")
    out = {"root": root}
    if given["tiers"]:
        owner = Ed25519PrivateKey.from_private_bytes(digest(given["owner_seed"]))
        public = owner.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        out["public_key"] = public.hex()
        text += f"must-understand tiers\nowner ed25519 {out['public_key']}\n"
        for i, t in enumerate(given["tiers"]):
            text += (f"tier {i:02} {t['name']} generation {t['generation']} "
                     f"key {t['key_commitment']} positions {t['position_commitment']}\n")
        out["signature"] = owner.sign(b"lmodel-owner-signature-v1\n" + text.encode()).hex()
    out["statement"] = text
    return out


def times(a, b):
    """In the field of AES (FIPS 197, 4.2)."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = a << 1 ^ (0x11b if a & 0x80 else 0)
        b >>= 1
    return product


def make_sbox():
    """FIPS 197, 5.1.1: the inverse in the field, then bits added up."""
    sbox = []
    for a in range(256):
        b = next((b for b in range(256) if times(a, b) == 1), 0)
        sbox.append(b ^ 0x63)
        for n in range(1, 5):
            sbox[a] ^= (b << n | b >> 8 - n) & 0xff
    return sbox


SBOX = make_sbox()


def schedule(key, length):
    """FIPS 197, 5.2, for 256 bits, without an end (spec: 7.8)."""
    words, rcon = [key[i:i + 4] for i in range(0, 32, 4)], 1
    while 4 * len(words) < length:
        last = words[-1]
        if len(words) % 8 == 0:
            last = bytes(SBOX[b] for b in last[1:] + last[:1])
            last = bytes([last[0] ^ rcon]) + last[1:]
            rcon = times(rcon, 2)
        elif len(words) % 4 == 0:
            last = bytes(SBOX[b] for b in last)
        words.append(bytes(a ^ b for a, b in zip(words[-8], last)))
    return b"".join(words)[:length]


def aes(keys, state):
    """AES-256 of one block with given round keys (FIPS 197, 5.1)."""
    for i in range(15):
        if i:
            state = bytes(SBOX[state[(5 * k) % 16]] for k in range(16))
            if i < 14:
                state = bytes(times(state[k], 2) ^ times(state[k & 12 | k + 1 & 3], 3) ^
                              state[k & 12 | k + 2 & 3] ^ state[k & 12 | k + 3 & 3]
                              for k in range(16))
        state = bytes(a ^ b for a, b in zip(state, keys[16 * i:16 * i + 16]))
    return state


def deep_lock(given):
    """S-box and schedule are those of AES, by what python3-cryptography encrypts with the same
    key (spec: 7.8)."""
    key, plain = bytes.fromhex(given["key"]), pattern(given["plain"])
    one, locked = key[:16], b""
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    if aes(schedule(key, 240), one) != encryptor.update(one):
        raise SystemExit("the key expansion of check.py is not that of AES-256")
    at = given["offset"]
    while len(locked) < len(plain):
        block, start = divmod(at + len(locked), 65536)
        k = schedule(hmac.digest(key, struct.pack("<Q", block), "sha256"), 65536)[start:]
        locked += bytes(SBOX[a ^ b] for a, b in zip(plain[len(locked):], k))
    out = {"sha256": hashlib.sha256(locked).hexdigest()}
    if len(locked) <= SHORT:
        out["locked"] = locked.hex()
    tensor = hmac.digest(key, given["tensor"].encode(), "sha256")
    return out | {"tensor_key": tensor.hex(), "schedule": schedule(key, 256).hex()}
def single(x):
    """To the nearest F32; of one operation on two of them, this is what F32 arithmetic gives."""
    return struct.unpack("<f", struct.pack("<f", x))[0]


class Keyed:
    def __init__(self, given):
        self.given, self.key = given, bytes.fromhex(given["key"])
        self.block, self.channels = given["block"], given["channels"]
        self.method, n = given["method"], given["block"] ** 2 * given["channels"]
        stream = (w for i in range(2**32) for w in struct.unpack("<4Q", self.prf(self.method, i)))
        self.order = list(range(n))
        for i in reversed(range(1, n)):
            j = next(w for w in stream if w < 2**64 - 2**64 % (i + 1)) % (i + 1)
            self.order[i], self.order[j] = self.order[j], self.order[i]
        self.table = [self.encrypt(v) for v in range(256)] if self.method == "ffx" else []

    def prf(self, purpose, i):
        message = b"lmodel-input-transform-v1\0" + purpose.encode() + b"\0"
        message += struct.pack("<III", self.block, self.channels, i)
        return hmac.digest(self.key, message, "sha256")

    def encrypt(self, v):
        halves = [v // 100, v % 100]
        for r in range(10):
            word = self.prf("ffx-round", 100 * r + halves[1 - r % 2])[:8]
            modulus = (10, 100)[r % 2]
            halves[r % 2] = (halves[r % 2] + int.from_bytes(word, "little")) % modulus
        return 100 * halves[0] + halves[1]

    def sample(self, s):
        kind = self.given["samples"]
        if self.method == "np":
            return single(1 - s) if kind == "f32" else {"u8": 255, "u16": 65535}[kind] - s
        if kind == "u8":
            return self.table[s]
        return single(self.table[round(single(s * 255))] / max(self.table))

    def passed(self, s):
        if self.method == "ffx" and self.given["samples"] == "f32":
            return single(round(single(s * 255)) / max(self.table))
        return s

    def image(self, s):
        """Samples in the order row, column, channel."""
        m, c, width, n = self.block, self.channels, self.given["width"], len(self.order)
        t = list(s)
        for top in range(0, self.given["height"], m):
            for left in range(0, width, m):
                at = [((top + k // c // m) * width + left + k // c % m) * c + k % c
                      for k in range(n)]
                for k, p in enumerate(self.order):
                    if self.method == "shf":
                        t[at[k]] = s[at[p]]
                    else:
                        picked = 2 * p >= n
                        t[at[k]] = self.sample(s[at[k]]) if picked else self.passed(s[at[k]])
        return t


def transform(given):
    """Input transforms (15): the permutation, the table, an image."""
    keyed, kind = Keyed(given), given["samples"]
    size = {"u8": 1, "u16": 2, "f32": 3}[kind]
    count = given["height"] * given["width"] * given["channels"]
    raw = pattern({"length": count * size, "seed": given["seed"]})
    samples = [int.from_bytes(raw[i:i + size], "little") for i in range(0, len(raw), size)]
    made = keyed.image([s / 2**24 for s in samples] if kind == "f32" else samples)
    code = "H" if given["method"] == "ffx" and kind == "u8" else {"u8": "B", "u16": "H",
                                                                  "f32": "f"}[kind]
    image = struct.pack(f"<{count}{code}", *made)
    order = struct.pack(f"<{len(keyed.order)}I", *keyed.order)
    out = {
        "permutation": hashlib.sha256(order).hexdigest(),
        "sha256": hashlib.sha256(image).hexdigest(),
    }
    if keyed.table:
        out["table"] = keyed.table
    if len(image) <= SHORT:
        out["image"] = image.hex()
    return out


FILES = {
    "attachment.json": attachment,
    "book.json": book,
    "chunked.json": chunked,
    "context.json": context,
    "deeplock.json": deep_lock,
    "grant.json": grant,
    "keys.json": keys,
    "padding.json": padding,
    "positions.json": positions,
    "statement.json": statement,
    "transform.json": transform,
}

# ---- end of the functions ----


def text_of(document):
    return json.dumps(document, indent=1, ensure_ascii=True) + "\n"


class Tap:
    count = failed = 0

    def ok(self, passed, what, why=""):
        self.count += 1
        self.failed += not passed
        print(f"{'' if passed else 'not '}ok {self.count} - {what}")
        if not passed and why:
            print(f"#   {why}")


def check(tap, path, compute):
    try:
        text = path.read_text()
        document = json.loads(text)
        vectors = document["vectors"]
        names = [v["name"] for v in vectors]
    except (OSError, ValueError, KeyError, TypeError) as e:
        tap.ok(False, f"{path.name}: can be read", repr(e))
        return
    tap.ok(text == text_of(document), f"{path.name}: is written as --write writes it")
    tap.ok(names and len(set(names)) == len(names), f"{path.name}: has vectors, each with its name")
    for v in vectors:
        try:
            computed = compute(v["in"])
            stored = v["out"]
        except (KeyError, TypeError, ValueError) as e:
            tap.ok(False, f"{path.name}: {v['name']}", repr(e))
            continue
        differ = [k for k in sorted({*computed, *stored}) if computed.get(k) != stored.get(k)]
        tap.ok(not differ, f"{path.name}: {v['name']}", f"differ: {', '.join(differ)}")


def write(path, compute):
    document = json.loads(path.read_text())
    for v in document["vectors"]:
        v["out"] = compute(v["in"])
    path.write_text(text_of(document))


def main(arguments):
    folder = pathlib.Path(__file__).resolve().parent
    if arguments not in ([], ["--write"]):
        sys.exit("usage: check.py [--write]")
    if arguments:
        for name, compute in FILES.items():
            write(folder / name, compute)
        return 0
    tap = Tap()
    for name, compute in FILES.items():
        check(tap, folder / name, compute)
    unlisted = sorted({p.name for p in folder.glob("*.json")} - set(FILES))
    tap.ok(not unlisted, "every file of vectors is checked", ", ".join(unlisted))
    print(f"1..{tap.count}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
