# Reading an archive of 2 GB in docker-registry, and behind an address, where it is. Needs about 7 GB
# of disk in $TMPDIR.
. "${srcdir:-.}/tests/lib/tap.sh"
. "$srcdir/tests/registry/lib.sh"
needs docker-registry
export XDG_CACHE_HOME=$tap_dir/.cache

# 1000 tensors of 2 MB that nothing compresses, no two of them alike
/usr/bin/python3 -c 'import json, os, struct
noise, head, at = os.urandom(2 << 20), {}, 0
for i in range(1000):
    head["layer.%d.weight" % i] = {"dtype": "U8", "shape": [len(noise)],
                                   "data_offsets": [at, at + len(noise)]}
    at += len(noise)
text = json.dumps(head).encode()
with open("big.safetensors", "wb") as out:
    out.write(struct.pack("<Q", len(text)) + text)
    for i in range(1000):
        out.write(struct.pack("<Q", i) + noise[8:])'
run 0 lmodel pack -q --level fast -o big.lmodel big.safetensors
rm big.safetensors
size=$(stat -c %s big.lmodel)
[ "$size" -ge 2000000000 ]
ok $? "$size bytes"
lmodel cat big.lmodel layer.500.weight >wanted.npy
lmodel list big.lmodel >names
start_docker_registry open
run 0 lmodel push -q big.lmodel "$registry/models/big:v1"

# cost MOST: of what -v told; bytes of the archive at most
cost() {
	moved=$(sed -n 's/.*fetched \([0-9]*\) bytes.*/\1/p' "$tap_dir/.err")
	[ "${moved:-$size}" -le "$1" ]
	ok $? "$2: $moved of $size bytes moved ($(sed -n 's/.* in \([0-9]* requests*\).*/\1/p' "$tap_dir/.err"))"
}
image=oci://$registry/models/big:v1
run 0 lmodel list -v --no-cache "$image"
is "$out" "$(cat names)" "list"
cost $((size / 1000)) "list"
run 0 lmodel cat -v --no-cache "$image" layer.500.weight
same "$tap_dir/.out" wanted.npy "one tensor"
cost $((size / 50)) "one tensor, under two per cent"
cost $((2097152 + size / 1000)) "one tensor, and hardly more than its own"
run 0 lmodel cat -v "$image" layer.500.weight
run 0 lmodel cat -v "$image" layer.500.weight
same "$tap_dir/.out" wanted.npy "from the cache"
cost 200000 "from the cache"
run 0 lmodel extract -v --no-cache -o part.safetensors "$image" 'layer.70?.weight'
cost $((10 * 2097152 + size / 1000)) "ten tensors"
stop_docker_registry
rm -rf docker-root

. "$srcdir/tests/lib/registry.sh"
mkdir files && mv big.lmodel files/
start_registry
run 0 lmodel cat -v --no-cache "http://$registry/files/big.lmodel" layer.500.weight
same "$tap_dir/.out" wanted.npy "behind an address: one tensor"
cost $((2097152 + size / 1000)) "behind an address"
is "$(traffic sent .)" "$moved" "which is what the server has sent"

# a server that gives a byte now and then is given up, and asked again
faults drip=0.5,times=1
run 0 lmodel list --no-cache "http://$registry/files/big.lmodel"
is "$out" "$(cat names)" "a slow answer is given up, and asked for again"
stop_registry
done_testing
