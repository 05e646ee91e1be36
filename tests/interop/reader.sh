# Archives with tiers, read by a program that was written from the specification alone: what it
# finds is what lmodel finds, and what was packed. And what it must refuse, it refuses.
. "${srcdir:-.}/tests/lib/tap.sh"

for program in age zstd ssh-keygen; do
	command -v $program >/dev/null
	ok $? "$program is installed"
done
python3 -c 'import cryptography'
ok $? "python3-cryptography is installed"

reader() { python3 -B "$srcdir/tests/interop/reader.py" "$@"; }
tamper() { python3 -B "$srcdir/tests/lib/tamper.py" "$@"; }
model() { python3 "$srcdir/tests/lib/mkmodel.py" "$@" || exit 99; }
pub() { lmodel keygen -y "$1.key"; }
# reads ARCHIVE ARGUMENT...: into theirs/, and keeps what the reader says.
reads() {
	rm -rf theirs
	reads_archive=$1
	shift
	run 0 reader "$reads_archive" theirs "$@"
	cp .out report
}
# found EXPRESSION: of what the reader said, as `f`.
found() { python3 -c "import json; f = json.load(open('report')); print($1)"; }

for name in owner silver dora auditor stranger; do lmodel keygen -q -o $name.key || exit 99; done
ssh-keygen -q -t ed25519 -N '' -C stan -f stan || exit 99

# A tensor of each kind of unit that there is, one twice, one empty, one of many chunks.
mkdir in
model in/m.safetensors a.weight:F32:24x32 a2.weight:F32:24x32 b.weight:BF16:64x16:normal:7 \
	lm_head.weight:BF16:64x16:normal:7 conv.weight:F16:8x4x3x3 packed:F4:130x64 bytes:F8_E4M3:200 \
	long:F64:3000 big:BF16:96x128 wide:BF16:256x260 ids:I64:10 none:F32:0 scalar:F32: zeros:F32:70x2:zeros \
	--meta format=pt
echo '{}' >in/config.json
# A model that is the same but for two places.
python3 - <<'P' || exit 99
data = bytearray(open("in/m.safetensors", "rb").read())
for at in len(data) // 2 // 8 * 8, len(data) - 6000:
    data[at:at + 2000] = bytes(b ^ 1 for b in data[at:at + 2000])
open("near.safetensors", "wb").write(data)
P

# let_in NAME: keys of all kinds to NAME.lmodel, which has an owner.
let_in() {
	lmodel grant -q -i owner.key --tier gold -r "$(cat stan.pub)" --label 'Stan, Ltd' "$1.lmodel" &&
		lmodel grant -q -i owner.key --tier silver -r "$(pub silver)" "$1.lmodel" &&
		lmodel grant -q -i owner.key --audit -r "$(pub auditor)" "$1.lmodel" &&
		lmodel grant -q -i owner.key --tier gold -r "$(pub dora)" --detached "$1.lkey" "$1.lmodel" ||
		exit 99
}

# both NAME TITLE: each level of NAME.lmodel, by lmodel and by the reader.
both() {
	rm -rf ours && mkdir ours
	reads "$1.lmodel" -i owner.key
	is "$(found 'f["level"], f["positions"], f["role"]')" "2 [0, 1] ['owner']" "$2: an owner opens all"
	lmodel extract -q --format native --base -o ours/0/ "$1.lmodel" &&
		lmodel extract -q -i owner.key --tier silver --format native -o ours/1/ "$1.lmodel" &&
		lmodel extract -q -i owner.key --format native -o ours/2/ "$1.lmodel"
	ok $? "$2: lmodel reads each level"
	run 0 diff -r ours theirs
	run 0 diff -r in theirs/2
	[ "$(cat theirs/[012]/m.safetensors | wc -c)" -gt 0 ] &&
		! cmp -s theirs/0/m.safetensors theirs/1/m.safetensors &&
		! cmp -s theirs/1/m.safetensors theirs/2/m.safetensors
	ok $? "$2: the levels differ"
}

# ---- ways to pack ----

pack() {
	pack_name=$1
	shift
	run 0 lmodel pack -q --owner "$(pub owner)" --chunk-size 4096 -o "$pack_name.lmodel" "$@" in
}
tiers='--tier silver=4% --tier gold=30%'
pack default $tiers
both default "as a rule"
is "$(found 'sorted(f["units"])')" "['block', 'element', 'slice']" "the units of the rule"
used=$(found '" ".join(f["forms"])')
for unit in slice row column block; do
	pack $unit $tiers --unit $unit --select random --exclude packed
	both $unit "--unit $unit"
	like "$(found 'sorted(f["units"])')" "'$unit'" "--unit $unit: it is used"
	used="$used $(found '" ".join(f["forms"])')"
done
pack zero --tier silver=1 --tier gold=90% --mask zero --scope model --select magnitude
both zero "--mask zero --scope model"
used="$used $(found '" ".join(f["forms"])')"
pack layer $tiers --scope layer --include '*.weight'
both layer "--scope layer, some tensors"
pack reference --tier silver=4% --tier gold=100% --reference near.safetensors
both reference "--reference"
used="$used $(found '" ".join(f["forms"])')"
# One tier: all of everything, and all that differs, which is in runs.
pack all --tier only --select all --level small
reads all.lmodel -i owner.key
run 0 diff -r in theirs/1
used="$used $(found '" ".join(f["forms"])')"
pack near --tier only=100% --reference near.safetensors
reads near.lmodel -i owner.key
run 0 diff -r in theirs/1
used="$used $(found '" ".join(f["forms"])')"
# Locked whole, perturbed in a few places, chosen against an ancestor.
pack locked --tier only --mask deep-lock
reads locked.lmodel -i owner.key
run 0 diff -r in theirs/1
is "$(found 'f["units"]')" "{'tensor': 10}" "locked tensors"
model large.safetensors w:F32:199x201 v:U8:65536:zeros u:U8:65537:zeros:9
run 0 lmodel pack -q --owner "$(pub owner)" -o large.lmodel --tier only --mask deep-lock \
	--include w --include u --include v large.safetensors
reads large.lmodel -i owner.key
same theirs/1/large.safetensors large.safetensors "locked tensors of several blocks"
pack perturbed --tier only --mask perturb --reference near.safetensors
reads perturbed.lmodel -i owner.key
run 0 diff -r in theirs/1
same theirs/0/m.safetensors near.safetensors "the perturbed model is the base"
pack ancestor --tier only=50% --ancestor near.safetensors
reads ancestor.lmodel -i owner.key
run 0 diff -r in theirs/1
# Side files of tiers, and a tier of nothing else.
printf 'sesame\n' >tok.json
head -c 70000 /dev/urandom >large
: >empty
pack attached --tier bronze=0 --tier silver=4% --attach tok.json@bronze --attach large=a/large@silver \
	--attach empty@silver
reads attached.lmodel -i owner.key
rm -rf ours
mkdir ours
lmodel extract -q --base --format native -o ours/0/ attached.lmodel &&
	lmodel extract -q -i owner.key --tier bronze --format native -o ours/1/ attached.lmodel &&
	lmodel extract -q -i owner.key --format native -o ours/2/ attached.lmodel
ok $? "side files of tiers: lmodel reads each level"
run 0 diff -r ours theirs
run 0 cmp theirs/1/tok.json tok.json
run 0 cmp theirs/2/a/large large
run 0 cmp theirs/2/empty empty
[ ! -e theirs/0/tok.json ] && [ ! -e theirs/1/a ]
ok $? "side files of tiers: not below their tier"
for form in all gaps complement runs; do
	like "$used" "(^| )$form( |\$)" "positions of form $form were met"
done

# ---- every key ----

let_in default
both default "with slots"
is "$(found '";".join(",".join(map(str, e)) for e in f["book"])')" \
	"1,owner,,;2,holder,gold,Stan, Ltd;3,holder,silver,;4,audit,," "the owner's book"
mv theirs all
# opens LEVEL POSITIONS ROLE ARGUMENT...: and nothing above that level.
opens() {
	opens_level=$1 opens_rest="$2 $3"
	shift 3
	reads default.lmodel "$@"
	is "$(found 'f["level"], f["positions"], f["role"]')" "$opens_level $opens_rest" \
		"$*: what it opens"
	is "$(echo theirs/*)" "$(seq -s ' ' -f 'theirs/%g' 0 "$opens_level")" "$*: and no more"
	for opens_at in theirs/*; do
		diff -r "$opens_at" "all/${opens_at#theirs/}"
		ok $? "$*: $opens_at has the same bytes"
	done
}
opens 2 "[0, 1]" "['holder']" -i stan
opens 1 "[0]" "['holder']" -i silver.key
opens 0 "[0, 1]" "['audit']" -i auditor.key
opens 2 "[0, 1]" "['holder']" -i dora.key -g default.lkey
opens 0 "[]" "[]"
opens 2 "[0, 1]" "['audit', 'holder', 'owner']" -i auditor.key -i silver.key -i stan -i owner.key
is "$(found 'len(f["grants"])')" 1 "all grants have one length"
run 3 reader default.lmodel none -i stranger.key
run 3 reader default.lmodel none -i stranger.key -g default.lkey
is "$(ls none 2>/dev/null)" "" "and nothing is written"

# Tensor by tensor.
cat >tensors.py <<'P'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
n, = struct.unpack_from("<Q", data)
for name, t in json.loads(data[8:8 + n]).items():
    if name != "__metadata__":
        open("%s.%s" % (sys.argv[2], name), "wb").write(
            data[8 + n + t["data_offsets"][0]:8 + n + t["data_offsets"][1]])
        print(name)
P
for level in 0:--base 1:--tier=silver 2:--tier=gold; do
	python3 tensors.py all/${level%%:*}/m.safetensors raw >names || exit 99
	is "$(wc -l <names)" 14 "level ${level%%:*}: tensors"
	while read -r name; do
		lmodel cat --raw -i stan ${level#*:} default.lmodel "$name" >one
		ok $? "level ${level%%:*}: cat $name"
		same one "raw.$name" "level ${level%%:*}: $name"
	done <names
done

# ---- without the shards of a tier ----

run 0 lmodel strip --tier silver -o stripped.lmodel default.lmodel
reads stripped.lmodel -i silver.key
diff -r theirs/1 all/1
ok $? "stripped: the tier that is there"

# ---- what is wrong is told ----

# refused PATTERN NAME: by the reader with a key of each kind, of f.lmodel.
refused() {
	for keys in "-i dora.key -g default.lkey" "-i owner.key"; do
		rm -rf none
		# shellcheck disable=SC2086
		reader f.lmodel none $keys >/dev/null 2>err.txt
		is "$?:$(ls none 2>/dev/null | grep -c 2)" "4:0" "$2, ${keys% -g*}: refused"
		like "$(cat err.txt)" "^reader: .*$1" "$2, ${keys% -g*}: and why"
	done
	lmodel extract -f -i stan -o got f.lmodel >/dev/null 2>&1
	is $? 4 "$2: by lmodel, too"
}
reads default.lmodel -i owner.key
for what in "base:SHA-256 list|chunk 0" "positions:digest of positions" \
	"values:digest of values"; do
	at=$(found "f['places']['${what%%:*}']")
	for behind in 0 30 60; do
		python3 - "$((at + behind))" <<'P' || exit 99
import sys
data = bytearray(open("default.lmodel", "rb").read())
data[int(sys.argv[1])] ^= 1
open("f.lmodel", "wb").write(data)
P
		refused "(${what#*:})" "byte $behind of ${what%%:*}"
	done
done

# Rows, with all digests made right again.
mkdir slots
tamper slots default.lmodel slots && age -d -i owner.key slots/1.age >owner.grant || exit 99
# forged THEFT NAME PATTERN
forged() {
	# shellcheck disable=SC2086
	tamper $1 "$2" default.lmodel f.lmodel || ok 1 "forged: $2"
	refused "$3" "$2${1:+, $1}"
}
run 0 tamper nothing default.lmodel f.lmodel
reads f.lmodel -i owner.key
diff -r theirs all
ok $? "nothing was changed: nothing is refused"
for name in swap_shards base_public metadata shape drop_tier selection amount unit; do
	forged "" $name 'is not the archive that the grant is for: owner$'
done
forged "" owner_kept "the owner's signature$"
for name in swap_shards metadata amount position_commitment; do
	forged "--seed owner.grant" $name '(the MAC of tier (silver|gold)|that the grant is for: .*)$'
done
forged "--seed owner.grant" commitment 'that the grant is for: (silver|gold)$'
for name in swap_shards swap_positions swap_streams base_swapped; do
	forged "--keys owner.grant" $name "(a commitment|digest of|a unit|positions|tag|values)"
done
# ---- the book keeps nobody from reading; keys may be replaced ----

cp default.lmodel old.lmodel
run 0 lmodel revoke -q -i owner.key default.lmodel 4
run 0 tamper book_replayed default.lmodel f.lmodel old.lmodel
reads f.lmodel -i owner.key
is "$(found 'f["level"], f["book"]')" "2 None" "an old book is seen, and keeps nobody from reading"
run 0 lmodel rekey -q -i owner.key --tier gold default.lmodel
both default "a tier with a new key"
is "$(found 'len(f["book"])')" 3 "its book"
run 3 reader default.lmodel none -i dora.key -g default.lkey
is "$err" "reader: outdated grant" "a detached grant of the old key"
reads default.lmodel -i stan
run 0 diff -r in theirs/2
reads default.lmodel -i silver.key
diff -r theirs/1 all/1
ok $? "the tier below is as it was"
done_testing
