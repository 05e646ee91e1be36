# What an audit tells, with each kind of key, against what is known of the packed model.
. "${srcdir:-.}/tests/lib/tap.sh"

needs_python jsonschema
XDG_STATE_HOME=$PWD/state
export XDG_STATE_HOME

for name in owner ada hal nobody; do run 0 lmodel keygen -o $name.key; done
pub() { lmodel keygen -y "$1.key"; }
python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors a.weight:F32:48x80 b.weight:BF16:96x100 \
	conv.weight:F32:32x24x3x3 c.bias:F32:640 ids:I64:50 copy:F32:48x80:1 again:F32:48x80:1 \
	--meta license=apache-2.0 || exit 99
mkdir in && cp m.safetensors in/model.safetensors && echo text >in/LICENSE || exit 99
run 0 lmodel pack --tier silver=5% --tier gold=15% --scope layer --owner "$(pub owner)" \
	-r "$(pub hal)=silver" -o a.lmodel in
run 0 lmodel grant -i owner.key --audit -r "$(pub ada)" --label 'Ada Auditor' a.lmodel

# ---- the truth: where levels differ, by unit ----

for level in base silver gold; do
	case $level in
	base) run 0 lmodel extract --base -o base.safetensors a.lmodel ;;
	*) run 0 lmodel extract -i owner.key --tier $level -o $level.safetensors a.lmodel ;;
	esac
done
same gold.safetensors m.safetensors "the owner gets the truth"
cat >truth.py <<'P'
"""Prints "TENSOR TIER UNIT" for every unit that shows to be hidden: what a level changes."""
import json, struct
SIZE = {"F32": 4, "BF16": 2, "I64": 8}
def load(path):
    data = open(path, "rb").read()
    n, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + n])
    header.pop("__metadata__", None)
    return {k: (SIZE[t["dtype"]] * (9 if len(t["shape"]) == 4 else 1),
                data[8 + n + t["data_offsets"][0]:8 + n + t["data_offsets"][1]])
            for k, t in header.items()}
levels = [load(n + ".safetensors") for n in ("base", "silver", "gold")]
for name, (size, _) in levels[0].items():
    if name == "again": # an alias of copy
        assert all(level[name] == level["copy"] for level in levels)
        continue
    for tier, low, high in (("silver", 0, 1), ("gold", 1, 2)):
        x, y = levels[low][name][1], levels[high][name][1]
        for i in range(0, len(x), size):
            if x[i:i + size] != y[i:i + size]:
                print(name, tier, i // size)
P
python3 truth.py | sort >truth
lines=$(wc -l <truth)
[ "$lines" -gt 1500 ]
ok $? "the truth was found ($lines units)"

# Every unit, one a line, from ranges.
units() { # TENSOR < ranges
	awk -v t="$1" '{ split($2, r, "-"); for (u = r[1] + 0; u <= r[2]; u++) print t, $1, u }'
}
for key in ada owner; do
	for t in a.weight b.weight conv.weight c.bias ids copy; do
		lmodel audit -i $key.key --positions $t a.lmodel | units $t
	done | sort >found
	# A decoy that is the true value by chance hides, and does not show.
	is "$(comm -23 truth found | head -n 5)" "" "$key: every unit that differs is among the positions"
	extra=$(comm -13 truth found | wc -l)
	[ "$extra" -lt $((lines / 20 + 2)) ]
	ok $? "$key: and next to none besides ($extra of $lines)"
	is "$(cut -d' ' -f1,3 found | uniq -d | wc -l)" 0 "$key: no unit is in two tiers"
done
is "$(lmodel audit -i ada.key --positions again a.lmodel)" \
	"$(lmodel audit -i ada.key --positions copy a.lmodel)" "an alias has the positions of its tensor"
is "$(lmodel audit -i ada.key --positions ids a.lmodel)" "" "nothing is hidden in integers"

# ---- one tier; who may ----

run 0 lmodel audit -i hal.key --positions conv.weight a.lmodel
is "$(printf '%s\n' "$out" | cut -d' ' -f1 | sort -u)" silver "a holder sees his tier's positions"
like "$err" "tier 'gold': no key opens its positions" "and is told what is missing"
silver=$out
run 3 lmodel audit -i hal.key --positions conv.weight --tier gold a.lmodel
is "$out" "" "not those of the tier above"
run 0 lmodel audit -i ada.key --positions conv.weight --tier silver a.lmodel
is "$out$err" "$silver" "an auditor sees the same of that tier"
run 3 lmodel audit --positions conv.weight a.lmodel
is "$out" "" "without a key: no positions"
run 3 lmodel audit -i nobody.key a.lmodel
is "$out" "" "a key that opens nothing: no report"
run 3 lmodel audit -i nobody.key --positions conv.weight a.lmodel

# An auditor reads no value.
for level in "" "--tier silver" "--tier gold"; do
	# shellcheck disable=SC2086
	run 3 lmodel extract -i ada.key $level -o none.safetensors a.lmodel
	# shellcheck disable=SC2086
	run 3 lmodel cat -i ada.key $level a.lmodel conv.weight
	is "$out" "" "not a byte of a tensor"
done
is "$(ls none.safetensors 2>/dev/null)" "" "nothing was written"

# ---- formats ----

lmodel audit -i ada.key --positions b.weight --format npy a.lmodel >b.npy
ok $? "--format npy"
lmodel audit -i ada.key --positions b.weight --format npy --tier gold a.lmodel >gold.npy
cat >npy.py <<'P'
import ast, struct, sys
data = open(sys.argv[1], "rb").read()
assert data[:8] == b"\x93NUMPY\x01\x00"
n, = struct.unpack_from("<H", data, 8)
assert (10 + n) % 64 == 0 and data[9 + n:10 + n] == b"\n"
header = ast.literal_eval(data[10:10 + n].decode())
assert header["descr"] == "<u8" and header["fortran_order"] is False
count, = header["shape"]
assert len(data) == 10 + n + 8 * count
print("\n".join(map(str, struct.unpack_from("<%dQ" % count, data, 10 + n))))
P
lmodel audit -i ada.key --positions b.weight a.lmodel >b.ranges
units b <b.ranges | cut -d' ' -f3 >wanted
python3 npy.py b.npy >numbers
same numbers wanted "npy: the same units, tier by tier"
units b <b.ranges | sed -n 's/^b gold //p' >wanted
python3 npy.py gold.npy >numbers
same numbers wanted "npy: of one tier"
lmodel audit -i ada.key --positions ids --format npy a.lmodel >none.npy
is "$(python3 npy.py none.npy)" "" "npy: of a tensor without any"

# ---- the report ----

run 0 lmodel audit a.lmodel
is "$err" "" "without a key: nothing on standard error"
like "$out" "^signature +unsigned" "unsigned"
like "$out" "^slots +3 X25519$" "slots by kind"
like "$out" "^hidden +at most [0-9,]+ of [0-9,]+ parameters" "upper bounds"
like "$out" "^tier +silver: 5% by pss, mask dprm, unit default, scope layer; generation 1$" "tiers as declared"
is "$(printf '%s\n' "$out" | grep -c 'not measurable: no key opens its positions')" 2 "no detection"
unlike "$out" "Ada|age1|AUC" "no names, no figures"
[ "$(printf '%s\n' "$out" | wc -l)" -le 24 ]
ok $? "it fits a screen"
run 0 lmodel audit -i ada.key a.lmodel
unlike "$out" "at most [0-9,]+ (of|unit)|Ada|age1|not measurable" "an auditor: exact, measured, no names"
like "$out" "decoys .* AUC 0\.[5-9]" "decoys"
like "$out" "places .* AUC 0\.[5-9]" "places"
like "$out" "absence .*: (whole|thin|cut off)" "absence"
run 0 lmodel audit -i hal.key a.lmodel
is "$(printf '%s\n' "$out" | grep -c 'not measurable')" 1 "a holder: his own tier is measured"
like "$out" "^ +at most [0-9,]+ units" "and not the one above"
run 0 lmodel audit -i owner.key a.lmodel
like "$out" "^ +1 owner, 1 silver, 1 audit$" "an owner: what the slots are for"
unlike "$out" "Ada|age1" "but not whose"
run 0 lmodel audit -v -i owner.key a.lmodel
like "$out" "Ada Auditor" "an owner with -v: whose"
like "$out" "^conv\.weight +gold +slice +[0-9]+ +768 +10\.[0-9]%" "-v: a line a tensor and tier"
run 0 lmodel audit -v -i ada.key a.lmodel
unlike "$out" "Ada|age1" "not an auditor"
run 0 lmodel audit - <a.lmodel
like "$out" "^name +standard input$" "standard input"
run 0 lmodel audit -i ada.key --no-detection a.lmodel
unlike "$out" "AUC" "--no-detection"

# Twice the same; another archive of the same model hides elsewhere.
is "$(lmodel audit -i ada.key a.lmodel)" "$(lmodel audit -i ada.key a.lmodel)" "the same again"

# Each mask as well hidden as it is: zeros are found, decoys are not found by their norm.
run 0 lmodel pack --tier gold=15% --mask zero --scope layer --owner "$(pub owner)" -o zero.lmodel m.safetensors
like "$(lmodel audit -i owner.key zero.lmodel)" "decoys +norm tells them with AUC 1\.00" "zeros are all found"
unlike "$(lmodel audit -i owner.key a.lmodel)" "AUC (1\.00|0\.9)" "decoys are not"
run 0 lmodel pack --tier gold=15% --select magnitude --raw-scores --mask dprm --scope layer \
	--owner "$(pub owner)" -o top.lmodel m.safetensors
like "$(lmodel audit -i owner.key top.lmodel)" "absence .*: cut off" "the largest are missing where magnitude selects"
run 0 lmodel pack --select all --tier full --mask zero --owner "$(pub owner)" -o all.lmodel m.safetensors
run 0 lmodel audit -i owner.key all.lmodel
like "$out" "not measurable: too few units are hidden, or public" "all hidden: nothing to compare with"

# ---- nothing to audit ----

run 0 lmodel pack -o plain.lmodel m.safetensors
run 0 lmodel audit plain.lmodel
like "$out" "^protection +none: nothing is encrypted" "an archive without tiers says so"
run 0 lmodel audit -i ada.key plain.lmodel
like "$err" "nothing in it needs a key" "a key is not needed"
run 0 lmodel audit -i ada.key --positions conv.weight plain.lmodel
is "$out" "" "no positions"
run 2 lmodel audit --positions missing a.lmodel
run 2 lmodel audit -i ada.key --positions conv.weight --tier bronze a.lmodel
for bad in "--tier gold" "--format npy" "--positions a.weight --json" "--positions a.weight --format csv" \
	"--positions a.weight --against a.lmodel" "--force" "--cyclonedx - --json" "--against -"; do
	# shellcheck disable=SC2086
	run 2 lmodel audit $bad a.lmodel
	is "$out" "" "$bad: nothing on standard output"
done

# ---- shards that are not there, or not what was packed ----

run 0 lmodel strip --tier silver -o low.lmodel a.lmodel
run 0 lmodel audit -i ada.key low.lmodel
like "$out" "not measurable: its shards are not in this file" "stripped: said"
run 0 lmodel audit -i ada.key --positions conv.weight low.lmodel
is "$out" "$silver" "stripped: the lower tier's positions"
run 4 lmodel audit -i ada.key --positions conv.weight --tier gold low.lmodel
cp a.lmodel bent.lmodel
$python - <<'P' || exit 99
import tarfile
with tarfile.open("bent.lmodel") as t:
    at = next(m.offset_data for m in t if m.name.startswith("shard/") and "silver" in m.name
              and "pos" in m.name)
with open("bent.lmodel", "r+b") as f:
    f.seek(at + 100)
    byte = f.read(1)
    f.seek(at + 100)
    f.write(bytes([byte[0] ^ 1]))
P
run 4 lmodel audit -i ada.key bent.lmodel
like "$out" "^findings +.*tensor '.*', tier silver: positions: .*not" "a damaged position stream is a finding"
run 0 lmodel audit bent.lmodel

# ---- two releases ----

run 0 lmodel pack --tier silver=5% --tier gold=15% --scope layer --owner "$(pub owner)" \
	-o b.lmodel m.safetensors
run 0 lmodel audit -i owner.key --against a.lmodel a.lmodel
like "$out" "^against +a.lmodel: base of [0-9]+ tensors equal, of 0 not" "against itself: nothing differs"
run 0 lmodel audit -i owner.key --against b.lmodel a.lmodel
like "$out" "who compares both finds hidden units with 100\.0% certainty" "the same weights twice: all is given away"
run 0 lmodel audit --against b.lmodel a.lmodel
like "$out" "which of them are hidden is not known without a key" "without a key: only what differs"
run 0 lmodel audit -i hal.key --against b.lmodel a.lmodel
like "$err" "b.lmodel'?: none of the keys opens it" "a key for one of both will do"

# ---- a bill of materials ----

run 0 lmodel audit -q -i ada.key --cyclonedx bom.json a.lmodel
is "$out$err" "" "-q --cyclonedx: no report"
run 1 lmodel audit -q --cyclonedx bom.json a.lmodel
run 0 lmodel audit -q -f -i ada.key --cyclonedx bom.json a.lmodel
lmodel audit --cyclonedx - a.lmodel >public.json
ok $? "--cyclonedx -"
run 1 lmodel audit -q --cyclonedx missing/bom.json a.lmodel
cat >bom.py <<'P'
import json, re, subprocess, sys
d = json.load(open(sys.argv[1]))
i = json.loads(subprocess.run(["lmodel", "inspect", "--json", "a.lmodel"],
                              stdout=subprocess.PIPE, check=True).stdout)
assert set(d) == {"$schema", "bomFormat", "specVersion", "serialNumber", "version", "metadata"}
assert d["bomFormat"] == "CycloneDX" and d["specVersion"] == "1.6"
assert d["$schema"] == "http://cyclonedx.org/schema/bom-1.6.schema.json"
assert re.fullmatch("urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", d["serialNumber"])
assert isinstance(d["version"], int) and d["version"] >= 1
m = d["metadata"]
assert set(m) == {"timestamp", "tools", "component"}
assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", m["timestamp"])
assert [t["name"] for t in m["tools"]["components"]] == ["lmodel"]
c = m["component"]
assert set(c) == {"type", "bom-ref", "name", "version", "hashes", "licenses", "modelCard", "properties"}
assert c["type"] == "machine-learning-model" and c["name"] == "a" and c["version"] == "1"
assert c["hashes"] == [{"alg": "SHA-256", "content": i["content_root"]}]
assert c["licenses"] == [{"license": {"name": "apache-2.0"}}]
limits = c["modelCard"]["considerations"]["technicalLimitations"]
assert len(limits) == 1 and "parameters are encrypted" in limits[0]
p = {x["name"]: x["value"] for x in c["properties"]}
assert len(p) == len(c["properties"]) and all(isinstance(v, str) for v in p.values())
assert all(set(x) == {"name", "value"} for x in c["properties"])
assert p["lmodel:licence_file"] == "LICENSE" and p["lmodel:archive_id"] == i["id"]
assert p["lmodel:tier:silver:amount"] == "5%" and p["lmodel:tier:gold:mask"] == "dprm"
exact = sys.argv[2] == "exact"
assert ("lmodel:tier:gold:elements" in p) == exact == ("lmodel:tier:gold:detection_auc" in p)
assert ("lmodel:tier:gold:elements_at_most" in p) != exact
P
run 0 python3 bom.py bom.json exact
run 0 python3 bom.py public.json bounds

# ---- JSON ----

if [ -n "$python" ]; then
	cat >check.py <<'P'
import json, sys
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
schema = close(json.load(open(sys.argv[1])))
text = open(sys.argv[2], encoding="utf-8").read()
assert text.endswith("\n") and text.count("\n") == 1 and text.startswith('{"version": 1, ')
d = json.loads(text)
jsonschema.Draft202012Validator.check_schema(schema)
jsonschema.Draft202012Validator(schema).validate(d)
tier = {t["name"]: t for t in d["tiers"]} if "findings" in d else {}
for expression in sys.argv[3:]:
    if not eval(expression):
        sys.exit("not so: %s\n%s" % (expression, text[:2000]))
P
	# json STATUS SCHEMA "OPTIONS" ARCHIVE EXPRESSION...
	json() {
		json_status=$1 json_schema=$2 json_options=$3 json_archive=$4
		shift 4
		# shellcheck disable=SC2086
		lmodel audit $json_options "$json_archive" >kept 2>err
		is $? "$json_status" "audit $json_options $json_archive exits $json_status"
		$python check.py "$srcdir/schema/$json_schema.schema.json" kept "$@" 2>fault
		ok $? "audit $json_options $json_archive: schema"
		tail -n 5 fault | sed 's/^/#   /'
	}
	json 0 audit --json a.lmodel "not d['exact'] and d['against'] is None and d['findings'] == []" \
		"all(t['detection'] is None and not t['exact'] for t in d['tiers'])" \
		"[s['role'] for s in d['slots']] == [None] * 3 and d['signatures'] == []"
	cp kept public
	json 0 audit "--json -i ada.key" a.lmodel "d['exact'] and tier['gold']['exact']" \
		"all(.5 <= t['detection']['mean'] <= t['detection']['most'] <= 1 for t in d['tiers'])" \
		"all(.5 <= t['detection']['lot'] < .75 for t in d['tiers'])" \
		"all(p['units'] <= q['units'] and p['elements'] <= q['elements'] and p['bytes'] <= q['bytes']
		     for p, q in zip(d['shards'], json.load(open('public'))['shards']))" \
		"all(0 < s['units'] <= s['unit_count'] for s in d['shards'])" \
		"d['hidden_elements'] == sum(t['elements'] for t in d['tiers'])" \
		"d['hidden_bytes'] == sum(s['bytes'] for s in d['shards'])" \
		"all(s['elements'] == s['units'] * (9 if s['unit'] == 'slice' else 1) for s in d['shards'])"
	is "$($python -c 'import json
print(sum(s["units"] for s in json.load(open("kept"))["shards"]))')" "$(wc -l <found)" \
		"--json counts the units that --positions lists"
	json 0 audit "--json -i owner.key" a.lmodel "[s['role'] for s in d['slots']] == ['owner', 'holder', 'audit']"
	json 0 audit "--json -i hal.key" a.lmodel "tier['silver']['exact'] and not tier['gold']['exact']" \
		"tier['silver']['detection'] and not tier['gold']['detection'] and not d['exact']"
	json 0 audit --json plain.lmodel "d['exact'] and d['hidden_elements'] == 0 and d['tiers'] == []"
	json 4 audit "--json -i ada.key" bent.lmodel "len(d['findings']) == 1"
	json 0 audit "--json -i owner.key --against b.lmodel" a.lmodel \
		"d['against']['differing'] == d['against']['given_away'] <= d['against']['hidden']" \
		"d['against']['exact'] and len(d['against']['changes']) == d['against']['unequal'] >= 4"
	json 0 positions "--positions conv.weight --format json -i ada.key" a.lmodel \
		"[t['tier'] for t in d['tiers']] == ['silver', 'gold']" \
		"all(sum(b - a + 1 for a, b in t['runs']) == t['hidden'] > 0 for t in d['tiers'])" \
		"all(t['unit'] == 'slice' and t['unit_count'] == 768 and t['unit_bytes'] == 36 for t in d['tiers'])"
	json 0 positions "--positions ids --format json -i ada.key" a.lmodel \
		"all(t['unit'] is None and t['runs'] == [] for t in d['tiers'])"
	# The public weights were given.
	run 0 lmodel pack --tier gold --reference base.safetensors --owner "$(pub owner)" -o given.lmodel m.safetensors
	json 0 audit "--json -i owner.key" given.lmodel "tier['gold']['given'] and tier['gold']['recoverable']"
	like "$(lmodel audit given.lmodel)" "the public weights were given" "and the text says so"
else
	echo "# no jsonschema for python3"
fi

leftovers "nothing is left"
done_testing
