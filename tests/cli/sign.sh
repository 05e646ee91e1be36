# Publishers' signatures: ssh-keygen and minisign make and check what lmodel takes and makes, and
# readers take nothing that is not signed by whom they name.
. "${srcdir:-.}/tests/lib/tap.sh"
needs ssh-keygen minisign

for program in ssh-keygen minisign; do
	command -v $program >/dev/null
	ok $? "$program is installed"
done
for who in owner xena bob; do lmodel keygen -q -o $who.key || exit 99; done
pub() { lmodel keygen -y "$1.key"; }
for who in alice carol mallory; do
	ssh-keygen -q -t ed25519 -N '' -C $who -f $who || exit 99
done
ssh-keygen -q -t ed25519 -N 'a passphrase' -f locked || exit 99
ssh-keygen -q -t ecdsa -N '' -f ecdsa || exit 99
printf '\n\n' | minisign -G -W -p mini.pub -s mini.sec >/dev/null 2>&1 || exit 99
print_of() { ssh-keygen -l -f "$1.pub" | cut -d ' ' -f 2; }
echo "alice@example.com $(cut -d ' ' -f 1,2 alice.pub)" >allowed
echo "carol@example.com $(cut -d ' ' -f 1,2 carol.pub)" >carols
python3 "$srcdir/tests/lib/mkmodel.py" model.safetensors w:F32:24x32 b:BF16:64x16 || exit 99
lmodel pack --tier gold=10% --owner "$(pub owner)" -r "$(pub xena)=gold" -o m.lmodel \
	model.safetensors || exit 99
cp m.lmodel unsigned.lmodel

# ---- the command line ----

usage() {
	usage_message=$1
	shift
	run 2 "$@"
	is "$err" "lmodel: $usage_message
Try 'lmodel $2 --help'." "usage: $usage_message"
}
usage "--key KEY, --print or --import FILE is missing" lmodel sign m.lmodel
usage "--key, --print and --import exclude each other" lmodel sign -k alice --print m.lmodel
usage "--key, --print and --import exclude each other" lmodel sign --import s --print m.lmodel
usage "--signers is for --import FILE" lmodel sign -k alice --signers allowed m.lmodel
usage "only --print works on standard streams" lmodel sign -k alice -
usage "--sign needs a file: -o OUT" lmodel pack --sign alice -o - model.safetensors
for c in "verify m.lmodel" "extract -o none m.lmodel" "cat m.lmodel w"; do
	# shellcheck disable=SC2086
	usage "--require-signature needs --signers FILE" lmodel ${c%% *} --require-signature \
		${c#* }
	# shellcheck disable=SC2086
	LMODEL_SIGNERS='' usage "--require-signature needs --signers FILE" lmodel ${c%% *} \
		--require-signature ${c#* }
done

# ---- who may sign ----

run 1 lmodel sign -k missing m.lmodel
run 2 lmodel sign -k - m.lmodel
run 2 lmodel sign -k . m.lmodel
run 5 lmodel sign -k locked m.lmodel
run 5 lmodel sign -k ecdsa m.lmodel
run 5 lmodel sign -k owner.key m.lmodel
run 2 lmodel sign -k alice.pub m.lmodel
run 4 lmodel sign -k model.safetensors m.lmodel
run 1 lmodel sign -k alice missing.lmodel
run 4 lmodel sign -k alice model.safetensors
same m.lmodel unsigned.lmodel "none of these changes a byte"

# ---- nobody has ----

# demand STATUS PATTERN NAME OPTION...: all readers with these options, of m.lmodel.
demand() {
	demand_status=$1
	demand_pattern=$2
	demand_name=$3
	shift 3
	run "$demand_status" lmodel verify "$@" m.lmodel
	like "$err" "$demand_pattern" "$demand_name: verify"
	rm -f x.safetensors
	run "$demand_status" lmodel extract --base -o x.safetensors "$@" m.lmodel
	like "$err" "$demand_pattern" "$demand_name: extract"
	[ "$demand_status" -eq 0 ] || [ ! -e x.safetensors ]
	ok $? "$demand_name: what is written"
	lmodel cat --base --raw "$@" m.lmodel w >x.raw 2>x.err
	is "$?" "$demand_status" "$demand_name: cat"
	like "$(cat x.err)" "$demand_pattern" "$demand_name: cat"
	is "$(($(wc -c <x.raw) > 0))" "$((demand_status == 0))" "$demand_name: cat's output"
}
like "$(lmodel inspect m.lmodel)" "^signature +unsigned$" "inspect: unsigned"
demand 4 "m.lmodel'?: (fault: .*)?is not signed$" "not signed" --signers allowed
demand 4 "is not signed$" "not signed, twice said" --signers allowed --require-signature
LMODEL_SIGNERS=allowed demand 4 "is not signed$" "not signed, by \$LMODEL_SIGNERS"
LMODEL_SIGNERS=allowed run 4 lmodel extract -i xena.key -o none m.lmodel
is "$(ls none 2>/dev/null)" "" "a key does not make up for it"
run 4 lmodel verify --json --signers allowed m.lmodel
is "$(printf '%s' "$out" | python3 -c 'import json, sys
d = json.load(sys.stdin)
print(d["ok"], d["signed_by"], d["faults"])')" "False None 1" "verify --json"

# ---- what is signed ----

lmodel sign --print m.lmodel >statement
ok $? "--print"
lmodel inspect --json m.lmodel | python3 -c 'import json, sys
sys.stdout.write(json.load(sys.stdin)["statement"])' | cmp - statement
ok $? "is the statement, byte for byte"
lmodel sign --print - <m.lmodel | cmp - statement
ok $? "the same from standard input"
like "$(head -n 1 statement)" "^lmodel-statement-v1$" "which says what it is"

# ---- our signature, by ssh-keygen ----

# taken N: the signature as it stands in the manifest.
taken() {
	tar -xOf m.lmodel manifest.sqlite >manifest.sqlite
	sqlite3 manifest.sqlite "SELECT writefile('taken', bytes) FROM signature ORDER BY id
		LIMIT 1 OFFSET $(($1 - 1))" >/dev/null
}
theirs() {
	ssh-keygen -Y verify -f "${1:-allowed}" -I "${2:-alice@example.com}" -n lmodel -s taken \
		<statement >theirs.out 2>&1
}
run 0 lmodel sign -v -k alice m.lmodel
is "$err" "lmodel: 'm.lmodel': signed" "what -v says"
lmodel sign --print m.lmodel | cmp - statement
ok $? "the statement is what it was"
taken 1
theirs
ok $? "ssh-keygen -Y verify takes it"
is "$(lmodel inspect m.lmodel | sed -n 's/^signature  *//p')" \
	"sshsig $(print_of alice) verifies under its own key" "inspect"
demand 0 "" "signed" --signers allowed
demand 0 "" "signed, required" --signers allowed --require-signature
LMODEL_SIGNERS=allowed demand 0 "" "signed, by \$LMODEL_SIGNERS"
LMODEL_SIGNERS=allowed demand 0 "" "signed, and required" --require-signature
for c in verify "extract --base -f -o x.safetensors" "cat --base --raw"; do
	# shellcheck disable=SC2046,SC2086
	lmodel ${c} -v --signers allowed m.lmodel $([ "${c%% *}" = cat ] && echo w) >/dev/null 2>err
	like "$(cat err)" "m.lmodel: signed by alice@example.com$" "${c%% *} -v tells who"
done
run 0 lmodel verify --json --signers allowed m.lmodel
is "$(printf '%s' "$out" | python3 -c 'import json, sys
print(json.load(sys.stdin)["signed_by"])')" alice@example.com "verify --json"
run 0 lmodel verify m.lmodel
LMODEL_SIGNERS=carols run 0 lmodel verify --signers allowed m.lmodel
run 0 sh -c 'exec lmodel verify --signers allowed - <m.lmodel'

# ---- the three messages ----

demand 4 "is signed by nobody in 'carols'" "signed by another" --signers carols
run 0 lmodel sign -k alice m.lmodel
is "$(lmodel inspect --json m.lmodel | python3 -c 'import json, sys
print(json.load(sys.stdin)["signatures"])')" \
	"[{'kind': 'sshsig', 'signer': '$(print_of alice)', 'of_this': True}]" \
	"the same key again: one signature"
run 0 lmodel sign -k mallory m.lmodel
is "$(lmodel inspect m.lmodel | grep -c 'verifies under its own key$')" 2 "another key: two"
demand 0 "" "one of two" --signers allowed
run 1 lmodel verify --signers missing m.lmodel
run 1 lmodel extract --base --signers missing -o none m.lmodel
echo junk >junk
for c in verify "extract --base -o none"; do
	# shellcheck disable=SC2086
	lmodel $c --signers junk m.lmodel >/dev/null 2>err
	like "$?" "^[45]$" "${c%% *}: a file that holds no signers"
done
echo "alice@example.com valid-before=\"20200101Z\" $(cut -d ' ' -f 1,2 alice.pub)" >expired
demand 4 "is signed by nobody in 'expired'" "a signer whose time is over" --signers expired
echo "alice@example.com namespaces=\"git\" $(cut -d ' ' -f 1,2 alice.pub)" >elsewhere
demand 4 "is signed by nobody in 'elsewhere'" "a signer for other things" --signers elsewhere

# The same signer's signature of another archive, put here by a mirror.
lmodel pack --sign alice -o other.lmodel model.safetensors || exit 99
tar -xOf other.lmodel manifest.sqlite >other.sqlite
sqlite3 other.sqlite "SELECT writefile('other.sig', bytes) FROM signature" >/dev/null
cat >swap.py <<'P'
import hashlib, sqlite3, struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
size = int(data[1024 + 124:1024 + 135], 8)
for at in (1536, 1536 + size + 512):
    foot = bytearray(data[at + size - 512:at + size])
    used, = struct.unpack_from("<Q", foot, 24)
    image = data[at:at + used]
    version, image[18] = image[18], 1  # which forbids to write
    open("swap.sqlite", "wb").write(image)
    db = sqlite3.connect("swap.sqlite")
    db.execute("DELETE FROM signature WHERE id > (SELECT min(id) FROM signature)")
    db.execute("UPDATE signature SET bytes = ?", (open(sys.argv[2], "rb").read(),))
    db.commit()
    db.close()
    image = bytearray(open("swap.sqlite", "rb").read())
    image[18] = version
    struct.pack_into("<Q", foot, 24, len(image))
    foot[48:80] = hashlib.sha256(image + foot[:48]).digest()
    data[at:at + size] = image + bytes(size - 512 - len(image)) + foot
open(sys.argv[1], "wb").write(data)
P
cp m.lmodel signed.lmodel
run 0 python3 swap.py m.lmodel other.sig
demand 4 "the signature is not of what the archive is now$" "swapped" --signers allowed
is "$(lmodel inspect m.lmodel | sed -n 's/^signature  *//p')" \
	"sshsig $(print_of alice) of another statement" "swapped: inspect"
is "$(lmodel inspect --json m.lmodel | python3 -c 'import json, sys
d = json.load(sys.stdin); print(d["signed"], d["signatures"][0]["of_this"])')" "True False" \
	"swapped: inspect --json"
cp signed.lmodel m.lmodel

# Before a tensor is read: damage in one does not come to light.
python3 - <<'P'
import tarfile
with tarfile.open("m.lmodel") as t:
    at = next(m.offset_data for m in t if "/w" in m.name)
with open("m.lmodel", "r+b") as f:
    f.seek(at + 5)
    byte = f.read(1)
    f.seek(at + 5)
    f.write(bytes([byte[0] ^ 0x40]))
P
run 4 lmodel extract --base -o none m.lmodel
unlike "$err" "signed by" "the damage, without --signers"
run 4 lmodel extract --base --signers carols -o none m.lmodel
like "$err" "is signed by nobody in 'carols'" "the signature comes first"
is "$(printf '%s\n' "$err" | wc -l)" 1 "and is all"
cp signed.lmodel m.lmodel

# ---- their signature, by lmodel ----

cp unsigned.lmodel m.lmodel
ssh-keygen -q -Y sign -n lmodel -f carol <statement >s.sig 2>/dev/null
ok $? "ssh-keygen -Y sign"
run 0 lmodel sign -v --import s.sig m.lmodel
is "$err" "lmodel: 'm.lmodel': the signature is in it" "what -v says"
demand 0 "" "signed by ssh-keygen" --signers carols
taken 1
same taken s.sig "it is in the manifest as it was"
theirs carols carol@example.com
ok $? "and is checked by them, too"
# By an agent, with a key that has a passphrase.
if eval "$(ssh-agent -s 2>/dev/null)" >/dev/null; then
	printf '#!/bin/sh\necho "a passphrase"\n' >ask && chmod +x ask
	SSH_ASKPASS=$PWD/ask SSH_ASKPASS_REQUIRE=force ssh-add -q locked 2>/dev/null
	lmodel sign --print m.lmodel | ssh-keygen -q -Y sign -n lmodel -f locked.pub >a.sig 2>/dev/null
	ok $? "ssh-keygen signs by an agent"
	ssh-agent -k >/dev/null
	run 0 lmodel sign --import a.sig m.lmodel
	echo "locked $(cut -d ' ' -f 1,2 locked.pub)" >locks
	demand 0 "" "signed by an agent" --signers locks
fi
cp m.lmodel signed.lmodel
ssh-keygen -q -Y sign -n file -f carol <statement >file.sig 2>/dev/null
run 4 lmodel sign --import file.sig m.lmodel
like "$err" "not of this archive's statement" "another namespace"
run 4 lmodel sign --import other.sig m.lmodel
like "$err" "not of this archive's statement" "of another archive"
run 4 lmodel sign --import model.safetensors m.lmodel
run 1 lmodel sign --import missing m.lmodel
: >empty
run 4 lmodel sign --import empty m.lmodel
ssh-keygen -q -Y sign -n lmodel -f ecdsa <statement >ecdsa.sig 2>/dev/null
run 5 lmodel sign --import ecdsa.sig m.lmodel
same m.lmodel signed.lmodel "what is refused changes nothing"

# ---- minisign ----

cp unsigned.lmodel m.lmodel
printf '\n' | minisign -S -s mini.sec -m statement -x m.minisig >/dev/null 2>&1
ok $? "minisign -S"
run 2 lmodel sign --import m.minisig m.lmodel
run 4 lmodel sign --import m.minisig --signers allowed m.lmodel
same m.lmodel unsigned.lmodel "a minisign signature needs its key"
run 0 lmodel sign --import m.minisig --signers mini.pub m.lmodel
demand 0 "" "signed by minisign" --signers mini.pub
cat allowed mini.pub >both
demand 0 "" "one file of both kinds" --signers both
demand 4 "is signed by nobody in 'allowed'" "another kind of key" --signers allowed
like "$(lmodel inspect m.lmodel | sed -n 's/^signature  *//p')" \
	"^minisign [0-9A-F]{16} not checked: verify --signers does$" "inspect cannot check it"
is "$(lmodel inspect --json m.lmodel | python3 -c 'import json, sys
print(json.load(sys.stdin)["signatures"][0]["of_this"])')" None "nor inspect --json"
taken 1
cp taken again.minisig
minisign -V -q -p mini.pub -m statement -x again.minisig
ok $? "minisign -V takes what is in the manifest"
echo more >>statement
printf '\n' | minisign -S -s mini.sec -m statement -x n.minisig >/dev/null 2>&1
cp m.lmodel before.lmodel
run 4 lmodel sign --import n.minisig --signers mini.pub m.lmodel
same m.lmodel before.lmodel "of another statement"
run 0 lmodel sign -k alice m.lmodel
demand 0 "" "beside an SSH signature: this" --signers mini.pub
demand 0 "" "beside an SSH signature: that" --signers allowed

# ---- what keeps signatures, and what does not ----

cp m.lmodel signed.lmodel
run 0 lmodel grant -i owner.key --tier gold -r "$(pub bob)" --label Bob m.lmodel
demand 0 "" "granted" --signers allowed
run 0 lmodel revoke -i owner.key --label Bob m.lmodel
demand 0 "" "revoked" --signers mini.pub
run 0 lmodel extract -i xena.key --signers allowed -f -o x.safetensors m.lmodel
same x.safetensors model.safetensors "all weights, signed"
run 0 lmodel repack -f -o m.lmodel m.lmodel
demand 0 "" "repacked" --signers allowed
demand 0 "" "repacked" --signers mini.pub

cp m.lmodel before.lmodel
run 2 lmodel rekey -i owner.key --tier gold m.lmodel
is "$err" "lmodel: 'm.lmodel' is signed: --key KEY or --unsigned
Try 'lmodel rekey --help'." "a signed archive is not locked anew without a word on that"
run 1 lmodel rekey -i owner.key --tier gold -k missing m.lmodel
run 5 lmodel rekey -i owner.key --tier gold -k locked m.lmodel
run 5 lmodel rekey -i owner.key --tier gold -k owner.key m.lmodel
same m.lmodel before.lmodel "and nothing is changed"
run 0 lmodel rekey -i owner.key --tier gold -k carol --json m.lmodel
is "$(printf '%s' "$out" | python3 -c 'import json, sys
print(json.load(sys.stdin)["signed"])')" True "locked anew and signed"
is "$(lmodel inspect m.lmodel | sed -n 's/^signature  *//p')" \
	"sshsig $(print_of carol) verifies under its own key" "by the new key alone"
demand 0 "" "locked anew" --signers carols
demand 4 "is signed by nobody in 'allowed'" "the old ones are gone" --signers allowed
run 0 lmodel extract -i xena.key --signers carols -f -o x.safetensors m.lmodel
same x.safetensors model.safetensors "and opens"
run 0 lmodel rekey -i owner.key --tier gold --unsigned m.lmodel
demand 4 "is not signed$" "--unsigned" --signers carols
like "$(lmodel inspect m.lmodel)" "^signature +unsigned$" "--unsigned: inspect"
run 0 lmodel rekey -i owner.key --tier gold -k alice m.lmodel
like "$(lmodel inspect m.lmodel)" "^signature +sshsig $(print_of alice | tr + .) verifies" \
	"--key of an unsigned one signs it"

# ---- signed as it is packed ----

run 0 lmodel pack --json --sign alice -o packed.lmodel model.safetensors
is "$(printf '%s' "$out" | python3 -c 'import json, sys
print(json.load(sys.stdin)["signed"])')" True "pack --sign"
run 0 lmodel verify --signers allowed packed.lmodel
run 0 lmodel pack --json -o plain.lmodel model.safetensors
is "$(printf '%s' "$out" | python3 -c 'import json, sys
print(json.load(sys.stdin)["signed"])')" False "pack without"
for key in locked:5 ecdsa:5 owner.key:5 missing:1 -:2; do
	run "${key#*:}" lmodel pack --sign "${key%:*}" -o none.lmodel model.safetensors
	is "$(ls none.lmodel 2>/dev/null)" "" "a key that cannot sign: nothing is packed"
done

leftovers "nothing is left"
done_testing
