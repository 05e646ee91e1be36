# A registry that lies, or fails: a clear error, the right status, nothing half-written.
. "${srcdir:-.}/tests/lib/tap.sh"
. "$srcdir/tests/lib/registry.sh"
export XDG_CACHE_HOME=$tap_dir/.cache

lmodel keygen -q -o owner.key && lmodel keygen -y owner.key >owner.pub || exit 99
python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors w:F32:256x320 || exit 99
python3 "$srcdir/tests/lib/mkmodel.py" n.safetensors w:F32:256x320:normal:7 || exit 99
for m in m n; do
	lmodel pack -q --select random --tier silver=2% --tier gold=9% --owner "$(cat owner.pub)" \
		-o $m.lmodel $m.safetensors || exit 99
done
start_registry
ref=$registry/models/bert:v1
run 0 lmodel push -q m.lmodel "$ref"
run 0 lmodel push -q n.lmodel "$registry/models/other:v1"
cp m.lmodel kept.lmodel
lmodel grant -q -i owner.key --tier silver -r "$(cat owner.pub)" m.lmodel || exit 99
cp m.lmodel newest.lmodel
run 0 lmodel push -q m.lmodel "$ref"
cp kept.lmodel there.lmodel

# refused STATUS PATTERN NAME [STATUS]: whether there was a file or not, and that it is as it was.
refused() {
	rm -f new.lmodel
	cp kept.lmodel there.lmodel
	run "$1" timeout 120 lmodel pull -o new.lmodel "$ref"
	like "$err" "$2" "$3"
	[ ! -e new.lmodel ]
	ok $? "$3: no file"
	run "${4:-$1}" timeout 120 lmodel pull -o there.lmodel "$ref"
	same kept.lmodel there.lmodel "$3: the file that was there is as it was"
	is "$(grep -c '^lmodel: ' "$tap_dir/.err")" 1 "$3: one line"
}

faults 'wrong-content,match=GET .*/blobs/'
refused 4 "digest|SHA-256" "a layer with another digest"
faults 'truncate=1000,match=GET .*/blobs/'
refused 4 "bytes|ends|short|truncated|length" "a layer that is cut off"
faults 'manifest-bytes,match=GET .*/manifests/'
refused 4 "asked for|digest" "a manifest that is not what its digest says"
faults 'redirect-loop,match=GET .*/blobs/'
refused 1 "redirect" "redirects without an end"
faults 'status=500'
refused 1 "500" "500 for everything"
faults 'status=404,match=GET .*/blobs/'
refused 1 "404|not there|unknown" "a layer that is gone"
faults 'refuse'
refused 1 "." "nobody answers"
faults 'endless,match=GET .*/blobs/'
refused 4 "more|long|length|bytes" "a layer without an end"

# ---- a manifest that is well-formed and a lie ----

cat >lie.py <<'P'
"""lie.py REGISTRY HOW: puts another manifest under models/bert:v1."""
import hashlib, json, sys, urllib.request as u
host, how = sys.argv[1:]
open_ = u.build_opener(u.ProxyHandler({})).open
TYPE = "application/vnd.oci.image.manifest.v1+json"
def get(name, tag):
    r = u.Request("http://%s/v2/%s/manifests/%s" % (host, name, tag), headers={"Accept": TYPE})
    return json.load(open_(r))
def put(document, tag):
    open_(u.Request("http://%s/v2/models/bert/manifests/%s" % (host, tag), method="PUT",
                    data=json.dumps(document).encode(), headers={"Content-Type": TYPE}))
def blob(data):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    where = open_(u.Request("http://%s/v2/models/bert/blobs/uploads/" % host, data=b"",
                            method="POST")).headers["Location"]
    if where.startswith("/"):
        where = "http://" + host + where
    open_(u.Request(where + ("&" if "?" in where else "?") + "digest=" + digest, data=data,
                    method="PUT", headers={"Content-Type": "application/octet-stream"}))
    return digest
def bytes_of(name, digest):
    return open_("http://%s/v2/%s/blobs/%s" % (host, name, digest)).read()
if how == "keep":
    put(get("models/bert", "v1"), "good")
    sys.exit()
d = get("models/bert", "good")
notes = d["annotations"]
def layer(kind):
    return [l for l in d["layers"] if kind in (l["annotations"]["org.lmodel.kind"],
                                               l["annotations"].get("org.lmodel.tier"))][0]
if how == "swap":          # the base of another archive
    other = [l for l in get("models/other", "v1")["layers"]
             if l["annotations"]["org.lmodel.kind"] == "base"][0]
    blob(bytes_of("models/other", other["digest"]))
    layer("base")["digest"] = other["digest"]
    assert layer("base")["size"] == other["size"]
elif how == "tiers":       # the layers of two tiers have each other's names
    a, b = layer("silver")["annotations"], layer("gold")["annotations"]
    a["org.lmodel.tier"], b["org.lmodel.tier"] = b["org.lmodel.tier"], a["org.lmodel.tier"]
elif how == "dead":        # a tier is called dead
    gold = layer("gold")
    notes["org.lmodel.dead"] = "%s+%d" % (gold["annotations"]["org.lmodel.offset"], gold["size"])
    d["layers"].remove(gold)
elif how == "id":
    notes["org.lmodel.id"] = "00112233-4455-4677-8899-aabbccddeeff"
elif how == "generation":
    notes["org.lmodel.generation"] = "7"
elif how == "gap":
    layer("gold")["annotations"]["org.lmodel.offset"] = "512"
elif how == "huge":
    layer("end")["annotations"]["org.lmodel.offset"] = str(2**62)
    at = int(layer("gold")["annotations"]["org.lmodel.offset"]) + layer("gold")["size"]
    notes["org.lmodel.dead"] = "%d+%d" % (at, 2**62 - at)
    notes["org.lmodel.size"] = str(2**62 + 1024)
elif how == "shard":       # one byte of a tier is another, under a digest that is right
    gold = layer("gold")
    data = bytearray(bytes_of("models/bert", gold["digest"]))
    data[600] ^= 1
    gold["digest"] = blob(bytes(data))
elif how == "header":      # one byte of a tar header, too
    base = layer("base")
    data = bytearray(bytes_of("models/bert", base["digest"]))
    data[5] ^= 1
    base["digest"] = blob(bytes(data))
elif how == "index":
    put({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
         "manifests": []}, "v1")
    sys.exit()
elif how == "image":
    del d["artifactType"]
put(d, "v1")
P
lie() { /usr/bin/python3 lie.py "$registry" "$1" || ok 1 "lie.py $1"; }
faults
lie keep
for how in swap tiers dead generation gap shard header; do
	lie $how
	refused 4 "." "a manifest that lies: $how"
done
lie id
refused 4 "." "a manifest that lies: id" 1 # and the file there is another archive
lie huge
timeout 60 lmodel pull -o huge.lmodel "$ref" 2>huge.err
status=$?
[ $status -eq 1 ] || [ $status -eq 4 ]
ok $? "a file of four exabytes: exit status $status"
[ ! -e huge.lmodel ]
ok $? "is none"
lie image
refused 5 "no model" "an artifact of another type"
lie index
run 5 lmodel pull -o new.lmodel "$ref"
run 1 lmodel pull -o new.lmodel "$registry/models/bert@sha256:$(printf 0 | sha256sum | cut -c 1-64)"
run 0 lmodel pull -q -o new.lmodel "$registry/models/bert:good"
same newest.lmodel new.lmodel "the truth is taken"

# ---- slow, and stopped ----

faults 'drip=0.2,match=GET .*/blobs/'
lmodel pull -q -o slow.lmodel "$registry/models/bert:good" 2>slow.err &
pid=$!
sleep 1.5
kill -TERM $pid
wait $pid
is $? 1 "a slow one can be stopped"
like "$(cat slow.err)" "interrupted" "and says so"
[ ! -e slow.lmodel ]
ok $? "no file then"
faults 'break-download=5000,times=3,match=GET .*/blobs/'
run 0 lmodel pull -q -o broken.lmodel "$registry/models/bert:good"
same newest.lmodel broken.lmodel "broken connections are mended"
faults 'redirect,match=GET .*/blobs/'
run 0 lmodel pull -q -o redirected.lmodel "$registry/models/bert:good"
same newest.lmodel redirected.lmodel "layers come from elsewhere"
faults 'ignore-range'
run 0 lmodel pull -q -o ranges.lmodel "$registry/models/bert:good"
same newest.lmodel ranges.lmodel "ranges are not needed"
stop_registry
leftovers "nothing is left behind"
done_testing
