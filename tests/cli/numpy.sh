# npy and npz in and out, against NumPy itself.
. "${srcdir:-.}/tests/lib/tap.sh"

# Debian's own has NumPy; a python3 before it in the path may not.
python=
for p in /usr/bin/python3 python3; do
	[ -n "$python" ] || ! $p -c 'import numpy' 2>/dev/null || python=$p
done
[ -n "$python" ]
ok $? "NumPy is installed"
[ -n "$python" ] || { done_testing; exit; }

run 0 lmodel keygen -q -o owner.key
owner=$(lmodel keygen -y owner.key)
run 0 lmodel keygen -q -o holder.key
holder=$(lmodel keygen -y holder.key)

"$python" - <<'P' || exit 99
import io, struct, zipfile
import numpy as np
r = np.random.default_rng(7)
arrays = {
    "w": r.normal(size=(64, 33)).astype("<f4"), "half": r.normal(size=(4, 40)).astype("<f2"),
    "fortran": np.asfortranarray(r.normal(size=(17, 5, 9))), "scalar": np.array(3.5),
    "row": np.asfortranarray(r.normal(size=(1, 9)).astype("<f4")), "flag": np.array([True, False]),
    "empty": np.zeros((0, 5), "<f4"), "ü/x": np.arange(70, dtype="<f4"), "tied": np.ones((8, 8)),
    "tied too": np.ones((8, 8)), "c64": np.ones(3, "<c8"), "id": np.arange(6, dtype="<i8"),
    "c128": r.normal(size=(4, 4)) + 1j, "big": np.arange(6, dtype=">i4").reshape(2, 3),
    "big fortran": np.asfortranarray(np.arange(12, dtype=">f4").reshape(3, 4)),
    "text": np.array(["a", "bcd"]), "bytes": np.array([b"xy", b"z"]),
    "date": np.array(["2020-01-01"], "M8[D]"), "long": np.ones(3, np.longdouble),
    "record": np.zeros(3, [("a", "<f4"), ("b", ">i2", (2,)), ("ç", [("d", "u1")])]),
    "wide": np.zeros(2, "U2000"), "void": np.zeros(4, "V3"), "nothing": np.zeros(3, "S0"),
}
np.savez("m.npz", **arrays)
np.savez_compressed("z.npz", **arrays)
np.savez("none.npz")
for name, a in arrays.items():
    np.save("one-%s.npy" % name.replace("/", "-"), a)
for version in (1, 0), (2, 0), (3, 0):
    with open("v%d.npy" % version[0], "wb") as f:
        np.lib.format.write_array(f, arrays["fortran"], version)
np.save("objects.npy", np.array([{}, 1], object), allow_pickle=True)
np.savez("objects.npz", a=arrays["w"], b=np.array([None]))
np.save("nested.npy", np.zeros(2, [("a", "<f4"), ("b", [("c", "O")])]), allow_pickle=True)
with open("two.npy", "wb") as f:
    np.save(f, arrays["w"])
    np.save(f, arrays["half"])

# a ZIP written to a pipe has data descriptors; one with a comment; one that goes on elsewhere
class Pipe(io.RawIOBase):
    def __init__(self): self.out = open("pipe.npz", "wb")
    def writable(self): return True
    def write(self, b): return self.out.write(b)
with zipfile.ZipFile(Pipe(), "w") as z:
    for name in "w", "fortran", "empty":
        b = io.BytesIO()
        np.save(b, arrays[name])
        z.writestr(name + ".npy", b.getvalue())
with zipfile.ZipFile("comment.npz", "w") as z:
    b = io.BytesIO()
    np.save(b, arrays["w"])
    z.writestr("w.npy", b.getvalue())
    z.comment = b"made for a test"
P

for f in m.npz none.npz pipe.npz comment.npz v1.npy v2.npy v3.npy two.npy one-*.npy; do
	run 0 lmodel pack -q -o "$f.lmodel" "$f"
	run 0 lmodel verify -q "$f.lmodel"
	run 0 lmodel extract -q --format native -o "back-$f" "$f.lmodel"
	same "$f" "back-$f" "$f comes back as it was"
	lmodel extract -q --format native -o - "$f.lmodel" >stream
	same "$f" stream "$f goes to standard output as it was"
done
run 0 lmodel pack -o two.lmodel two.npy
like "$err" "bytes behind its array are kept as they are, in the clear" "bytes behind an array"

# What is deflated comes back stored, and pack says so.
run 0 lmodel pack -o z.lmodel z.npz
like "$err" "'z.npz': is compressed: --format native will give equal arrays, stored" "a notice"
run 0 lmodel verify -q z.lmodel
run 0 lmodel extract -q --format native -o back-z.npz z.lmodel
cat >equal.py <<'P'
import sys, zipfile
import numpy as np
a, b = np.load(sys.argv[1]), np.load(sys.argv[2])
names = [n for n in a.files if n not in sys.argv[3:]]
assert b.files == names, (b.files, names)
assert zipfile.ZipFile(sys.argv[2]).testzip() is None
assert all(i.compress_type == 0 for i in zipfile.ZipFile(sys.argv[2]).infolist())
for k in names:
    assert a[k].dtype == b[k].dtype and a[k].shape == b[k].shape, (k, b[k].dtype, b[k].shape)
    x, y = (np.ascontiguousarray(c[k]).tobytes() for c in (a, b))
    assert x == y, k
P
run 0 "$python" equal.py z.npz back-z.npz
like "$(lmodel list -l m.npz.lmodel)" "F16 +\[4,40\] .*half" "types in a list"
like "$(lmodel list -l m.npz.lmodel)" "V16 +\[4,4\] .*c128" "two doubles are opaque"
like "$(lmodel list -l m.npz.lmodel)" "V1 +\[2,8000\] .*wide" "elements over 4096 bytes"
like "$(lmodel inspect --json m.npz.lmodel)" "numpy.descr.c128.*<c16" "and what they were is told"

# Tiers: the base is sound for NumPy, the holder has what was packed.
for f in m.npz z.npz pipe.npz one-fortran.npy; do
	run 0 lmodel pack -q -o t.lmodel -f --tier low=10% --tier high=30% --owner "$owner" \
		-r "$holder=high" "$f"
	run 0 lmodel verify -q t.lmodel
	run 0 lmodel extract -q --format native -f -o base t.lmodel
	run 0 lmodel extract -q --format native -f -o full -i holder.key t.lmodel
	run 0 lmodel extract -q --format native -f -o low -i holder.key --tier low t.lmodel
	lmodel extract -q --format native -i holder.key -o - t.lmodel >stream
	same full stream "$f: standard output has the same"
	if [ "$f" = z.npz ]; then
		same full back-z.npz "$f: the holder has all of it"
	else
		same full "$f" "$f: the holder has all of it"
	fi
	"$python" - "$f" <<'P'
import struct, sys, zipfile
import numpy as np
name = sys.argv[1]
archive = open("t.lmodel", "rb").read()
true, base, low = (np.load(f) for f in (name, "base", "low"))
if not name.endswith(".npz"):
    true, base, low = ({"fortran": x} for x in (true, base, low))
else:
    for f in "base", "low":
        assert zipfile.ZipFile(f).testzip() is None, "CRC"
differ = {k: (true[k] != base[k]).sum() for k in true if true[k].dtype.kind == "f"}
assert differ["fortran"] > 100 and differ.get("w", 300) > 200, differ
assert all((true[k] != low[k]).sum() <= n for k, n in differ.items())
assert base["fortran"].flags.f_contiguous
for k in true:
    if true[k].dtype.kind not in "fc":
        assert true[k].tobytes() == base[k].tobytes(), k
if name.endswith(".npz"):  # no checksum of true values
    for i in zipfile.ZipFile(name).infolist():
        if i.filename in ("w.npy", "fortran.npy"):
            assert struct.pack("<I", i.CRC) not in archive, i.filename
            raw = open(name, "rb").read()
            assert i.compress_type == 0 or \
                raw[i.header_offset + 60:][:i.compress_size - 60][:64] not in archive
P
	ok $? "$f: base, middle and truth are what they should be, and no CRC tells"
done

# npz out
python3 "$srcdir/tests/lib/mkmodel.py" s.safetensors b.w:F32:12x7 a:I64:5 e:F16:0x3 flag:BOOL:9 \
	one:F64: || exit 99
run 0 lmodel pack -q -o s.lmodel s.safetensors
run 0 lmodel extract -o s.npz s.lmodel
run 0 lmodel extract --format npz -o d/ s.lmodel
same s.npz d/model.npz "a directory has model.npz"
run 0 lmodel extract --format npz -C d s.lmodel
same s.npz d/s.npz "the name without -o"
lmodel extract --format npz -o - s.lmodel >stream
same s.npz stream "standard output"
cat >check.py <<'P'
import json, struct, sys, zipfile
import numpy as np
data = open("s.safetensors", "rb").read()
n, = struct.unpack_from("<Q", data)
header, out = json.loads(data[8:8 + n]), np.load("s.npz")
header.pop("__metadata__", None)
assert zipfile.ZipFile("s.npz").testzip() is None
assert set(out.files) == set(header), out.files
kinds = {"F32": "<f4", "I64": "<i8", "F16": "<f2", "BOOL": "|b1", "F64": "<f8"}
for name, t in header.items():
    a, b = t["data_offsets"]
    assert out[name].dtype.str == kinds[t["dtype"]] and list(out[name].shape) == t["shape"], name
    assert out[name].tobytes() == data[8 + n + a:8 + n + b], name
P
run 0 "$python" check.py
run 0 lmodel extract -o w.npy s.lmodel b.w
run 0 "$python" -c "import numpy as n; assert (n.load('w.npy') == n.load('s.npz')['b.w']).all()"
run 2 lmodel extract -o x.npy s.lmodel
like "$err" "npy holds one array; 5 tensors were asked for" "several arrays in one npy"
run 2 lmodel extract --format npy -o x/ s.lmodel
run 2 lmodel extract --format npz --max-shard-size 1MB -o x/ s.lmodel
run 0 lmodel extract -o part.npz m.npz.lmodel --exclude w
run 0 "$python" equal.py m.npz part.npz w
run 0 lmodel extract -o again.npz m.npz.lmodel
same again.npz m.npz "a whole npz comes back as it was by its suffix, too"
run 0 lmodel pack -q -o again.lmodel s.npz
run 0 lmodel extract -q -o again.safetensors again.lmodel
run 0 lmodel pack -q -o again2.lmodel again.safetensors
is "$(lmodel list -l again2.lmodel | awk '{print $1, $2, $NF}' | sort)" \
	"$(lmodel list -l s.lmodel | awk '{print $1, $2, $NF}' | sort)" "there and back again"

# what would be lost
python3 "$srcdir/tests/lib/mkmodel.py" l.safetensors --meta author=me a:BF16:4x4 b:F8_E4M3:7 ||
	exit 99
run 0 lmodel pack -q -o l.lmodel l.safetensors
run 2 lmodel extract -o l.npz l.lmodel
like "$err" "NumPy has no type for BF16: tensor 'a' and 1 more become plain bytes" "types"
run 0 lmodel extract -f -o l.npz l.lmodel
like "$err" "has no type for BF16" "forced, it still says so"
like "$err" "NumPy has no metadata: 'author' is left out" "metadata"
is "$("$python" -c "import numpy; print(numpy.load('l.npz')['a'].dtype)")" "|V2" "bytes as wide"
run 2 lmodel extract -o o.safetensors m.npz.lmodel
like "$err" "safetensors has no type for V16" "opaque arrays"
run 0 lmodel extract -f -o o.safetensors m.npz.lmodel c128
python3 - <<'P'
import json, struct
data = open("o.safetensors", "rb").read()
n, = struct.unpack_from("<Q", data)
t = json.loads(data[8:8 + n])["c128"]
assert t["dtype"] == "U8" and t["shape"] == [4, 4, 16], t
P
ok $? "opaque elements as rows of bytes"

# refused
run 5 lmodel pack -o x.lmodel objects.npy
like "$err" "'objects.npy'.*Python objects" "objects"
run 5 lmodel pack -o x.lmodel objects.npz
run 5 lmodel pack -o x.lmodel nested.npy
printf 'PK\3\4' >cut.npz && run 4 lmodel pack -o x.lmodel cut.npz
head -c 1000 m.npz >cut.npz && run 4 lmodel pack -o x.lmodel cut.npz
"$python" - <<'P' || exit 99
import zlib, struct, zipfile
# 3 GiB in 4 MB, by its word
name, size = b"a.npy", 3 << 30
c = zlib.compressobj(9, zlib.DEFLATED, -15)
data = b"".join([c.compress(bytes(1 << 20)) for _ in range(4)]) + c.flush()
data += bytes(4000000)
def local(size): return struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 8, 0, 33, 1, len(data), size,
                                    len(name), 0) + name
def central(size): return struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, 0, 8, 0, 33, 1,
                                      len(data), size, len(name), 0, 0, 0, 0, 0, 0) + name
def write(path, size):
    body = local(size) + data
    end = central(size)
    open(path, "wb").write(body + end + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(end),
                                                    len(body), 0))
write("bomb.npz", size)
data = data[:-4000000]
write("small.npz", 1000)  # inflates to more than it says
P
run 6 lmodel pack -o x.lmodel bomb.npz
like "$err" "would be 3221225472 bytes, over 200 times its size: a bomb" "a bomb"
run 4 lmodel pack -o x.lmodel small.npz
like "$err" "inflates to more than its size" "more than it says"
leftovers "nothing is left behind"
done_testing
