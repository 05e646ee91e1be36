# Each byte of an archive turned, and the file cut everywhere: refused, or exactly the original
# weights; verify says so; never a signal, and nothing half-written. A part of the bytes, or all
# of them with LMODEL_TEST_FULL=1.
. "${srcdir:-.}/tests/lib/tap.sh"

python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors w:F32:20x10 r:U8:70:random z:I32:500:zeros \
	g:BF16:64 s:I64: --meta k=v || exit 99
echo note >note.txt
lmodel pack --seed 01 --attach note.txt --chunk-size 4KiB m.safetensors || exit 99
real=$builddir/bin/.libs/lmodel
if [ -x "$real" ]; then
	export LD_LIBRARY_PATH="$builddir/libfmt/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
else
	real=$(command -v lmodel)
fi
ldd "$real" 2>/dev/null | grep -q libasan && export SLOW=1

cat >drive.py <<'P'
import os, subprocess, sys, tempfile
from concurrent.futures import ThreadPoolExecutor
lmodel, what = sys.argv[1:]
whole = open("m.lmodel", "rb").read()
model = open("m.safetensors", "rb").read()
R = int(whole[1024 + 124:1024 + 135], 8)
A, B = 1536, 1536 + R + 512
def call(d, *args):
    r = subprocess.run([lmodel, *args], cwd=d, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    if r.returncode not in (0, 4, 5, 6):
        raise AssertionError("%s: exit status %d: %s" % (args[0], r.returncode, r.stderr[-300:]))
    return r
def check(name, data):
    """What was extracted from `data`: None or the right bytes; verify: 0 with nothing to say,
    1 with a note, 4 and above with a fault."""
    with tempfile.TemporaryDirectory(dir=".") as d:
        open(d + "/x.lmodel", "wb").write(data)
        r = call(d, "extract", "-j1", "-o", "out", "x.lmodel")
        if r.returncode == 0:
            if r.stderr or open(d + "/out", "rb").read() != model:
                raise AssertionError("other weights came out")
        elif r.stderr.count(b"\n") != 1 or sorted(os.listdir(d)) != ["x.lmodel"]:
            raise AssertionError("extract failed with %s and left %s" % (r.stderr, os.listdir(d)))
        v = call(d, "verify", "-j1", "x.lmodel")
        if v.returncode == 0 and r.returncode != 0:
            raise AssertionError("extract failed, verify found nothing")
        if bool(v.stderr) != (v.returncode != 0) and b": note: " not in v.stderr:
            raise AssertionError("verify: %d with %s" % (v.returncode, v.stderr))
        return r.returncode == 0, v.returncode or int(bool(v.stderr))
def flip(at):
    x = bytearray(whole)
    x[at] ^= 1 << at % 8
    read, verified = check("", bytes(x))
    if verified == 0 and not harmless(at):
        raise AssertionError("verify found nothing")
    return read
def harmless(at):
    """A leading zero of a tar header's checksum that became a blank: the same number."""
    return at % 512 == 148 and whole[at] == 0x30 and whole[at] ^ 1 << at % 8 == 0x20
def cut(at):
    read, verified = check("", whole[:at])
    if verified < 4:
        raise AssertionError("verify found no fault")
    if read and at < len(whole) - 1024:
        raise AssertionError("weights came out of less than all members")
    return read
def offsets():
    if os.environ.get("LMODEL_TEST_FULL"):
        return range(len(whole))
    if what == "cuts":
        return sorted(set(range(0, len(whole), 64)) | set(range(len(whole) - 1100, len(whole), 97)))
    image = max(i for i in range(A, A + R - 512) if whole[i]) + 1 - A
    some = set(range(A, A + image, 7)) | set(range(B, B + image, 67))
    for slot in A, B:
        some |= set(range(slot + image, slot + R - 512, 97))      # room to grow
        some |= set(range(slot + R - 512, slot + R - 512 + 96))   # footer
        some |= set(range(slot + R - 416, slot + R, 13))
    for first, last in (0, 2048), (B - 512, B), (B + R, len(whole)):
        some |= set(i for i in range(first, last) if whole[i] or i % 11 == 0)
    # with sanitizers every case takes many times as long: a third of them
    return sorted(some)[::3 if os.environ.get("SLOW") else 1]
def case(at):
    try:
        return (flip if what == "flips" else cut)(at), None
    except Exception as e:
        return None, "byte %d: %s" % (at, e)
todo = offsets()
with ThreadPoolExecutor(2) as pool:
    results = list(pool.map(case, todo))
faults = [e for _, e in results if e]
good = sum(1 for r, e in results if r)
print("# %d cases of a file of %d bytes: %d readable, %d refused, %d wrong" %
      (len(todo), len(whole), good, len(todo) - good - len(faults), len(faults)))
print("\n".join("# " + f for f in faults[:40]))
sys.exit(bool(faults) or len(todo) < 250 or good == len(todo))
P
like "$(lmodel list m.lmodel | tr '\n' ' ')" "w r z g s" "an archive with several tensors"
python3 drive.py "$real" flips
ok $? "no turned byte gives other weights, and verify sees each"
python3 drive.py "$real" cuts
ok $? "no cut gives other weights, and verify sees each"
leftovers "nothing is left"
done_testing
