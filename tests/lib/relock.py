#!/usr/bin/env python3
"""What an owner who lies, or errs, can put into a tier that is locked whole (spec: 7.8).

    relock.py NAME GRANT IN.lmodel OUT.lmodel

GRANT is the text of an owner's grant. The shard of the first tensor is opened, changed as NAME says
(`relock.py list`), and sealed again under the same keys; digests, MACs and signature are made
right, as tamper.py does it with all keys. So what a reader has against it is the rules for records
and the digests of the true bytes alone. Needs python3-cryptography.
"""
import os
import sys

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from forge import Archive, sha256, u64
from tamper import become_owner, derive, grant_lines, store, stream, take_keys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))
from reader_parts import expand, open_sealed, padded  # noqa: E402


def flip(at):
    def change(record):
        return record[:at // 8] + bytes([record[at // 8] ^ 1 << at % 8]) + record[at // 8 + 1:]
    return change


# Of the record; and of the set, which is the full one of one unit.
RECORD = {
    "nothing": lambda record: record,
    "key_first_bit": flip(0),
    "key_last_bit": flip(255),
    "digest_bit": flip(256 + 77),
    "short": lambda record: record[:-32],
    "long": lambda record: record + record[-32:],
    "cut": lambda record: record[:-1],
    "empty": lambda record: b"",
}
POSITIONS = {"no_unit": lambda _: b"\0\1", "two_units": lambda _: b"\1\2"}


def seal(key, salt, context, content):
    plain = u64(len(content)) + content
    plain += bytes(padded(len(content)) - len(plain))
    derived = expand(key, b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + salt + context, 76)
    nonce, out = int.from_bytes(derived[32:44], "big"), salt + derived[44:]
    for k in range(len(plain) // 16384 + 1):
        out += AESGCM(derived[:32]).encrypt((nonce ^ k).to_bytes(12, "big"),
                                            plain[16384 * k:16384 * (k + 1)], None)
    return out


def field(value):
    value = u64(value) if isinstance(value, int) else value
    value = value.encode() if isinstance(value, str) else value
    return u64(len(value)) + value


def leaf(*values):
    return field(b"".join(map(field, values)))


def base_digest(a, tensor):
    """Section 6.2."""
    ident, name, dtype, shape, size, source, member = a.rows(
        "SELECT id, name, dtype, shape, bytes, source, member FROM tensor WHERE id = ?", tensor)[0]
    dimensions = u64(*(int(d) for d in shape.strip("[]").split(",") if d))
    return sha256(b"lmodel-base-tensor-v1\n" +
                  leaf("tensor", ident, name, dtype, dimensions, size, source, 0, member) +
                  leaf("member", *a.rows("SELECT id, path, bytes, coding, chunk_bytes, chunks,"
                                         " digest FROM member WHERE id = ?", member)[0]))


def change(a, kind, how):
    """The first shard's stream of that kind."""
    archive = a.rows("SELECT id FROM archive")[0][0]
    name, generation = a.rows("SELECT name, generation FROM tier")[0]
    tensor, unit = a.rows("SELECT tensor, unit FROM shard WHERE id = 0")[0]
    parts = stream(a, 0, kind)[2]
    key = derive(a.mac_keys[0], kind.encode(), archive, name, generation)

    def context(length):
        return b"".join(map(field, ("lmodel/1/shard", archive, name, generation,
                                    base_digest(a, tensor), unit, kind, length)))

    sealed = parts[0]
    length = (len(sealed) - 56) // 16400 * 16384 + (len(sealed) - 56) % 16400 - 16
    content = how(open_sealed(key, sealed, context(length)))
    parts[0] = seal(key, os.urandom(24), context(padded(len(content))), content)
    store(a, 0, kind, parts)


def main(args):
    if args == ["list"]:
        return print("\n".join([*RECORD, *POSITIONS]))
    if len(args) != 4 or args[0] not in {**RECORD, **POSITIONS}:
        raise SystemExit(__doc__)
    what, grant, source, out = args
    a = Archive(source)
    a.owner, a.mac_keys = become_owner, {}
    a.seed, = (bytes.fromhex(w[1]) for w in grant_lines(grant) if w[0] == "owner-seed")
    take_keys(a, grant)
    if what in RECORD:
        change(a, "values", RECORD[what])
    else:
        change(a, "positions", POSITIONS[what])
    with open(out, "wb") as f:
        f.write(a.build())


if __name__ == "__main__":
    main(sys.argv[1:])
