# The registry client against docker-registry: open, with passwords, with tokens.
. "${srcdir:-.}/tests/lib/tap.sh"
. "$srcdir/tests/registry/lib.sh"
needs docker-registry htpasswd openssl
tool=$builddir/tests/net/net_tool
type=application/vnd.oci.image.manifest.v1+json

head -c 20000000 /dev/urandom >blob
blob=$(digest_of blob)
head -c 1000 blob >small
small=$(digest_of small)
: >empty
empty=$(digest_of empty)

# config_of DIGEST SIZE: members of a manifest
config_of() {
	printf '"schemaVersion":2,"mediaType":"%s","layers":[],"config":%s' "$type" \
		"{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\"digest\":\"$1\",\"size\":$2}"
}

blobs() {
	run 0 "$tool" "$ref" has "$blob" 20000000
	is "$out" no 'the blob is not there'
	run 0 "$tool" --chunk 6000000 "$ref" put blob
	is "$(printf '%s ' $out)" \
		"sent 6000000 sent 12000000 sent 18000000 sent 20000000 sent 20000000 $blob " \
		'goes in chunks'
	run 0 "$tool" "$ref" has "$blob" 20000000
	is "$out" yes 'the blob is there'
	run 4 "$tool" "$ref" has "$blob" 20000001
	like "$err" 'has 20000000 bytes in the registry, not 20000001' 'with its size'
	run 0 "$tool" --output back "$ref" get "$blob" 20000000
	same back blob 'comes back'
	run 0 "$tool" "$ref" put small
	run 0 "$tool" "$ref" put empty
	run 0 "$tool" --output back "$ref" get "$small" 1000
	same back small 'a short one, too'
	run 0 "$tool" --output back "$ref" get "$empty" 0
	same back empty 'and an empty one'
	"$tool" "$ref" range "$blob" 12345678 1000 >part
	cmp -s part <(tail -c +12345679 blob | head -c 1000)
	ok $? 'a part'
	run 4 "$tool" "$ref" put small "$blob"
	like "$err" 'another digest' 'bytes of another digest are refused'
	run 1 "$tool" --output back "$ref" get "sha256:$(printf %064d 1)" 5
	like "$err" 'not there .status 404: BLOB_UNKNOWN' 'a blob that is not there'
	run 0 "$tool" "$registry/other/model" mount "$blob" some/model
	is "$out" yes 'mounted in another repository'
	run 0 "$tool" "$registry/other/model" has "$blob" 20000000
	is "$out" yes 'and there'
	run 0 "$tool" "$registry/other/model" mount "sha256:$(printf %064d 1)" some/model
	is "$out" no 'what is not there is not mounted'
}

manifests() {
	local model first second
	printf '{%s}' "$(config_of "$small" 1000)" >manifest
	run 0 "$tool" "$ref" put-manifest v1 "$type" manifest
	is "$out" "$(digest_of manifest)" 'a manifest is put, and the registry keeps no referrers'
	model=$out
	"$tool" "$ref" manifest >back 2>kind
	same back manifest 'comes back by its tag'
	is "$(cat kind)" "$model $type" 'with digest and type'
	"$tool" "$registry/some/model@$model" manifest >back
	same back manifest 'and by its digest'
	run 1 "$tool" "$registry/some/model:v2" manifest
	like "$err" 'not found' 'a tag that is not there'
	run 0 "$tool" "$ref" referrers "$model"
	is "$out" '' 'no referrers'
	for n in 1 2; do
		printf '{%s,"artifactType":"application/vnd.test.%s","annotations":{"n":"%s"},"subject":%s}' \
			"$(config_of "$small" 1000)" $n $n \
			"{\"mediaType\":\"$type\",\"digest\":\"$model\",\"size\":$(stat -c %s manifest)}" \
			>artifact$n
		run 0 "$tool" "$ref" put-referrer "$model" application/vnd.test.$n artifact$n
	done
	run 0 "$tool" "$ref" put-referrer "$model" application/vnd.test.2 artifact2
	first="$(digest_of artifact1) $(stat -c %s artifact1) application/vnd.test.1"
	second="$(digest_of artifact2) $(stat -c %s artifact2) application/vnd.test.2"
	run 0 "$tool" "$ref" referrers "$model"
	is "$out" "$first
$second" 'two referrers, by the tag schema, each once'
	run 0 "$tool" "$ref" referrers "$model" application/vnd.test.2
	is "$out" "$second" 'one of a type'
	"$tool" "$registry/some/model:sha256-${model#sha256:}" manifest >index 2>/dev/null
	like "$(cat index)" '"annotations":\{"n":"2"\}' 'the index has their annotations'
}

uploads() {
	{ cat blob; echo "$1"; } >more
	local more size pid
	more=$(digest_of more)
	size=$(stat -c %s more)
	run 1 "$tool" --chunk 4000000 --stop-bytes 8000000 --state state "$ref" put more
	like "$err" interrupted 'an upload is interrupted'
	is "$(stat -c %a state) $(stat -c %a state/*)" '700 600' 'where it stands is kept in private'
	run 0 "$tool" --chunk 4000000 --state state "$ref" put more
	is "$(printf '%s\n' "$out" | head -n 2 | tr '\n' ' ')" 'sent 8000000 sent 12000000 ' \
		'it goes on from there'
	is "$(ls state)" '' 'and is forgotten when it is done'

	# killed in the middle of a chunk
	head -c 30000000 /dev/urandom >long
	"$tool" --chunk 2000000 --state state "$ref" put long >progress &
	pid=$!
	for _ in $(seq 12000); do
		[ "$(wc -l <progress)" -lt 2 ] || break
		sleep 0.005
	done
	kill -9 $pid
	wait $pid 2>/dev/null
	[ "$(wc -l <progress)" -ge 2 ]
	ok $? 'killed after some chunks'
	run 0 "$tool" --chunk 2000000 --state state "$ref" put long
	is "$(printf '%s\n' "$out" | tail -n 1)" "$(digest_of long)" 'is complete at the second time'
	run 0 "$tool" --output back "$ref" get "$(digest_of long)" 30000000
	same back long 'and right'

	# a session that the registry does not know
	run 1 "$tool" --chunk 4000000 --stop-bytes 4000000 --state state "$ref" put more \
		"sha256:$(printf %064d 2)"
	sed -i 's|/uploads/[0-9a-f-]*|/uploads/00000000-0000-0000-0000-000000000000|' state/*
	run 4 "$tool" --chunk 4000000 --state state "$ref" put more "sha256:$(printf %064d 2)"
	like "$err" 'another digest' 'a session that is gone is begun anew'
	rm -rf state
	run 0 "$tool" "$ref" has "$more" "$size"
	is "$out" yes 'all is there'
}

for kind in open htpasswd token; do
	start_docker_registry $kind
	ref=$registry/some/model:v1
	if [ $kind != open ]; then
		run 1 "$tool" "$ref" put blob
		like "$err" 'access is denied' "$kind: nobody may push"
		login wrong
		run 1 "$tool" "$ref" put blob
		like "$err" 'access is denied|not accepted' "$kind: nor with a wrong password"
		unlike "$err" 'wrong|tester' "$kind: which is not shown"
		login
	fi
	blobs
	manifests
	uploads $kind
	if [ $kind = token ]; then
		logout
		run 0 "$tool" --output back "$ref" get "$blob" 20000000
		same back blob 'everybody may pull'
		stop_docker_registry
		rm -rf docker-root
		login
		token_life=1 start_docker_registry token
		login
		ref=$registry/some/model:v1
		run 0 "$tool" --chunk 100000 "$ref" put blob
		is "$(printf '%s\n' "$out" | tail -n 1)" "$blob" 'tokens that expire are got anew'
	fi
	stop_docker_registry
	rm -rf docker-root
	logout
done
done_testing
