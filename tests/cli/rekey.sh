# New keys for a tier: who was taken out is out for good, everybody else goes on unchanged.
. "${srcdir:-.}/tests/lib/tap.sh"
needs age strace ssh-keygen

real=$builddir/bin/.libs/lmodel
if [ -x "$real" ]; then
	export LD_LIBRARY_PATH="$builddir/libfmt/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
else
	real=$(command -v lmodel)
fi
age=$(command -v age || :)

# ---- the vendor and five customers ----

mkdir vendor
python3 "$srcdir/tests/lib/mkmodel.py" vendor/model.safetensors embed.weight:F32:300x128 \
	layer.0.w1:F32:172x128 layer.0.w2:BF16:128x172 layer.0.norm:F32:64 \
	conv.weight:F32:32x16x3x3 conv.bias:F32:32 || exit 99
truth=vendor/model.safetensors
for name in owner xena bob ada dora stranger; do lmodel keygen -q -o $name.key || exit 99; done
ssh-keygen -q -t ed25519 -N '' -C stan -f stan_key || exit 99
echo 'correct horse battery staple' >pia.pass
pub() { lmodel keygen -y "$1.key"; }
lmodel pack --tier silver=5% --tier gold=40% --owner "$(pub owner)" -r "$(pub xena)=silver" \
	-o m.lmodel vendor || exit 99
o="-i owner.key"
# shellcheck disable=SC2086
{
	lmodel grant -q $o --tier gold -r "$(cat stan_key.pub)" --label Stan m.lmodel &&
	lmodel grant $o --tier gold --passphrase-file pia.pass --label Pia m.lmodel &&
	lmodel grant $o --tier gold -r "$(pub bob)" --label Bob m.lmodel &&
	lmodel grant $o --audit -r "$(pub ada)" --label Ada m.lmodel
} || exit 99
run 0 lmodel grant -i owner.key --tier gold -r "$(pub dora)" --label Dora --detached dora.lkey \
	m.lmodel
id=$(lmodel inspect m.lmodel | sed -n 's/^id *//p')
book=$XDG_STATE_HOME/lmodel/$id.grants
is "$(stat -c %a "$book")" 600 "the detached grant is written down"
grep -qF "$(pub dora)" "$book"
is $? 1 "and sealed"

# as WHO [GRANT]: the options that he gives.
as() {
	case $1 in
	stan) echo "-i stan_key" ;;
	pia) echo "--passphrase-file pia.pass" ;;
	dora) echo "-i dora.key -i ${2:-dora.lkey}" ;;
	*) echo "-i $1.key" ;;
	esac
}
# gets NAME WHO [GRANT [WEIGHTS]]: he gets them from m.lmodel without a word.
gets() {
	# shellcheck disable=SC2046
	run 0 lmodel extract $(as "$2" "${3:-}") -f -o got.safetensors m.lmodel
	is "$out$err" "" "$1: $2 without a word"
	same got.safetensors "${4:-$truth}" "$1: $2"
}
# nokey NAME PATTERN OPTION...
nokey() {
	nokey_name=$1
	nokey_message=$2
	shift 2
	run 3 lmodel extract "$@" -o none m.lmodel
	like "$err" "^lmodel: 'm.lmodel': $nokey_message\$" "$nokey_name"
	is "$(ls none 2>/dev/null)" "" "$nokey_name: nothing is written"
}
# sql STATEMENT: what the manifest says.
sql() {
	tar -xOf m.lmodel manifest.sqlite >manifest.sqlite
	sqlite3 manifest.sqlite "$1"
}
generations() {
	sql "SELECT group_concat(name || ' ' || generation, ', ') FROM tier"
}

for who in owner stan pia bob dora; do gets "before" $who; done
run 0 lmodel extract -i xena.key -o silver.safetensors m.lmodel
run 0 lmodel verify -i ada.key m.lmodel
for who in owner xena stan bob; do
	# What each has in his slot, to try it later.
	sql "SELECT writefile('$who.slot', grant) FROM key_slot WHERE id = $(
		case $who in owner) echo 1 ;; xena) echo 2 ;; stan) echo 3 ;; bob) echo 5 ;; esac)" \
		>/dev/null
done
cp m.lmodel before.lmodel
slot_size=$(python3 -c 'print(int(open("m.lmodel", "rb").read()[1148:1159], 8))')
head_size=$((2048 + 2 * slot_size))

# ---- nobody was taken out ----

run 2 lmodel rekey -i owner.key m.lmodel
like "$err" "nobody was taken out" "nothing to do: told"
run 2 lmodel rekey -i owner.key --tier platinum m.lmodel
run 3 lmodel rekey -i stan_key --tier gold m.lmodel
run 3 lmodel rekey -i stranger.key --tier gold m.lmodel
run 2 lmodel rekey -i owner.key --key stan_key --unsigned m.lmodel
run 2 lmodel rekey -i owner.key --book - m.lmodel
run 2 lmodel revoke -i owner.key --book - m.lmodel 2
run 2 lmodel grant -i owner.key --tier gold -r "$(pub bob)" --book b m.lmodel
like "$err" "^lmodel: --book is for --detached FILE and --push$" "--book without --detached"
run 2 lmodel grant -i owner.key --tier gold -r "$(pub bob)" --detached b.lkey --book - m.lmodel
run 2 lmodel rekey -i owner.key -
run 1 lmodel rekey -i owner.key --tier gold --grants vendor/model.safetensors m.lmodel
same m.lmodel before.lmodel "none of these changes a byte"

# ---- one is taken out, and what he could open is locked anew ----

run 0 lmodel revoke -v -i owner.key --label Bob m.lmodel
is "$err" "lmodel: 'm.lmodel': 1 slot or detached grant removed" "revoke counts"
cp m.lmodel revoked.lmodel
# Bob kept what was in his slot: until a rekey it is as good as a detached grant.
run 0 lmodel extract -i bob.key -i bob.slot -o kept.safetensors m.lmodel
same kept.safetensors $truth "a revocation alone does not change the keys"

run 0 lmodel rekey -v -i owner.key --grants new m.lmodel
is "$(printf '%s\n' "$err" | grep -v dora)" "lmodel: 'new/Dora-1.lkey' is for $(pub dora) 'Dora'
lmodel: 'm.lmodel': tier 'silver': generation 2
lmodel: 'm.lmodel': tier 'gold': generation 2" "what it says"
is "$(generations)" "silver 2, gold 2" "both tiers, which bob could open"
is "$(sql "SELECT count(*) FROM key_slot")" 5 "all the others have their slots"
is "$(ls new)" "Dora-1.lkey" "a new detached grant"
is "$(stat -c %s new/Dora-1.lkey)" "$(stat -c %s dora.lkey)" "as long as the old one"

for who in owner stan pia; do gets "after, with the key that he had" $who; done
gets "after, with the key that he had" xena "" silver.safetensors
gets "after, with the new grant" dora new/Dora-1.lkey
run 0 lmodel verify -v -i ada.key m.lmodel
is "$(printf '%s\n' "$err" | grep -c 'proves it authentic')" 2 "the auditor goes on, too"
run 3 lmodel extract -i ada.key -o none m.lmodel

nokey "taken out: his key" "none of the keys opens it" -i bob.key
nokey "taken out: the grant that he kept" \
	"outdated grant: tier '?silver'?: generation 1, the archive has 2" -i bob.key -i bob.slot
nokey "the old detached grant" "outdated grant: tier '?silver'?: generation 1, the archive has 2" \
	-i dora.key -i dora.lkey
for who in xena stan; do
	# shellcheck disable=SC2046
	nokey "the old grant of $who" \
		"outdated grant: tier '?silver'?: generation 1, the archive has 2" $(as $who) -i $who.slot
done
nokey "a stranger" "none of the keys opens it" -i stranger.key
nokey "his key and the new grant of another" "none of the keys opens it" -i bob.key \
	-i new/Dora-1.lkey

# ---- what stock tools say ----

run 0 tar -tf m.lmodel
is "$(printf '%s\n' "$out" | head -n 3 | tr '\n' ' ')" \
	"mimetype manifest.sqlite manifest.backup.sqlite " "tar lists it"
is "$(printf '%s\n' "$out" | grep -c '^shard/g2/')" 4 "and the new shards"
run 0 sqlite3 manifest.sqlite 'PRAGMA integrity_check'
is "$out" ok "sqlite3 reads the manifest"
is "$(sql "SELECT DISTINCT state FROM dead")" zero "the old shards are zeroed"
run 0 lmodel verify m.lmodel
is "$err" "" "verify finds nothing"
if [ -n "$age" ]; then
	sql "SELECT writefile('slot.age', grant) FROM key_slot WHERE id = 3" >/dev/null
	run 0 age -d -i stan_key slot.age
	is "$(printf '%s\n' "$out" | grep -c '^tier .* gen 2 key [0-9a-f]\{64\}$')" 2 \
		"age opens a new slot"
	run 1 age -d -i bob.key slot.age
	for s in 1 2 6; do
		sql "SELECT writefile('slot.age', grant) FROM key_slot WHERE id = $s" >/dev/null
		run 1 age -d -i bob.key slot.age
	done
fi

# ---- the old ciphertext is nowhere ----

# Pieces of 64 bytes, cut from the old shards; how many of them are in a file, at any place.
cat >pieces.py <<'P'
import sys, tarfile
old, tier = sys.argv[1], sys.argv[3]
with tarfile.open(old) as t:
    members = [t.extractfile(m).read() for m in t if m.name.startswith("shard/" + tier)]
assert members
pieces = {m[i:i + 64] for m in members for i in range(0, len(m) - 63, 64)}
data = open(sys.argv[2], "rb").read()
found = {data[i:i + 64] for i in range(len(data) - 63)} & pieces
print(len(found), "of", len(pieces))
P
run 0 python3 pieces.py before.lmodel before.lmodel g1/
like "$out" "^([0-9]{3,}) of \1$" "all of it was in the file"
run 0 python3 pieces.py before.lmodel m.lmodel g1/
like "$out" "^0 of " "and is not any more"
run 0 lmodel repack -o repacked.lmodel m.lmodel
run 0 python3 pieces.py before.lmodel repacked.lmodel g1/
like "$out" "^0 of " "nor in a repacked copy"
run 0 python3 pieces.py m.lmodel repacked.lmodel g2/
like "$out" "^([0-9]{3,}) of \1$" "which has all of the new"
is "$(($(stat -c %s repacked.lmodel) < $(stat -c %s m.lmodel)))" 1 "and is smaller"
run 0 lmodel extract -i stan_key -f -o got.safetensors repacked.lmodel
same got.safetensors $truth "what was repacked opens"
run 0 lmodel verify -i owner.key repacked.lmodel

# ---- an old head before the new body ----

# put HEAD FILE: the manifest slots of before, in place.
put() { head -c $head_size "$1" | dd of="$2" conv=notrunc bs=65536 status=none; }
cp m.lmodel replayed.lmodel
put before.lmodel replayed.lmodel
run 4 lmodel inspect -i owner.key replayed.lmodel
like "$err" "older than what was read before" "the owner who saw the newer refuses the older head"
run 4 lmodel grant -i owner.key --tier gold -r "$(pub stranger)" replayed.lmodel
# Who never saw the newer, or does not care: the shards that his key opens are gone.
for who in bob stan; do
	# shellcheck disable=SC2046
	XDG_STATE_HOME=$PWD/fresh run 4 lmodel extract $(as $who) -o none replayed.lmodel
	is "$(ls none 2>/dev/null)" "" "$who gets nothing from it"
done

# ---- the customer book of before ----

run 0 lmodel grant -i owner.key --tier gold -r "$(pub bob)" --label 'Bob, again' m.lmodel
cp m.lmodel let_in.lmodel
run 0 lmodel revoke -i owner.key --label 'Bob, again' m.lmodel
put let_in.lmodel m.lmodel
for c in "grant --tier gold -r $(pub stranger)" "revoke -r $(pub bob)" "rekey --tier gold"; do
	# shellcheck disable=SC2086
	run 4 lmodel ${c%% *} -i owner.key ${c#"${c%% *}"} m.lmodel
	like "$err" "older than what its owner saw before: customer book" \
		"${c%% *}: a head with the book of before is refused"
done
same m.lmodel let_in.lmodel "and nothing is changed"
run 0 lmodel revoke -i owner.key --allow-rollback --label 'Bob, again' m.lmodel

# ---- a slot that the owner did not make ----

lmodel pack -q --tier silver=5% --tier gold=40% --owner "$(pub stranger)" \
	-r "$(pub bob)=gold" -o other.lmodel vendor || exit 99
tar -xOf other.lmodel manifest.sqlite >other.sqlite
sqlite3 other.sqlite "SELECT writefile('foreign.age', grant) FROM key_slot WHERE id = 2" >/dev/null
# Into both slots of the manifest, as somebody would who can write to the registry.
cat >plant.py <<'P'
import hashlib, sqlite3, struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
grant = open(sys.argv[2], "rb").read()
size = int(data[1024 + 124:1024 + 135], 8)
for at in (1536, 1536 + size + 512):
    foot = bytearray(data[at + size - 512:at + size])
    used, = struct.unpack_from("<Q", foot, 24)
    image = data[at:at + used]
    version, image[18] = image[18], 1  # which forbids to write
    open("plant.sqlite", "wb").write(image)
    db = sqlite3.connect("plant.sqlite")
    db.execute("INSERT INTO key_slot SELECT max(id) + 1, 'X25519', ?, NULL FROM key_slot", (grant,))
    db.commit()
    db.close()
    image = bytearray(open("plant.sqlite", "rb").read())
    image[18] = version
    assert len(image) <= size - 512
    struct.pack_into("<Q", foot, 24, len(image))
    foot[48:80] = hashlib.sha256(image + foot[:48]).digest()
    data[at:at + size] = image + bytes(size - 512 - len(image)) + foot
open(sys.argv[1], "wb").write(data)
P
run 0 python3 plant.py m.lmodel foreign.age
run 0 lmodel verify m.lmodel
planted=$(sql "SELECT max(id) FROM key_slot")
is "$(lmodel inspect --json -i owner.key m.lmodel | python3 -c 'import json, sys
print([s["id"] for s in json.load(sys.stdin)["slots"] if not s["known"]])')" "[$planted]" \
	"the owner sees a slot that is nobody's"
gets "beside a planted slot" stan
nokey "whom it was planted for" "none of the keys opens it" -i bob.key
run 0 lmodel rekey -i owner.key --tier gold --json --grants new m.lmodel
is "$(printf '%s\n' "$err" | head -n 1)" \
	"lmodel: slot $planted is not in the customer book: it is left out" "rekey says so"
is "$(printf '%s' "$out" | python3 -c 'import json, sys
d = json.load(sys.stdin)
print(d["archive"], d["content_generation"], d["tiers"], d["slots"], d["signed"])')" \
	"m.lmodel 3 [{'name': 'gold', 'generation': 3}] 5 False" "--json"
is "$(sql "SELECT count(*) FROM key_slot WHERE id = $planted")" 0 "and it is gone"
is "$(generations)" "silver 2, gold 3" "one tier alone"
for who in owner stan pia; do gets "one tier alone" $who; done
gets "one tier alone" dora new/Dora-1.lkey
gets "one tier alone" xena "" silver.safetensors
run 0 lmodel verify -i ada.key m.lmodel

# ---- detached grants ----

run 0 lmodel grant -i owner.key --tier silver -r "$(pub bob)" --label 'Bob/../x' \
	--detached b.lkey --book my.book m.lmodel
run 0 lmodel grant -i owner.key --tier gold -r "$(pub stranger)" --detached s.lkey \
	--book my.book m.lmodel
is "$(stat -c %a my.book)" 600 "--book: another place"
run 0 lmodel rekey -i owner.key --tier gold m.lmodel
is "$err" "lmodel: the detached grant for $(pub dora) is outdated now" \
	"without --grants it tells whose is outdated"
run 0 lmodel rekey -i owner.key --tier gold --book my.book --grants mine m.lmodel
is "$(ls mine)" "$(pub stranger | cut -c1-40)-2.lkey" "--book: of what is in it"
like "$err" "is for $(pub stranger)" "and tells for whom"
run 0 lmodel extract -i bob.key -i b.lkey -f -o got.safetensors m.lmodel
same got.safetensors silver.safetensors "silver was not locked anew: that grant holds"
run 0 lmodel rekey -i owner.key --tier silver --book my.book --grants mine m.lmodel
is "$(find . -name '*x-1.lkey')" "./mine/Bob----x-1.lkey" "a label does not leave the directory"
run 0 lmodel extract -i bob.key -i mine/Bob----x-1.lkey -f -o got.safetensors m.lmodel
same got.safetensors silver.safetensors "and the new one opens silver"
run 0 lmodel extract -i stranger.key -i mine/age1*.lkey -f -o got.safetensors m.lmodel
same got.safetensors $truth "and gold"

run 0 lmodel revoke -v -i owner.key --book my.book -r "$(pub stranger)" m.lmodel
is "$err" "lmodel: a detached grant opens the archive until the next rekey
lmodel: 'm.lmodel': 1 slot or detached grant removed" "revoked: told that a rekey is needed"
run 0 lmodel extract -i stranger.key -i mine/age1*.lkey -f -o got.safetensors m.lmodel
rm -r mine
run 0 lmodel rekey -i owner.key --book my.book --grants mine m.lmodel
is "$(ls mine)" "Bob----x-1.lkey" "a revoked one is not made anew"
nokey "nor opens the old one" "outdated grant: tier '?silver'?: generation 2, the archive has 4" \
	-i stranger.key -i s.lkey
run 2 lmodel revoke -i owner.key --book my.book -r "$(pub stranger)" m.lmodel
cp m.lmodel now.lmodel
echo junk >junk.book
run 4 lmodel grant -i owner.key --tier gold -r "$(pub bob)" --detached j.lkey --book junk.book \
	m.lmodel
run 4 lmodel revoke -i owner.key --book junk.book --label Pia m.lmodel
is "$(ls j.lkey 2>/dev/null)" "" "a book that is none: no grant"
same m.lmodel now.lmodel "a book that is none: nothing is changed"
run 4 lmodel rekey -i owner.key --tier gold --book junk.book --grants junk m.lmodel

# ---- proportional to the tier ----

if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
	# Leaks cannot be looked for under strace.
	export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
	for tier in silver gold; do
		strace -ff -qq -y -e trace=pwrite64,pwritev,write,writev,fallocate,ftruncate -o trace \
			"$real" rekey -q -i owner.key --tier $tier m.lmodel
		ok $? "rekey --tier $tier"
		run 0 python3 - "$tier" "$slot_size" <<'P'
import glob, os, re, sqlite3, subprocess, sys
tier, slot = sys.argv[1], int(sys.argv[2])
open("manifest.sqlite", "wb").write(subprocess.run(
    ["tar", "-xOf", "m.lmodel", "manifest.sqlite"], stdout=subprocess.PIPE, check=True).stdout)
db = sqlite3.connect("file:manifest.sqlite?immutable=1", uri=True)
sizes = dict(db.execute("SELECT t.name, sum(positions_length + values_length) FROM shard s"
                        " JOIN tier t ON t.id = s.tier GROUP BY t.name"))
wrote = 0
lines = [line for name in glob.glob("trace.*") for line in open(name)]
for name in glob.glob("trace.*"):
    os.unlink(name)
for line in lines:
    if "/m.lmodel>" not in line:
        continue
    m = re.search(r"\b(\w+)\(.* = (\d+)", line)
    if m and "write" in m[1]:
        wrote += int(m[2])
print(wrote, "bytes written; shards", sizes, "slot", slot)
assert sizes[tier] > 0 and wrote > sizes[tier]
assert wrote < 4 * slot + 1.2 * sizes[tier], "too much"
P
		printf '# %s\n' "$out"
	done
fi
run 0 lmodel verify -i owner.key m.lmodel
is "$err" "" "in the end all is well"
for who in owner stan pia; do gets "in the end" $who; done

leftovers "nothing is left"
done_testing
