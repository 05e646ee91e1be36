"""Parts of reader.py that need no rows: chunks, derived keys, sealed streams, positions. Numbers in
comments are sections of spec/lmodel-format.md, from which all of it is written."""
import hashlib
import hmac
import struct
import subprocess

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Refused(Exception):
    pass


def need(condition, what):
    if not condition:
        raise Refused(what)


def sha256(data):
    return hashlib.sha256(data).digest()


# ---- 5: chunks ----


def zstd(frame, length):
    need(frame[:4] == b"\x28\xb5\x2f\xfd" and frame[4] & 0x3f == 0x20, "a frame's header")
    done = subprocess.run(["zstd", "-dcq"], input=frame, capture_output=True, check=False)
    need(done.returncode == 0 and len(done.stdout) == length, "a frame")
    return done.stdout


def rans(stored, count):
    """5.3"""
    first, last, kind, classes = stored[:4]
    values = last - first + 1
    need(values > 1 and kind < 2 and 1 <= classes <= 16, "a rans plane's head")
    at = 2 + 2 * classes
    limits = struct.unpack_from(f"<{classes - 1}H", stored, 4)
    need(list(limits) == sorted(set(limits)), "a rans plane's limits")
    freqs = [stored[at + c * values:at + (c + 1) * values] for c in range(classes)]
    at += values * classes
    need(all(sum(f) == 256 for f in freqs) and any(f[0] for f in freqs) and
         any(f[-1] for f in freqs), "a rans plane's frequencies")
    slots = [[(first + k, f, r) for k, f in enumerate(of) for r in range(f)] for of in freqs]
    if kind:
        marker, neutral, method, size, length = struct.unpack_from("<BBBII", stored, at)
        need(1 <= size <= count and method in (0, 2) and (classes > 1 or neutral == 0), "a list")
        escaped = stored[at + 11:at + 11 + length]
        at += 11 + length
        escaped = zstd(escaped, size) if method else escaped
        need(len(escaped) == size, "a list's length")
    need(len(stored) >= at + 192, "a rans plane's states")
    states = [int.from_bytes(stored[k:k + 3], "little") for k in range(at, at + 192, 3)]
    need(min(states) >= 65536, "a rans plane's states")
    at, out, of_class = at + 192, bytearray(count), 0
    for i in range(count):
        if i and i % 64 == 0:
            total = sum(neutral if kind and byte == marker else byte for byte in out[i - 64:i])
            of_class = sum(limit <= total for limit in limits)
        x = states[i % 64]
        out[i], freq, rank = slots[of_class][x % 256]
        x = freq * (x // 256) + rank
        if x < 65536:
            need(at < len(stored), "a rans plane's stream")
            x, at = 256 * x + stored[at], at + 1
        states[i % 64] = x
    need(at == len(stored) and set(states) == {65536}, "a rans plane's end")
    if kind:
        places = [i for i, byte in enumerate(out) if byte == marker]
        need(len(places) == size, "a rans plane's escapes")
        for i, byte in zip(places, escaped):
            out[i] = byte
    return bytes(out)


def even(stored, count):
    """5.2"""
    size = -(-7 * count // 8)
    need(len(stored) >= 4 + size, "an even plane")
    bits = int.from_bytes(stored[4:4 + size], "little")
    odd = struct.unpack(f"<{(len(stored) - 4 - size) // 4}I", stored[4 + size:])
    need(bits >> 7 * count == 0 and struct.pack("<I", len(odd)) == stored[:4] and
         list(odd) == sorted(set(odd)) and (not odd or odd[-1] < count), "an even plane")
    # 56 bits are 8 bytes; a number of all bits at once would take long.
    packed, out = stored[4:4 + size] + bytes(7), bytearray()
    for k in range(0, size, 7):
        eight = int.from_bytes(packed[k:k + 7], "little")
        out += bytes((eight >> 7 * j & 127) * 2 for j in range(8))
    for k in odd:
        out[k] += 1
    return bytes(out[:count])


def planes(stored, raw, width, turn):
    count, at, parts = raw // width, 5 * width, []
    for k in range(width):
        method, length = struct.unpack_from("<BI", stored, 5 * k)
        piece = stored[at:at + length]
        at += length
        need(len(piece) == length and method <= 4, "a plane")
        if method >= 2:
            piece = {2: zstd, 3: rans, 4: even}[method](piece, count)
        parts.append(piece * (count if method == 1 else 1))
        need(len(parts[-1]) == count, "a plane's length")
    need(at == len(stored), "bytes behind the planes")
    out = bytearray(raw)
    for k, plane in enumerate(parts):
        out[width - 1 - k::width] = plane
    if not turn:
        return bytes(out)
    code = {1: "B", 2: "H", 4: "I", 8: "Q"}[width]
    words = struct.unpack(f"<{count}{code}", out)
    return struct.pack(f"<{count}{code}", *(w >> turn | (w & 2**turn - 1) << 8 * width - turn
                                            for w in words))


def decode(method, stored, raw, coding):
    width = int(coding[1:])
    if raw % width:
        width, coding = 1, "w1"
    if method == 0:
        out = stored
    elif method == 1:
        need(len(stored) == width, "a run")
        out = stored * (raw // width)
    elif method == 2:
        out = zstd(stored, raw)
    else:
        need(method == 3 or method == 4 and coding[0] == "f", "a method")
        out = planes(stored, raw, width, method - 2 if coding[0] == "f" else 0)
    need(len(out) == raw, "a chunk's length")
    return out


# ---- 8.1: keys from keys ----


def expand(key, info, length):
    out, block, k = b"", b"", 0
    while len(out) < length:
        k += 1
        block = hmac.digest(key, block + info + bytes([k]), "sha512")
        out += block
    return out[:length]


def derive(key, label, archive, tier, generation):
    names = b"".join(name.encode() + b"\0" for name in (label, archive, tier))
    return expand(key, b"lmodel/1/" + names + struct.pack("<Q", generation), 32)


# ---- 7.6: sealed streams ----


def padded(length):
    frame = max(8 + length, 256)
    magnitude = frame.bit_length() - 1
    step = 2**(magnitude - magnitude.bit_length())
    return -(-frame // step) * step


def plain_length(sealed):
    last = (sealed - 56) % 16400
    need(sealed >= 72 and last >= 16, "a stream's length")
    return (sealed - 56) // 16400 * 16384 + last - 16


def open_sealed(key, sealed, context):
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + sealed[:24] + context
    derived = expand(key, info, 76)
    need(hmac.compare_digest(derived[44:], sealed[24:56]), "a commitment")
    cipher, nonce, out = AESGCM(derived[:32]), int.from_bytes(derived[32:44], "big"), []
    for k, at in enumerate(range(56, len(sealed), 16400)):
        try:
            out.append(cipher.decrypt((nonce ^ k).to_bytes(12, "big"), sealed[at:at + 16400], None))
        except InvalidTag:
            raise Refused("a chunk's tag") from None
    frame = b"".join(out)
    length, = struct.unpack("<Q", frame[:8])
    need(length + 8 <= len(frame) and not any(frame[8 + length:]), "a stream's padding")
    need(len(frame) == padded(length), "a stream's padded length")
    return frame[8:8 + length]


# ---- 7.8: locked tensors ----


def field_product(a, b):
    """In the field of AES."""
    out = 0
    for bit in range(8):
        out ^= a << bit if b >> bit & 1 else 0
    for bit in range(14, 7, -1):
        out ^= 0x11b << bit - 8 if out >> bit & 1 else 0
    return out


def substitution():
    """FIPS 197, 5.1.1, by powers of 3, which generates the field."""
    powers = [1]
    while len(powers) < 255:
        powers.append(field_product(powers[-1], 3))
    table = bytearray([0x63] * 256)
    for k, a in enumerate(powers):
        inverse = powers[-k % 255]
        turned = inverse * 0x101
        table[a] = (inverse ^ turned >> 7 ^ turned >> 6 ^ turned >> 5 ^ turned >> 4) & 0xff ^ 0x63
    return bytes(table)


SUBSTITUTE = substitution()
RESTORE = bytes(SUBSTITUTE.index(b) for b in range(256))


def key_stream(key, length):
    """The key expansion of AES-256, as far as it is wanted."""
    words, rcon = list(struct.unpack(">8I", key)), 1
    while 4 * len(words) < length:
        last, k = words[-1], len(words)
        if k % 8 == 0:
            last = (last << 8 | last >> 24) & 0xffffffff
        if k % 4 == 0:
            last = int.from_bytes(last.to_bytes(4, "big").translate(SUBSTITUTE), "big")
        if k % 8 == 0:
            last ^= rcon << 24
            rcon = field_product(rcon, 2)
        words.append(words[k - 8] ^ last)
    return struct.pack(f">{len(words)}I", *words)[:length]


def unlock(record, locked):
    """The true bytes of a tensor that is locked whole."""
    blocks = [locked[at:at + 65536] for at in range(0, len(locked), 65536)]
    need(len(record) == 32 + 32 * len(blocks), "a lock's length")
    out = []
    for k, block in enumerate(blocks):
        stream = key_stream(hmac.digest(record[:32], struct.pack("<Q", k), "sha256"), len(block))
        true = bytes(a ^ b for a, b in zip(block.translate(RESTORE), stream))
        need(hmac.compare_digest(sha256(true), record[32 + 32 * k:64 + 32 * k]),
             "the digest of a locked block")
        out.append(true)
    return b"".join(out)


# ---- 7.4: positions ----


class Bits:
    def __init__(self, data):
        self.data, self.at = data, 0

    def bit(self):
        need(self.at < 8 * len(self.data), "positions end early")
        value = self.data[self.at >> 3] >> (self.at & 7) & 1
        self.at += 1
        return value

    def golomb(self, divisor):
        quotient = 0
        while not self.bit():
            quotient += 1
        width = divisor.bit_length() - 1
        rest = sum(self.bit() << i for i in range(width))
        short = 2**(width + 1) - divisor
        if rest >= short:
            rest = 2 * rest + self.bit() - short
        return quotient * divisor + rest

    def end(self):
        need((self.at + 7) // 8 == len(self.data), "bytes behind the positions")
        need(not any(self.bit() for _ in range(-self.at % 8)), "bits behind the positions")


class Head:
    def __init__(self, data):
        self.data, self.at = data, 0

    def byte(self):
        need(self.at < len(self.data), "positions: the head is cut")
        self.at += 1
        return self.data[self.at - 1]

    def number(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                need((byte or shift == 7) and value < 2**63, "positions: a number")
                return value


def positions(data, universe):
    """(form, numbers of the set)."""
    head = Head(data)
    form = head.byte()
    need(form <= 4 and head.number() == universe, "positions: form or universe")
    if form < 2:
        need(len(data) == head.at, "bytes behind the positions")
        return form, range(universe) if form else []
    count = head.number()
    need(0 < count < universe, "positions: count")
    numbers, after = [], 0
    if form == 4:
        runs, gap, run = head.number(), 2**head.byte(), 2**head.byte()
        need(0 < runs <= min(count, universe - count + 1) and gap <= universe >= run,
             "positions: runs")
        bits = Bits(data[head.at:])
        for _ in range(runs):
            first = after + bits.golomb(gap)
            last = first + bits.golomb(run)
            need(last < universe, "positions: a number")
            numbers += range(first, last + 1)
            after = last + 2
    else:
        gap = head.number()
        need(0 < gap <= universe, "positions: parameter")
        bits = Bits(data[head.at:])
        for _ in range(count if form == 2 else universe - count):
            numbers.append(after + bits.golomb(gap))
            after = numbers[-1] + 1
            need(after <= universe, "positions: a number")
        if form == 3:
            numbers = sorted(set(range(universe)) - set(numbers))
    bits.end()
    need(len(numbers) == count, "positions: their count")
    return form, numbers
