# A vendor and four customers: each keeps the key that he has, and gets the weights that he is
# entitled to, from one file that anybody may have.
. "${srcdir:-.}/tests/lib/tap.sh"
needs age strace script ssh-keygen tar sqlite3

model=$data/models/stories260K.safetensors
if [ ! -f "$model" ]; then
	model=$PWD/made.safetensors
	python3 "$srcdir/tests/lib/mkmodel.py" "$model" embed.weight:F32:512x64 \
		layer.0.w1:F32:172x64 layer.0.w2:BF16:64x172 layer.0.norm:F32:64 \
		layer.1.w1:F16:172x64 conv.weight:F32:32x16x3x3 conv.bias:F32:32 \
		--meta format=pt || exit 99
fi
mkdir vendor && cp "$model" vendor/model.safetensors || exit 99
chmod u+w vendor/model.safetensors
echo '{"architectures": ["LlamaForCausalLM"]}' >vendor/config.json
truth=vendor/model.safetensors

# differ A B: how many elements differ, of how many; fails unless names, dtypes and shapes agree.
cat >differ.py <<'P'
import json, struct, sys
def load(path):
    data = open(path, "rb").read()
    n, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + n])
    header.pop("__metadata__", None)
    return {name: (t["dtype"], t["shape"], data[8 + n + t["data_offsets"][0]:
                                                 8 + n + t["data_offsets"][1]])
            for name, t in header.items()}
SIZE = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "BF16": 2, "F16": 2}
a, b = load(sys.argv[1]), load(sys.argv[2])
assert list(a) == list(b), "other tensors"
total = count = 0
for name, (dtype, shape, x) in a.items():
    y = b[name][2]
    assert (dtype, shape, len(x)) == (*b[name][:2], len(y)), name
    size = SIZE.get(dtype, 1)
    total += len(x) // size
    count += sum(x[i:i + size] != y[i:i + size] for i in range(0, len(x), size)) if x != y else 0
    if dtype == "F32":
        limit = max((abs(v) for v, in struct.iter_unpack("<f", y)), default=0)
        for v, in struct.iter_unpack("<f", x):
            assert abs(v) <= limit, "%s: %r is not one of a model's" % (name, v)
print(count, total)
P
differ() { python3 differ.py "$1" "$2"; }

# tty INPUT COMMAND: for programs that ask on the terminal alone. Each line of INPUT is an answer.
tty() {
	{ sleep 0.3; printf '%s\n' "$1" | while read -r line; do printf '%s\n' "$line"; sleep 0.2; done
	  sleep 20 & echo $! >sleeper; wait; } | {
		script -qec "$2" /dev/null >tty.log 2>&1
		tty_status=$?
		kill "$(cat sleeper)" 2>/dev/null
		exit $tty_status
	}
}

age=$(command -v age || :)
real=$builddir/bin/.libs/lmodel
if [ -x "$real" ]; then
	export LD_LIBRARY_PATH="$builddir/libfmt/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
else
	real=$(command -v lmodel)
fi

# ---- keys: each of their own make ----

for name in owner xena dora ada other; do run 0 lmodel keygen -o $name.key; done
ssh-keygen -q -t ed25519 -N '' -C stan@example.com -f stan_key || exit 99
ssh-keygen -q -t ed25519 -N '' -C nobody -f nobody_key || exit 99
echo 'correct horse battery staple' >pia.pass
echo 'correct horse battery stapler' >wrong.pass
pub() { lmodel keygen -y "$1.key"; }

# ---- the vendor packs ----

run 0 lmodel pack --tier silver=2% --tier gold=10% --owner "$(pub owner)" \
	-r "$(pub xena)=silver" -o model.lmodel vendor
is "$(printf '%s\n' "$out$err" | grep -v 'hidden whole')" "" "nothing else to say"
cp model.lmodel packed.lmodel

slot_size=$(python3 -c 'print(int(open("model.lmodel", "rb").read()[1148:1159], 8))')
members=$((2048 + 2 * slot_size))

# state SLOTS NAME: what stock tools make of the file; that its members are as packed.
state() {
	is "$(tar -tf model.lmodel | head -n 3 | tr '\n' ' ')" \
		"mimetype manifest.sqlite manifest.backup.sqlite " "$2: tar lists it"
	is "$(tar -tf model.lmodel | grep -c '^shard/g1/')" 4 "$2: the shards among it"
	tar -xOf model.lmodel manifest.sqlite >manifest.sqlite
	is "$(sqlite3 manifest.sqlite 'SELECT count(*) FROM key_slot')" "$1" "$2: sqlite3 reads it"
	is "$(sqlite3 manifest.sqlite 'SELECT group_concat(name, " ") FROM tier')" "silver gold" \
		"$2: the tiers, too"
	tail -c +$((members + 1)) model.lmodel >now.members
	tail -c +$((members + 1)) packed.lmodel | cmp - now.members
	ok $? "$2: no byte outside of the manifest was changed"
	run 0 lmodel verify model.lmodel
	is "$out$err" "" "$2: verify finds nothing"
}
state 2 "packed"

# ---- and lets in ----

run 0 lmodel grant -i owner.key --tier gold -r "$(cat stan_key.pub)" --label 'Stan Ltd' \
	model.lmodel
like "$err" "^lmodel: .*matched to a published key$" "an ssh slot names its key: this is told"
state 3 "granted to an SSH key"
run 0 lmodel grant -i owner.key --tier gold --passphrase-file pia.pass --label 'Pia & Co' \
	model.lmodel
run 0 lmodel grant -i owner.key --audit -r "$(pub ada)" --label 'Ada, auditor' model.lmodel
state 5 "granted to a passphrase, and to an auditor"
cp model.lmodel before.lmodel
run 0 lmodel grant -i owner.key --tier gold -r "$(pub dora)" --detached dora.lkey model.lmodel
same model.lmodel before.lmodel "a detached grant leaves the archive as it is"
is "$(head -n 1 dora.lkey)" "-----BEGIN AGE ENCRYPTED FILE-----" "and can be mailed"
for text in 'Stan Ltd' 'Ada, auditor' "$(pub xena)" "$(pub ada)" stan@example.com \
	"$(cut -d' ' -f2 stan_key.pub)"; do
	grep -qF -- "$text" model.lmodel
	is $? 1 "the file does not name a customer"
done
unlike "$(lmodel inspect model.lmodel)" "Stan|Pia|age1" "nor does inspect without a key"
run 0 lmodel inspect -i owner.key model.lmodel
for text in '1  X25519 +owner' "2  X25519 +holder +silver .*$(pub xena)" \
	'3  ssh-ed25519 +holder +gold +.*Stan Ltd' '4  passphrase +holder +gold +.*Pia & Co' \
	"5  X25519 +audit .*Ada, auditor.*$(pub ada)"; do
	like "$out" "$text" "the owner sees whose slot it is"
done

# ---- everybody: a model that works less well, and says so ----

run 0 lmodel extract -o base.safetensors model.lmodel
is "$out:$err" ":lmodel: model.lmodel: base weights only: 2 tiers need a key" \
	"without a key: one line says that it is the base"
run 0 lmodel extract --base -o asked.safetensors model.lmodel
is "$out$err" "" "nothing, where the base was asked for"
same base.safetensors asked.safetensors "and the same weights"
run 0 differ base.safetensors $truth
base_differs=${out% *}
like "$out" "^[1-9][0-9]* [1-9]" "the base is a model of the same form, and differs"
run 0 lmodel pack -o base.lmodel base.safetensors

# ---- each his tier ----

run 0 lmodel extract -i xena.key -o silver.safetensors model.lmodel
is "$out$err" "" "silver, without a word"
run 0 differ silver.safetensors $truth
silver_differs=${out% *}
if [ "$silver_differs" -gt 0 ] && [ "$silver_differs" -lt "$base_differs" ]; then
	ok 0 "silver is nearer to the truth than the base, and is not the truth"
else
	ok 1 "silver is nearer to the truth: $silver_differs of the base's $base_differs"
fi
run 0 lmodel extract -i stan_key -o stan.safetensors model.lmodel
same stan.safetensors $truth "gold by an SSH key, bit for bit"
run 0 lmodel extract --passphrase-file pia.pass -o pia.safetensors model.lmodel
same pia.safetensors $truth "gold by a passphrase"
run 0 lmodel extract -i dora.key -i dora.lkey -o dora.safetensors model.lmodel
same dora.safetensors $truth "gold by a detached grant"
run 0 lmodel extract -i owner.key --format native -o native/ model.lmodel
run 0 diff -r vendor native
LMODEL_IDENTITY=stan_key run 0 lmodel extract -o environment.safetensors model.lmodel
same environment.safetensors $truth "gold by \$LMODEL_IDENTITY"
run 0 lmodel extract -i stan_key --tier silver -o lower.safetensors model.lmodel
same lower.safetensors silver.safetensors "a lower tier, when asked for"
run 0 lmodel extract -i stan_key --base -o lowest.safetensors model.lmodel
same lowest.safetensors base.safetensors "or the base"
run 0 lmodel extract -i xena.key -i stan_key -o both.safetensors model.lmodel
same both.safetensors $truth "of several keys the best"
# A grant without the key that it is for is no key.
run 3 lmodel extract -i dora.lkey -o none model.lmodel
# Several keys and places at once.
lmodel extract -i stan_key -o - model.lmodel 2>/dev/null | cmp - $truth
ok $? "gold to standard output"
lmodel extract -i stan_key -o piped.safetensors - <model.lmodel
same piped.safetensors $truth "and from standard input"

# ---- the auditor ----

run 0 lmodel verify -i ada.key model.lmodel
is "$err" "" "verify by the auditor finds nothing"
run 3 lmodel extract -i ada.key -o none model.lmodel
is "$(ls none 2>/dev/null):$(printf '%s\n' "$err" | wc -l)" ":1" "the auditor gets no weights"
run 3 lmodel extract -i ada.key --tier silver -o none model.lmodel
run 0 lmodel inspect --json -i ada.key model.lmodel
is "$(printf '%s' "$out" | python3 -c 'import json, sys
print([(t["open"], t["positions_open"]) for t in json.load(sys.stdin)["tiers"]])')" \
	"[(False, True), (False, True)]" "positions are open to him, values are not"
for key in owner.key xena.key stan_key; do
	run 0 lmodel verify -i $key model.lmodel
	is "$err" "" "verify by $key finds nothing"
done
run 0 lmodel verify -i dora.key -i dora.lkey model.lmodel

# ---- who has no key for it ----

lmodel pack --tier silver=2% --tier gold=10% --owner "$(pub other)" -r "$(pub dora)=gold" \
	-o another.lmodel vendor || exit 99
lmodel grant -i other.key --tier gold -r "$(pub dora)" --detached another.lkey another.lmodel ||
	exit 99
nokey="lmodel: 'model.lmodel': none of the keys opens it"
# none "NAME" OPTIONS...
none() {
	none_name=$1
	shift
	run 3 lmodel extract "$@" -o none model.lmodel
	is "$out:$err" ":$nokey" "one message: $none_name"
	is "$(ls none 2>/dev/null)" "" "nothing is written: $none_name"
}
none "another X25519 key" -i other.key
none "another SSH key" -i nobody_key
none "a wrong passphrase" --passphrase-file wrong.pass
none "a key and a grant of another archive" -i dora.key -i another.lkey
none "a grant that is for somebody else" -i other.key -i dora.lkey
none "the same with a tier" -i other.key --tier gold
for tier in silver gold; do
	run 3 lmodel extract --tier $tier -o none model.lmodel
	is "$(ls none 2>/dev/null):$(printf '%s\n' "$err" | wc -l)" ":1" "no key, and --tier $tier"
done
run 3 lmodel extract -i xena.key --tier gold -o none model.lmodel
like "$err" "^lmodel: .*none of the keys opens tier gold$" "a tier above is told"
is "$(ls none 2>/dev/null)" "" "and nothing is written"
run 2 lmodel extract -i xena.key --tier platinum -o none model.lmodel
lmodel cat -i other.key model.lmodel "$(lmodel list model.lmodel | head -n 1)" >none.npy 2>/dev/null
is "$?:$(wc -c <none.npy)" "3:0" "cat: the same"
rm none.npy
run 3 lmodel verify -i other.key model.lmodel
run 3 lmodel grant -i stan_key --tier gold -r "$(pub other)" model.lmodel
run 3 lmodel revoke -i stan_key model.lmodel 2
run 3 lmodel grant -i ada.key --tier silver -r "$(pub other)" model.lmodel
same model.lmodel before.lmodel "who is not the owner changes nothing"

# ---- without this program: age opens a slot ----

if [ -n "$age" ]; then
	tar -xOf model.lmodel manifest.sqlite >manifest.sqlite
	for id in 1 2 3 4 5; do
		sqlite3 manifest.sqlite "SELECT writefile('slot$id.age', grant) FROM key_slot
			WHERE id = $id" >/dev/null
	done
	sqlite3 manifest.sqlite "SELECT writefile('identity.age', identity) FROM key_slot
		WHERE id = 4" >/dev/null
	run 0 age -d -i owner.key slot1.age
	like "$out" "^role owner$" "the owner's slot"
	run 0 age -d -i xena.key slot2.age
	like "$out" "^role holder$" "a holder's slot"
	is "$(printf '%s\n' "$out" | sed -n 's/ key .*/ key/; /^tier/p')" "tier silver gen 1 key" \
		"silver has the key of silver alone"
	run 0 age -d -i stan_key slot3.age
	is "$(printf '%s\n' "$out" | grep -c '^tier .* key [0-9a-f]\{64\}$')" 2 "gold has both"
	run 0 age -d -i ada.key slot5.age
	is "$(printf '%s\n' "$out" | grep -c '^tier .* poskey [0-9a-f]\{64\}$'):$(
		printf '%s\n' "$out" | grep -c ' key ')" "2:0" "the auditor has no key of values"
	run 0 age -d -i dora.key dora.lkey
	is "$(printf '%s\n' "$out" | grep -c '^tier .* key [0-9a-f]\{64\}$')" 2 "the detached grant"
	tty "$(cat pia.pass)" "age -d -o pia.key identity.age"
	ok $? "age asks for the passphrase of a passphrase slot"
	run 0 age -d -i pia.key slot4.age
	is "$(printf '%s\n' "$out" | grep -c '^tier .* key [0-9a-f]\{64\}$')" 2 "and opens it"
	is "$(stat -c %s slot*.age | sort -u | wc -l)" 2 "slot sizes do not tell roles, only kinds"

	# A key file under a passphrase of its own, made by age.
	tty "$(cat pia.pass pia.pass)" "age -p -o stan.enc stan_key"
	ok $? "age -p makes a protected key file"
	run 0 lmodel extract -i stan.enc --passphrase-file pia.pass -o enc.safetensors model.lmodel
	same enc.safetensors $truth "gold by a protected key file"
	run 3 lmodel extract -i stan.enc --passphrase-file wrong.pass -o none model.lmodel
	is "$(ls none 2>/dev/null)" "" "a wrong passphrase: nothing is written"
fi

# ---- one tensor: its own shards alone are read ----

if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
	# Leaks cannot be looked for under strace.
	export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
	tensor=$(lmodel list --json model.lmodel | python3 -c 'import json, sys
tensors = json.load(sys.stdin)["tensors"]
print(sorted(tensors, key=lambda t: t["bytes"])[len(tensors) // 2]["name"])')
	# A file a thread (-ff): in one file a call can be cut in two by another's.
	strace -ff -qq -y -e trace=pread64,read,mmap -o trace "$real" cat -i stan_key --raw \
		model.lmodel "$tensor" >one.raw
	ok $? "cat $tensor"
	tar -xOf model.lmodel manifest.sqlite >manifest.sqlite
	run 0 python3 - "$tensor" <<'P'
import glob, re, sqlite3, sys
db = sqlite3.connect("file:manifest.sqlite?mode=ro&immutable=1", uri=True)
own, other = [], []
for tier, positions, values in db.execute("SELECT id, positions_offset, values_offset FROM tier"):
    for name, p, v in db.execute("SELECT t.name, positions_length, values_length FROM shard s JOIN"
                                 " tensor t ON t.id = s.tensor WHERE tier = ? ORDER BY s.id",
                                 (tier,)):
        ranges = own if name == sys.argv[1] else other
        ranges += [(positions, positions + p), (values, values + v)]
        positions, values = positions + p, values + v
assert own and other
reads = []
for line in (line for name in glob.glob("trace.*") for line in open(name)):
    if "model.lmodel>" not in line:
        continue
    assert "mmap" not in line and not re.search(r"\bread\(", line), line
    length, offset, got = re.search(r", (\d+), (\d+)\) += (\d+)", line).groups()
    reads.append((int(offset), int(offset) + int(got)))
def meets(a, b):
    return a[0] < b[1] and b[0] < a[1]
assert any(meets(r, o) for r in reads for o in own), "its own shards are not read"
assert not any(meets(r, o) for r in reads for o in other), "shards of others are read"
total = sum(b - a for a, b in reads)
member, = db.execute("SELECT m.length FROM tensor t JOIN member m ON m.id = t.member"
                     " WHERE t.name = ?", (sys.argv[1],)).fetchone()
slot = int(open("model.lmodel", "rb").read()[1148:1159], 8)
allowed = slot + 2 * member + 2 * sum(b - a for a, b in own) + 16384
print(total, "bytes read, of", allowed)
assert total <= allowed
P
fi

# ---- revoked ----

blobs() {
	tar -xOf model.lmodel manifest.sqlite >manifest.sqlite
	sqlite3 manifest.sqlite "SELECT hex(grant) || hex(coalesce(identity, '')) FROM key_slot
		WHERE id $1"
}
# Pieces of 20 bytes, since SQLite spreads a long blob over pages. Those that a slot which stays has
# as well (the words of the age format) do not count.
cat >find.py <<'P'
import sys
gone, stay, data = (open(name, "rb").read() for name in ("gone.hex", "stay.hex", "model.lmodel"))
stay = b"".join(bytes.fromhex(line.decode()) for line in stay.split())
pieces = 0
for line in gone.split():
    blob = bytes.fromhex(line.decode())
    pieces += sum(blob[i:i + 20] in data and blob[i:i + 20] not in stay
                  for i in range(len(blob) - 20))
print(pieces)
P
blobs "IN (3, 4)" >gone.hex
blobs "NOT IN (3, 4)" >stay.hex
like "$(python3 find.py)" "^[1-9][0-9]{2,}$" "the slots are in the file"
run 0 lmodel revoke -i owner.key --label 'Stan Ltd' model.lmodel
run 0 lmodel revoke -i owner.key model.lmodel 4
is "$(python3 find.py)" 0 "their bytes are nowhere after they are revoked"
state 3 "revoked"
none "a revoked SSH key" -i stan_key
none "a revoked passphrase" --passphrase-file pia.pass
run 0 lmodel extract -i xena.key -f -o again.safetensors model.lmodel
same again.safetensors silver.safetensors "the others stay in"
run 0 lmodel extract -i dora.key -i dora.lkey -f -o again.safetensors model.lmodel
same again.safetensors $truth "a detached grant is out of reach"
run 2 lmodel revoke -i owner.key model.lmodel 1
like "$err" "last owner" "the last owner stays"
run 2 lmodel revoke -i owner.key model.lmodel 3
run 2 lmodel revoke -i owner.key --label 'Stan Ltd' model.lmodel
unlike "$(lmodel inspect -i owner.key model.lmodel)" "Stan|Pia" "the book forgets them"
run 0 lmodel grant -i owner.key --tier gold -r "$(cat stan_key.pub)" model.lmodel
run 0 lmodel extract -i stan_key -f -o again.safetensors model.lmodel
same again.safetensors $truth "and back in"
state 4 "granted again"
run 0 lmodel grant -i owner.key --owner -r "$(pub other)" model.lmodel
run 0 lmodel revoke -i other.key -r "$(pub owner)" model.lmodel
none "the first owner, taken out by the second" -i owner.key
run 0 lmodel extract -i other.key -f -o again.safetensors model.lmodel
same again.safetensors $truth "who owns it now"

# ---- stripped ----

run 0 lmodel strip --tier silver -o silver.lmodel model.lmodel
run 0 lmodel strip --base -o base.lmodel -f model.lmodel
run 2 lmodel strip --tier platinum -o none model.lmodel
for what in silver:2 base:0; do
	f=${what%:*}.lmodel
	is "$(tar -tf $f | grep -c '^shard/')" "${what#*:}" "$f: shards that it has"
	tar -xOf $f manifest.sqlite >manifest.sqlite
	is "$(sqlite3 manifest.sqlite 'SELECT count(*) FROM key_slot')" 4 "$f: the slots stay"
	run 0 lmodel verify $f
	run 0 lmodel verify -i stan_key $f
	run 0 lmodel verify -i ada.key $f
	run 4 lmodel extract -i stan_key -o none $f
	like "$err" "^lmodel: .*not in this file" "$f: a tier that is open is absent: told"
	is "$(ls none 2>/dev/null)" "" "$f: and nothing is written"
	run 0 lmodel extract -i stan_key --allow-absent -o $f.out $f
	is "$(printf '%s\n' "$err" | grep -c 'not in this file')" 1 \
		"$f: --allow-absent takes less, and says so"
	same $f.out "${what%:*}.safetensors" "$f: just that"
	run 0 lmodel extract -f -o $f.public $f
	same $f.public base.safetensors "$f: the base without a key"
done
run 0 lmodel extract -i xena.key -o xena.safetensors silver.lmodel
same xena.safetensors silver.safetensors "silver from what was stripped to silver"
run 0 lmodel extract -i stan_key --tier silver -f -o xena.safetensors silver.lmodel
same xena.safetensors silver.safetensors "the same for who could have more"
run 4 lmodel extract -i stan_key --tier gold -o none silver.lmodel
is "$(($(stat -c %s model.lmodel) > $(stat -c %s silver.lmodel) &&
	$(stat -c %s silver.lmodel) > $(stat -c %s base.lmodel)))" 1 "each is smaller"

leftovers "nothing is left"
done_testing
