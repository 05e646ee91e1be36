# lmodel cat: one tensor, as NumPy reads it and as bytes.
. "${srcdir:-.}/tests/lib/tap.sh"

args=()
for dtype in BOOL U8 I8 I16 U16 F16 BF16 I32 U32 F32 I64 U64 F64 C64 F8_E4M3 F8_E5M2 F8_E8M0; do
	args+=("m.$dtype:$dtype:3x4:random" "s.$dtype:$dtype:" "e.$dtype:$dtype:2x0")
done
python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors "${args[@]}" F4:F4:6x3 F6:F6_E2M3:8 \
	large:F32:400x700 twin:F32:400x700:normal:t other:F32:400x700:normal:t || exit 99
lmodel pack --chunk-size 64KiB m.safetensors || exit 99

# raw DTYPE...: the bytes as the safetensors file has them
cat >raw.py <<'P'
import json, struct, sys
raw = open("m.safetensors", "rb").read()
n, = struct.unpack("<Q", raw[:8])
a, b = json.loads(raw[8:8 + n].decode())[sys.argv[1]]["data_offsets"]
sys.stdout.buffer.write(raw[8 + n + a:8 + n + b])
P
same_raw() {
	python3 raw.py "$1" >wanted && lmodel cat --raw m.lmodel "$1" >got
	is "$?" 0 "--raw $1 works"
	same got wanted "--raw $1"
}
for name in m.BOOL m.F16 m.C64 s.F64 e.F32 F4 F6 large twin other m.F8_E8M0; do
	same_raw $name
done

# .npy, read here by hand: NumPy need not be there
cat >npy.py <<'P'
import ast, struct, sys
raw = open(sys.argv[1], "rb").read()
assert raw[:8] == b"\x93NUMPY\x01\x00", raw[:8]
n, = struct.unpack("<H", raw[8:10])
assert (10 + n) % 64 == 0 and raw[9 + n:10 + n] == b"\n"
head = ast.literal_eval(raw[10:10 + n].decode("latin1"))
assert sorted(head) == ["descr", "fortran_order", "shape"] and head["fortran_order"] is False
print(head["descr"], head["shape"])
open("got", "wb").write(raw[10 + n:])
P
npy() {
	run 0 sh -c "lmodel cat m.lmodel $1 >x.npy"
	is "$(python3 npy.py x.npy 2>&1)" "$2" ".npy header of $1"
	python3 raw.py "$1" >wanted
	same got wanted ".npy data of $1"
}
while read -r dtype descr; do
	npy "m.$dtype" "$descr (3, 4)"
	npy "s.$dtype" "$descr ()"
	npy "e.$dtype" "$descr (2, 0)"
done <<'D'
BOOL |b1
U8 |u1
I8 |i1
I16 <i2
U16 <u2
F16 <f2
BF16 <V2
I32 <i4
U32 <u4
F32 <f4
I64 <i8
U64 <u8
F64 <f8
C64 <c8
F8_E4M3 |V1
F8_E5M2 |V1
F8_E8M0 |V1
D
npy large "<f4 (400, 700)"
needs_python numpy
if [ -n "$python" ]; then
	for name in m.BOOL m.F16 m.C64 m.BF16 m.F8_E4M3 s.F64 e.F32 large; do
		lmodel cat m.lmodel $name >$name.npy && python3 raw.py $name >$name.raw || exit 99
	done
	"$python" - *.npy >numpy.log 2>&1 <<'P'
import sys
import numpy
for name in sys.argv[1:]:
    if name != "x.npy":
        a = numpy.load(name, allow_pickle=False)
        assert a.tobytes() == open(name[:-3] + "raw", "rb").read(), name
        print(name, a.dtype, a.shape)
P
	ok $? "NumPy reads them"
	is "$(wc -l <numpy.log)" 8 "all eight"
	like "$(cat numpy.log)" "^large.npy float32 \\(400, 700\\)" "with their shapes"
fi

# dtypes that a .npy cannot hold
run 5 lmodel cat m.lmodel F4
like "$err" "F4" "F4 is told"
is "$out:$(printf '%s\n' "$err" | wc -l)" ":1" "with one line and no output"
run 5 lmodel cat m.lmodel F6

# names
run 2 lmodel cat m.lmodel nothing
is "$err" "lmodel: 'm.lmodel': no tensor or side file 'nothing'" "a tensor that is not there"
run 2 lmodel cat m.lmodel 'm.*'
run 2 lmodel cat m.lmodel m
is "$out" "" "a name is a whole name, no pattern"

# streams, workers
run 0 sh -c 'cat m.lmodel | lmodel cat --raw - large >got'
python3 raw.py large >wanted
same got wanted "an archive from a pipe"
run 0 sh -c 'lmodel cat --raw -j 3 m.lmodel large >got'
same got wanted "three workers keep the order"
run 1 sh -c 'lmodel cat m.lmodel large >/dev/full'
like "$err" "No space left" "a full disk is told"

# damage in another tensor does no harm; damage in this one lets no wrong byte out
python3 - <<'P' || exit 99
import os, sys
sys.path.insert(0, os.environ["srcdir"] + "/tests/lib")
from places import place
raw = bytearray(open("m.lmodel", "rb").read())
raw[place(raw, "large")[0] + 200000] ^= 1
open("bad.lmodel", "wb").write(raw)
P
run 0 sh -c 'lmodel cat --raw bad.lmodel twin >got'
python3 raw.py twin >wanted
same got wanted "a tensor beside the damage"
run 4 sh -c 'lmodel cat --raw bad.lmodel large >got'
like "$err" "base/large.*chunk [0-9]+.*SHA-256 does not match" "damage is told"
python3 raw.py large >wanted
cmp -n "$(stat -c %s got)" got wanted
ok $? "what was written before it is right"
[ "$(stat -c %s got)" -lt "$(stat -c %s wanted)" ]
ok $? "and ends where it begins"
leftovers "nothing is left"
done_testing
