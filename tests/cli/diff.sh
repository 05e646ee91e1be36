# lmodel diff: each kind of difference, and none where there is none.
. "${srcdir:-.}/tests/lib/tap.sh"

mkmodel() { python3 "$srcdir/tests/lib/mkmodel.py" "$@" || exit 99; }

base="w:F32:40x50:normal:1 b:F32:50:normal:2 g:BF16:30:normal:3 u:U8:300:normal:4 s:I64::normal:5"
# shellcheck disable=SC2086
mkmodel a.safetensors $base --meta k=v && lmodel pack a.safetensors || exit 99

equal() {
	run 0 lmodel diff "$1" "$2"
	is "$out$err" "" "$3"
}
equal a.lmodel a.lmodel "an archive and itself"
lmodel pack -o again.lmodel a.safetensors
equal a.lmodel again.lmodel "the same packed twice"
lmodel pack -o small.lmodel --level small --chunk-size 4096 a.safetensors
equal a.lmodel small.lmodel "other compression"
cp a.safetensors renamed.safetensors && lmodel pack renamed.safetensors
equal a.lmodel renamed.lmodel "another name of the input"
mkmodel order.safetensors s:I64::normal:5 u:U8:300:normal:4 g:BF16:30:normal:3 b:F32:50:normal:2 \
	w:F32:40x50:normal:1 --meta k=v
lmodel pack order.safetensors
equal a.lmodel order.lmodel "another order of tensors"
lmodel repack -o repacked.lmodel --level fast a.lmodel
equal a.lmodel repacked.lmodel "after repack"

# differs "NAME" "LINES" TENSOR... : against a.lmodel
differs() {
	differs_name=$1 differs_lines=$2
	shift 2
	mkmodel x.safetensors "$@" && lmodel pack -f x.safetensors || exit 99
	run 1 lmodel diff a.lmodel x.lmodel
	is "$out" "$differs_lines" "$differs_name"
	is "$err" "" "nothing on standard error: $differs_name"
	run 1 lmodel diff -q a.lmodel x.lmodel
	is "$out$err" "" "-q: $differs_name"
}
# shellcheck disable=SC2086
{
	differs "a tensor less" "- s" ${base% s:*} --meta k=v
	differs "a tensor more" "+ new" $base new:U8:3 --meta k=v
	differs "another dtype" "! g  dtype BF16 -> F16" ${base/g:BF16/g:F16} --meta k=v
	differs "another shape" "! w  shape [40,50] -> [50,40]" ${base/40x50/50x40} --meta k=v
	differs "metadata gone" "! metadata a.safetensors: k  only in the first" $base
	differs "metadata changed" "! metadata a.safetensors: k  other value" $base --meta k=w
}
mkmodel x.safetensors w:F32:40x50:normal:1 b:F32:50:normal:9 z:I8:4 --meta k=v --meta more=1
lmodel pack -f x.safetensors
run 1 lmodel diff a.lmodel x.lmodel
is "$(printf '%s\n' "$out" | cut -d' ' -f1 | sort | tr -d '\n')" "!+---~" "everything at once"
like "$out" '^~ b  50 of 50 ' "values are counted"

# one element in many: said exactly, through chunks and codings
python3 - <<'P' || exit 99
raw = bytearray(open("a.safetensors", "rb").read())
n = int.from_bytes(raw[:8], "little")
raw[8 + n + 4 * 1234 + 2] ^= 0x10   # w, element 1234
raw[8 + n + 4 * 1999] ^= 1          # w, the last one
open("x.safetensors", "wb").write(raw)
P
lmodel pack -f x.safetensors
run 1 lmodel diff a.lmodel x.lmodel
like "$out" '^~ w  2 of 2000 ' "two elements of one tensor"
is "$(printf '%s\n' "$out" | wc -l)" 1 "and nothing else"
lmodel pack -f -o x.lmodel --chunk-size 4096 --level small x.safetensors
run 1 lmodel diff a.lmodel x.lmodel
like "$out" '^~ w  2 of 2000 ' "also over different chunks"
run 1 lmodel diff -v a.lmodel x.lmodel
like "$err" "1 difference" "-v counts"
run 1 lmodel diff x.lmodel a.lmodel
like "$out" '^~ w  2 of 2000 ' "the other way round"

# one becomes an alias: no difference; a name against its alias
mkmodel one.safetensors p:F32:100:normal:a q:F32:100:normal:b && lmodel pack one.safetensors
mkmodel two.safetensors p:F32:100:normal:a q:F32:100:normal:a && lmodel pack two.safetensors
run 1 lmodel diff one.lmodel two.lmodel
like "$out" '^~ q  100 of 100 ' "a tensor became an alias of another"
is "$(printf '%s\n' "$out" | wc -l)" 1 "the other is as it was"

# side files
echo 1 >note && echo 2 >other
lmodel pack -o n1.lmodel --attach note a.safetensors
lmodel pack -o n2.lmodel --attach other=note a.safetensors
run 1 lmodel diff n1.lmodel n2.lmodel
like "$out" '^! attachment note ' "a side file changed"
run 1 lmodel diff n1.lmodel a.lmodel
like "$out" '^! attachment note  only in the first$' "a side file is gone"
run 1 lmodel diff a.lmodel n1.lmodel
like "$out" '^! attachment note  only in the second$' "a side file came"

# --json
run 1 lmodel diff --json a.lmodel x.lmodel
printf '%s' "$out" | python3 -c 'import json, sys; d = json.load(sys.stdin); assert d["version"] == 1'
ok $? "--json is JSON"
like "$out" '"w"' "and names the tensor"

# streams and failures
run 0 sh -c 'cat a.lmodel | lmodel diff - again.lmodel'
run 0 sh -c 'cat a.lmodel | lmodel diff again.lmodel -'
run 1 lmodel diff a.lmodel missing.lmodel
is "$err" "lmodel: 'missing.lmodel': No such file or directory" "a missing archive is told"
run 4 lmodel diff a.lmodel a.safetensors
run 2 lmodel diff a.lmodel .
python3 - <<'P' || exit 99
import os, sys
sys.path.insert(0, os.environ["srcdir"] + "/tests/lib")
from places import place
raw = bytearray(open("x.lmodel", "rb").read())
raw[place(raw, "w")[0] + 100] ^= 1
open("bad.lmodel", "wb").write(raw)
P
run 4 lmodel diff a.lmodel bad.lmodel
like "$err" "base/w" "damage in what has to be read is told"
leftovers "nothing is left"
done_testing
