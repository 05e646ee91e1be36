# Side files under a tier: who gets them, what others see, that they are nowhere in the clear, and
# that every command carries them.
. "${srcdir:-.}/tests/lib/tap.sh"

pub() { lmodel keygen -y "$1.key"; }
for who in owner gold silver auditor; do lmodel keygen -q -o $who.key || exit 99; done
python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors w:F32:64x64 v:BF16:100x30 || exit 99
mkdir files tmp
# Text that can be looked for: of the small one each line, of the large one each block.
seq -f 'sesame %06g opens the door' 1 10 >files/key.json
python3 -c 'import random; r = random.Random(7); print(r.randbytes(300000).hex(), end="")' >files/big
: >files/empty
echo 'for everybody' >files/public.txt
who="--owner $(pub owner) -r $(pub gold)=gold -r $(pub silver)=silver --audit $(pub auditor)"
TMPDIR=$PWD/tmp
export TMPDIR

# ---- packing ----

run 0 lmodel pack -o m.lmodel --tier silver=4% --tier gold=8% --attach files/key.json=deep/key.json@gold \
	--attach files/big=tokenizer.model@silver --attach files/empty@gold --attach files/public.txt $who \
	m.safetensors
is "$out$err" "" "silent"
run 0 lmodel verify m.lmodel
run 0 lmodel verify -i gold.key m.lmodel

# everywhere FILE...: none of the sealed files' content is in it.
everywhere() {
	python3 - "$@" <<-'END'
		import sys
		small = open("files/key.json", "rb").read()
		big = open("files/big", "rb").read()
		pieces = [small[i:i + 12] for i in range(len(small) - 11)] + \
		    [big[i:i + 16] for i in range(0, len(big) - 15, 999)]
		raw = [open(f, "rb").read() for f in sys.argv[1:]]
		sys.exit(any(p in r for r in raw for p in pieces))
	END
}
everywhere files/key.json
is $? 1 "the look finds the small one where it is"
everywhere files/big
is $? 1 "and the large one"
everywhere m.lmodel
ok $? "nothing of them is in the archive"
is "$(ls -A tmp)" "" "nor is anything left in TMPDIR"
run 0 tar tf m.lmodel
unlike "$out" "key.json|tokenizer" "no member of the tar is one of them"

# ---- what shows without a key ----

run 0 lmodel inspect m.lmodel
like "$out" "deep/key.json \(at most [0-9]+ B, tier gold, locked\)" "inspect: name, bound and tier"
like "$out" "public.txt \(14 B\)" "inspect: a public one as ever"
run 0 lmodel list --attachments m.lmodel
is "$(printf '%s\n' "$out" | sort | tr '\n' ' ')" "deep/key.json empty public.txt tokenizer.model " \
	"list: every name"
run 0 lmodel list -l --attachments m.lmodel deep
like "$out" "deep/key.json  \(tier gold\)$" "list -l: the tier"
for audit in 'lmodel audit' 'lmodel audit -i auditor.key'; do
	run 0 $audit m.lmodel
	like "$out" "side file    deep/key.json, at most [0-9]+ B" "$audit: name and bound"
done
run 0 lmodel audit --cyclonedx - m.lmodel
like "$out" '"lmodel:tier:gold:attachment"' "audit --cyclonedx: its property"
like "$out" '"deep/key.json"' "audit --cyclonedx: its name"
unlike "$out" "sesame" "audit --cyclonedx: not its content"

# ---- who gets them ----

# gets WHO FILE... : out of a whole extraction, these and no others.
gets() {
	gets_who=$1
	shift
	rm -rf out
	[ "$gets_who" = nobody ] && set -- "" "$@" || set -- "-i $gets_who.key" "$@"
	run 0 lmodel extract $1 -o out/ m.lmodel
	shift
	is "$(cd out && find . -type f | sort | tr '\n' ' ')" "$*" "$gets_who gets just these"
	for gets_file in "deep/key.json key.json" "tokenizer.model big" "empty empty"; do
		set -- $gets_file
		[ ! -e "out/$1" ] || same "out/$1" "files/$2" "$gets_who: $1 as it was"
	done
}
gets gold ./deep/key.json ./empty ./model.safetensors ./public.txt "./tokenizer.model "
is "$err" "" "gold is not told that anything is left out"
gets owner ./deep/key.json ./empty ./model.safetensors ./public.txt "./tokenizer.model "
gets silver ./model.safetensors ./public.txt "./tokenizer.model "
is "$err" "lmodel: 'deep/key.json' is of tier gold: left out
lmodel: 'empty' is of tier gold: left out" "silver is told what is left out"
gets nobody ./model.safetensors "./public.txt "
like "$err" "'tokenizer.model' is of tier silver: left out" "the base: told, too"
rm -rf out
run 0 lmodel extract -i gold.key --tier silver -o out/ m.lmodel
[ ! -e out/deep ] && [ -e out/tokenizer.model ]
ok $? "--tier silver is what silver gets"
rm -rf out
run 0 lmodel extract -q -i gold.key -o out/ m.lmodel w
is "$(ls out)" model.safetensors "with a pattern no side files"
run 0 lmodel extract -q -f -i gold.key -o one.safetensors m.lmodel
same one.safetensors m.safetensors "into a file: the weights"

run 0 lmodel cat m.lmodel public.txt
is "$out" "for everybody" "cat: a public one needs no key"
is "$err" "" "cat: and says nothing of base weights"
run 0 lmodel cat -i auditor.key m.lmodel public.txt
is "$out" "for everybody" "cat: a public one with an auditor's key"
run 0 lmodel cat -i gold.key m.lmodel deep/key.json
is "$out" "$(cat files/key.json)" "cat: gold's"
lmodel cat -i gold.key m.lmodel tokenizer.model | cmp - files/big
ok $? "cat: gold gets silver's"
for key in silver auditor; do
	run 3 lmodel cat -i $key.key m.lmodel deep/key.json
	is "$out" "" "cat: nothing for $key"
	like "$err" "attachment 'deep/key.json': none of the keys opens tier gold$" "cat: $key is told"
done
run 3 lmodel cat m.lmodel deep/key.json
run 3 lmodel extract -f -i auditor.key -o x.safetensors m.lmodel
is "$(ls -A tmp)" "" "nothing is left in TMPDIR"

# Not even while it runs: files without a name are written through a trace.
if command -v strace >/dev/null && [ "$(id -u)" -eq 0 ]; then
	real=$builddir/bin/.libs/lmodel
	[ -x "$real" ] || real=$(command -v lmodel)
	LD_LIBRARY_PATH="$builddir/libfmt/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" \
		ASAN_OPTIONS=detect_leaks=0 strace -f -qq -y -s 40 -o trace -e trace=openat,write,pwrite64 \
		"$real" cat -i gold.key m.lmodel deep/key.json >cat.out 2>/dev/null
	same cat.out files/key.json "cat under a trace"
	! grep -E 'O_TMPFILE|O_CREAT' trace | grep -v '= -1' | grep -q .
	ok $? "cat makes no file"
fi

# ---- every command carries them ----

# carried FILE NAME: holders get theirs.
carried() {
	lmodel cat -i gold.key "$1" deep/key.json | cmp -s - files/key.json &&
		lmodel cat -i silver.key "$1" tokenizer.model | cmp -s - files/big &&
		[ "$(lmodel cat -i gold.key "$1" empty | wc -c)" -eq 0 ]
	ok $? "$2: holders get theirs"
	run 0 lmodel verify -i gold.key "$1"
	is "$err" "" "$2: verify has nothing to say"
}
sealed() { # the ciphertext of tiers, as pieces
	python3 - "$1" <<-'END'
		import sys
		raw, at, out = open(sys.argv[1], "rb").read(), 0, open("old-ciphertext", "ab")
		while raw[at]:
		    name, size = raw[at:at + 100].rstrip(b"\0"), int(raw[at + 124:at + 135], 8)
		    if name.startswith(b"shard/"):
		        out.write(raw[at + 512:at + 512 + size])
		    at += 512 + (size + 511) // 512 * 512
	END
}
run 0 lmodel strip --tier silver -o s.lmodel m.lmodel
lmodel cat -i silver.key s.lmodel tokenizer.model | cmp -s - files/big
ok $? "strip: the tier that is left has its own"
run 4 lmodel cat -i gold.key s.lmodel deep/key.json
like "$err" "the shards of tier gold are not in this file$" "strip: gold's is not there"
cp m.lmodel r.lmodel
sealed r.lmodel
run 0 lmodel rekey -q -i owner.key --tier gold --tier silver r.lmodel
carried r.lmodel rekey
python3 -c '
import sys
old, new = open("old-ciphertext", "rb").read(), open("r.lmodel", "rb").read()
sys.exit(any(old[i:i + 32] in new for i in range(0, len(old) - 31, 32)))'
ok $? "rekey: nothing of the old ciphertext is there"
run 0 lmodel repack r.lmodel
carried r.lmodel repack
run 0 lmodel rekey -q -i owner.key --tier gold r.lmodel
carried r.lmodel "rekey of one tier"
everywhere r.lmodel s.lmodel
ok $? "nothing in the clear in any of them"
run 0 lmodel diff m.lmodel r.lmodel
is "$out" "" "diff: a new key is no difference"

# ---- two archives ----

tr e E <files/key.json >files/other.json
lmodel pack -q -o o.lmodel --tier silver=4% --tier gold=8% --attach files/other.json=deep/key.json@gold \
	--attach files/big=tokenizer.model --attach files/key.json=empty@silver $who m.safetensors || exit 99
run 1 lmodel diff m.lmodel o.lmodel
like "$out" "^! attachment tokenizer.model  of a tier in the first alone$" "diff: public in one"
like "$out" "^! attachment empty  of another tier$" "diff: of another tier"
like "$out" "^! attachment public.txt  only in the first$" "diff: not there"
unlike "$out" "deep/key.json" "diff: of the content nothing shows"

# ---- a tier of nothing else ----

run 0 lmodel pack -o k.lmodel --tier gold=0 --attach files/key.json@gold --owner "$(pub owner)" \
	-r "$(pub gold)=gold" m.safetensors
run 0 lmodel extract -f -o k.safetensors k.lmodel
same k.safetensors m.safetensors "the weights are public"
like "$err" "all weights; side files of 1 tier need a key$" "and that is what is said"
run 0 lmodel extract -f -i gold.key -o k.safetensors k.lmodel
same k.safetensors m.safetensors "with a key they are the same"
run 0 lmodel cat -i gold.key k.lmodel key.json
is "$out" "$(cat files/key.json)" "the key of the transform is for gold"
run 3 lmodel cat k.lmodel key.json
run 0 lmodel audit k.lmodel
like "$out" "side file    key.json" "audit tells it"
run 0 lmodel rekey -q -i owner.key --tier gold k.lmodel
run 0 lmodel verify -i gold.key k.lmodel
is "$err" "" "rekey of an empty member leaves nothing to complain of"
run 0 lmodel repack k.lmodel
run 0 lmodel cat -i gold.key k.lmodel key.json
is "$out" "$(cat files/key.json)" "rekeyed, repacked"
for ladder in 'a=0 b=5%' 'a=5% b=0' 'a=0 b=5% c=0 d=10%' 'a=0 b=0'; do
	set --
	for tier in $ladder; do set -- "$@" --tier "$tier" --attach "files/key.json=${tier%=*}@${tier%=*}"; done
	run 0 lmodel pack -q -f -o l.lmodel "$@" --owner "$(pub owner)" m.safetensors
	rm -rf out
	run 0 lmodel extract -q -i owner.key -o out/ l.lmodel
	same out/model.safetensors m.safetensors "$ladder: all weights for the owner"
	run 0 lmodel verify -i owner.key l.lmodel
done
run 2 lmodel pack -f -o l.lmodel --tier a=0 --tier b=5% --attach files/big@b --owner "$(pub owner)" \
	m.safetensors
like "$err" "option '--tier': 'a=0' is a tier of nothing" "a tier without anything"

# ---- FILE[=NAME][@TIER] ----

# named "ARGUMENT" "NAME TIER"
named() {
	rm -f n.lmodel
	run 0 lmodel pack -q -o n.lmodel --tier gold=5% --attach "$1" --owner "$(pub owner)" m.safetensors
	is "$(lmodel inspect --json n.lmodel | python3 -c '
import json, sys
print(*["%s %s" % (a["name"], a["tier"]) for a in json.load(sys.stdin)["attachments"]])')" "$2" \
		"--attach $1"
}
for file in me@home.txt a=b.txt x=y@z plain me 'me@gold'; do echo "$file" >"$file"; done
mkdir -p 'dir@gold' && echo in >'dir@gold/file'
named plain "plain None"
named plain@gold "plain gold"
named plain=docs/p@gold "docs/p gold"
named plain= "plain None"
named plain@ "plain None"
named plain=@gold "plain gold"
named me@home.txt@ "me@home.txt None"
named me@home.txt@gold "me@home.txt gold"
named me@gold@ "me@gold None"
named me@gold "me gold"
named a=b.txt= "a=b.txt None"
named a=b.txt=c@gold "c gold"
named x=y@z=@gold "x=y@z gold"
named plain=p@q@ "p@q None"
named dir@gold/file "file None"
named dir@gold/file@gold "file gold"
run 2 lmodel pack -f -o n.lmodel --tier gold=5% --attach plain@godl --owner "$(pub owner)" m.safetensors
like "$err" "there is no --tier 'godl'" "a tier that is not there"
run 2 lmodel pack -f -o n.lmodel --attach me@home.txt m.safetensors
like "$err" "a FILE with an '@' in its name ends with one more" "advice"

# ---- weights, names that are taken, directories ----

run 2 lmodel pack -f -o n.lmodel --attach m.safetensors=w.txt m.safetensors
like "$err" "looks like weights" "public weights are refused"
named m.safetensors=adapter.bin@gold "adapter.bin gold"
run 0 lmodel cat -i owner.key n.lmodel adapter.bin
mkdir hf && cp m.safetensors hf/model.safetensors && echo '{"public": 1}' >hf/tokenizer.json &&
	echo '{}' >hf/config.json
run 0 lmodel pack -f -o hf.lmodel --tier gold=5% --attach hf/tokenizer.json@gold --owner "$(pub owner)" hf
like "$err" "'hf/tokenizer.json' is not packed: its place is taken in tier 'gold'$" \
	"the public copy that the directory brings is left out, and told"
run 0 lmodel cat -i owner.key hf.lmodel tokenizer.json
is "$out" '{"public": 1}' "the sealed one is there"
! grep -q '"public": 1' hf.lmodel
ok $? "and nowhere in the clear"
run 2 lmodel pack -f -o hf.lmodel --tier gold=5% --attach hf/tokenizer.json hf --owner "$(pub owner)"
run 2 lmodel pack -f -o hf.lmodel --tier gold=5% --attach plain=x@gold --attach files/big=x --owner \
	"$(pub owner)" m.safetensors
like "$err" "would both be 'x' in the archive" "one name twice"
run 2 lmodel pack -f -o hf.lmodel --tier gold=5% --attach plain=x@gold --attach files/big=x/y --owner \
	"$(pub owner)" m.safetensors

# ---- reproducible ----

for n in 1 2; do
	lmodel pack -q -o seed$n.lmodel --seed 0b --test-keys --tier gold=5% --attach files/big@gold \
		--attach plain --owner "$(pub owner)" -j $n m.safetensors || exit 99
done
python3 - <<'END'
import sys
a, b = (open(f"seed{n}.lmodel", "rb").read() for n in (1, 2))
at, same = 0, len(a) == len(b)
while same and a[at]:
    name, size = a[at:at + 100].rstrip(b"\0"), int(a[at + 124:at + 135], 8)
    if name.startswith(b"shard/"):
        same = a[at:at + 512 + size] == b[at:at + 512 + size]
    at += 512 + (size + 511) // 512 * 512
sys.exit(not same)
END
ok $? "with a seed the same ciphertext, on any number of threads"

# ---- licence and model card ----

mkdir card && cp m.safetensors card/model.safetensors
printf '\n   \n                 Apache License\n           Version 2.0, January 2004\n more\n' >card/LICENSE
printf -- '---\nlanguage: en\nlicense: "apache-2.0"\n---\n\n# A \033[31mmodel\n\nlicense: mit\n' >card/README.md
run 0 lmodel pack -q -o card.lmodel card
run 0 lmodel inspect card.lmodel
like "$out" "^licence +Apache License, Version 2.0, January 2004 \(LICENSE\)$" "the licence's first lines"
like "$out" "^ +apache-2.0 \(README.md\)$" "the licence of the front matter"
like "$out" '^model card +README.md: A \\x1B\[31mmodel$' "the model card's title, escaped"
unlike "$out" "mit \(" "not what stands behind the front matter"
run 0 lmodel inspect --json card.lmodel
is "$(printf '%s' "$out" | python3 -c '
import json, sys
d = json.load(sys.stdin)
print(sorted((x["file"], x["identifier"]) for x in d["licences"]), d["model_card"]["file"])')" \
	"[('LICENSE', None), ('README.md', 'apache-2.0')] README.md" "the same in JSON"
printf -- '---\nlicense: other\nlicense_name: odd-1.0\n' >card/README.md
head -c 100000 /dev/urandom >card/LICENSE
run 0 lmodel pack -q -f -o card.lmodel card
run 0 lmodel inspect card.lmodel
like "$out" "odd-1.0 \(README.md\)$" "license_name"
is "$(printf '%s' "$out" | tr -d '\n' | LC_ALL=C tr -cd '\001-\037\177')" "" "noise is escaped"
lmodel pack -q -f -o card.lmodel --tier gold=5% --attach card/README.md@gold --owner "$(pub owner)" card \
	2>/dev/null
run 0 lmodel inspect card.lmodel
unlike "$out" "odd-1.0|model card" "a sealed card is not shown"
run 0 lmodel inspect -i owner.key card.lmodel
like "$out" "odd-1.0" "but to who has its key"
leftovers "nothing is left"
is "$(ls -A tmp)" "" "nothing in TMPDIR"
done_testing
