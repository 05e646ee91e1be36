# python3 -m lmodel.protect advparams and evaluate, as tools, beside lmodel pack.
. "${srcdir:-.}/tests/lib/tap.sh"
. "${srcdir:-.}/tests/lib/python.sh"
unset LMODEL_DATA LMODEL

protect() {
	"$PYTHON" -m lmodel.protect "$@"
}

"$PYTHON" - <<-'P'
	import torch
	from lmodel import safetensors
	from lmodel.protect import nets, training

	net = training.small("vgg", steps=60)
	nets.save(net, "vgg.safetensors")
	nets.save(training.small("llama", steps=10), "llama.safetensors")
	safetensors.save_torch("other.safetensors", {"a": torch.zeros(2)})
P
ok $? "the models are made"
run 0 lmodel keygen -q -o owner.txt
run 0 lmodel keygen -q -o low.txt
run 0 lmodel keygen -q -o stranger.txt
owner=$(lmodel keygen -y owner.txt)

# ---- perturbation: a reference for pack, which comes back bit for bit ----

for method in advparams evaluate; do
	run 0 protect $method --help
	like "$out" "usage: python3 -m lmodel.protect $method " "$method --help"
done
run 0 protect advparams vgg.safetensors -o locked.safetensors --budget 12 --samples 60 \
	--target-accuracy 20
like "$out" '^[0-9]+ of [0-9]+ parameters in [0-9]+ tensors: [0-9.]+ -> [0-9.]+ %$' "it says how few"
changed=$(printf '%s\n' "$out" | sed -n '$s/ .*//p')
ok "$([ "$changed" -ge 1 ] && [ "$changed" -le 12 ]; echo $?)" "and keeps to the budget"
run 0 protect advparams vgg.safetensors -o again.safetensors --budget 12 --samples 60 \
	--target-accuracy 20
same locked.safetensors again.safetensors "equal seeds give equal bytes"
run 0 lmodel pack -q -o locked.lmodel --owner "$owner" --tier full --unit element \
	--reference locked.safetensors vgg.safetensors
run 0 lmodel extract -q -o base.out --base locked.lmodel
same base.out locked.safetensors "everybody sees the perturbed weights"
run 0 lmodel extract -q -o full.out -i owner.txt locked.lmodel
same full.out vgg.safetensors "the key gives the true ones"

# ---- evaluation ----

run 0 lmodel pack -q -o vgg.lmodel --owner "$owner" --tier low=20% --tier high=40% \
	-r "$(lmodel keygen -y low.txt)=low" vgg.safetensors
quick='--labels 40 --unlabelled 60 --test 100 --strength quick'
run 0 protect evaluate vgg.lmodel -i owner.txt $quick --json owner.json
for line in '^\(base\) +[1-9][0-9]* ' '^low +[1-9][0-9]* ' '^high +0 ' '^\(from scratch\) ' \
	'^a wrong key: NoKeyError \(exit status 3\)$' '^decoys, AUC'; do
	like "$out" "$line" "the table has $line"
done
run 0 protect evaluate vgg.lmodel -i owner.txt $quick --no-detection --json again.json
run 0 protect evaluate vgg.lmodel -i low.txt $quick --no-detection --json low.json
run 0 protect evaluate vgg.lmodel $quick --no-detection --json nobody.json
run 0 protect evaluate locked.lmodel -i owner.txt $quick --no-detection --json locked.json
run 0 lmodel pack -q -o llama.lmodel --owner "$owner" --tier all=10% llama.safetensors
run 0 protect evaluate llama.lmodel -i owner.txt --labels 8 --unlabelled 8 --test 2 \
	--strength quick --no-detection --json llama.json
run 0 "$PYTHON" - <<-'P'
	import json

	def read(name):
	    with open(f"{name}.json") as stream:
	        return json.load(stream)

	def levels(document):
	    return [row["tier"] for row in document["levels"]]

	owner, again, low, nobody = read("owner"), read("again"), read("low"), read("nobody")
	assert again["detection"] is None
	for key in owner.keys() - {"seconds", "detection"}:
	    assert owner[key] == again[key], "equal seeds"
	assert levels(owner) == [None, "low", "high"]
	assert levels(low) == [None, "low"] and levels(nobody) == [None]
	assert owner["levels"][2]["raw"] > owner["levels"][0]["raw"], "the key helps"
	for row in owner["levels"]:
	    for count, best in row["worst"].items():
	        usable = [a["quality"] for a in row["attacks"] if a["labels"] <= int(count)]
	        assert best["quality"] == max(usable), "the worst is the best of all attacks"
	# Positions that no key opens are not used, and not known.
	assert any(a["positions"] for a in owner["levels"][0]["attacks"])
	assert not any(a["positions"] for a in nobody["levels"][0]["attacks"])
	assert nobody["levels"][0]["hidden"] == 0 and nobody["tiers"][0]["hidden"] is None
	assert [tier["hidden"] is None for tier in low["tiers"]] == [False, True]
	assert low["levels"][0]["hidden"] == owner["tiers"][0]["hidden"]
	assert low["levels"][0]["raw"] == owner["levels"][0]["raw"]
	assert owner["levels"][0]["hidden"] == sum(tier["hidden"] for tier in owner["tiers"])
	assert [row["tier"] for row in owner["detection"]] == ["low", "high"]
	assert read("llama")["unit"] == "perplexity"
	assert read("llama")["higher_is_better"] is False
P
leftovers "nothing is left behind"

# ---- bad input: one line, and the right status ----

bad() {
	bad_status=$1 bad_pattern=$2
	shift 2
	run "$bad_status" protect "$@"
	like "$err" "^lmodel.protect: .*$bad_pattern" "$*: is told"
	is "$(printf '%s\n' "$err" | wc -l)" 1 "in one line"
}
run 0 lmodel pack -q -o plain.lmodel vgg.safetensors
run 0 lmodel pack -q -o other.lmodel --owner "$owner" --tier a --select all --mask zero --include a \
	other.safetensors
bad 1 'exists; -f replaces it' advparams vgg.safetensors -o locked.safetensors
bad 2 'the budget is at least 1' advparams vgg.safetensors -o x --budget 0 --samples 4
bad 2 '--samples is at least 1' advparams vgg.safetensors -o x --samples 0
bad 2 'invalid choice' advparams vgg.safetensors -o x --pick best
bad 4 'not a network known here' advparams other.safetensors -o x
bad 2 'no tiers' evaluate plain.lmodel
bad 2 "is no list of numbers" evaluate vgg.lmodel --labels many
bad 2 'at least 2' evaluate vgg.lmodel --labels 1
bad 2 'at least 2' evaluate vgg.lmodel --unlabelled 1
bad 2 "no data set of images is called 'mnist'" evaluate vgg.lmodel --data mnist
bad 4 'not a network known here' evaluate other.lmodel
bad 1 'nothing.lmodel' evaluate nothing.lmodel
bad 3 '' evaluate vgg.lmodel -i stranger.txt
bad 4 'vgg.safetensors' evaluate vgg.safetensors
ok "$(test ! -e x; echo $?)" "a failure leaves no file"
done_testing
