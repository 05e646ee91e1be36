# Archives behind servers that fail, lie, or change the file: told, with the right exit status, and
# never taken for the archive.
. "${srcdir:-.}/tests/lib/tap.sh"
. "$srcdir/tests/lib/registry.sh"
export XDG_CACHE_HOME=$tap_dir/cache

for who in owner gold; do
	lmodel keygen -q -o $who.key && lmodel keygen -y $who.key >$who.pub || exit 99
done
python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors big:U8:3000x1024:random more:U8:2000x1024:random \
	a.weight:F32:200x300 || exit 99
python3 "$srcdir/tests/lib/mkmodel.py" small.safetensors x:F32:20x30 || exit 99
mkdir files
lmodel pack -q -o files/m.lmodel m.safetensors --owner "$(cat owner.pub)" -r "$(cat gold.pub)=gold" \
	--tier gold=8% || exit 99
lmodel pack -q -o files/small.lmodel small.safetensors || exit 99
lmodel cat files/m.lmodel big >big.npy 2>/dev/null
lmodel list files/m.lmodel >names
start_registry
url=http://$registry/files/m.lmodel
small=http://$registry/files/small.lmodel

# answer STATUS FAULTS PATTERN NAME [ARGUMENT...]: what cat says.
answer() {
	wanted=$1 fault=$2 pattern=$3 name=$4
	shift 4
	rm -rf cache
	clear_log
	faults $fault
	lmodel cat "$@" "$url?token=secret" big >got.npy 2>got.err
	is "$?" "$wanted" "$name: exit status"
	like "$(cat got.err)" "$pattern" "$name: told"
	unlike "$(cat got.err)" secret "$name: without the query"
	[ "$wanted" -ne 0 ] || same got.npy big.npy "$name: the tensor"
	[ "$wanted" -eq 0 ] || [ ! -s got.npy ] || cmp -s -n "$(stat -c %s got.npy)" got.npy big.npy
	ok $? "$name: nothing else"
	faults
}
answer 1 'etag="other",after=1' 'changed while it was read' "another ETag"
answer 1 'etag=W/"x",after=2' 'changed while it was read' "another weak ETag"
answer 4 content-range "m.lmodel: .*other bytes than were asked for" "a false Content-Range"
answer 4 content-range,after=2 'other bytes than were asked for' "a false Content-Range later"
answer 4 truncate=1000 'other bytes than were asked for' "a short answer"
answer 4 truncate=1000,after=1 'other bytes than were asked for' "a short answer later"
answer 5 ignore-range 'download' "no ranges"
answer 5 ignore-range,after=1 'download' "no ranges any more"
answer 5 endless 'download' "an answer without end"
answer 0 no-length 'base weights' "answers without length"
answer 1 redirect-loop 'redirect' "redirects in a circle"
answer 0 redirect 'base weights' "redirects to another server"
answer 0 'redirect status=403,after=2,times=1' 'base weights' "a redirect that is good for a while"
is "$(log_lines '/files/m' | grep -c '"server": "main"')" 2 "is asked for again"
answer 1 status=404 'there is no such file .HTTP status 404.' "404"
answer 1 status=401 'refuses access .HTTP status 401.' "401"
answer 1 status=404,after=2 'there is no such file' "404 later"
answer 1 status=412,after=1 'changed while it was read' "412"
answer 0 status=503,times=2 'base weights' "503 twice"
answer 1 status=500 'HTTP status 500' "500 for ever"
answer 0 break-download=1000,times=1 'base weights' "a connection that breaks"
answer 1 break-download=1000,after=1 'tried 5 times' "connections that always break"
answer 0 refuse,times=1 'base weights' "a connection that is closed"

# ---- small ones ----

for fault in ignore-range no-length; do
	faults $fault ignore-range
	clear_log
	run 0 lmodel list "$small"
	is "$out" x "a small archive comes whole ($fault)"
	is "$(requests .)" 1 "in one request"
done
faults
: >files/empty.lmodel
run 4 lmodel list "http://$registry/files/empty.lmodel"
like "$err" "empty" "an empty file"
cp m.safetensors files/other.lmodel
run 4 lmodel list "http://$registry/files/other.lmodel"
like "$err" "is not an lmodel archive" "another file"
head -c 3000000 files/m.lmodel >files/cut.lmodel
run 4 lmodel list "http://$registry/files/cut.lmodel"
like "$err" "truncated" "a file that was cut off"

# ---- damage at its source ----

# damage OFFSET: a byte of the file, which the server does not tell.
damage() {
	touch -r files/m.lmodel before
	printf '\377' | dd of=files/m.lmodel bs=1 seek="$1" conv=notrunc 2>/dev/null
	touch -r before files/m.lmodel
}
rm -rf cache
cp -p files/m.lmodel good.lmodel
slots=$((2048 + 2 * $(python3 -c 'import sys; print(int(open(sys.argv[1], "rb").read(1160)[1148:1159], 8))' \
	files/m.lmodel)))
damage $((slots + 1000000))
clear_log
run 4 lmodel cat "$url" big
like "$err" "chunk [0-9]+ .*SHA-256 does not match" "a damaged chunk"
[ "$(requests .)" -le 6 ]
ok $? "it is fetched again once ($(requests .) requests)"
run 0 lmodel cat "$url" more
cp -p good.lmodel files/m.lmodel
run 0 lmodel cat "$url" big
ok $? "when the source is whole again so is what is in the cache"
damage 2000
rm -rf cache
run 0 lmodel cat "$url" big
same "$tap_dir/.out" big.npy "one damaged manifest of two"
damage $((slots / 2 + 3000))
rm -rf cache
run 4 lmodel cat "$url" big
like "$err" "no valid manifest" "both"
cp -p good.lmodel files/m.lmodel

# ---- a file that is another one later ----

run 0 lmodel list "$url"
lmodel revoke -q files/m.lmodel -i owner.key -r "$(cat gold.pub)" || ok 1 "revoke"
run 0 lmodel inspect "$url"
unlike "$out" "2  X25519" "a change of the file is seen, whatever the cache holds"
run 0 lmodel cat "$url" big
same "$tap_dir/.out" big.npy "and it reads"

# ---- images ----

run 0 lmodel push files/m.lmodel "$registry/models/m:v1"
run 0 lmodel push files/small.lmodel "$registry/models/small:v1"
image=oci://$registry/models/m:v1
# image_answer STATUS FAULTS PATTERN NAME
image_answer() {
	rm -rf cache
	faults $2
	run "$1" lmodel cat "$image" big
	like "$err" "$3" "image: $4"
	[ "$1" -ne 0 ] || same "$tap_dir/.out" big.npy "image: $4: the tensor"
	faults
}
blobs=match=/blobs/
image_answer 4 wrong-content,$blobs 'the first layer is not sha256' "a layer with other bytes"
image_answer 0 wrong-content,times=1,$blobs 'base weights' "once"
image_answer 4 manifest-bytes 'digest|sha256' "another manifest"
image_answer 4 content-range,$blobs 'Content-Range|other' "a false Content-Range"
image_answer 0 redirect,$blobs 'base weights' "layers elsewhere"
image_answer 1 status=404,$blobs '404|not' "layers that are not there"
image_answer 1 status=404,match=manifests '404|not' "no such image"
image_answer 0 status=503,times=2,$blobs 'base weights' "503 twice"
# the other archive's first layer
cat >mix.py <<'P'
import hashlib, json, sys, urllib.request as u
root = "http://%s/v2/models/" % sys.argv[1]
def get(name):
    r = u.Request(root + name, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
    return u.urlopen(r).read()
def put(name, manifest):
    data = json.dumps(manifest).encode()
    u.urlopen(u.Request(root + name, data, {"Content-Type": manifest["mediaType"]}, method="PUT"))
m = json.loads(get("m/manifests/v1"))
layers = m["layers"]
layers[1], layers[-1] = layers[-1], layers[1]
put("m/manifests/turned", m)
m = json.loads(get("m/manifests/v1"))
first = json.loads(get("small/manifests/v1"))["layers"][0]
blob = get("small/blobs/" + first["digest"])
loc = u.urlopen(u.Request(root + "m/blobs/uploads/", b"", method="POST")).headers["Location"]
loc = loc if "://" in loc else "http://%s%s" % (sys.argv[1], loc)
u.urlopen(u.Request(loc + ("&" if "?" in loc else "?") + "digest=" + first["digest"], blob, method="PUT"))
m["layers"][0].update(digest=first["digest"], size=first["size"])
put("m/manifests/mixed", m)
P
"$registry_python" mix.py "$registry" || ok 1 "mixed manifests"
run 4 lmodel list "oci://$registry/models/m:turned"
run 4 lmodel list "oci://$registry/models/m:mixed"
run 1 lmodel list "oci://$registry/models/m:none"
run 2 lmodel list "oci://$registry/models/M:v1"
run 2 lmodel list "oci://user:password@$registry/models/m:v1"
unlike "$out$err" password "a password is not told"
stop_registry

# ---- behind a password ----

start_registry --user name:secret-word
mkdir docker
printf '{"auths": {"%s": {"auth": "%s"}}}' "$registry" "$(printf name:secret-word | base64)" >docker/config.json
image=oci://$registry/models/m:v1
run 0 env DOCKER_CONFIG="$tap_dir/docker" lmodel push files/m.lmodel "$registry/models/m:v1"
run 0 env DOCKER_CONFIG="$tap_dir/docker" lmodel cat -v "$image" big
same "$tap_dir/.out" big.npy "an image behind a password"
unlike "$out$err" "secret-word" "which is not told"
run 1 env DOCKER_CONFIG="$tap_dir/none" lmodel cat "$image" big
unlike "$(cat cache/lmodel/*.map | tr -d '\0')$(ls -R cache)" "secret" "no secret is in the cache"
leftovers "nothing is left behind"
done_testing
