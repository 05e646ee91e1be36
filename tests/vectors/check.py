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
many, their SHA-256 stands for them.
"""
import hashlib
import json
import pathlib
import sys

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

SHORT = 256  # bytes: up to here "out" has them all


def pattern(rule):
    x, made = rule["seed"], bytearray()
    for _ in range(rule["length"]):
        x = (1664525 * x + 1013904223) % 2**32
        made.append(x >> 24)
    return bytes(made)


# ---- one function a file: "in" -> "out" ----


def chunked(given):
    """c2sp.org/chunked-encryption with HKDF-SHA-512 and AES-256-GCM."""
    key, salt, context = (bytes.fromhex(given[k]) for k in ("key", "salt", "context"))
    plain = pattern(given["plaintext"])
    info = b"c2sp.org/chunked-encryption@v1+" + b"AEAD_AES_256_GCM" + b"\0" + salt + context
    derived = HKDFExpand(algorithm=SHA512(), length=32 + 12 + 32, info=info).derive(key)
    base, commitment = int.from_bytes(derived[32:44], "big"), derived[44:]
    sealed = salt + commitment
    for k in range(len(plain) // 16384 + 1):
        nonce = (base ^ k).to_bytes(12, "big")
        chunk = plain[k * 16384:(k + 1) * 16384]
        sealed += AESGCM(derived[:32]).encrypt(nonce, chunk, None)
    out = {
        "length": len(sealed),
        "head": sealed[:56].hex(),
        "sha256": hashlib.sha256(sealed).hexdigest(),
    }
    if len(sealed) <= SHORT:
        out["ciphertext"] = sealed.hex()
    return out


FILES = {
    "chunked.json": chunked,
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
