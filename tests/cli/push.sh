# push: layers once, the tag last, the same digest each time; what grants, revocations and rekeying
# cost; what must not be pushed; a push that was cut off.
. "${srcdir:-.}/tests/lib/tap.sh"
. "$srcdir/tests/lib/registry.sh"
export XDG_CACHE_HOME=$tap_dir/.cache

for who in owner alice bob; do
	lmodel keygen -q -o $who.key && lmodel keygen -y $who.key >$who.pub || exit 99
done
python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors w:F32:256x320 b:BF16:64x16 || exit 99
lmodel pack -q --select random --tier silver=2% --tier gold=9% --owner "$(cat owner.pub)" \
	-r "$(cat alice.pub)=gold" -o x.lmodel m.safetensors || exit 99
size=$(stat -c %s x.lmodel)

cat >layers.py <<'P'
import json, sys
d = json.load(open(sys.argv[1]))
want = sys.argv[2]
print(sum(l["bytes"] for l in d["layers"] if l["state"] == want),
      sum(l["state"] == want for l in d["layers"]))
P
# state NAME: bytes and number of layers in it, of the last --json.
state() { python3 layers.py "$tap_dir/.out" "$1"; }
field() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$tap_dir/.out" "$1"; }

start_registry
ref=$registry/models/bert:v1

run 0 lmodel push x.lmodel "$ref"
is "$out$err" "" "nothing to say"
run 0 lmodel pull -o y.lmodel "$ref"
same x.lmodel y.lmodel "what comes back is what went"

# ---- once ----

clear_log
run 0 lmodel push --json x.lmodel "$ref"
is "$(state there)" "$size 5" "the second time all is there"
is "$(field changed)" False "and the tag is as it was"
is "$(traffic received .)" 0 "not a byte is sent"
digest=$(field digest)
cp x.lmodel elsewhere.lmodel
run 0 lmodel push --json elsewhere.lmodel "$ref"
is "$(field digest)" "$digest" "the same archive has the same digest"
run 0 lmodel push --json x.lmodel "$registry/models/bert:v2"
is "$(field digest)" "$digest" "under another tag, too"
is "$(field changed)" True "which is new"
run 0 lmodel push --json -j 1 --from models/bert x.lmodel "$registry/other/bert"
is "$(state mounted)" "$size 5" "another repository takes the layers over"
run 0 lmodel push -v x.lmodel "$registry/third/bert"
like "$err" "sent +[0-9]+ bytes at 0 +manifest" "-v tells of layers"
like "$err" "sha256:[0-9a-f]{64}, [0-9]+ bytes sent in [0-9]+ requests" "and of the whole"

# ---- what changes cost ----

run 0 lmodel push --json x.lmodel "$ref"
slots=$(python3 -c 'import json, sys
print(json.load(open(sys.argv[1]))["layers"][0]["bytes"])' "$tap_dir/.out")
gold=$(python3 -c 'import json, sys
print([l["bytes"] for l in json.load(open(sys.argv[1]))["layers"] if l["tier"] == "gold"][0])' "$tap_dir/.out")
run 0 lmodel grant -i owner.key --tier silver -r "$(cat bob.pub)" --label bob x.lmodel
clear_log
run 0 lmodel push --json x.lmodel "$ref"
is "$(state sent)" "$slots 1" "after a grant the manifest layer is sent"
sent=$(traffic received .)
[ "$sent" -ge "$slots" ] && [ "$sent" -lt $((slots + 8192)) ]
ok $? "and nothing else but the artifact's documents ($sent bytes, the layer has $slots)"
run 0 lmodel revoke -i owner.key --label bob x.lmodel
run 0 lmodel push --json x.lmodel "$ref"
is "$(state sent)" "$slots 1" "after a revocation, too"
run 0 lmodel rekey -i owner.key --tier gold x.lmodel
clear_log
run 0 lmodel push --json x.lmodel "$ref"
is "$(state sent)" "$((slots + gold + 1024)) 4" "after rekeying: manifest, that tier, the headers it left"
sent=$(traffic received .)
[ "$sent" -lt $((slots + gold + 1024 + 8192)) ]
ok $? "and no more ($sent bytes)"
rm -f y.lmodel
run 0 lmodel pull -o y.lmodel "$ref"
same x.lmodel y.lmodel "with dead ranges it comes back as it is"
run 0 lmodel extract -q -i alice.key -o a.safetensors y.lmodel
same m.safetensors a.safetensors "and gives who is let in the model"

# ---- what is not pushed ----

run 2 lmodel push x.lmodel "$ref@$digest"
like "$err" "to a tag" "a digest cannot be pushed to"
run 2 lmodel push x.lmodel "$registry/UPPER:v1"
run 2 lmodel push - "$ref"
run 2 lmodel push --from '../x' x.lmodel "$ref"
run 1 lmodel push missing.lmodel "$ref"
run 4 lmodel push m.safetensors "$ref"
run 2 lmodel push x.lmodel

# Somebody reads while a tier gets a new key: its old shards are still there.
cp x.lmodel read.lmodel
cat >reader.py <<'P'
import fcntl, struct, sys
f = open("read.lmodel", "rb")
fcntl.fcntl(f, 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 1, 0))  # F_OFD_SETLK
print("ready", flush=True)
sys.stdin.read()
P
mkfifo hold
python3 reader.py <hold >ready 9>&- &
reader=$!
exec 8>hold
for _ in $(seq 100); do [ -s ready ] && break; sleep 0.05; done
run 0 lmodel rekey -i owner.key --tier silver read.lmodel
like "$err" "somebody reads" "a reader keeps the old shards"
clear_log
run 4 lmodel push read.lmodel "$ref"
like "$err" "under an old key" "which are not pushed"
is "$(requests .)" 0 "not a request was made"
exec 8>&-
wait $reader

# An interrupted append is no part of it; damage is not pushed.
cp x.lmodel long.lmodel
head -c 5000 /dev/urandom >>long.lmodel
run 0 lmodel push --json long.lmodel "$registry/long/bert"
run 0 lmodel pull -o long.back "$registry/long/bert"
same x.lmodel long.back "bytes behind the end stay at home"
cp x.lmodel bad.lmodel
printf 'x' | dd of=bad.lmodel bs=1 seek=1600 conv=notrunc 2>/dev/null
run 4 lmodel push bad.lmodel "$ref"
like "$err" "slots are damaged" "a damaged slot"

# A copy without a tier goes as it is.
run 0 lmodel strip --tier silver -o strip.lmodel x.lmodel
run 0 lmodel push strip.lmodel "$registry/strip/bert"
like "$err" "tier gold is not in this file" "which is told"
run 0 lmodel pull -o strip.back "$registry/strip/bert"
same strip.lmodel strip.back "and comes back"
run 4 lmodel pull --tier gold -o none.lmodel "$registry/strip/bert"
like "$err" "pushed without" "what was not pushed cannot be pulled"
[ ! -e none.lmodel ]
ok $? "no file then"

# ---- cut off ----

python3 "$srcdir/tests/lib/mkmodel.py" big.safetensors w:F32:1024x1100 || exit 99
lmodel pack -q --level fast -o big.lmodel big.safetensors || exit 99
total=$(stat -c %s big.lmodel)
clear_log
faults 'status=503,retry-after=50,match=PATCH,after=8'
lmodel push -q -j 1 --chunk 256KiB big.lmodel "$registry/big/bert" &
pid=$!
for _ in $(seq 200); do
	[ "$(grep -c PATCH requests.log)" -ge 9 ] && break
	sleep 0.05
done
kill -KILL $pid 2>/dev/null
wait $pid 2>/dev/null
faults
before=$(traffic received PATCH)
clear_log
[ -n "$(ls "$XDG_CACHE_HOME/lmodel/uploads" 2>/dev/null)" ]
ok $? "the upload that was killed is noted"
run 0 lmodel push --json big.lmodel "$registry/big/bert"
after=$(traffic received 'PATCH|PUT .*/uploads')
[ "$after" -lt $((total - 262144)) ]
ok $? "it goes on ($before bytes before, $after after, of $total)"
run 0 lmodel pull -o big.back "$registry/big/bert"
same big.lmodel big.back "and is whole"
is "$(find "$XDG_CACHE_HOME" -type f)" "" "nothing is noted any more"

# ---- a registry with something against it ----

faults 'status=503'
run 1 lmodel push x.lmodel "$registry/no/bert"
like "$err" "503" "503 until the patience ends"
faults 'break-upload=1000,times=1,match=PATCH'
run 0 lmodel push -q x.lmodel "$registry/break/bert"
faults
run 0 lmodel pull -q -o break.back "$registry/break/bert"
same x.lmodel break.back "a broken connection is mended"
faults 'status=500,match=PUT .*/manifests/'
run 1 lmodel push -q x.lmodel "$registry/half/bert"
faults
run 1 lmodel pull -q -o half.back "$registry/half/bert"
[ ! -e half.back ]
ok $? "without its manifest there is no artifact"
run 1 lmodel push x.lmodel 127.0.0.1:1/no/bert
like "$err" "127.0.0.1:1" "nobody there"
run 1 lmodel push x.lmodel registry.invalid/no/bert
stop_registry
leftovers "nothing is left behind"
done_testing
