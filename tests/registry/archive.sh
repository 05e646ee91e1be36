# push, pull and grants against docker-registry, which has no referrers API: open, with passwords,
# with tokens; skopeo takes the artifact to an OCI layout and back.
. "${srcdir:-.}/tests/lib/tap.sh"
. "$srcdir/tests/registry/lib.sh"
export XDG_CACHE_HOME=$tap_dir/.cache
needs docker-registry htpasswd openssl skopeo

for who in owner alice bob; do
	lmodel keygen -q -o $who.key && lmodel keygen -y $who.key >$who.pub || exit 99
done
python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors w:F32:512x640 b:BF16:64x16 || exit 99
pack() {
	lmodel pack -q -f --select random --tier silver=2% --tier gold=9% \
		--owner "$(cat owner.pub)" -r "$(cat alice.pub)=silver" -o x.lmodel m.safetensors ||
		exit 99
}
field() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$tap_dir/.out" "$1"; }
sum() { python3 -c 'import json, sys
print(sum(l["bytes"] for l in json.load(open(sys.argv[1]))["layers"] if l["state"] == sys.argv[2]))' "$tap_dir/.out" "$1"; }
bytes() { python3 -c 'import json, sys
print(sum(l["bytes"] for l in json.load(open(sys.argv[1]))["layers"] if sys.argv[2] in (l["kind"], l["tier"])))' "$tap_dir/.out" "$1"; }

# There and back, by parts, what changes cost.
transfers() {
	run 0 lmodel push --json --chunk 500K x.lmodel "$ref"
	is "$(sum sent)" "$(stat -c %s x.lmodel)" 'all of it is sent'
	digest=$(field digest)
	local slots gold
	slots=$(bytes manifest)
	gold=$(bytes gold)
	run 0 lmodel push --json x.lmodel "$ref"
	is "$(sum sent) $(field changed) $(field digest)" "0 False $digest" 'and never again'
	run 0 lmodel pull -o y.lmodel "$ref"
	same x.lmodel y.lmodel 'it comes back'
	rm -f part.lmodel
	run 0 lmodel pull --json -o part.lmodel --tier silver "$ref"
	is "$(sum left)" "$gold" 'a part'
	[ "$(field bytes_received)" -lt $(($(stat -c %s x.lmodel) - gold + 16384)) ]
	ok $? 'costs its bytes'
	run 0 lmodel verify -q part.lmodel
	run 0 lmodel pull --json -o part.lmodel "$ref"
	is "$(sum fetched)" "$((slots + gold))" 'the rest costs the rest'
	same x.lmodel part.lmodel 'and makes the whole'
	run 0 lmodel push --json --from "$name" x.lmodel "$registry/some/other:v1"
	is "$(sum mounted)" "$(stat -c %s x.lmodel)" 'another repository takes it over'

	run 0 lmodel grant -q -i owner.key --tier gold -r "$(cat bob.pub)" --push "$ref" x.lmodel
	run 0 lmodel push --json x.lmodel "$ref"
	is "$(field digest)" "$digest" 'a grant beside it changes nothing'
	run 0 lmodel pull --json -i bob.key -o bob.lmodel "$ref"
	is "$(field tier)" gold 'and is found'
	run 0 lmodel extract -q -f -i bob.key -i bob.lmodel.grant -o bob.safetensors bob.lmodel
	same m.safetensors bob.safetensors 'it opens the model'
	rm -f bob.lmodel bob.lmodel.grant

	run 0 lmodel grant -q -i owner.key --tier silver -r "$(cat bob.pub)" --label bob x.lmodel
	run 0 lmodel push --json x.lmodel "$ref"
	is "$(sum sent)" "$slots" 'a slot costs the manifest layer'
	is "$(field grants)" 1 'the grant goes along'
	[ "$(field bytes_sent)" -lt $((slots + 12288)) ]
	ok $? "no other bytes went ($(field bytes_sent), the layer has $slots)"
	run 0 lmodel rekey -q -i owner.key --tier gold x.lmodel
	run 0 lmodel push --json x.lmodel "$ref"
	is "$(sum sent)" "$((slots + gold + 1024))" 'rekeying costs that and the tier'
	run 0 lmodel pull -q -o y.lmodel "$ref"
	same x.lmodel y.lmodel 'it comes back with its dead ranges'
	run 0 lmodel grant -q -i owner.key --tier gold -r "$(cat bob.pub)" --push "$ref" x.lmodel
	run 0 lmodel pull --json -i bob.key -o bob.lmodel "$ref"
	is "$(field tier)" gold 'a grant for the new keys'
	rm -f bob.lmodel bob.lmodel.grant y.lmodel
}

# Another client carries it, and gives it back as it was.
skopeo_carries() {
	run 0 skopeo copy --src-tls-verify=false "docker://$ref" oci:layout:v1
	is "$(python3 -c 'import json; print(json.load(open("layout/index.json"))["manifests"][0]["digest"])')" \
		"$(lmodel push --json x.lmodel "$ref" | python3 -c 'import json, sys; print(json.load(sys.stdin)["digest"])')" \
		'skopeo copies to an OCI layout, the digest stays'
	run 0 skopeo copy --dest-tls-verify=false oci:layout:v1 "docker://$registry/carried/bert:v1"
	run 0 lmodel pull -q -o carried.lmodel "$registry/carried/bert:v1"
	same x.lmodel carried.lmodel 'and back'
	run 0 skopeo copy --src-tls-verify=false "docker://$registry/some/plain:v1" dir:flat
	python3 -c 'import json
m = json.load(open("flat/manifest.json"))
out = open("joined", "wb")
for l in m["layers"]:
    out.write(open("flat/" + l["digest"].split(":")[1], "rb").read())'
	same plain.lmodel joined 'without dead ranges the layers, one behind the other, are the file'
}

# Stopped in the middle: the second push sends what is missing. This registry forgets an upload whose
# last chunk was cut off, so a signal lets the chunk end.
resumes() {
	python3 "$srcdir/tests/lib/mkmodel.py" big.safetensors w:U8:4096x6000:random || exit 99
	lmodel pack -q --level fast -o big.lmodel big.safetensors || exit 99
	lmodel push -q -j 1 --chunk 300K big.lmodel "$registry/big/model" &
	pid=$!
	for _ in $(seq 4000); do
		[ -n "$(find docker-root -path '*_uploads*' -name data -size +6M)" ] && break
		sleep 0.002
	done
	kill -TERM $pid
	wait $pid 2>/dev/null
	is $? 1 'stopped'
	[ -n "$(ls "$XDG_CACHE_HOME/lmodel/uploads" 2>/dev/null)" ]
	ok $? 'where it stands is noted'
	run 0 lmodel push --json big.lmodel "$registry/big/model"
	[ "$(field bytes_sent)" -lt $(($(stat -c %s big.lmodel) - 5000000)) ]
	ok $? "the next one goes on: $(field bytes_sent) of $(stat -c %s big.lmodel) bytes"
	run 0 lmodel pull -q -o big.back "$registry/big/model"
	same big.lmodel big.back 'it is whole'
}

for kind in open htpasswd token; do
	start_docker_registry $kind
	name=some/model
	ref=$registry/$name:v1
	pack
	if [ $kind != open ]; then
		run 1 lmodel push x.lmodel "$ref"
		like "$err" 'access is denied' "$kind: nobody may push"
		login
	fi
	transfers
	if [ $kind = open ]; then
		lmodel pack -q -o plain.lmodel m.safetensors
		run 0 lmodel push -q plain.lmodel "$registry/some/plain:v1"
		skopeo_carries
		resumes
	fi
	if [ $kind = token ]; then
		logout
		run 0 lmodel pull -q -o public.lmodel "$ref"
		same x.lmodel public.lmodel 'everybody may pull'
	fi
	stop_docker_registry
	rm -rf docker-root layout flat
done
leftovers 'nothing is left behind'
done_testing
