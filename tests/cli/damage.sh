# Each byte of an archive turned, and the file cut everywhere: refused, or exactly the original
# weights; verify says so; never a signal, and nothing half-written.
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
def check(name, data, silent=False):
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
    """Fields of tar headers that tell nothing about members: verify need not know them, except
    that the header's own checksum covers them all."""
    return False
def cut(at):
    read, verified = check("", whole[:at])
    if verified < 4:
        raise AssertionError("verify found no fault")
    if read and at < len(whole) - 1024:
        raise AssertionError("weights came out of less than all members")
    return read
def offsets():
    if what == "cuts":
        return sorted(set(range(0, len(whole), 64)) | set(range(len(whole) - 1100, len(whole), 97)))
    image = max(i for i in range(A, A + R - 512) if whole[i]) + 1 - A
    return sorted(set(range(0, 2048)) |                          # mimetype, header and start of A
                  set(range(A, A + image, 7)) | set(range(A + image, A + R - 512, 61)) |
                  set(range(A + R - 512, A + R - 512 + 128)) |   # footers
                  set(range(A + R - 384, B, 3)) |
                  set(range(B, B + image, 29)) | set(range(B + image, B + R - 512, 61)) |
                  set(range(B + R - 512, B + R - 512 + 128)) |
                  set(range(B + R - 384, B + R, 11)) |
                  set(range(B + R, len(whole), 3 if len(whole) - B - R > 6000 else 1)))
def case(at):
    try:
        return (flip if what == "flips" else cut)(at), None
    except Exception as e:
        return None, "byte %d: %s" % (at, e)
share, of = [int(x) for x in os.environ.get("DAMAGE_SHARE", "0/1").split("/")]
todo = offsets()[share::of]
with ThreadPoolExecutor(2) as pool:
    results = list(pool.map(case, todo))
faults = [e for _, e in results if e]
good = sum(1 for r, e in results if r)
print("# %d cases of a file of %d bytes: %d readable, %d refused, %d wrong" %
      (len(todo), len(whole), good, len(todo) - good - len(faults), len(faults)))
print("\n".join("# " + f for f in faults[:40]))
sys.exit(bool(faults) or len(todo) < 300 or good == len(todo))
P
like "$(lmodel list m.lmodel | tr '\n' ' ')" "w r z g s" "an archive with several tensors"
python3 drive.py "$real" flips
ok $? "no turned byte gives other weights, and verify sees each"
python3 drive.py "$real" cuts
ok $? "no cut gives other weights, and verify sees each"
leftovers "nothing is left"
done_testing
