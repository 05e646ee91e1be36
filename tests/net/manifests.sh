# Manifests and referrers: what is believed of them, with and without the referrers API.
. "${srcdir:-.}/tests/lib/tap.sh"
. "$srcdir/tests/lib/registry.sh"
tool=$builddir/tests/net/net_tool
type=application/vnd.oci.image.manifest.v1+json
printf '{"schemaVersion":2,"mediaType":"%s"}' "$type" >manifest
digest=sha256:$(sha256sum manifest | cut -c1-64)
size=$(stat -c %s manifest)
# artifact N TYPE: its bytes
artifact() {
	printf '{"schemaVersion":2,"artifactType":"%s","annotations":{"n":"%s"},"subject":{"digest":"%s","size":%d}}' \
		"$2" "$1" "$digest" "$size"
}
list() { # [TYPE]: sorted
	"$tool" "$ref" referrers "$digest" "$@" 2>err | sort
}

start_registry
ref=$registry/some/model:v1
run 0 "$tool" "$ref" put-manifest v1 "$type" manifest
is "$out" "$digest" 'put'
run 0 "$tool" "$ref" put-manifest - "$type" manifest
for which in "$ref" "$registry/some/model@$digest" "$registry/some/model:other@$digest"; do
	"$tool" "$which" manifest >back 2>err
	same back manifest "got: $which"
	is "$(cat err)" "$digest $type" 'with digest and type'
done
run 1 "$tool" "$registry/some/model" manifest
like "$err" 'not found' 'no tag is latest, which is not there'
faults status=500
run 1 "$tool" --tries 2 "$ref" manifest
unlike "$err" 'not found' 'a registry that fails does not say that there is none'
faults status=403
run 1 "$tool" "$ref" manifest
unlike "$err" 'not found' 'nor one that refuses'
faults manifest-bytes
run 4 "$tool" "$ref" manifest
like "$err" 'the registry speaks of' 'other bytes than the header says'
run 4 "$tool" "$registry/some/model@$digest" manifest
like "$err" 'is another one: its digest is' 'other bytes than the digest'
faults manifest-bytes "digest-header=$digest"
run 4 "$tool" "$registry/some/model@$digest" manifest
faults "digest-header=sha256:x"
run 4 "$tool" "$ref" put-manifest v1 "$type" manifest
faults status=413
run 1 "$tool" "$ref" put-manifest v1 "$type" manifest
faults "type=$type; charset=utf-8"
"$tool" "$ref" manifest 2>&1 >/dev/null | grep -q " $type\$"
ok $? 'a type without its parameters'
faults
for bad in '../x' 'a b' '-x' "$digest/.." 'sha512:00'; do
	run 4 "$tool" "$ref" manifest "$bad"
done

for api in yes no; do
	if [ $api = no ]; then
		stop_registry
		rm -rf registry.root
		start_registry --no-referrers
		ref=$registry/some/model:v1
		run 0 "$tool" "$ref" put-manifest v1 "$type" manifest
	fi
	is "$(list)" '' 'no referrers'
	all=
	for n in 1 2 3 4 5; do
		artifact $n application/vnd.test$((n % 2)).x+json >artifact
		run 0 "$tool" "$ref" put-referrer "$digest" application/vnd.test$((n % 2)).x+json artifact
		all+="$out $(stat -c %s artifact) application/vnd.test$((n % 2)).x+json
"
	done
	is "$(list)" "$(printf %s "$all" | sort)" 'five referrers'
	is "$(list application/vnd.test0.x+json)" "$(printf %s "$all" | grep test0 | sort)" 'two of a type'
	is "$(list application/vnd.test9.x+json)" '' 'none of another'
	run 0 "$tool" "$ref" put-referrer "$digest" application/vnd.test1.x+json artifact
	is "$(list)" "$(printf %s "$all" | sort)" 'one that is there is not added again'
	if [ $api = yes ]; then
		faults page=2
		clear_log
		is "$(list)" "$(printf %s "$all" | sort)" 'page by page'
		is "$(requests referrers)" 3 'three of them'
		faults page=2 page-loop
		run 6 "$tool" "$ref" referrers "$digest"
		like "$err" 'more than 1000 pages' 'pages without an end'
		faults "header=Link: <http://$other/v2/>; rel=\"next\""
		run 4 "$tool" "$ref" referrers "$digest"
		like "$err" 'goes on at another host' 'a page elsewhere'
		faults 'header=Link: what'
		run 4 "$tool" "$ref" referrers "$digest"
		faults page=2 'status=404,match=at='
		run 1 "$tool" "$ref" referrers "$digest"
		faults status=500
		run 1 "$tool" --tries 2 "$ref" referrers "$digest"
		faults
	else
		# what others put under the tag
		index() { # TEXT
			printf '%s' "$1" >index
			"$tool" "$ref" put-manifest "sha256-${digest#sha256:}" x index >/dev/null
		}
		one="{\"digest\":\"$digest\",\"size\":5,\"artifactType\":\"a/b\"}"
		index "{\"manifests\":[$one,{\"digest\":\"sha512:0\",\"size\":1}]}"
		is "$(list)" "$digest 5 a/b" 'another algorithm is passed over'
		for bad in '{}' '[]' '{"manifests":{}}' '{"manifests":[7]}' '{"manifests":[{"size":1}]}' \
			"{\"manifests\":[{\"digest\":\"$digest\",\"size\":-1}]}" \
			"{\"manifests\":[{\"digest\":\"$digest\",\"size\":\"1\"}]}" \
			"{\"manifests\":[{\"digest\":\"$digest\",\"size\":1,\"artifactType\":3}]}" '{"manifests":['; do
			index "$bad"
			run 4 "$tool" "$ref" referrers "$digest"
		done
		index "{\"manifests\":[$(yes "$one," | head -n 10000 | tr -d '\n')$one]}"
		run 6 "$tool" "$ref" referrers "$digest"
		like "$err" 'more than 10000 referrers' 'more than anybody needs'

		# another one who writes at the same time: what he takes out comes in again
		index '{"schemaVersion":2,"manifests":[]}'
		artifact r a/b >race
		faults 'lose,times=2,match=PUT .*/sha256-'
		clear_log
		run 0 "$tool" "$ref" put-referrer "$digest" a/b race
		is "$(list)" "$out $(stat -c %s race) a/b" 'an index that somebody else has changed'
		is "$(requests 'PUT .*/sha256-')" 3 'is written until it stays'
		artifact r2 a/b >race
		faults 'lose,match=PUT .*/sha256-'
		run 1 "$tool" "$ref" put-referrer "$digest" a/b race
		like "$err" 'changed by others all the time' 'but not for ever'
		faults
	fi
done
stop_registry
done_testing
