# Skeletons that lie, of a file with CRCs and an array in Fortran order: refused, whatever they
# would write. All digests in these archives are right.
. "${srcdir:-.}/tests/lib/tap.sh"

cat >make.py <<'P'
import struct, sys, zlib
sys.path.insert(0, sys.argv[1])
import forge

def u64(*n): return struct.pack("<%dQ" % len(n), *n)
def literal(b): return b"\1" + u64(len(b)) + b
def tensors(first, count): return b"\2" + u64(first, count)
def crc(begin, end): return b"\3" + u64(begin, end)
def axes(tensor, *order, rank=None):
    return b"\4" + u64(tensor, len(order) if rank is None else rank) + bytes(order)

def array(order, shape):
    text = "{'descr': '<f4', 'fortran_order': %s, 'shape': %s, }" % (order, shape)
    return b"\x93NUMPY\1\0" + struct.pack("<H", 118) + text.ljust(117).encode() + b"\n"

F, C = array("True", "(3, 4)"), array("False", "(5,)")
fortran = struct.pack("<12f", *[4 * i + j for j in range(4) for i in range(3)])
vector = struct.pack("<5f", *range(100, 105))
data = [F + fortran, C + vector]

def local(name, d):
    return struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 0, 0, 33, zlib.crc32(d), len(d), len(d),
                       5, 0) + name
def central(name, d, at):
    return struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, 0, 0, 0, 33, zlib.crc32(d),
                       len(d), len(d), 5, 0, 0, 0, 0, 0, at) + name
second = 35 + len(data[0])
directory = second + 35 + len(data[1])
both = central(b"f.npy", data[0], 0) + central(b"v.npy", data[1], second)
end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 2, 2, len(both), directory, 0)
whole = local(b"f.npy", data[0]) + data[0] + local(b"v.npy", data[1]) + data[1] + both + end
if len(sys.argv) == 2:
    open("m.npz", "wb").write(whole)
    sys.exit()

# The sound one, in parts.
one, two = (35, second), (second + 35, directory)
L1, L2 = local(b"f.npy", data[0]), local(b"v.npy", data[1])
parts = [literal(L1[:14]), crc(*one), literal(L1[18:] + F), axes(0, 1, 0), literal(L2[:14]),
         crc(*two), literal(L2[18:] + C), tensors(1, 1), literal(both[:16]), crc(*one),
         literal(both[20:51 + 16]), crc(*two), literal(both[51 + 20:] + end)]
def but(index, *instead): return parts[:index] + list(instead) + parts[index + 1:]
cases = {
    "sound": parts,
    "unknown": but(3, b"\5" + u64(0, 2) + b"\1\0"),
    "crc_cut": parts[:-1] + [parts[-1], b"\3" + bytes(15)],
    "crc_backwards": but(1, crc(second, 35)),
    "crc_outside": but(1, crc(35, len(whole) + 1)),
    "crc_of_crc": but(1, crc(0, second)),
    "crc_overlap": but(1, crc(35, second - 1)),
    "crc_many": but(12, *[crc(0, 0)] * 5),
    "axes_none": but(3, tensors(0, 1)),
    "axes_other": but(3, axes(0, 0, 1)),
    "axes_twice": but(3, axes(0, 0, 0)),
    "axes_beyond": but(3, axes(0, 0, 2)),
    "axes_rank": but(3, axes(0, 0, 1, 2)),
    "axes_cut": parts[:3] + [b"\4" + u64(0, 64) + b"\1\0"],
    "axes_huge": parts[:3] + [axes(0, 1, 0, rank=1 << 63)],
    "axes_tensor": but(3, axes(2, 1, 0)),
    "axes_of_vector": but(7, axes(1, 0)),
    "again": but(7, axes(0, 1, 0)),
    "in_the_clear": parts[:2] + [literal(L1[18:] + F + fortran + L2[:14])] + parts[5:],
    "order": but(2, literal(L1[18:] + array("False", "(3, 4)"))),
    "shape": but(2, literal(L1[18:] + array("True", "(4, 3)"))),
    "name": but(4, literal(L2[:14])) [:6] + [literal(L2[18:30] + b"w.npy" + C)] + parts[7:],
    "short": parts[:-1] + [literal(both[51 + 20:] + end[:-1])],
}
name = sys.argv[2]
if name == "list":
    print("\n".join(cases))
else:
    a = forge.Archive("m.lmodel")
    a.members[0].fill(b"".join(cases[name]))
    open("x.lmodel", "wb").write(a.build())
P
python3 make.py "$srcdir/tests/lib" || exit 99
run 0 lmodel pack -q --seed 01 -o m.lmodel m.npz
is "$(lmodel list -l m.lmodel | awk '{ print $1, $2, $NF }' | tr '\n' ' ')" \
	"F32 [3,4] f F32 [5] v " "what is packed"

# the message of each, an extended regular expression
reason() {
	case $1 in
	unknown | crc_cut) echo "record is not defined or cut short" ;;
	crc_backwards | crc_outside) echo "CRC is of bytes outside of the file" ;;
	crc_of_crc) echo "CRC is of a CRC|ranges that overlap" ;;
	crc_overlap) echo "CRCs are of ranges that overlap" ;;
	crc_many) echo "more than two CRCs a tensor" ;;
	axes_none | axes_other) echo "tensors in other places" ;;
	axes_twice | axes_beyond | axes_rank) echo "axes are not those of the tensor" ;;
	axes_cut | axes_huge) echo "axes are too many or cut short" ;;
	axes_tensor | again) echo "tensor number is out of range" ;;
	axes_of_vector) echo "tensors in other places" ;;
	in_the_clear) echo "tensors in other places" ;;
	order) echo "tensors in other places" ;;
	shape) echo "other tensors than the manifest" ;;
	name) echo "another name than in the directory" ;;
	short) echo "longer than the file|does not add up" ;;
	*) echo "no reason is known" ;;
	esac
}
for case in $(python3 make.py "$srcdir/tests/lib" list); do
	python3 make.py "$srcdir/tests/lib" "$case" || exit 99
	rm -rf out d
	if [ "$case" = sound ]; then
		run 0 lmodel verify -q x.lmodel
		run 0 lmodel extract -q --format native -o out x.lmodel
		same out m.npz "the builder's own skeleton is a good one"
		continue
	fi
	run 4 lmodel verify x.lmodel
	like "$out$err" "skeleton of 'm.npz'.*($(reason "$case"))" "$case: verify says why"
	run 4 lmodel extract -q --format native -o out x.lmodel
	run 4 lmodel extract -q --format native -o d/ x.lmodel
	is "$(ls -d out d 2>/dev/null)" "" "$case: nothing is written"
done
# Tensors come out of an archive that cannot give back its file.
run 0 lmodel extract -q -o f.npy x.lmodel f
leftovers "nothing is left behind"
done_testing
