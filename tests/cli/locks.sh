# Masks that publish a function of the true values: --mask deep-lock, --mask perturb. Exact for who
# has the key, and marked as the obfuscation that they are wherever they show.
. "${srcdir:-.}/tests/lib/tap.sh"

needs age
for who in owner ann eve aud; do lmodel keygen -q -o $who.key || exit 99; done
pub() { lmodel keygen -y "$1.key"; }
owner=$(pub owner)
obfuscation="obfuscation: recoverable without a key"

# ---- deep-lock: every dtype, sizes around a block of 65536 bytes, a tensor twice ----

python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors a:F32:160x130 twin:F32:160x130:normal:t \
	twin2:F32:160x130:normal:t f64:F64:70 bf:BF16:50x70 h:F16:9x9 c:C64:70 e4:F8_E4M3:3x70 \
	e5:F8_E5M2:77 e8:F8_E8M0:64 f6:F6_E2M3:64x3 f6b:F6_E3M2:128 f4:F4:130x64 i8:I8:65536:random \
	u8:U8:65537:random u16:U16:40000 i16:I16:7 u32:U32:100 i32:I32:3 i64:I64:50 u64:U64:9 flag:BOOL:100 \
	small:F32:10 zeros:F32:70000:zeros one:U8: none:F32:0 --meta format=pt || exit 99
every=$(for n in a twin f64 bf h c e4 e5 e8 f6 f6b f4 i8 u8 u16 i16 u32 i32 i64 u64 flag small zeros \
	one; do echo "--include $n"; done)
run 0 lmodel pack --mask deep-lock --tier full --owner "$owner" -r "$(pub ann)=full" \
	--audit "$(pub aud)" -o m.lmodel m.safetensors
like "$err" "^lmodel: mask deep-lock: $obfuscation" "pack warns"
run 0 lmodel pack --mask deep-lock --select all --tier full --owner "$owner" -o all.lmodel \
	--chunk-size 4096 $every m.safetensors
for a in m all; do
	run 0 lmodel verify -i owner.key $a.lmodel
	run 0 lmodel extract -i owner.key -o $a.out $a.lmodel
	same $a.out m.safetensors "$a: the owner gets the truth"
	run 0 lmodel extract -o $a.base $a.lmodel
	is "$(cmp -s $a.base m.safetensors && echo same)" "" "$a: the base is not the truth"
done
run 0 sh -c "lmodel extract -i ann.key -o - m.lmodel >ann.out"
same ann.out m.safetensors "to a stream"
run 0 lmodel extract -i ann.key -o one.safetensors m.lmodel a f4
run 0 lmodel extract -i ann.key -o dir/ --max-shard-size 100KiB m.lmodel
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
python3 tensors.py m.safetensors true >names || exit 99
python3 tensors.py m.base base >/dev/null || exit 99
python3 tensors.py all.base abase >/dev/null || exit 99
python3 tensors.py one.safetensors one >/dev/null || exit 99
same one.a true.a "one tensor of several"
while read -r name; do
	lmodel cat --raw -i owner.key all.lmodel "$name" >got
	same got "true.$name" "cat $name"
done <names
is "$(for n in $(cat names); do cmp -s "base.$n" "true.$n" && printf '%s ' "$n"; done)" \
	"i8 u8 u16 i16 u32 i32 i64 u64 flag small one none " "the rule: floats of 64 elements or more"
# A single byte is locked as itself by chance.
is "$(for n in $(grep -v one names); do cmp -s "abase.$n" "true.$n" && printf '%s ' "$n"; done)" "" \
	"every dtype"
same base.twin base.twin2 "equal tensors are one"
# By chance one byte in 256.
cat >equal.py <<'P'
import sys
a, b = (open(p, "rb").read() for p in sys.argv[1:])
print("noise" if sum(x == y for x, y in zip(a, b)) < len(a) / 128 else "alike")
P
is "$(python3 equal.py base.a true.a; python3 equal.py base.a base.twin)" "noise
noise" "what is locked looks like nothing"
dd if=base.zeros bs=65536 skip=1 count=1 2>/dev/null >second
is "$(python3 equal.py base.zeros second)" "noise" "blocks of zeros do not look alike"

# ---- wherever it shows ----

run 0 lmodel inspect m.lmodel
like "$out" "masked by deep-lock" "inspect names the mask"
like "$out" "$obfuscation" "inspect says what that is"
run 0 lmodel inspect --json m.lmodel
like "$out" '"recoverable": true' "inspect --json"
like "$out" 'must-understand deep-lock tiers\\n' "older readers refuse it by name"
run 0 lmodel list -l m.lmodel a
like "$out" "obf 100.0%" "list -l"
run 0 lmodel list --json m.lmodel a
like "$out" '"protected_bytes": 0, "recoverable_bytes": 83200' "list --json"
for key in owner aud; do
	run 0 lmodel audit -i $key.key m.lmodel
	like "$out" "hidden +0 of" "audit, $key: counts as public"
	like "$out" "$obfuscation; counts as public" "audit, $key: says so"
done
run 0 lmodel audit --json -i aud.key m.lmodel
like "$out" '"hidden_elements": 0, "hidden_bytes": 0' "audit --json: counts as public"
like "$out" '"recoverable": true' "audit --json"
run 0 lmodel audit m.lmodel
like "$out" "hidden +at most 0 of" "audit without a key"
run 0 lmodel audit --cyclonedx - -i owner.key m.lmodel
like "$out" "No parameter is encrypted" "CycloneDX: nothing is encrypted"
like "$out" "parameters of tier full are obfuscated only, recoverable without a key" "CycloneDX"
run 0 lmodel audit --positions a -i aud.key m.lmodel
is "$out" "full 0-0" "positions: all, in one unit"

# ---- no key, other keys ----

run 3 lmodel extract -i eve.key -o eve.out m.lmodel
run 3 lmodel extract -i aud.key -o eve.out m.lmodel
run 3 lmodel cat --raw -i eve.key m.lmodel a
run 0 lmodel strip --base -o base.lmodel m.lmodel
run 0 lmodel extract -o stripped.out base.lmodel
same stripped.out m.base "strip --base leaves the locked base"
run 4 lmodel extract -i ann.key -o eve.out base.lmodel
is "$(ls eve.out 2>/dev/null)" "" "nothing is written"

# ---- an owner who lies: the digests of the true bytes stand alone ----

python3 -c 'import cryptography'
ok $? "python3-cryptography is installed"
mkdir slots
python3 -B "$srcdir/tests/lib/tamper.py" slots m.lmodel slots &&
	age -d -i owner.key slots/1.age >owner.grant || exit 99
relock() { python3 -B "$srcdir/tests/lib/relock.py" "$1" owner.grant m.lmodel f.lmodel || exit 99; }
relock nothing
run 0 lmodel extract -f -i ann.key -o f.out f.lmodel
same f.out m.safetensors "sealed anew, and nothing changed"
for what in $(python3 -B "$srcdir/tests/lib/relock.py" list | grep -v nothing); do
	case $what in
	key* | digest*) why="tensor 'a', tier full: what the lock key opens is not what was packed" ;;
	*unit*) why="." ;;
	*) why="the digests are not those of a tensor of this size" ;;
	esac
	relock "$what"
	rm -f f.out
	run 4 lmodel extract -i ann.key -o f.out f.lmodel
	like "$err" "$why" "$what: refused"
	run 4 lmodel extract -i ann.key -o - f.lmodel
	is "$out$(ls f.out 2>/dev/null)" "" "$what: nothing comes out"
	run 4 lmodel cat --raw -i ann.key f.lmodel a
	is "$out" "" "$what: nor by cat"
	run 0 lmodel cat --raw -i ann.key f.lmodel bf
done
tamper() { python3 -B "$srcdir/tests/lib/tamper.py" --keys owner.grant "$1" m.lmodel f.lmodel || exit 99; }
tamper mask
run 4 lmodel list f.lmodel
like "$err" "the feature deep-lock without a tier" "another mask, and the feature stays"
tamper unit
run 4 lmodel list f.lmodel
like "$err" "a shard locks units of row" "another unit"

# ---- what becomes of it: rekey, repack, like ----

cp m.lmodel r.lmodel
run 0 lmodel rekey -i owner.key --tier full r.lmodel
like "$err" "tier full: the base stays locked as it was" "rekey says what it does not do"
run 0 lmodel extract -f -i ann.key -o r.out r.lmodel
same r.out m.safetensors "rekeyed: the truth"
run 0 lmodel extract -f -o r.base r.lmodel
same r.base m.base "rekeyed: the same base"
run 0 lmodel repack -o p.lmodel r.lmodel
run 0 lmodel extract -f -i ann.key -o r.out p.lmodel
same r.out m.safetensors "repacked: the truth"
run 2 lmodel repack --recode small -o q.lmodel m.lmodel
run 0 lmodel diff m.lmodel p.lmodel

python3 "$srcdir/tests/lib/mkmodel.py" next.safetensors a:F32:160x130 b:F32:70x70:normal:n || exit 99
run 0 lmodel pack -q --mask deep-lock --tier full --owner "$owner" --like r.lmodel -i owner.key \
	-o next.lmodel next.safetensors
run 0 lmodel extract -i owner.key -o next.out next.lmodel
same next.out next.safetensors "a later release: the truth"
lmodel cat --raw --base next.lmodel a >next.a
same next.a base.a "what is equal is locked as in the earlier one"
run 0 lmodel pack -q --mask deep-lock --tier full --owner "$owner" -o other.lmodel m.safetensors
lmodel cat --raw --base other.lmodel a >other.a
is "$(python3 equal.py other.a base.a)" "noise" "packed apart: other keys"
run 2 lmodel pack --tier full --select all --mask zero --owner "$owner" --like r.lmodel -i owner.key \
	-o x.lmodel next.safetensors
like "$err" "its mask is deep-lock" "no other mask takes it over"
run 0 lmodel pack -q --tier full --select all --mask zero --owner "$owner" -o z.lmodel m.safetensors
run 2 lmodel pack --tier full --mask deep-lock --owner "$owner" --like z.lmodel -i owner.key \
	-o x.lmodel next.safetensors
like "$err" "its mask is zero" "nor is another mask taken over"
for n in 1 2; do
	run 0 lmodel pack -q --mask deep-lock --tier full --owner "$owner" --seed 0102 --test-keys \
		-j $n -o s$n.lmodel m.safetensors
done
same s1.lmodel s2.lmodel "the same seed, the same archive"

# ---- perturb: a handful of places, every dtype, small tensors too ----

cat >perturb.py <<'P'
import json, struct, sys
data = bytearray(open("m.safetensors", "rb").read())
n, = struct.unpack_from("<Q", data)
header = json.loads(data[8:8 + n])
for place in sys.argv[2:]:
    name, at = place.split(":")
    data[8 + n + header[name]["data_offsets"][0] + int(at)] ^= 0x41
open(sys.argv[1], "wb").write(data)
P
places="a:3 a:4002 a:83199 twin:7 twin2:7 f64:8 bf:1 h:160 c:13 e4:5 e5:76 e8:9 f6:50 f6b:95 f4:4000
u8:65536 u16:3 i16:2 u32:7 i64:5 small:39 one:0 zeros:12"
# shellcheck disable=SC2086
python3 perturb.py locked.safetensors $places || exit 99
run 0 lmodel pack --mask perturb --reference locked.safetensors --tier key --owner "$owner" \
	-r "$(pub ann)=key" -o pert.lmodel m.safetensors
like "$err" "^lmodel: mask perturb: $obfuscation" "pack warns"
run 0 lmodel extract -f -o pert.base pert.lmodel
same pert.base locked.safetensors "the base is the perturbed model, byte for byte"
run 0 lmodel extract -f -i ann.key -o pert.out pert.lmodel
same pert.out m.safetensors "the truth, bit for bit"
run 3 lmodel extract -i eve.key -o eve.out pert.lmodel
run 0 lmodel audit --json -i owner.key pert.lmodel
echo "$out" >audit.json
is "$(python3 - <<'P'
import json
a = json.load(open("audit.json"))
t, = a["tiers"]
print(t["mask"], t["select"], t["recoverable"], a["hidden_elements"])
print(" ".join("%s:%s:%d" % (s["tensor"], s["unit"], s["units"]) for s in a["shards"]))
P
)" "perturb reference True 0
a:element:3 twin:element:1 f64:element:1 bf:element:1 h:element:1 c:element:1 e4:element:1 e5:element:1 \
e8:element:1 f6:block:1 f6b:block:1 f4:block:1 u8:element:1 u16:element:1 i16:element:1 u32:element:1 \
i64:element:1 small:element:1 zeros:element:1 one:element:1" "one unit for each place, no other tensor"
is "$(lmodel inspect --json pert.lmodel | grep -c 'must-understand perturb tiers')" 1 "its feature"
run 0 lmodel inspect pert.lmodel
like "$out" "$obfuscation" "inspect says what it is"
run 0 lmodel list -l pert.lmodel a
like "$out" "obf<=" "list -l"
python3 -c "
import json
for s in json.load(open('audit.json'))['shards']:
    assert s['stored_bytes'] == 2 * (56 + 256 + 16), s" 
ok $? "how few there are does not show: every shard is as long"
run 0 lmodel pack -q --mask perturb --reference locked.safetensors --tier key --unit row \
	--owner "$owner" -f -o pert.lmodel m.safetensors
run 0 lmodel extract -f -i owner.key -o pert.out pert.lmodel
same pert.out m.safetensors "another unit"
run 2 lmodel pack --mask perturb --reference m.safetensors --tier key --owner "$owner" -o x.lmodel \
	m.safetensors
like "$err" "nothing differs from the reference" "not perturbed at all"
run 0 lmodel pack -q --reference locked.safetensors --tier key --owner "$owner" -f -o ref.lmodel \
	m.safetensors
run 0 lmodel inspect ref.lmodel
like "$out" "masked by reference" "a reference alone is not called perturbed"
like "$out" "obfuscation: recoverable without a key" "but obfuscation all the same"
leftovers "nothing is left"
done_testing
