# Every --json output against its schema, and against what else is known.
. "${srcdir:-.}/tests/lib/tap.sh"

python=python3
for p in python3 /usr/bin/python3; do
	if $p -c 'import jsonschema' 2>/dev/null; then python=$p; break; fi
done
if ! $python -c 'import jsonschema' 2>/dev/null; then
	echo "1..0 # SKIP python3 has no jsonschema"
	exit 0
fi

# Validates with every object closed: a member that the schema does not know is a failure.
# Then evaluates a Python expression over the document d.
cat >check.py <<'P'
import json
import sys

import jsonschema

def close(s):
    if isinstance(s, dict):
        if "properties" in s and s.get("type") == "object":
            s["additionalProperties"] = False
        for v in s.values():
            close(v)
    elif isinstance(s, list):
        for v in s:
            close(v)
    return s

def unique(pairs):
    keys = [k for k, _ in pairs]
    assert len(keys) == len(set(keys)), "double key"
    return dict(pairs)

schema = close(json.load(open(sys.argv[1])))
text = open(sys.argv[2], encoding="utf-8").read()
assert text.endswith("\n") and text.count("\n") == 1, "one line"
assert text.startswith('{"version": 1, '), "version first"
d = json.loads(text, object_pairs_hook=unique)
jsonschema.Draft202012Validator.check_schema(schema)
jsonschema.Draft202012Validator(schema).validate(d)
for expression in sys.argv[3:]:
    if not eval(expression):
        sys.exit("not so: %s\n%s" % (expression, text[:1000]))
P

# json STATUS SCHEMA COMMAND... --- EXPRESSION...
json() {
	json_status=$1
	json_schema=$2
	shift 2
	json_count=0
	for word; do
		[ "$word" = --- ] && break
		json_count=$((json_count + 1))
	done
	run "$json_status" "${@:1:json_count}"
	if $python check.py "$srcdir/schema/$json_schema.schema.json" "$tap_dir/.out" \
		"${@:json_count + 2}" 2>"$tap_dir/.check"; then
		ok 0 "${*:1:json_count}: schema"
	else
		ok 1 "${*:1:json_count}: schema"
		tail -n 5 "$tap_dir/.check" | sed 's/^/#   /'
	fi
}

mk() {
	python3 "$srcdir/tests/lib/mkmodel.py" "$@" || exit 99
}

mk a.safetensors conv.weight:F32:8x3x3x3 conv.bias:F32:8:zeros scalar:F64: \
	one:BF16:64x4:normal:7 two:BF16:64x4:normal:7 empty:F16:0x5 q:F4:8x4 \
	'"we\u202eird\n\"\\:näme":U8:3' --meta format=pt --meta 'kéy "=<&>'
mk b.safetensors conv.weight:F32:8x3x3x3:normal:other conv.bias:BF16:8:zeros scalar:F64: \
	one:BF16:64x4:normal:7 two:BF16:32x8:normal:7 empty:F16:0x5 q:F4:8x4:random new:I8:4 --meta format=tf
mk none.safetensors
printf 'some notes\n' >notes.txt
printf 'MIT\n' >LICENSE

# pack
json 0 pack lmodel pack --json -o a.lmodel --attach notes.txt --attach LICENSE=legal/LICENSE a.safetensors --- \
	"d['output'] == 'a.lmodel'" "d['tensors'] == 8 and d['aliases'] == 1" "d['attachments'] == 2" \
	"d['bytes'] == 864 + 32 + 8 + 512 + 0 + 16 + 3" \
	"d['file_bytes'] == __import__('os').path.getsize('a.lmodel')"
is "$err" "" "pack --json: nothing on standard error"
json 0 pack lmodel pack --json b.safetensors -q --- "d['output'] == 'b.lmodel'" "d['attachments'] == 0"
json 0 pack lmodel pack --json none.safetensors --- "d['tensors'] == 0 and d['bytes'] == 0"
cp a.safetensors "$(printf 'n\377.safetensors')"; rm none.safetensors
json 0 pack sh -c 'exec lmodel pack --json n*.safetensors' --- "d['output'] == 'n\\\\xFF.lmodel'"

# list
json 0 list lmodel list --json a.lmodel --- \
	"[t['name'] for t in d['tensors']] == ['conv.weight', 'conv.bias', 'scalar', 'one', 'two', 'empty', 'q', 'we\\u202eird\\n\"\\\\:näme']" \
	"[t['shape'] for t in d['tensors']] == [[8,3,3,3], [8], [], [64,4], [64,4], [0,5], [8,4], [3]]" \
	"[t['bytes'] for t in d['tensors']] == [864, 32, 8, 512, 512, 0, 16, 3]" \
	"[t['alias_of'] for t in d['tensors']] == [None, None, None, None, 'one', None, None, None]" \
	"d['tensors'][6]['dtype'] == 'F4' and d['tensors'][6]['elements'] == 32" \
	"all(t['source'] == 'a.safetensors' for t in d['tensors'])" \
	"d['tensors'][4]['stored_bytes'] == 0 and d['tensors'][4]['member'] == d['tensors'][3]['member']"
json 0 list lmodel list --json a.lmodel 'conv*' q --exclude '*bias' --- \
	"[t['name'] for t in d['tensors']] == ['conv.weight', 'q']"
json 1 list lmodel list --json a.lmodel conv nope --- \
	"[t['name'] for t in d['tensors']] == ['conv.weight', 'conv.bias']"
like "$err" "no tensor matches 'nope'$" "list --json: the message is on standard error"
json 0 list lmodel list --json --attachments a.lmodel --- \
	"[(a['name'], a['bytes']) for a in d['attachments']] == [('notes.txt', 11), ('legal/LICENSE', 4)]"
json 0 list lmodel list --json --attachments b.lmodel --- "d['attachments'] == []"
json 0 list lmodel list --json none.lmodel --- "d['tensors'] == []"

# inspect
json 0 inspect lmodel inspect --json a.lmodel --- "d['format_version'] == 1" \
	"d['tensors'] == 8 and d['aliases'] == 1" "d['parameters'] == 216 + 8 + 1 + 256 + 0 + 32 + 3" \
	"[(x['dtype'], x['tensors'], x['bytes']) for x in d['dtypes']] == [('F32', 2, 896), ('BF16', 1, 512), ('F4', 1, 16), ('F64', 1, 8), ('U8', 1, 3), ('F16', 1, 0)]" \
	"[(s['name'], s['format'], s['tensors']) for s in d['sources']] == [('a.safetensors', 'safetensors', 8)]" \
	"d['sources'][0]['bytes'] == __import__('os').path.getsize('a.safetensors')" \
	"{m['key']: m['value'] for m in d['metadata']} == {'format': 'pt', 'kéy \"': '<&>'}" \
	"len(d['attachments']) == 2 and not d['protected'] and not d['signed']" \
	"d['content_root'] in d['statement']" "d['file_bytes'] >= d['committed_bytes'] > 0" \
	"d['manifest_room'] > d['manifest_bytes'] > 0 and d['dead_bytes'] == 0" \
	"d['created'].endswith('Z')"
json 0 inspect lmodel inspect --json none.lmodel --- "d['tensors'] == 0 and d['dtypes'] == []"
root=$(lmodel inspect --json a.lmodel | $python -c 'import json, sys; print(json.load(sys.stdin)["content_root"])')
is "$(lmodel inspect a.lmodel | sed -n 's/^content root *//p')" "$root" "inspect: text and JSON agree"

# models that are not packed
json 0 list lmodel list --json a.safetensors 'conv*' --- "d['packed'] is False" \
	"[(t['name'], t['dtype'], t['shape'], t['bytes'], t['source']) for t in d['tensors']] == [('conv.weight', 'F32', [8,3,3,3], 864, 'a.safetensors'), ('conv.bias', 'F32', [8], 32, 'a.safetensors')]" \
	"'stored_bytes' not in d['tensors'][0]"
mkdir hf && cp a.safetensors hf/model.safetensors && echo '{}' >hf/config.json
json 0 list lmodel list --json --attachments hf --- "d['attachments'] == [{'name': 'config.json', 'bytes': 3}]"
json 0 inspect lmodel inspect --json hf --- "d['packed'] is False" "d['source_format'] == 'safetensors'" \
	"d['tensors'] == 8 and d['bytes'] == 1947 and d['parameters'] == 772" \
	"[(s['name'], s['tensors']) for s in d['sources']] == [('model.safetensors', 8)]" \
	"[a['name'] for a in d['attachments']] == ['config.json']" "len(d['metadata']) == 2" \
	"d['file_bytes'] == __import__('os').path.getsize('a.safetensors')"
json 0 inspect lmodel inspect --json a.lmodel --- "d['packed'] is True"
json 0 list lmodel list --json a.lmodel --- "d['packed'] is True"

# extract
json 0 extract lmodel extract --json a.lmodel -o x.safetensors --- "d['output'] == 'x.safetensors'" \
	"d['format'] == 'safetensors' and d['tensors'] == 8 and d['bytes'] == 1947"
same x.safetensors a.safetensors "extract --json writes the file"
json 0 extract lmodel extract --json a.lmodel -C . -o y.safetensors conv two --exclude '*bias' --- \
	"d['output'] == './y.safetensors' and d['tensors'] == 2 and d['bytes'] == 864 + 512"
json 0 extract lmodel extract --json --format native a.lmodel -o native/ --- \
	"d['output'] == 'native/' and d['format'] == 'native' and d['tensors'] == 8"
same native/a.safetensors a.safetensors "extract --json --format native"

# verify
json 0 verify lmodel verify --json a.lmodel --- "d['ok'] and d['status'] == 0 and d['faults'] == 0" \
	"d['findings'] == [] and not d['repaired'] and d['members'] > 3 and d['chunks'] > 3" \
	"d['bytes'] == __import__('os').path.getsize('a.lmodel')"
is "$err" "" "verify --json of a sound archive: nothing on standard error"
json 4 verify lmodel verify --json a.safetensors --- "not d['ok'] and d['status'] == 4" \
	"d['faults'] == 1 and d['findings'][0]['severity'] == 'fault'"
json 1 verify lmodel verify --json missing.lmodel --- "not d['ok'] and d['status'] == 1" \
	"'No such file' in d['findings'][0]['message']"
cp a.lmodel damaged.lmodel
$python - <<'P'
import tarfile
with tarfile.open("damaged.lmodel") as t:
    at = next(m.offset_data for m in t if "conv.weight" in m.name)
with open("damaged.lmodel", "r+b") as f:
    f.seek(at + 5)
    byte = f.read(1)
    f.seek(at + 5)
    f.write(bytes([byte[0] ^ 0x40]))
P
json 4 verify lmodel verify --json damaged.lmodel --- "not d['ok'] and d['status'] == 4 and d['faults'] >= 1" \
	"sum(f['severity'] == 'fault' for f in d['findings']) == d['faults']" \
	"any('conv.weight' in f['message'] for f in d['findings'])"
like "$err" "^lmodel: damaged.lmodel: fault: .*conv.weight" "verify --json: findings are told too"
json 4 verify lmodel verify -q --json damaged.lmodel --- "d['faults'] >= 1"
is "$err" "" "verify -q --json: nothing on standard error"
{ cat a.lmodel; printf 'interrupted append'; } >appended.lmodel
json 0 verify lmodel verify --json appended.lmodel --- "d['ok'] and d['notes'] >= 1" \
	"d['findings'][0]['severity'] == 'note'"
json 0 verify lmodel verify --repair --json appended.lmodel --- "d['ok'] and d['repaired'] and d['notes'] == 0"
json 0 verify lmodel verify --repair --json appended.lmodel --- "d['ok'] and not d['repaired']"

# diff
json 0 diff lmodel diff --json a.lmodel a.lmodel --- "d['equal'] and d['count'] == 0 and d['differences'] == []"
json 1 diff lmodel diff --json a.lmodel b.lmodel --- "not d['equal'] and d['count'] == len(d['differences'])" \
	"('content', 'conv.weight') in [(x['kind'], x['name']) for x in d['differences']]" \
	"0 < next(x['elements'] for x in d['differences'] if x['name'] == 'conv.weight') <= 216" \
	"('dtype', 'conv.bias', 'F32 -> BF16') in [(x['kind'], x['name'], x['detail']) for x in d['differences']]" \
	"('shape', 'two') in [(x['kind'], x['name']) for x in d['differences']]" \
	"[x['name'] for x in d['differences'] if x['kind'] == 'only_a'] == ['we\\u202eird\\n\"\\\\:näme']" \
	"[x['name'] for x in d['differences'] if x['kind'] == 'only_b'] == ['new']" \
	"any(x['kind'] == 'metadata' for x in d['differences'])" \
	"sorted(x['name'] for x in d['differences'] if x['kind'] == 'attachment') == ['legal/LICENSE', 'notes.txt']" \
	"not any(x['name'] in ('one', 'scalar', 'empty') for x in d['differences'])"
json 1 diff lmodel diff -q --json a.lmodel b.lmodel --- "not d['equal']"

# keys over time
for who in owner bob; do lmodel keygen -q -o $who.key || exit 99; done
ssh-keygen -q -t ed25519 -N '' -f signer || exit 99
echo "me $(cut -d ' ' -f 1,2 signer.pub)" >signers
json 0 pack lmodel pack --json --sign signer --select random --tier s=2% --tier g=5% \
	--attach notes.txt=sealed.txt@s --attach LICENSE \
	--owner "$(lmodel keygen -y owner.key)" -o k.lmodel b.safetensors --- "d['signed'] and d['slots'] == 1"
json 0 grant lmodel grant --json -i owner.key --tier s -r "$(lmodel keygen -y bob.key)" k.lmodel --- \
	"d['slots'] == [2] and d['detached'] is None"
json 0 inspect lmodel inspect --json -i owner.key k.lmodel --- "d['signed'] and d['protected']" \
	"[(s['kind'], s['of_this']) for s in d['signatures']] == [('sshsig', True)]" \
	"d['signatures'][0]['signer'].startswith('SHA256:')" "len(d['slots']) == 2" \
	"[(a['name'], a['tier'], a['open']) for a in d['attachments']] == [('LICENSE', None, True), ('sealed.txt', 's', True)]" \
	"d['attachments'][1]['bytes'] == 11 and len(d['licences']) == 1 and d['model_card'] is None"
json 0 list lmodel list --json --attachments k.lmodel --- "d['attachments'][1]['tier'] == 's'" \
	"d['attachments'][1]['bytes'] == 248"
json 0 audit lmodel audit --json k.lmodel --- \
	"[(a['name'], a['tier'], a['bytes'], a['exact']) for a in d['attachments']] == [('sealed.txt', 's', 248, False)]"
json 0 verify lmodel verify --json -i owner.key --signers signers k.lmodel --- "d['signed_by'] == 'me'" \
	"d['proved'] == ['s', 'g']"
json 0 rekey lmodel rekey --json -i owner.key --tier g --unsigned k.lmodel --- "not d['signed']" \
	"d['tiers'] == [{'name': 'g', 'generation': 2}]" "d['content_generation'] == 2 and d['slots'] == 2"

# registries
. "$srcdir/tests/lib/registry.sh"
export XDG_CACHE_HOME=$tap_dir/.cache
start_registry
json 0 push lmodel push --json k.lmodel "$registry/m/k:v1" --- "d['changed'] and d['grants'] == 0" \
	"[l['kind'] for l in d['layers']][0] == 'manifest' and d['layers'][-1]['kind'] == 'end'" \
	"{l['state'] for l in d['layers']} == {'sent'}" "d['bytes_sent'] > d['layers'][0]['bytes']"
json 0 grant lmodel grant --json -i owner.key --tier s -r "$(lmodel keygen -y owner.key)" \
	--push "$registry/m/k:v1" k.lmodel --- "d['slots'] == [] and d['pushed'].startswith('sha256:')"
json 0 pull lmodel pull --json -o k2.lmodel --tier s "$registry/m/k:v1" --- "d['tier'] == 's'" \
	"d['absent'] == 1 and d['changed'] and d['grant'] is None and d['signed_by'] is None" \
	"[l['tier'] for l in d['layers'] if l['state'] == 'left'] == ['g']"
json 0 pull lmodel pull --json -o k2.lmodel "$registry/m/k:v1" --- "d['bytes_copied'] > 0" \
	"d['absent'] == 0 and {l['state'] for l in d['layers']} == {'fetched', 'copied'}"
for c in "push k.lmodel $registry/m/p:v1" "pull -o k3.lmodel $registry/m/k:v1"; do
	# shellcheck disable=SC2086
	run 0 lmodel $c --progress json
	printf '%s\n' "$err" | tail -n 1 >last
	$python check.py "$srcdir/schema/progress.schema.json" last \
		"d['command'] == '${c%% *}' and d['done'] == d['total'] > 0" 2>"$tap_dir/.check"
	ok $? "progress of $c"
	sed 's/^/#   /' "$tap_dir/.check"
done
stop_registry

# progress: lines of JSON among nothing else
mk big.safetensors w:F32:512x512:zeros v:F32:512x512:const
for c in "pack -o big.lmodel big.safetensors" "verify big.lmodel" "extract -o x2.safetensors big.lmodel" \
	"cat --raw big.lmodel w" "repack --level fast big.lmodel"; do
	# shellcheck disable=SC2086
	run 0 lmodel $c --progress json
	printf '%s\n' "$err" | tail -n 1 >last
	$python check.py "$srcdir/schema/progress.schema.json" last \
		"d['command'] == '${c%% *}' and d['done'] == d['total'] > 0" 2>"$tap_dir/.check"
	ok $? "progress of $c"
	sed 's/^/#   /' "$tap_dir/.check"
	is "$(printf '%s\n' "$err" | grep -vc '^{"version": 1, .*}$')" 0 "progress of $c: lines of JSON alone"
	run 0 lmodel $c --progress none $(case $c in pack*|extract*) echo -f ;; esac)
	is "$err" "" "$c --progress none"
done

leftovers "nothing is left"
done_testing
