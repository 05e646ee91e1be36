# lmodel transform: images for a model with a key (spec: 15).
. "${srcdir:-.}/tests/lib/tap.sh"
image="python3 $srcdir/tests/lib/mkimage.py"

# ---- keys ----

for m in shf np ffx; do
	run 0 lmodel keygen --transform $m --block 4 -o $m.json
	is "$out" "" "keygen --transform $m prints nothing"
	is "$(stat -c %a $m.json)" 600 "... and its file is for its owner alone"
	lmodel keygen -q --transform $m --block 4 --channels 1 -o $m-grey.json
done
lmodel keygen -q --transform shf --block 4 >other.json
unlike "$(cat shf.json)" "$(sed 's/.*"key"//' other.json)" "no key is made twice"
is "$(sed 's/[0-9a-f]\{64\}/KEY/' shf.json)" \
	'{"lmodel": "input-transform", "version": 1, "method": "shf", "block": 4, "channels": 3, "key": "KEY"}' \
	"the key file"
run 1 lmodel keygen --transform shf --block 4 -o shf.json
like "$err" "exists already" "a key file is never replaced"
run 0 lmodel keygen --transform np --block 2 -o few.json
like "$err" "2\^10 keys alone" "few keys are told of"
run 0 lmodel keygen --transform ffx --block 2 --channels 1 -o many.json
is "$err" "" "many are not"
for wrong in "--transform rot13 --block 4" "--transform shf" "--block 4" "--channels 1" \
	"--transform shf --block 0" "--transform shf --block 257" "--transform shf --block x" \
	"--transform shf --block 4 --channels 65" "--transform np --block 1 --channels 1" \
	"--transform shf --block 4 -y shf.json"; do
	# shellcheck disable=SC2086 # a list of words
	run 2 lmodel keygen $wrong -o wrong.json
	[ ! -e wrong.json ]
	ok $? "... and no file: $wrong"
done

# ---- PNG: there and back ----

for kind in grey grey16 rgb rgb16 greya rgba rgba16 grey1 grey4 palette palette-trns interlaced; do
	$image png $kind 24 16 $kind.png
	for m in shf np ffx; do
		case $kind in
		gr*) key=$m-grey.json ;;
		*) key=$m.json ;;
		esac
		case $m,$kind in
		ffx,*16)
			run 5 lmodel transform -k $key $kind.png no.png
			continue
			;;
		esac
		run 0 lmodel transform -k $key $kind.png t.png
		run 0 lmodel transform -k $key --inverse t.png b.png
		if $image show $kind.png >was 2>/dev/null && [ "$(cut -d ' ' -f 2 was)" -ge 8 ] &&
			! grep -q palette was; then
			is "$($image show b.png)" "$(sed 's/ tEXt//' was)" "$kind, $m: the image again"
		else
			lmodel transform -k shf.json -f $kind.png x.png 2>/dev/null ||
				lmodel transform -k shf-grey.json -f $kind.png x.png
			lmodel transform -k shf.json --inverse -f x.png y.png 2>/dev/null ||
				lmodel transform -k shf-grey.json --inverse -f x.png y.png
			is "$($image show b.png)" "$($image show y.png)" "$kind, $m: as another key"
		fi
		[ "$($image show t.png)" != "$($image show b.png)" ]
		ok $? "... was another"
		rm t.png b.png
	done
done
lmodel transform -k ffx.json rgba.png t.png
like "$($image show t.png)" "^rgba 16 " "ffx makes 16 bits of 8"

# ---- arrays ----

# close FILE FILE: arrays of floats, equal but for rounding.
close() {
	python3 - "$srcdir" "$1" "$2" <<'P'
import struct, sys
sys.path.insert(0, sys.argv[1] + "/tests/lib")
import mkimage
a, b = ([x for x, in struct.iter_unpack("<f", mkimage.samples(p))] for p in sys.argv[2:])
sys.exit(len(a) != len(b) or max(abs(x - y) for x, y in zip(a, b)) > 1.2e-7)
P
}

$image npy '|u1' 40,28,28 grey.npy
$image npy '|u1' 3,28,28,3 nhwc.npy
$image npy '<u2' 5,3,8,12 nchw.npy
$image npy '<f4' 5,3,8,12 float.npy
$image npy '|u1' 8,12,3 hwc.npy
$image npy '|u1' 8,12 hw.npy
for file in grey nhwc nchw float hwc hw; do
	for m in shf np ffx; do
		case $file in
		grey | hw) key=$m-grey.json ;;
		*) key=$m.json ;;
		esac
		case $m,$file in
		ffx,nchw) continue ;;
		esac
		run 0 lmodel transform -k $key $file.npy t.npy
		run 0 lmodel transform -k $key --inverse t.npy b.npy
		case $m,$file in
		np,float)
			close $file.npy b.npy
			ok $? "$file, $m: the images again, but for rounding"
			;;
		*) same b.npy $file.npy "$file, $m: the images again" ;;
		esac
		lmodel transform -k $key - - <$file.npy >s.npy
		same s.npy t.npy "... and through a pipe"
		rm t.npy b.npy
	done
done
# More of them than go through at once: those at the end are as those alone.
$image npy '|u1' 5000,28,28 many.npy
run 0 lmodel transform -k shf-grey.json many.npy t.npy
$image npy '|u1' 10,28,28 last.npy
(head -c 128 last.npy && tail -c 7840 many.npy) >last && mv last last.npy
run 0 lmodel transform -k shf-grey.json last.npy l.npy
is "$(tail -c 7840 l.npy | sha256sum)" "$(tail -c 7840 t.npy | sha256sum)" "the last of many images"
$image npy '|u1' 0,28,28 none.npy
run 0 lmodel transform -k shf-grey.json none.npy n.npy
same n.npy none.npy "no image at all"
# The same image, as PNG and as array.
python3 - "$srcdir" <<'P'
import sys
sys.path.insert(0, sys.argv[1] + "/tests/lib")
import mkimage
mkimage.npy("|u1", "16,24,3", "rgb.npy")
*_, rows = mkimage.decode("rgb.png")
data = open("rgb.npy", "rb").read()
open("rgb.npy", "wb").write(data[:128] + b"".join(rows))
P
lmodel transform -k shf.json -f rgb.npy t.npy && lmodel transform -k shf.json -f rgb.png t.png
is "$($image show t.png | cut -d ' ' -f 4)" "$(tail -c +129 t.npy | sha256sum | cut -d ' ' -f 1)" \
	"PNG and array agree"

# layouts
$image npy '|u1' 3,12,3 both.npy
run 2 lmodel transform -k shf.json both.npy no.npy
like "$err" "layout" "two ways to see an array"
$image npy '|u1' 2,4,4,3 both4.npy
run 2 lmodel transform -k shf.json --layout nchw both4.npy no.npy
like "$err" "no dimension" "a layout that is not there"
run 2 lmodel transform -k shf.json --layout hwc both4.npy no.npy
run 0 lmodel transform -k shf.json --layout nhwc both4.npy ok4.npy

# ---- what is refused ----

refused() { # STATUS PATTERN NAME ARGUMENTS...
	status=$1 pattern=$2 name=$3
	shift 3
	run "$status" lmodel transform "$@"
	like "$err" "$pattern" "$name"
	is "$(printf '%s\n' "$err" | grep -c '^lmodel:')" 1 "... in one line"
	unlike "$err" "$(sed 's/.*: "//; s/".*//' shf.json)" "... without the key"
}
rm -f no.*
$image png rgb 10 16 ten.png
refused 2 "10 x 16 pixels cannot be cut into blocks of 4 x 4" "blocks that do not divide" \
	-k shf.json ten.png no.png
$image npy '|u1' 2,10,12,3 ten.npy
refused 2 "12 x 10 pixels cannot be cut into blocks of 4 x 4" "... of an array" \
	-k shf.json ten.npy no.npy
refused 2 "1 channel; the key is for 3" "channels of a PNG" -k shf.json grey.png no.png
refused 2 "no dimension of its 3 is the 3 channels" "channels of an array" \
	-k shf.json grey.npy no.npy
$image npy '<f4' 1,3,4,4 norm.npy 1 -0.5
refused 2 "before they are normalised" "values out of range" -k np.json norm.npy no.npy
run 0 lmodel transform -k shf.json norm.npy ok.npy
refused 4 "no value that this key makes" "ffx, back with another key" -k ffx-grey.json --inverse \
	grey16.png no.png
refused 5 "neither a PNG nor a .npy" "another file" -k shf.json shf.json no.png
refused 1 "exists already" "an output that exists" -k shf.json rgb.png t.png
refused 1 "No such file" "an input that is missing" -k shf.json missing.png no.png
refused 4 "is not the key file" "a key file that is none" -k rgb.png rgb.png no.png
refused 1 "No such file" "a key file that is missing" -k missing.json rgb.png no.png
refused 2 "directory" "a directory" -k shf.json . no.png
refused 2 "is the input" "the output over the input" -k shf.json -f rgb.png ./rgb.png
refused 2 "is the input" "the output over the key" -k shf.json -f rgb.png shf.json
refused 2 "one thing alone" "two things from one stream" -k - - no.png
refused 2 "ARCHIVE or --key is missing" "no key" rgb.png no.png
refused 2 "exclude each other" "two keys" -k shf.json m.lmodel rgb.png no.png
refused 2 "for the key in an ARCHIVE" "an identity for a key file" -k shf.json -i x rgb.png no.png
refused 2 "is not one of hw" "no layout" -k shf.json --layout whc rgb.png no.png
for dtype in '<f8' '>f4' '<i4' '<f2'; do
	$image npy "$dtype" 4,4 d.npy
	refused 5 "uint8, uint16 or float32" "an array of $dtype" -k shf-grey.json d.npy no.npy
done
$image npy '|u1' 8,4 d.npy 1 0 fortran
refused 5 "Fortran" "an array in Fortran order" -k shf-grey.json d.npy no.npy

# Damaged: every length, and a byte changed.
$image npy '|u1' 4,4,4,3 small.npy
$image png rgb 8 8 small.png
for file in small.npy small.png; do
	size=$(stat -c %s $file)
	bad=0
	for n in $(seq 6 7 $((size - 1))); do
		head -c "$n" $file >cut
		lmodel transform -k shf.json cut no.out 2>err
		case $? in
		4 | 5) ;;
		*) bad=$((bad + 1)) && echo "# $n: $(cat err)" ;;
		esac
	done
	is $bad 0 "$file, cut anywhere"
	(cat $file && echo more) >long
	lmodel transform -k shf.json -f long long.out 2>/dev/null
	is $? $([ $file = small.npy ] && echo 4 || echo 0) "$file, and more behind it"
done
python3 - <<'P'
import struct, sys, zlib
def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
def png(path, width, height, *more):
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2,
                                                                  0, 0, 0)) + b"".join(more))
png("huge.png", 2**31 - 1, 2**31 - 1, chunk(b"IDAT", zlib.compress(b"\0" * 100)))
png("wide.png", 2**31 - 1, 1, chunk(b"IDAT", zlib.compress(b"\0" * 100)))
png("short.png", 8, 8, chunk(b"IDAT", zlib.compress(b"\0" * 100)), chunk(b"IEND", b""))
png("crc.png", 8, 8, chunk(b"IDAT", zlib.compress(b"\0" * 200))[:-1] + b"x", chunk(b"IEND", b""))
def npy(path, header):
    header = header.encode() + b"\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header)
npy("huge.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (65536, 65536, 3), }")
npy("many.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4, 4, 3), }")
open("old.npy", "wb").write(b"\x93NUMPY\4\0" + b"\0" * 100)
open("long.npy", "wb").write(b"\x93NUMPY\2\0" + b"\xff" * 100)
P
refused 6 "67108864" "a PNG that is too large" -k shf.json huge.png no.png
refused 6 "67108864" "... too wide" -k shf.json wide.png no.png
refused 4 "PNG" "a PNG with too little data" -k shf.json short.png no.png
refused 4 "PNG" "a PNG with a wrong sum" -k shf.json crc.png no.png
refused 6 "67108864" "an array of images too large" -k shf.json huge.npy no.npy
refused 4 "truncated" "an array that is not there" -k shf.json many.npy no.npy
refused 5 "version 4" "a newer .npy" -k shf.json old.npy no.npy
refused 6 "header" "a long header" -k shf.json long.npy no.npy
is "$(ls no.* .lmodel* 2>/dev/null)" "" "what failed left nothing behind"

# ---- the key in an archive ----

python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors a.weight:F32:48x80 || exit 99
lmodel keygen -q -o owner.key
lmodel keygen -q -o holder.key
lmodel keygen -q -o other.key
run 0 lmodel pack --tier low=1 --tier full=0 --owner "$(lmodel keygen -y owner.key)" \
	--attach shf.json=input-transform.json@full --attach np.json=public.json \
	--attach rgb.png=picture.png -o m.lmodel m.safetensors
run 0 lmodel grant -i owner.key --tier full -r "$(lmodel keygen -y holder.key)" m.lmodel
run 0 lmodel grant -i owner.key --tier low -r "$(lmodel keygen -y other.key)" m.lmodel
lmodel transform -f -k shf.json rgb.png t.png
for key in owner holder; do
	run 0 lmodel transform -i $key.key m.lmodel rgb.png a.png
	same a.png t.png "$key: the key out of the archive"
	rm a.png
done
refused 3 "none of the keys opens tier full" "no key" m.lmodel rgb.png no.png
refused 3 "none of the keys opens tier full" "a key of a lower tier" -i other.key m.lmodel rgb.png \
	no.png
lmodel keygen -q -o stranger.key
refused 3 "none of the keys opens" "a key of nothing" -i stranger.key m.lmodel rgb.png no.png
run 0 lmodel transform --name public.json m.lmodel rgb.png a.png
lmodel transform -f -k np.json rgb.png t.png
same a.png t.png "a public key, by its name"
refused 2 "has no attachment 'x'" "an attachment that is not there" --name x m.lmodel rgb.png no.png
refused 4 "is not the key file" "an attachment that is no key" --name picture.png m.lmodel rgb.png \
	no.png
run 0 env LMODEL_IDENTITY=holder.key lmodel transform m.lmodel - - <rgb.png
printf 'not a model' >bad.lmodel
refused 4 "bad.lmodel" "no archive" bad.lmodel rgb.png no.png
refused 2 "one thing alone" "archive and image from one stream" - - no.png
refused 2 "is the input" "the output over the archive" -f -i holder.key m.lmodel rgb.png m.lmodel
grep -q "$(sed 's/.*"key": "//; s/".*//' shf.json)" m.lmodel
is $? 1 "the key does not lie in the archive"
done_testing
