# What is no model or no archive: the exit status that lmodel(1) documents, one line, no output.
. "${srcdir:-.}/tests/lib/tap.sh"

python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors a:F32:4 b:U8:3 --meta k=v || exit 99
lmodel pack m.safetensors || exit 99
mkdir in out

# one_line STATUS "NAME" COMMAND...
one_line() {
	status_wanted=$1 line_name=$2
	shift 2
	(cd out && timeout 10 "$@" >../o 2>../e </dev/null)
	is "$?:$(grep -c . e):$(grep -c '^lmodel: ' e):$(cat o)" "$status_wanted:1:1:" "$line_name"
	is "$(ls -A out)" "" "nothing is left: $line_name"
}
pack_refuses() {
	one_line "$1" "pack: $2" lmodel pack -o x.lmodel "$3"
}
read_refuses() {
	for c in list inspect; do
		one_line "$1" "$c: $2" lmodel $c "$3"
	done
	archive_refuses "$@"
}
archive_refuses() {
	one_line "$1" "verify: $2" lmodel verify "$3"
	one_line "$1" "extract: $2" lmodel extract -o x.out "$3"
	one_line "$1" "cat: $2" lmodel cat "$3" a
	one_line "$1" "diff: $2" lmodel diff "$PWD/m.lmodel" "$3"
	one_line "$1" "repack: $2" lmodel repack -o x.out "$3"
	one_line "$1" "repack in place: $2" lmodel repack "$3"
}
both_refuse() {
	pack_refuses "$1" "$2" "$3"
	read_refuses "$1" "$2" "$3"
}

# things that are no files
mkfifo fifo
both_refuse 2 "a FIFO" "$PWD/fifo"
both_refuse 2 "a device" /dev/zero
mkdir dir
both_refuse 2 "an empty directory" "$PWD/dir"
both_refuse 1 "nothing" "$PWD/missing"
both_refuse 1 "a file below a file" "$PWD/m.safetensors/x"
ln -s loop loop
both_refuse 1 "a link to itself" "$PWD/loop"
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'
one_line 1 "a socket" lmodel pack -o x.lmodel "$PWD/sock"

# files that are something else
: >empty
both_refuse 4 "an empty file" "$PWD/empty"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 12345\n' 0 >lfs
both_refuse 4 "a Git LFS pointer" "$PWD/lfs"
lmodel pack -o x.lmodel lfs 2>e
like "$(cat e)" "Git LFS pointer.*git lfs pull" "how to get the file is told"
head -c 3000 /dev/zero >zeros
both_refuse 4 "zeros" "$PWD/zeros"
magic() {
	printf "$2" >magic
	head -c 2000 /dev/zero >>magic
	pack_refuses 5 "$1" "$PWD/magic"
	lmodel pack -o x.lmodel magic 2>e
	like "$(cat e)" "$3" "pack tells what it is: $1"
	one_line 4 "list: $1" lmodel list "$PWD/magic"
	one_line 4 "extract: $1" lmodel extract -o x.out "$PWD/magic"
}
for v in 2 3 4 5; do
	magic "pickle $v" "\\200\\$v}q\\1\\377\\377\\377\\377" "pickle"
done
magic HDF5 '\211HDF\r\n\032\n' "HDF5"
magic gzip '\037\213\010\0\1\2\3\4' "gzip"
magic zstd '\050\265\057\375\0\0\0\0' "Zstandard"
magic JSON '{"model_type": "llama"}' "JSON"
magic HTML '<!DOCTYPE html><html>' "HTML"
pack_refuses 5 "an archive" "$PWD/m.lmodel"
cp e something.txt && tar -cf x.tar something.txt
pack_refuses 5 "a tar file" "$PWD/x.tar"
read_refuses 4 "a tar file" "$PWD/x.tar"
archive_refuses 4 "a model" "$PWD/m.safetensors"
for c in "list -l" "list --json" inspect "inspect --json"; do
	run 0 lmodel $c m.safetensors
done

# over a limit
python3 - <<'P' || exit 99
import struct
open("long", "wb").write(struct.pack("<Q", 100000001) + b"{")
open("long", "r+b").truncate(100000100)
name = "n" * 70000
text = ('{"%s":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}' % name).encode()
open("name", "wb").write(struct.pack("<Q", len(text)) + text + b"x")
text = b'{"a":{"dtype":"F128","shape":[1],"data_offsets":[0,16]}}'
open("dtype", "wb").write(struct.pack("<Q", len(text)) + text + b"x" * 16)
P
for f in long name; do
	lmodel pack -o out/x.lmodel $f >o 2>e
	like "$?:$(wc -l <e):$(ls -A out)" '^[46]:1:$' "over a limit: $f"
done
pack_refuses 5 "an unknown dtype" "$PWD/dtype"
one_line 5 "list: an unknown dtype" lmodel list "$PWD/dtype"
one_line 6 "inspect: over a limit" lmodel inspect "$PWD/name"

# archives of another time: a later format version, in both slots, well signed
python3 - <<'P' || exit 99
import hashlib, struct
raw = bytearray(open("m.lmodel", "rb").read())
R = int(bytes(raw[1148:1159]), 8)
foot = bytearray(raw[1536 + R - 512:1536 + R])
def find():
    for at in range(0, 128, 4):
        n, = struct.unpack_from("<Q", foot, at)
        if 512 <= n <= R - 512 and n % 512 == 0:
            for end in range(at + 8, 256, 4):
                if hashlib.sha256(raw[1536:1536 + n] + foot[:end]).digest() == foot[end:end + 32]:
                    return n, end
n, end = find()
version_at, = [at for at in range(0, 20, 4) if struct.unpack_from("<I", foot, at)[0] == 1][:1]
struct.pack_into("<I", foot, version_at, 2)
foot[end:end + 32] = hashlib.sha256(bytes(raw[1536:1536 + n]) + bytes(foot[:end])).digest()
for start in 1536, 1536 + R + 512:
    raw[start + R - 512:start + R] = foot
open("newer.lmodel", "wb").write(raw)
P
read_refuses 5 "a newer format" "$PWD/newer.lmodel"

# Every prefix of a tiny model, every bit of its header turned. A driver calls the program and
# prints what went against the rules; each case in a directory of its own.
real=$builddir/bin/.libs/lmodel
if [ -x "$real" ]; then
	export LD_LIBRARY_PATH="$builddir/libfmt/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
else
	real=$(command -v lmodel)
fi
cat >drive.py <<'P'
import os, subprocess, sys, tempfile
from concurrent.futures import ThreadPoolExecutor
lmodel, model = sys.argv[1:]
whole = open(model, "rb").read()
n = 8 + int.from_bytes(whole[:8], "little")
cases = [("prefix %d" % i, whole[:i]) for i in range(len(whole))]
for i in range(n):
    for bit in range(8):
        x = bytearray(whole)
        x[i] ^= 1 << bit
        cases.append(("byte %d bit %d" % (i, bit), bytes(x)))
cases.append(("one byte more", whole + b"x"))
def call(*args, **more):
    return subprocess.run([lmodel, *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, **more)
def case(which):
    name, data = which
    with tempfile.TemporaryDirectory(dir=".") as d:
        open(d + "/in", "wb").write(data)
        r = call("pack", "-j1", "-o", "x.lmodel", "in", cwd=d)
        left = sorted(os.listdir(d))
        if r.returncode == 0:
            e = call("extract", "-j1", "-o", "back", "x.lmodel", cwd=d)
            if e.returncode != 0 or open(d + "/back", "rb").read() != data:
                return "%s: packed, but does not come back: %s" % (name, e.stderr)
            if name.startswith("prefix") or name.startswith("one"):
                return "%s: accepted" % name
            return "accepted"
        if r.returncode not in (4, 5, 6):
            return "%s: exit status %d: %s" % (name, r.returncode, r.stderr)
        if r.stderr.count(b"\n") != 1 or not r.stderr.startswith(b"lmodel: 'in'") or r.stdout:
            return "%s: message %s" % (name, r.stderr)
        if left != ["in"]:
            return "%s: left %s" % (name, left)
with ThreadPoolExecutor(2) as pool:
    results = list(pool.map(case, cases))
faults = [r for r in results if r and r != "accepted"]
print("# %d cases, %d still a model" % (len(cases), results.count("accepted")))
print("\n".join("# " + f for f in faults[:20]))
sys.exit(bool(faults) or len(cases) < 500 or results.count("accepted") in (0, len(cases)))
P
python3 "$srcdir/tests/lib/mkmodel.py" tiny.safetensors a:F32:2 b:U8:1 || exit 99
python3 drive.py "$real" tiny.safetensors
ok $? "every prefix of a model and every turned bit of its header: refused, or packed as it is"

leftovers "nothing is left"
done_testing
