# Archives with tiers that somebody without their keys has changed, consistently: every digest is
# right, and signed by an owner. Whoever holds a key of a tier is told, and gets nothing.
# Single bytes are turned in tests/unit/test_tamper.c.
. "${srcdir:-.}/tests/lib/tap.sh"
needs age
# Each reader sees each file for the first time: memory is for memory.sh.
unset XDG_STATE_HOME HOME
# What is told here is told to who sees the archive for the first time; memory.sh has the rest.
export XDG_STATE_HOME= HOME=

other_owner='^lmodel: .*: is not the archive that the grant is for: it has another owner$'
other_tier='^lmodel: .*: is not the archive that the grant is for: a tier is not the granted one$'
mac='^lmodel: .*: is not what was packed: the MAC of tier (silver|gold) is wrong$'
nokey='^lmodel: .*: none of the keys opens it$'

tamper() { python3 "$srcdir/tests/lib/tamper.py" "$@"; }
pub() { lmodel keygen -y "$1.key"; }

# ---- a model, an archive of it, another archive of it, and who may read them ----

python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors a.weight:F32:12x16 a2.weight:F32:12x16 \
	b.weight:BF16:40x16 c.bias:F32:400 ids:I64:10 --meta license=none || exit 99
echo '{{ messages }}' >chat_template.jinja
for name in owner gold silver bob carl auditor; do lmodel keygen -q -o $name.key || exit 99; done
for archive in m other; do
	lmodel pack --chunk-size 4096 --tier silver=5% --tier gold=20% \
		--attach chat_template.jinja --owner "$(pub owner)" -r "$(pub gold)=gold" \
		-r "$(pub silver)=silver" --audit "$(pub auditor)" -o $archive.lmodel \
		m.safetensors || exit 99
done
lmodel grant -i owner.key --tier gold -r "$(pub bob)" --detached bob.lkey m.lmodel || exit 99
lmodel extract -i silver.key -o silver.safetensors m.lmodel || exit 99
lmodel extract -q -o base.safetensors m.lmodel || exit 99
for one in m silver base; do cat $one.safetensors; done | sha256sum >before

# as READER COMMAND...: with the reader's keys; sets status, err.
as() {
	as_reader=$1 as_command=$2
	shift 2
	set -- "$as_command" -i "$as_reader.key" "$@"
	[ "$as_reader" != bob ] || set -- "$@" -i bob.lkey
	lmodel "$@" >.out 2>.err
	status=$?
	err=$(cat .err)
}

# refused READER STATUS PATTERN NAME
refused() {
	if [ "$1" = auditor ]; then
		as auditor verify f.lmodel
	else
		rm -rf got d && mkdir d
		as "$1" extract -o got f.lmodel
		got="$status:$err"
		as "$1" extract -o d/ f.lmodel
		if [ "$got" != "$status:$err" ] || [ -e got ] || [ -n "$(ls -A d)" ]; then
			ok 1 "$1 gets nothing: $4"
			printf '%s\n%s\n' "$got" "$status:$err" "$(ls -l got d)" | sed 's/^/#   /'
			return
		fi
	fi
	if [ "$status" -eq "$2" ] && [ ! -s .out ] && [ "$(wc -l <.err)" -eq 1 ] &&
		printf '%s\n' "$err" | grep -Eq -- "$3"; then
		ok 0 "$1 is told, and gets nothing: $4"
	else
		ok 1 "$1 is told, and gets nothing: $4"
		printf 'exit status %s, wanted %s\n%s\n' "$status" "$2" "$err" | sed 's/^/#   /'
	fi
}

# right READER NAME: gets just what is his.
right() {
	rm -f got
	as "$1" extract -o got f.lmodel
	want=m.safetensors
	[ "$1" != silver ] || want=silver.safetensors
	if [ "$status" -eq 0 ] && cmp -s got $want && [ -z "$err" ]; then
		ok 0 "$1 gets his weights: $2"
	else
		ok 1 "$1 gets his weights: $2"
		printf 'exit status %s\n%s\n' "$status" "$err" | sed 's/^/#   /'
	fi
}

tried=
# forge NAME [ARGUMENT...]: makes f.lmodel
forge() {
	tried="$tried $1"
	rm -f f.lmodel
	# shellcheck disable=SC2086
	tamper $theft "$1" m.lmodel f.lmodel ${2+"$2"} || ok 1 "forged: $*"
}
# caught NAME [ARGUMENT]: by every holder of a key, and no key tells another story
caught() {
	forge "$@"
	for reader in gold silver bob owner auditor; do
		refused $reader "$want_status" "$want" "$1"
	done
}
theft=

# ---- the builder itself ----

forge nothing
for reader in gold silver bob owner; do right $reader "nothing was changed"; done
run 0 lmodel verify -i auditor.key f.lmodel

# ---- by a registry ----

want_status=4 want=$other_owner
for name in owner swap_shards swap_positions swap_streams swap_tiers swap_tier_rows base_public \
	base_protected base_swapped names_swapped attachment attachment_name attachment_gone \
	shape dtype name skeleton metadata drop_shard drop_tier unit content_generation \
	commitment commitment_upper tier_generation selection mask tier_unit scope amount created \
	tool; do
	caught $name
done
caught graft other.lmodel
caught graft_one other.lmodel
want=": the owner's signature is wrong$"
caught owner_kept
want_status=3 want=$nokey
caught archive_id

# Nothing is left of the protection: who has a key for this archive is not to take it for one that
# never had any.
forge drop_all
for reader in gold silver bob owner; do
	as $reader extract -o got f.lmodel
	like "$status:$(ls got 2>/dev/null)" '^[34]:$' "$reader gets nothing: drop_all"
	rm -f got
done

# What one role proves, another does not have to.
forge absent
for reader in gold silver bob owner; do refused $reader 4 "$other_owner" absent; done
forge forge_mac
for reader in gold silver bob owner; do refused $reader 4 "$mac" forge_mac; done
forge forge_position_mac
for reader in gold silver bob owner auditor; do refused $reader 4 "$mac" forge_position_mac; done
want_status=4 want=$other_owner
caught position_commitment

# Nothing goes to standard output, either.
forge base_public
as gold cat f.lmodel ids
is "$status:$(wc -c <.out)" "4:0" "cat: nothing of a tensor that is not protected"
as gold extract -o - f.lmodel
is "$status:$(wc -c <.out)" "4:0" "nothing on standard output"
as gold extract -o got f.lmodel ids
is "$status:$(ls got 2>/dev/null)" "4:" "nothing of a part"
as gold extract --base -o got f.lmodel
is "$status:$(ls got 2>/dev/null)" "4:" "nor the base, where a key is given"

# ---- slots ----

if command -v age >/dev/null; then
	forge slot_forged "$(pub gold)"
	for reader in silver bob owner; do right $reader slot_forged; done
	refused gold 4 "$other_tier" slot_forged
	forge slot_only_forged "$(pub gold)"
	for reader in silver owner auditor; do refused $reader 3 "$nokey" slot_only_forged; done
	refused gold 4 "$other_tier" slot_only_forged
	right bob "slot_only_forged: a grant of his own needs no slot"
	want_status=4 want=$other_owner
	caught slot_and_upper "$(pub gold)"
fi

cp m.lmodel now.lmodel
lmodel grant -i owner.key --tier gold -r "$(pub carl)" --label Carl now.lmodel || exit 99
cp now.lmodel old.lmodel
lmodel revoke -i owner.key --label Carl now.lmodel || exit 99
cp now.lmodel f.lmodel
refused carl 3 "$nokey" "revoked"
is "$(lmodel inspect -i owner.key now.lmodel | grep -c ' 5 .*X25519')" 0 "his slot is gone"
tamper slots_replayed now.lmodel f.lmodel old.lmodel
tried="$tried slots_replayed"
for reader in gold silver bob owner carl; do right $reader "a revoked slot is put back"; done
lmodel inspect --json -i owner.key f.lmodel >f.json
is "$(python3 -c 'import json
print([slot["id"] for slot in json.load(open("f.json"))["slots"] if not slot["known"]])')" "[5]" \
	"the owner sees which slot is not of his making"
run 0 lmodel revoke -i owner.key f.lmodel 5
refused carl 3 "$nokey" "and takes it out"
tamper book_replayed now.lmodel f.lmodel old.lmodel
tried="$tried book_replayed"
for reader in gold silver bob owner; do right $reader "an old book"; done
run 4 lmodel revoke -i owner.key f.lmodel 2
like "$err" "customer book" "the owner is told of an old book"
tamper slots_replayed m.lmodel f.lmodel other.lmodel
for reader in gold silver owner auditor; do
	refused $reader 3 "$nokey" "the slots of another archive"
done
right bob "the slots of another archive"

# Rollback: manifests of an earlier commit.
splice() {
	python3 - "$@" <<'P' || exit 99
import sys
old, new = (open(name, "rb").read() for name in ("old.lmodel", "now.lmodel"))
size = int(old[1148:1159], 8)
slot = {"a": 1536, "b": 2048 + size}
out = bytearray(new)
for which in sys.argv[1]:
    out[slot[which]:slot[which] + size] = old[slot[which]:slot[which] + size]
open("f.lmodel", "wb").write(out)
P
}
splice ab
for reader in gold silver bob owner carl; do right $reader "rolled back"; done
run 0 lmodel verify -i auditor.key f.lmodel
for which in a b; do
	splice $which
	for reader in gold silver bob owner; do right $reader "slot $which is of the last commit"; done
	refused carl 3 "$nokey" "the newer slot is in force"
done

# ---- by somebody who has stolen more ----

if command -v age >/dev/null; then
	mkdir slots
	tamper slots m.lmodel slots || exit 99
	age -d -i owner.key slots/1.age >owner.grant && age -d -i silver.key slots/3.age \
		>silver.grant || exit 99

	# Who may read the lower tier changes what the holders of the upper one get.
	for name in insider insider_commitment insider_drop insider_generation; do
		forge $name silver.grant
		for reader in gold bob owner auditor; do
			refused $reader 4 "$other_owner" $name
		done
	done

	# The owner's signing key, but no key of a tier: the MAC alone stands.
	theft="--seed owner.grant"
	forge nothing
	right gold "the owner's signature, made again"
	for name in swap_shards swap_positions swap_streams swap_tiers swap_tier_rows base_public \
		base_protected base_swapped names_swapped attachment attachment_name \
		attachment_gone shape dtype name skeleton metadata drop_shard unit \
		content_generation position_commitment selection mask tier_unit scope amount \
		created tool; do
		forge $name
		refused gold 4 "$mac" "$name, signed"
	done
	for name in drop_tier absent commitment commitment_upper; do
		forge $name
		refused gold 4 "$other_tier" "$name, signed"
	done
	forge tier_generation
	refused gold 3 "outdated grant: tier '.*': generation 1, the archive has 2$" \
		"tier_generation, signed"
	forge graft other.lmodel
	refused gold 4 "$mac" "graft, signed"
	# And the keys of the lower tier.
	forge insider silver.grant
	refused gold 4 "$mac" "insider, signed"
	for name in insider_commitment insider_drop; do
		forge $name silver.grant
		refused gold 4 "$other_tier" "$name, signed"
	done

	# All keys: each shard is bound to its place, its tensor and the base.
	theft="--keys owner.grant"
	forge amount
	right gold "the owner's MACs, made again"
	for name in swap_shards swap_positions swap_streams swap_tiers base_protected base_swapped \
		names_swapped shape dtype name unit; do
		forge $name
		refused gold 4 "^lmodel: .*: tensor '[abc].*', tier (silver|gold): " "$name, all keys"
	done
	for name in graft graft_one; do
		forge $name other.lmodel
		refused gold 4 "^lmodel: .*: tensor 'a.weight', tier (silver|gold): " "$name, all keys"
	done

	# shellcheck disable=SC2086
	is "$(printf '%s\n' $tried | sort -u)" "$(tamper list | sort)" "each forgery was tried"
fi

for one in m silver base; do cat $one.safetensors; done | sha256sum | cmp -s - before
ok $? "no file was changed on the way"
leftovers "nothing is left"
done_testing
