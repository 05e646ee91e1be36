# list, inspect, audit, cat and extract of an archive behind an address: the same answers as of the
# file, for few of its bytes, and the cache.
. "${srcdir:-.}/tests/lib/tap.sh"
. "$srcdir/tests/lib/registry.sh"
export XDG_CACHE_HOME=$tap_dir/cache

run 0 lmodel keygen -o owner.key
run 0 lmodel keygen -o gold.key
owner=$(lmodel keygen -y owner.key) gold=$(lmodel keygen -y gold.key)
tensors=()
for i in 1 2 3 4 5 6 7 8; do tensors+=("big.$i:U8:1500x1024:random"); done
python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors "${tensors[@]}" a.weight:F32:200x300 \
	b.weight:F32:128x256 c.bias:F32:64 || exit 99
echo "a model of numbers" >README.md
mkdir files
run 0 lmodel pack -o files/m.lmodel m.safetensors --owner "$owner" -r "$gold=gold" \
	--tier silver=4% --tier gold=8% --attach README.md --attach owner.key=price.txt@gold
start_registry
url=http://$registry/files/m.lmodel
size=$(stat -c %s files/m.lmodel)
room=$(lmodel inspect --json files/m.lmodel |
	python3 -c 'import json, sys; print(json.load(sys.stdin)["manifest_room"])')

# as_local NAME COMMAND [ARGUMENT...]: %s is the archive.
as_local() {
	name=$1
	shift
	(cd files && lmodel "${@/#%s/m.lmodel}") >wanted 2>wanted.err
	wanted=$?
	lmodel "${@/#%s/$address}" >got 2>got.err
	is "$?" "$wanted" "$kind: $name: exit status"
	sed "s,$shown,m.lmodel,g" got >got.named
	same got.named wanted "$kind: $name: output"
	sed "s,$shown,m.lmodel,g" got.err >got.named
	same got.named wanted.err "$kind: $name: messages"
}
run 0 lmodel push files/m.lmodel "$registry/models/m:v1"
image=oci://$registry/models/m:v1
for kind in file image; do
	address=$url shown=$url
	[ $kind = file ] || address=$image shown="\\(oci:.*/models/\\)\\?m:v1"
	as_local inspect inspect %s
	as_local "inspect --json" inspect --json %s
	as_local "inspect -i" inspect -i "$tap_dir/owner.key" %s
	as_local list list %s
	as_local "list -l" list -l %s 'big.*'
	as_local "list --json" list --json %s
	as_local "list --attachments" list --attachments %s
	as_local "list, no such tensor" list %s nothing
	as_local audit audit %s
	as_local "audit -i" audit -i "$tap_dir/owner.key" %s
	as_local "audit --json" audit --json -i "$tap_dir/gold.key" %s
	as_local "audit --positions" audit --positions a.weight -i "$tap_dir/gold.key" %s
	as_local "cat, base" cat %s a.weight
	as_local "cat -i" cat -i "$tap_dir/gold.key" %s a.weight
	as_local "cat --tier" cat -i "$tap_dir/gold.key" --tier silver --raw %s b.weight
	as_local "cat, side file" cat %s README.md
	as_local "cat, sealed side file" cat -i "$tap_dir/gold.key" %s price.txt
	as_local "cat, no such tensor" cat %s nothing
	as_local "extract -o -" extract -i "$tap_dir/gold.key" -o - %s
	as_local "extract PATTERN" extract -o - %s '*.weight'
	as_local "extract, no key" extract --tier gold -o - %s
done
run 0 lmodel extract -q -i gold.key -o all.safetensors "$url"
same all.safetensors m.safetensors "all of it is what was packed"
mkdir here
run 0 lmodel extract -q -C here "$url?token=secret" b.weight
run 1 lmodel extract -q -C here "$image" b.weight
like "$err" "'here/m.safetensors': exists" "the default output has the archive's name"

# ---- bytes ----

cold() {
	rm -rf cache
	clear_log
}
fetched() {
	traffic sent 'GET /(files|v2)/'
}
# most WANTED NAME
most() {
	got=$(fetched)
	[ "$got" -gt 0 ] && [ "$got" -le "$1" ]
	ok $? "$2 ($got of $size bytes, at most $1)"
}
manifest=$((room + 4096 + 3 * 65536))
cold
run 0 lmodel list -v "$url"
most $manifest "list moves the manifest"
is "$err" "lmodel: fetched $(fetched) bytes in $(requests GET) requests, 0 from the cache" "-v tells it"
cold
run 0 lmodel inspect "$url"
most $((manifest + 131072)) "inspect moves the manifest, and what it says of the licence"
cold
run 0 lmodel cat "$url" big.5
most $((manifest + 1500 * 1024 + size / 50)) "cat moves one tensor"
[ "$(requests GET)" -le 6 ]
ok $? "in few requests"
cold
run 0 lmodel extract -qo one.safetensors "$url" 'big.[56]'
most $((manifest + 2 * 1500 * 1024 + size / 50)) "extract moves two tensors"
[ "$(requests GET)" -le 6 ]
ok $? "neighbours go in one request"
cold
run 0 lmodel extract -qi gold.key -o some.safetensors "$url" a.weight b.weight
most $((manifest + size / 10)) "tiers are read by ranges, too"
cold
run 0 lmodel extract -qi gold.key -o again.safetensors "$url"
most $((size + 65536)) "all of it moves once"
[ "$(requests GET)" -le 16 ]
ok $? "in few requests"

# ---- the cache ----

clear_log
run 0 lmodel cat -v "$url" big.5
most 4096 "a second time only asks whether it is the same file"
like "$err" "fetched 4096 bytes in 1 request, [0-9]{7} from the cache" "-v tells what the cache gave"
cp cache/lmodel/*.data kept.data
is "$(stat -c %a cache/lmodel cache/lmodel/* | sort -u | tr '\n' ' ')" "600 700 " "for the user alone"
cold
run 0 lmodel cat --no-cache "$url" big.5
[ ! -e cache ]
ok $? "--no-cache keeps nothing"
run 0 env LMODEL_CACHE_BYTES=0 lmodel cat "$url" big.5
[ ! -e cache ]
ok $? "nor does a cache of no bytes"
run 0 env LMODEL_CACHE_BYTES=2000000 lmodel extract -qfi gold.key -o again.safetensors "$url"
same again.safetensors m.safetensors "a cache that is too small is no harm"
[ "$(du -s -B1 cache/lmodel | cut -f1)" -le 2100000 ]
ok $? "and stays small"
run 2 env LMODEL_CACHE_BYTES=much lmodel list "$url"
like "$err" "LMODEL_CACHE_BYTES: 'much' is not a number of bytes" "a limit that is none"
cp files/m.lmodel files/n.lmodel
run 0 lmodel list "http://$registry/files/n.lmodel"
is "$(ls cache/lmodel/*.data | wc -l)" 2 "two archives"
sleep 0.05
run 0 env LMODEL_CACHE_BYTES=100000 lmodel extract -qfo some.safetensors "$url" a.weight
is "$(ls cache/lmodel/*.data | wc -l)" 1 "what was used longest ago goes"
mkdir -m 777 open
run 0 env XDG_CACHE_HOME="$tap_dir/open" lmodel list "$url"
[ -d open/lmodel ] && chmod 777 open/lmodel && rm open/lmodel/*
run 0 env XDG_CACHE_HOME="$tap_dir/open" lmodel list "$url"
is "$(ls open/lmodel)" "" "a directory that others write to is no cache"
run 0 env XDG_CACHE_HOME=/proc/none lmodel list "$url"

# damaged: bytes that are wrong are fetched again
heals() {
	clear_log
	run 0 lmodel extract -qfi gold.key -o again.safetensors "$url"
	same again.safetensors m.safetensors "$1: healed"
	got=$(fetched)
	[ "$got" -ge "$2" ]
	ok $? "$1: by fetching again ($got bytes)"
	clear_log
	run 0 lmodel extract -qfi gold.key -o again.safetensors "$url"
	most 4096 "$1: then all is there"
}
cold
run 0 lmodel extract -qfi gold.key -o again.safetensors "$url"
file=$(echo cache/lmodel/*.data) map=$(echo cache/lmodel/*.map)
same "$file" files/m.lmodel "the cache holds the archive"
dd if=/dev/zero of="$file" bs=1000 seek=6000 count=1 conv=notrunc 2>/dev/null
heals "a chunk of zeros" 65536
tr '\0-\377' '\1-\377\0' <files/m.lmodel >"$file"
heals "all wrong" "$((size - 70000))"
: >"$file"
heals "cut off" "$((size - 70000))"
printf x >>"$map"
heals "another map" "$((size - 70000))"
printf x | dd of="$map" bs=1 seek=70 conv=notrunc 2>/dev/null
heals "a torn map" "$((size - 70000))"
rm "$map"
heals "no map" "$((size - 70000))"
rm "$file"
heals "a map alone" "$((size - 70000))"
rm "$file" && ln -s "$tap_dir/owner.key" "$file" && cp owner.key before.key
run 0 lmodel list "$url"
same owner.key before.key "no link is followed"
rm -rf cache

# several at once
for i in 1 2 3 4; do
	lmodel extract -qi gold.key -o "at-once.$i.safetensors" "$url" &
	pids[i]=$!
done
bad=0
for i in 1 2 3 4; do
	wait "${pids[i]}" && cmp -s "at-once.$i.safetensors" m.safetensors || bad=$((bad + 1))
done
is "$bad" 0 "four at once"
same cache/lmodel/*.data files/m.lmodel "leave one whole copy"
clear_log
run 0 lmodel extract -qfi gold.key -o again.safetensors "$url"
most 4096 "and a whole map"

# an image: the layer of the manifest comes whole, as its digest has to be right
layers=$((2 * room + 4096 + 2 * 65536))
cold
run 0 lmodel list -v "$image"
most $layers "image: list moves the layer of the manifest"
is "$err" "lmodel: fetched $(fetched) bytes in $(requests GET) requests, 0 from the cache" "-v tells it"
run 0 lmodel cat "$image" big.5
most $((layers + 1500 * 1024 + size / 50)) "image: cat moves one tensor"
cold
run 0 lmodel extract -qfi gold.key -o again.safetensors "$image"
same again.safetensors m.safetensors "image: all of it"
most $((size + 65536)) "image: all of it moves once"
clear_log
run 0 lmodel extract -qfi gold.key -o again.safetensors "$image"
most 4096 "image: then all is there"
digest=$(lmodel push --json files/m.lmodel "$registry/models/m:v1" |
	python3 -c 'import json, sys; print(json.load(sys.stdin)["digest"])')
clear_log
run 0 lmodel list "oci://$registry/models/m@$digest"
most 4096 "image: by its digest, from the same cache"

# ---- options and operands ----

run 2 lmodel verify "$url?token=secret"
like "$err" "'$url' is elsewhere: pull or download it first" "other commands take files"
run 2 lmodel diff files/m.lmodel "$url"
run 1 lmodel inspect "$registry/models/m:v1"
like "$err" "is oci://HOST/NAME:TAG" "a reference without oci:// is no file"
run 1 lmodel list "ftp://$registry/files/m.lmodel"
like "$err" "addresses begin with https://" "nor is another kind of address"
run 2 lmodel grant "$url" -i owner.key --tier gold -r "$gold"
run 2 lmodel repack "$url" -o x.lmodel
run 2 lmodel inspect "http://user:password@$registry/files/m.lmodel"
unlike "$out$err" password "a password in an address is not told"
run 2 lmodel inspect "http://192.0.2.1/m.lmodel"
like "$err" "plain http is for this machine only .--plain-http allows it" "http to other machines is refused"
run 2 lmodel inspect "https://"
run 0 lmodel audit --against "$url?token=secret" -i owner.key files/m.lmodel
unlike "$out$err" secret "audit --against takes an address"
(cd files && lmodel list "./http://x" >/dev/null 2>&1)
is "$?" 1 "./http: is a file"
stop_registry
run 1 lmodel inspect "$url?token=secret"
like "$err" "127.0.0.1" "nobody there"
unlike "$out$err" secret "addresses are told without the query"
unlike "$(ls -R cache; cat cache/lmodel/*.map | tr -d '\0')" secret "and so are names in the cache"
leftovers "nothing is left behind"
done_testing
