# pull: parts of an archive and the rest later, to the byte; what is there is not fetched; grants
# that were left beside it; what must not be replaced.
. "${srcdir:-.}/tests/lib/tap.sh"
. "$srcdir/tests/lib/registry.sh"
export XDG_CACHE_HOME=$tap_dir/.cache

for who in owner alice bob carol dora; do
	lmodel keygen -q -o $who.key && lmodel keygen -y $who.key >$who.pub || exit 99
done
ssh-keygen -q -t ed25519 -N '' -C vendor -f vendor_key || exit 99
echo "vendor $(cat vendor_key.pub)" >signers
python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors w:F32:256x320 b:BF16:64x16 || exit 99
echo secret >side.txt
lmodel pack -q --select random --tier silver=2% --tier gold=9% --owner "$(cat owner.pub)" \
	--attach side.txt=side.txt@gold -r "$(cat alice.pub)=silver" -o x.lmodel m.safetensors &&
	lmodel sign -k vendor_key x.lmodel || exit 99
size=$(stat -c %s x.lmodel)
for tier in silver gold; do
	lmodel extract -q -i owner.key --tier $tier -o true.$tier.safetensors x.lmodel || exit 99
done
lmodel extract -q --base -o true.base.safetensors x.lmodel || exit 99

field() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$tap_dir/.out" "$1"; }
cat >layers.py <<'P'
import json, sys
d = json.load(open(sys.argv[1]))
print(sum(l["bytes"] for l in d["layers"] if l["state"] == sys.argv[2]),
      ",".join(l["tier"] or l["kind"] for l in d["layers"] if l["state"] == sys.argv[2]))
P
state() { python3 layers.py "$tap_dir/.out" "$1"; }
bytes() { lmodel push --json x.lmodel "$ref" | python3 -c 'import json, sys
print(sum(l["bytes"] for l in json.load(sys.stdin)["layers"] if sys.argv[1] in (l["kind"], l["tier"])))' "$1"; }

start_registry
ref=$registry/models/bert:v1
lmodel push x.lmodel "$ref" || exit 99
slots=$(bytes manifest) base=$(bytes base) silver=$(bytes silver) gold=$(bytes gold)

# ---- the name ----

run 0 lmodel pull "$ref"
is "$out$err" "" "nothing to say"
same x.lmodel bert.lmodel "the repository's last part names the file"
run 0 lmodel pull --json "$ref"
is "$(field changed)" False "again: there is nothing to do"
is "$(state fetched)" "0 " "nothing was fetched"
run 0 lmodel pull --json -o other.lmodel "$ref"
is "$(state fetched)" "$size manifest,base,silver,gold,end" "all of it"
same x.lmodel other.lmodel "to the byte"
digest=$(field digest)
run 0 lmodel pull -q -o by-digest.lmodel "$registry/models/bert@$digest"
same x.lmodel by-digest.lmodel "by digest"
run 0 lmodel pull -q -o by-scheme.lmodel "oci://$ref"
same x.lmodel by-scheme.lmodel "with oci:// in front"

# ---- a part, and the rest ----

part() { # part WHAT OPTION...: pulls it afresh to part.lmodel
	rm -f part.lmodel
	clear_log
	run 0 lmodel pull --json -o part.lmodel "$@" "$ref"
}
part --tier silver
is "$(state left)" "$gold gold" "--tier silver leaves gold"
got=$(traffic sent GET)
[ "$got" -lt $((size - gold + 16384)) ]
ok $? "and does not fetch it ($got bytes of $size)"
is "$(stat -c %s part.lmodel)" "$size" "the file is as long"
cmp -s x.lmodel part.lmodel
is $? 1 "and is another one"
run 0 lmodel verify -v part.lmodel
like "$err" "tier gold is not in this file" "verify says what is absent"
unlike "$err" "fault" "and finds no fault"
run 0 lmodel inspect part.lmodel
like "$out" "not in this file" "inspect says it"
like "$out" "is dead or of tiers not in this file" "and whose the holes are"
run 0 lmodel extract -q -i alice.key -o part.silver.safetensors part.lmodel
same true.silver.safetensors part.silver.safetensors "silver is whole"
run 4 lmodel extract -i owner.key -o part.gold.safetensors part.lmodel
run 0 tar -tf part.lmodel
like "$out" "shard/g1/gold/values" "tar lists it to the end"
run 0 lmodel verify -q --signers signers part.lmodel
cp part.lmodel keep.lmodel
clear_log
run 0 lmodel pull --json -o part.lmodel "$ref"
same x.lmodel part.lmodel "a later pull completes it to the byte"
is "$(state fetched)" "$((slots + gold)) manifest,gold" "with what was missing"
is "$(field bytes_copied)" "$((size - slots - gold))" "the rest was there"
got=$(traffic sent GET)
[ "$got" -lt $((slots + gold + 16384)) ]
ok $? "so many bytes went ($got; missing were $((slots + gold)))"

part --base
is "$(state left)" "$((silver + gold)) silver,gold" "--base leaves all tiers"
run 0 lmodel verify -q part.lmodel
run 0 lmodel extract -q --base -o part.base.safetensors part.lmodel
same true.base.safetensors part.base.safetensors "the base is whole"
run 0 lmodel pull --json -o part.lmodel --tier silver "$ref"
is "$(state fetched)" "$((slots + silver)) manifest,silver" "then silver"
run 0 lmodel verify -q part.lmodel
run 0 lmodel pull --json -o part.lmodel --base "$ref"
is "$(state left)" "$gold gold" "what is there stays there"
run 0 lmodel pull --json -o part.lmodel "$ref"
is "$(state fetched)" "$((slots + gold)) manifest,gold" "then gold"
same x.lmodel part.lmodel "step by step it is the whole"
run 0 lmodel push --json keep.lmodel "$registry/part/bert"
run 0 lmodel pull -q -o keep.back "$registry/part/bert"
same keep.lmodel keep.back "a part can be pushed, and comes back as it is"

# ---- grown tiers, old copies ----

cp x.lmodel before.lmodel
run 0 lmodel rekey -q --unsigned -i owner.key --tier gold x.lmodel
run 0 lmodel push -q x.lmodel "$ref"
cp keep.lmodel old.lmodel
run 0 lmodel pull --json -o old.lmodel "$ref"
same x.lmodel old.lmodel "an older part becomes the new whole"
like "$(state copied)" "base,silver" "base and silver were there"
cp before.lmodel old.lmodel
run 0 lmodel pull --json --tier silver -o old.lmodel "$ref"
like "$(state left)" " gold$" "an older whole becomes a new part: its gold has other keys"
run 0 lmodel verify -q old.lmodel
run 0 lmodel pull -q -o old.lmodel "$ref"
same x.lmodel old.lmodel "and the whole after that"

cp x.lmodel newer.lmodel
XDG_STATE_HOME=$PWD/.elsewhere run 0 lmodel grant -i owner.key --tier gold -r "$(cat bob.pub)" newer.lmodel
cp newer.lmodel newer.copy
run 1 lmodel pull -o newer.lmodel "$ref"
like "$err" "newer than .*customer book" "who granted and did not push keeps it"
same newer.copy newer.lmodel "it is as it was"
run 0 lmodel pull -q --allow-rollback -o newer.lmodel "$ref"
same x.lmodel newer.lmodel "unless told"

echo something >other.txt
cp other.txt other.copy
run 1 lmodel pull -o other.txt "$ref"
like "$err" "exists already" "another file stays"
same other.txt other.copy "as it was"
run 0 lmodel pull -q -f -o other.txt "$ref"
same other.txt x.lmodel "unless told"
lmodel pack -q -o another.lmodel m.safetensors
run 1 lmodel pull -o another.lmodel "$ref"
like "$err" "is not the archive" "another archive stays"
mkdir dir
run 2 lmodel pull -o dir "$ref"
run 1 lmodel pull -o missing/x.lmodel "$ref"
run 2 lmodel pull -o - "$ref"
run 2 lmodel pull --tier silver --base "$ref"
run 2 lmodel pull -o no.lmodel --tier bronze "$ref"
like "$err" "no tier 'bronze'" "a tier that is none"
run 1 lmodel pull -o no.lmodel "$registry/models/none:v1"
run 1 lmodel pull -o no.lmodel "$registry/models/bert:v9"
[ ! -e no.lmodel ]
ok $? "no file comes of that"
chmod 640 old.lmodel
ln -s old.lmodel link.lmodel
run 0 lmodel grant -i owner.key --tier silver -r "$(cat carol.pub)" x.lmodel
run 0 lmodel push -q x.lmodel "$ref"
run 0 lmodel pull -q -o link.lmodel "$ref"
[ -L link.lmodel ]
ok $? "a link stays one"
same x.lmodel old.lmodel "its target is new"
is "$(stat -c %a old.lmodel)" 640 "with the permissions it had"

# ---- signatures ----

run 4 lmodel pull -o signed.lmodel --signers signers "$ref"
like "$err" "is not signed" "a signature that was asked for"
[ ! -e signed.lmodel ]
ok $? "no file without it"
run 0 lmodel sign -k vendor_key x.lmodel
run 0 lmodel push -q x.lmodel "$ref"
run 0 lmodel pull --json -o signed.lmodel --signers signers "$ref"
is "$(field signed_by)" vendor "who signed"
run 2 lmodel pull -o s2.lmodel --require-signature "$ref"

# ---- keys, and grants beside the archive ----

run 0 lmodel pull --json -i alice.key -o alice.lmodel "$ref"
is "$(field tier)" silver "a key in a slot opens silver: that is fetched"
like "$(state left)" " gold$" "and gold is not"
is "$(field grant)" None "it needs no grant"
run 3 lmodel pull -i dora.key -o dora.lmodel "$ref"
[ ! -e dora.lmodel ]
ok $? "who has no grant gets nothing"
run 0 lmodel pull -q --base -o dora.base "$ref"

before=$(lmodel push --json x.lmodel "$ref" | python3 -c 'import json, sys; print(json.load(sys.stdin)["digest"])')
cp x.lmodel x.copy
run 0 lmodel grant --json -i owner.key --tier gold -r "$(cat dora.pub)" --label dora --push "$ref" x.lmodel
is "$(field slots)" "[]" "grant --push makes no slot"
like "$(field pushed)" "^sha256:" "it says what was attached"
same x.lmodel x.copy "the archive is as it was"
run 0 lmodel push --json x.lmodel "$ref"
is "$(field digest)" "$before" "its digest too"
run 0 lmodel pull -i dora.key -o dora.lmodel "$ref"
like "$err" "dora.lmodel.grant" "the grant was found"
same x.lmodel dora.lmodel "it opens gold"
is "$(stat -c %a dora.lmodel.grant)" 600 "the grant is hers"
run 0 lmodel extract -q -i dora.key -i dora.lmodel.grant -o dora.safetensors dora.lmodel
same m.safetensors dora.safetensors "and gives the model"
run 0 lmodel extract -q --no-cache -i dora.key -o afar.safetensors "oci://$ref"
same m.safetensors afar.safetensors "who reads it where it is finds the grant, too"
run 3 lmodel extract -q --no-cache -i bob.key -o bob.safetensors "oci://$ref"
like "$err" "none of the keys opens it" "one of another is of no use"
run 1 lmodel extract -q --no-cache -i dora.key -o afar.safetensors "oci://$ref"
like "$err" "afar.safetensors.*exists" "what fails once a grant has opened is told"
faults "status=403,match=/referrers/"
run 1 lmodel extract -q --no-cache -i dora.key -o denied.safetensors "oci://$ref"
like "$err" "403" "and why grants cannot be looked for"
faults
run 0 lmodel pull --json -i dora.key --tier silver -o dora2.lmodel "$ref"
is "$(field tier)" silver "--tier is less"
run 3 lmodel pull -i bob.key -o bob.lmodel "$ref"
run 0 lmodel grant -q -i owner.key --tier silver -r "$(cat bob.pub)" --push "$ref" --detached bob.lkey x.lmodel
run 0 lmodel pull --json -i bob.key -o bob.lmodel "$ref"
is "$(field tier)" silver "each finds his own"
same bob.lkey bob.lmodel.grant "--detached writes the same one"
run 0 lmodel pull --json -i bob.key -i bob.lkey -o bob2.lmodel "$ref"
is "$(field grant)" None "who brings it along needs none"
for pair in dora:bob bob:dora; do
	gone=${pair%:*} who=${pair#*:}
	faults "status=404,match=/blobs/sha256:$(sha256sum <$gone.lmodel.grant | cut -c 1-64)"
	run 0 lmodel pull --json -i $who.key -o without.$gone.lmodel "$ref"
	like "$(field grant)" "without.$gone.lmodel.grant" "a grant that is gone keeps $who from nothing"
	run 3 lmodel pull -i $gone.key -o without.lmodel "$ref"
done
faults

# Anyone who may write to the repository can attach something.
echo nonsense >bob.lmodel.grant
run 1 lmodel pull -i bob.key -o bob.lmodel "$ref"
like "$err" "is no grant" "another file of that name stays"
rm bob.lmodel.grant

# A grant is for the state that was pushed; it goes along with the next.
run 0 lmodel rekey -q --unsigned -i owner.key --tier silver x.lmodel
run 2 lmodel grant -i owner.key --tier gold -r "$(cat carol.pub)" --push "$ref" x.lmodel
like "$err" "push it first" "a grant under keys that are not there yet"
run 0 lmodel push -v x.lmodel "$ref"
like "$err" "2 grants of the artifact before go with it" "grants stay beside the tag"
run 3 lmodel pull -i bob.key -o bob3.lmodel "$ref"
like "$err" "none of the keys|outdated" "of a tier with a new key they are outdated"
run 0 lmodel grant -q -i owner.key --tier silver -r "$(cat bob.pub)" --push "$ref" x.lmodel
run 0 lmodel pull --json -i bob.key -o bob3.lmodel "$ref"
is "$(field tier)" silver "a new one opens"
run 0 lmodel grant -i owner.key --tier silver -r "$(cat alice.pub)" --label again x.lmodel
run 0 lmodel push --json x.lmodel "$ref"
is "$(field grants)" 3 "and goes along"
run 0 lmodel pull --json -i bob.key -o bob4.lmodel "$ref"
is "$(field tier)" silver "so customers find theirs after every push"
run 2 lmodel grant -i owner.key --tier gold -r "$(cat carol.pub)" --push "$ref" keep.lmodel
run 2 lmodel grant -i owner.key --tier gold --plain-http -r "$(cat carol.pub)" x.lmodel
run 3 lmodel grant -i dora.key --tier gold -r "$(cat carol.pub)" --push "$ref" x.lmodel

# What the client remembers of an archive holds for what comes from a registry.
run 0 lmodel extract -q -i owner.key -o - x.lmodel
run 0 lmodel push -q before.lmodel "$registry/old/bert"
run 4 lmodel pull -i owner.key -o rollback.lmodel "$registry/old/bert"
like "$err" "older than what was read before" "an older state is told"
[ ! -e rollback.lmodel ]
ok $? "and not taken"
stop_registry

# ---- a registry without the referrers API ----

rm -rf registry.root
start_registry --no-referrers
ref=$registry/models/bert:v1
run 0 lmodel push -q x.lmodel "$ref"
for who in dora carol bob; do
	run 0 lmodel grant -q -i owner.key --tier gold -r "$(cat $who.pub)" --push "$ref" x.lmodel
done
for who in dora carol bob; do
	run 0 lmodel pull --json -i $who.key -o fallback.$who.lmodel "$ref"
	is "$(field tier)" gold "without the referrers API $who finds the grant"
done
run 0 lmodel grant -i owner.key --tier silver -r "$(cat alice.pub)" --label more x.lmodel
run 0 lmodel push --json x.lmodel "$ref"
is "$(field grants)" 3 "all three go along"
run 0 lmodel pull --json -i dora.key -o fallback2.lmodel "$ref"
is "$(field tier)" gold "and are found there"
stop_registry
leftovers "nothing is left behind"
done_testing
