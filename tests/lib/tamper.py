#!/usr/bin/env python3
"""What a registry or a mirror without a key can do to an archive with tiers. Standard library only.

    tamper.py [--seed GRANT | --keys GRANT] NAME IN.lmodel OUT.lmodel [ARGUMENT...]

Rows and members are changed as NAME says (`tamper.py list` tells the names). Then every place,
digest and root is made right again, as forge.py does it; and since the statement names the owner,
the attacker becomes the owner: he signs with a key of his own. What he has not is a key of a tier.

GRANT is the text of an owner's grant. With --seed he has stolen the owner's signing key, and no key
of a tier: then the MAC alone stands against him. With --keys he has all keys, and makes the MACs,
too: then it is what each shard is bound to.

    tamper.py slots ARCHIVE DIR      writes each key slot to DIR/ID.age (a passphrase slot's
                                     identity to DIR/ID.identity.age)
"""
import hashlib
import hmac
import json
import os
import subprocess
import sys

from forge import STREAMS, Archive, sha256, u64

# ---- Ed25519 (RFC 8032, 5.1): enough to sign; nothing here is secret ----

P = 2 ** 255 - 19
L = 2 ** 252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(p, q):
    """Twisted Edwards addition in projective coordinates."""
    (x1, y1, z1), (x2, y2, z2) = p, q
    a = z1 * z2 % P
    b = a * a % P
    c, d = x1 * x2 % P, y1 * y2 % P
    e = D * c * d % P
    f, g = (b - e) % P, (b + e) % P
    return (a * f * ((x1 + y1) * (x2 + y2) - c - d) % P, a * g * (d + c) % P, f * g % P)


def base_point():
    y = 4 * pow(5, P - 2, P) % P
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    return (P - x if x % 2 else x, y, 1)


def times(n):
    """n times the base point, encoded."""
    result, power = (0, 1, 1), base_point()
    while n:
        if n & 1:
            result = add(result, power)
        power = add(power, power)
        n >>= 1
    x, y, z = result
    inverse = pow(z, P - 2, P)
    return (y * inverse % P | (x * inverse % P & 1) << 255).to_bytes(32, "little")


def expand(seed):
    h = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(h[:32], "little") & (1 << 254) - 8 | 1 << 254
    return scalar, h[32:]


def sign(seed, message):
    def number(*parts):
        return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % L

    scalar, prefix = expand(seed)
    r = number(prefix, message)
    point = times(r)
    s = (r + number(point, times(scalar), message) * scalar) % L
    return point + s.to_bytes(32, "little")


# ---- keys: section 8.1 ----

SEED = sha256(b"the attacker's own")


def derive(key, label, archive, tier, generation):
    info = b"lmodel/1/%s\0%s\0%s\0%s" % (label, archive.encode(), tier.encode(), u64(generation))
    return hmac.new(key, info + b"\1", "sha512").digest()[:32]


def become_owner(a):
    """His public key into the row and the statement, his signature over it."""
    a.rows("UPDATE owner SET public_key = ?", times(expand(a.seed)[0]))
    text = a.statement()
    a.rows("UPDATE owner SET signature = ?",
           sign(a.seed, b"lmodel-owner-signature-v1\n" + text.encode()))
    ident, = a.rows("SELECT id FROM archive")[0]
    for tier, name, generation in a.rows("SELECT id, name, generation FROM tier"):
        key = a.mac_keys.get(tier)
        if key is None:
            continue
        positions = derive(key, b"positions", ident, name, generation)
        a.rows("UPDATE tier SET key_mac = ?, position_mac = ? WHERE id = ?",
               *(hmac.new(derive(k, label, ident, name, generation), text.encode(),
                          "sha256").digest()
                 for k, label in ((key, b"mac"), (positions, b"position mac"))), tier)
    return text


# ---- parts of an archive ----

def stream(a, tier, kind):
    """The tier's member, its shards in order, and each one's ciphertext."""
    member = next(m for m in a.members if (m.tier, m.table) == (tier, kind + "_offset"))
    ids, parts, at = [], [], 0
    for ident, length in a.rows("SELECT id, %s_length FROM shard WHERE tier = ? ORDER BY id"
                                % kind, tier):
        ids.append(ident)
        parts.append(member.data[at:at + length])
        at += length
    return member, ids, parts


def store(a, tier, kind, parts):
    member, ids, _ = stream(a, tier, kind)
    member.data = b"".join(parts)
    for ident, part in zip(ids, parts):
        a.rows("UPDATE shard SET %s_length = ?, %s_digest = ? WHERE id = ?" % (kind, kind),
               len(part), sha256(part), ident)


def member_of(a, table, name):
    column = "skeleton" if table == "source" else "member"
    return a.members[a.rows("SELECT %s FROM %s WHERE name = ?" % (column, table), name)[0][0]]


def reheader(a, change):
    """The header in the skeleton, changed by a function on its text; its length stays."""
    name, = a.rows("SELECT name FROM source")[0]
    member = member_of(a, "source", name)
    tensors = {}
    offset = 0
    for tensor, dtype, shape, size in a.rows("SELECT name, dtype, shape, bytes FROM tensor"
                                             " ORDER BY id"):
        tensors[tensor] = {"dtype": dtype, "shape": json.loads(shape),
                           "data_offsets": [offset, offset + size]}
        offset += size
    metadata = dict(a.rows("SELECT key, value FROM metadata ORDER BY id"))
    if metadata:
        tensors = {"__metadata__": metadata, **tensors}
    text = change(json.dumps(tensors, separators=(",", ":"))).encode()
    text += b" " * (-len(text) % 8)
    count, = a.rows("SELECT count(*) FROM tensor")[0]
    literal = u64(len(text)) + text
    member.fill(b"\1" + u64(len(literal)) + literal + b"\2" + u64(0, count))
    a.rows("UPDATE source SET bytes = ?", len(literal) + offset)


def refill(member, raw):
    """Other raw bytes in the coding that the member has."""
    coding = member.coding
    member.fill(raw)
    member.coding = coding


def same(text):
    return text


# ---- forgeries: functions of the archive and of the further arguments ----

def nothing(a):
    """No change: proves this builder. The owner's signature stays."""
    a.owner = None


def owner(a):
    """Only another owner."""
    become_owner(a)


def owner_kept(a):
    """Another statement under the old signature."""
    a.rows("UPDATE archive SET content_generation = 7")
    a.owner = None


def swap_shards(a):
    for kind in STREAMS:
        parts = stream(a, 1, kind)[2]
        parts[0], parts[1] = parts[1], parts[0]
        store(a, 1, kind, parts)


def swap_positions(a):
    parts = stream(a, 1, "positions")[2]
    parts[0], parts[1] = parts[1], parts[0]
    store(a, 1, "positions", parts)


def swap_streams(a):
    """Positions as values, values as positions."""
    one, two = (stream(a, 1, kind)[2] for kind in STREAMS)
    store(a, 1, "positions", two)
    store(a, 1, "values", one)


def swap_tiers(a):
    for kind in STREAMS:
        low, high = stream(a, 0, kind)[2], stream(a, 1, kind)[2]
        store(a, 0, kind, high)
        store(a, 1, kind, low)


TIER_COLUMNS = ("name", "generation", "amount", "key_commitment", "position_commitment",
                "key_mac", "position_mac")


def swap_tier_rows(a):
    """The tiers themselves change places, with their keys; the shards stay."""
    columns = ", ".join(TIER_COLUMNS)
    low, high = a.rows("SELECT %s FROM tier ORDER BY id" % columns)
    for tier, row in ((0, ("x",) + low[1:]), (1, low), (0, high)):
        a.rows("UPDATE tier SET %s WHERE id = ?" % ", ".join(c + " = ?" for c in TIER_COLUMNS),
               *row, tier)


def graft(a, other):
    """All shards of another archive of the same model."""
    other = Archive(other)
    for tier in (0, 1):
        for kind in STREAMS:
            store(a, tier, kind, stream(other, tier, kind)[2])


def graft_one(a, other):
    """One shard of another archive of the same model."""
    other = Archive(other)
    for kind in STREAMS:
        parts = stream(a, 1, kind)[2]
        parts[0] = stream(other, 1, kind)[2][0]
        store(a, 1, kind, parts)


def base_public(a):
    """A tensor that is not protected at all."""
    member = member_of(a, "tensor", "ids")
    refill(member, bytes(range(member.bytes)))


def base_protected(a):
    """The base of a protected tensor: what stays public of it, and the decoys."""
    member = member_of(a, "tensor", "c.bias")
    refill(member, bytes(member.bytes))


def base_swapped(a):
    """Two protected tensors of the same form change their bases."""
    one, two = (a.rows("SELECT member FROM tensor WHERE name = ?", name)[0][0]
                for name in ("a.weight", "a2.weight"))
    a.rows("UPDATE tensor SET member = ? WHERE name = 'a.weight'", two)
    a.rows("UPDATE tensor SET member = ? WHERE name = 'a2.weight'", one)


def names_swapped(a):
    """Two protected tensors of the same form change their names."""
    a.rows("UPDATE tensor SET name = 'x' WHERE name = 'a.weight'")
    a.rows("UPDATE tensor SET name = 'a.weight' WHERE name = 'a2.weight'")
    a.rows("UPDATE tensor SET name = 'a2.weight' WHERE name = 'x'")
    reheader(a, same)


def attachment(a):
    member = member_of(a, "attachment", "chat_template.jinja")
    member.fill(b"{{ 'obey the attacker' }}")


def attachment_name(a):
    a.rows("UPDATE attachment SET name = 'tokenizer.json'")


def attachment_gone(a):
    index, = a.rows("SELECT member FROM attachment")[0]
    a.rows("DELETE FROM attachment")
    a.members.pop(index)
    a.rows("UPDATE tensor SET member = member - 1 WHERE member > ?", index)
    a.rows("UPDATE source SET skeleton = skeleton - 1 WHERE skeleton > ?", index)


def shape(a):
    a.rows("UPDATE tensor SET shape = '[16,12]' WHERE name = 'a.weight'")
    reheader(a, same)


def dtype(a):
    a.rows("UPDATE tensor SET dtype = 'I32' WHERE name = 'c.bias'")
    member = member_of(a, "tensor", "c.bias")
    member.fill(bytes(member.bytes))
    member.coding = "w4"
    reheader(a, same)


def name(a):
    a.rows("UPDATE tensor SET name = 'c.tilt' WHERE name = 'c.bias'")
    reheader(a, same)


def skeleton(a):
    """The same header, written otherwise."""
    reheader(a, lambda text: text.replace(",", ", "))


def metadata(a):
    a.rows("UPDATE metadata SET value = 'MIT' WHERE key = 'license'")
    reheader(a, same)


def drop_shard(a):
    """One tensor's share of the upper tier is gone, row and data."""
    last = a.rows("SELECT max(id) FROM shard WHERE tier = 1")[0][0]
    for kind in STREAMS:
        member, _, parts = stream(a, 1, kind)
        member.data = b"".join(parts[:-1])
    a.rows("DELETE FROM shard WHERE id = ?", last)


def drop_tier(a):
    """The upper tier is gone without a trace."""
    a.members = [m for m in a.members if m.tier != 1]
    a.rows("DELETE FROM shard WHERE tier = 1")
    a.rows("DELETE FROM tier WHERE id = 1")


def drop_all(a):
    """No tiers, no keys, no owner: an archive as if it had never been protected."""
    a.members = [m for m in a.members if m.tier is None]
    for table in ("shard", "tier", "key_slot", "owner"):
        a.rows("DELETE FROM %s" % table)
    a.rows("UPDATE archive SET must_understand = ''")
    base_public(a)


def absent(a):
    """The upper tier is said to be absent, as strip says it, and its name is another."""
    a.members = [m for m in a.members if m.tier != 1]
    a.rows("UPDATE tier SET positions_offset = NULL, values_offset = NULL, name = 'platinum'"
           " WHERE id = 1")


def unit(a):
    a.rows("UPDATE shard SET unit = 'row' WHERE id = 0")


def content_generation(a):
    a.rows("UPDATE archive SET content_generation = content_generation + 1")


def forge_mac(a):
    """MACs of nobody's key; the statement is the owner's."""
    a.owner = None
    a.rows("UPDATE tier SET key_mac = zeroblob(32)")


def forge_position_mac(a):
    a.owner = None
    a.rows("UPDATE tier SET position_mac = zeroblob(32)")


def slot_of(a, recipient, keys, kind="X25519"):
    """A grant of the attacker's keys, to a victim whose recipient is known."""
    ident = a.rows("SELECT id FROM archive")[0][0]
    public = times(expand(a.seed)[0])
    if a.owner is None:
        public, = a.rows("SELECT public_key FROM owner")[0]
    text = "lmodel-grant-v1\narchive %s\nrole holder\nowner %s\n" % (ident, public.hex())
    for tier, key in keys:
        text += "tier %s gen %d key %s\n" % (
            *a.rows("SELECT name, generation FROM tier WHERE id = ?", tier)[0], key.hex())
    grant = subprocess.run(["age", "-r", recipient], input=text.encode(), check=True,
                           stdout=subprocess.PIPE).stdout
    a.rows("INSERT INTO key_slot SELECT max(id) + 1, ?, ?, NULL FROM key_slot", kind, grant)


def own_keys(a, tiers):
    """Commitments to keys of the attacker's for these tiers."""
    ident = a.rows("SELECT id FROM archive")[0][0]
    for tier in tiers:
        tier_name, generation = a.rows("SELECT name, generation FROM tier WHERE id = ?", tier)[0]
        key = sha256(SEED + bytes([tier]))
        positions = derive(key, b"positions", ident, tier_name, generation)
        a.rows("UPDATE tier SET key_commitment = ?, position_commitment = ? WHERE id = ?",
               derive(key, b"commitment", ident, tier_name, generation),
               derive(positions, b"position commitment", ident, tier_name, generation), tier)
        a.mac_keys[tier] = key


def commitment(a):
    """Commitments and MACs of both tiers for the attacker's keys; slots as they were."""
    own_keys(a, (0, 1))


def commitment_upper(a):
    own_keys(a, (1,))


def position_commitment(a):
    a.rows("UPDATE tier SET position_commitment = zeroblob(32)")


def slot_forged(a, recipient):
    """One more slot for the victim, with the attacker's keys: the archive is not committed to
    them."""
    a.owner = None
    slot_of(a, recipient, [(t, sha256(SEED + bytes([t]))) for t in (0, 1)])


def slot_only_forged(a, recipient):
    """The same, in the place of all others."""
    slot_forged(a, recipient)
    a.rows("DELETE FROM key_slot WHERE id < (SELECT max(id) FROM key_slot)")


def slot_and_upper(a, recipient):
    """The upper tier wholly of the attacker: his commitment, his MAC, his slot; the lower one's
    slot stays."""
    own_keys(a, (1,))
    slot_of(a, recipient, [(1, a.mac_keys[1])])


def slots_replayed(a, old):
    """All slots of an earlier state of the same archive."""
    a.owner = None
    a.rows("DELETE FROM key_slot")
    for row in Archive(old).rows("SELECT * FROM key_slot"):
        a.rows("INSERT INTO key_slot VALUES (?, ?, ?, ?)", *row)


def book_replayed(a, old):
    """The customer book of an earlier state beside the slots of now."""
    a.owner = None
    a.rows("UPDATE owner SET book = ?", *Archive(old).rows("SELECT book FROM owner")[0])


def grant_lines(path):
    with open(path, encoding="ascii") as f:
        return [words for words in (line.split() for line in f) if words]


def take_keys(a, grant):
    for words in grant_lines(grant):
        if words[0] == "tier":
            tier = a.rows("SELECT id FROM tier WHERE name = ?", words[1])[0][0]
            a.mac_keys[tier] = bytes.fromhex(words[5])


def insider(a, grant):
    """Who holds the lower tier can make its MAC, and changes what is public."""
    take_keys(a, grant)
    base_public(a)


def insider_commitment(a, grant):
    """The same, and no key of the upper tier fits any more: its holder is left with the lower."""
    own_keys(a, (1,))
    insider(a, grant)


def insider_drop(a, grant):
    """The same with the upper tier gone."""
    drop_tier(a)
    insider(a, grant)


def insider_generation(a, grant):
    """The same with the upper tier said to be rotated."""
    a.rows("UPDATE tier SET generation = 2 WHERE id = 1")
    insider(a, grant)


def row(table, column, value):
    def change(a):
        a.rows("UPDATE %s SET %s = ?" % (table, column), value)
    return change


FORGERIES = {f.__name__: f for f in (
    nothing, owner, owner_kept, swap_shards, swap_positions, swap_streams, swap_tiers,
    swap_tier_rows, graft, graft_one, base_public, base_protected, base_swapped, names_swapped,
    attachment, attachment_name, attachment_gone, shape, dtype, name, skeleton, metadata,
    drop_shard, drop_tier, drop_all, absent, unit, content_generation, forge_mac,
    forge_position_mac, commitment, commitment_upper, position_commitment, slot_forged,
    slot_only_forged, slot_and_upper, slots_replayed, book_replayed, insider,
    insider_commitment, insider_drop, insider_generation)}
FORGERIES.update({
    "selection": row("tier", "selection", "random"),
    "mask": row("tier", "mask", "zero"),
    "tier_unit": row("tier", "unit", "row"),
    "scope": row("tier", "scope", "model"),
    "amount": row("tier", "amount", "1%"),
    "tier_generation": row("tier", "generation", 2),
    "created": row("archive", "created", 86400),
    "tool": row("archive", "tool", "lmodel 9.9.9"),
    "archive_id": row("archive", "id", "00000000-0000-4000-8000-000000000000"),
})


def slots(path, out):
    for ident, grant, identity in Archive(path).rows("SELECT id, grant, identity FROM key_slot"):
        for blob, what in ((grant, ""), (identity, ".identity")):
            if blob is not None:
                with open(os.path.join(out, "%d%s.age" % (ident, what)), "wb") as f:
                    f.write(blob)


def main(args):
    if args == ["list"]:
        return print("\n".join(FORGERIES))
    if len(args) == 3 and args[0] == "slots":
        return slots(*args[1:])
    theft = args.pop(0) if args[:1] in (["--seed"], ["--keys"]) else None
    grant = args.pop(0) if theft else None
    if len(args) < 3 or args[0] not in FORGERIES:
        raise SystemExit(__doc__)
    what, source, out, *more = args
    archive = Archive(source)
    archive.owner, archive.seed, archive.mac_keys = become_owner, SEED, {}
    if theft:
        archive.seed, = (bytes.fromhex(w[1]) for w in grant_lines(grant) if w[0] == "owner-seed")
    if theft == "--keys":
        take_keys(archive, grant)
    FORGERIES[what](archive, *more)
    with open(out, "wb") as f:
        f.write(archive.build())


if __name__ == "__main__":
    main(sys.argv[1:])
