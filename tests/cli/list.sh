# lmodel list: which tensors, in which order, in which form.
. "${srcdir:-.}/tests/lib/tap.sh"

python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors model.1.w:F32:100x10:zeros model.1.b:F16:10 \
	model.10.w:BF16:3x4x5:random scalar:I64: none:U8:0x4 copy:F32:100x10:zeros \
	same:U8:16:normal:s alias:U8:16:normal:s f4:F4:6 || exit 99
echo hi >note.txt
lmodel pack --attach note.txt --attach note.txt=docs/other.txt -o m.lmodel m.safetensors || exit 99

run 0 lmodel list m.lmodel
is "$out" "model.1.w
model.1.b
model.10.w
scalar
none
copy
same
alias
f4" "all of them, in the order of the data"
is "$err" "" "nothing else"
run 0 lmodel list m.lmodel model.1
is "$out" "model.1.w
model.1.b" "a name picks what is below it, not its neighbours"
run 0 lmodel list m.lmodel model.1.w
is "$out" "model.1.w" "a whole name"
run 0 lmodel list m.lmodel '*.w'
is "$out" "model.1.w
model.10.w" "a wildcard goes over dots"
run 0 lmodel list m.lmodel '*0.[vw]' sc?lar
is "$out" "model.10.w
scalar" "brackets, question marks, two patterns in the archive's order"
run 0 lmodel list m.lmodel --exclude 'model*' --exclude '*a*'
is "$out" "none
copy
f4" "--exclude"
run 0 lmodel list m.lmodel model --exclude model.10
is "$out" "model.1.w
model.1.b" "a pattern and --exclude"
run 1 lmodel list m.lmodel none 'x*' nothing
is "$out" "none" "what was found is listed"
like "$err" "m.lmodel.*: no tensor matches 'x\*'" "a pattern that picks nothing is told"
run 1 lmodel list m.lmodel mode
is "$out" "" "half a word picks nothing"

# -l
run 0 lmodel list -l m.lmodel
is "$(printf '%s\n' "$out" | awk '{print $1, $2, $3, $6, $7, $8}' | sed 's/ *$//')" \
"F32 [100,10] 4000 model.1.w
F16 [10] 20 model.1.b
BF16 [3,4,5] 120 model.10.w
I64 [] 8 scalar
U8 [0,4] 0 none
F32 [100,10] 4000 copy -> model.1.w
U8 [16] 16 same
U8 [16] 16 alias -> same
F4 [6] 3 f4" "dtype, shape, bytes, name, alias"
[ "$(printf '%s\n' "$out" | awk '$6 == "model.1.w" {print $4}')" -lt 100 ]
ok $? "stored bytes of zeros are few"
like "$out" ' 120 +120 +100\.0%  model\.10\.w$' "stored bytes and ratio of random ones"
run 0 lmodel list -l m.lmodel scalar
is "$(printf '%s\n' "$out" | wc -l)" 1 "-l of one is one line"

# -0
lmodel list -0 m.lmodel model.1 >zero || exit 99
is "$(od -An -c zero | tr -d ' \n')" 'model.1.w\0model.1.b\0' "-0"

# --json
lmodel list --json m.lmodel >list.json || exit 99
python3 - <<'P'
import json
d = json.load(open("list.json"))
t = {x["name"]: x for x in d["tensors"]}
assert d["version"] == 1 and len(t) == 9
assert t["model.10.w"]["dtype"] == "BF16" and t["model.10.w"]["shape"] == [3, 4, 5]
assert t["scalar"]["shape"] == [] and t["none"]["bytes"] == 0
assert t["alias"]["alias_of"] == "same" if "alias_of" in t["alias"] else t["alias"]["alias"] == "same"
P
ok $? "--json says the same"

# side files
run 0 lmodel list --attachments m.lmodel
is "$(printf '%s\n' "$out" | sort | tr '\n' ' ')" "docs/other.txt note.txt " "--attachments"
run 0 lmodel list --attachments m.lmodel docs
is "$out" docs/other.txt "--attachments with a pattern"
run 1 lmodel list --attachments m.lmodel model.1.w
like "$err" "matches 'model.1.w'" "tensors are no attachments"
run 0 lmodel list -l --attachments m.lmodel note.txt
like "$out" '^3 +3 +100\.0%  note\.txt$' "-l of attachments"

# nothing to list
python3 "$srcdir/tests/lib/mkmodel.py" nothing.safetensors && lmodel pack nothing.safetensors || exit 99
run 0 lmodel list nothing.lmodel
is "$out" "" "an archive without tensors"
run 0 lmodel list --attachments nothing.lmodel
is "$out" "" "an archive without side files"

# streams, and what is no archive
run 0 sh -c 'cat m.lmodel | lmodel list - scalar'
is "$out" scalar "an archive from a pipe"
run 4 lmodel list note.txt
is "$(printf '%s\n' "$err" | wc -l):$out" "1:" "a text is no archive: one line"
run 1 lmodel list missing.lmodel
is "$err" "lmodel: 'missing.lmodel': No such file or directory" "a missing archive"
mkdir empty
run 2 lmodel list empty
like "$err" "'empty': " "a directory without a model"
leftovers "nothing is left"
done_testing
