# python3 -m lmodel.protect as a tool, and its scores in lmodel pack.
. "${srcdir:-.}/tests/lib/tap.sh"
. "${srcdir:-.}/tests/lib/python.sh"
unset LMODEL_DATA

protect() {
	"$PYTHON" -m lmodel.protect "$@"
}

# ---- a small network, trained for no step: only shapes matter here ----

"$PYTHON" - <<-'P'
	import torch
	from lmodel import safetensors
	from lmodel.protect import nets, training

	net = training.small("vgg", steps=0)
	nets.save(net, "vgg.safetensors")
	state = net.state()
	del state["7.weight"]
	safetensors.save_torch("less.safetensors", state, net.metadata)
	safetensors.save_torch("odd.safetensors", net.state() | {"8.bias": torch.zeros(3)},
	                       net.metadata)
	safetensors.save_torch("other.safetensors", {"a": torch.zeros(2)})
	weight = torch.ones(64)
	for name, tensors in {"short": {"3.weight": weight[1:]}, "nan": {"3.weight": weight / 0 * 0},
	                      "negative": {"3.weight": -weight}, "strange": {"x": weight}}.items():
	    safetensors.save_torch(f"{name}.scores", tensors)
P
ok $? "the models are made"

# ---- help ----

run 0 protect --help
methods=$out
for method in pss loo wanda fisher; do
	like "$methods" "^  $method +[a-z]" "--help names $method"
	run 0 protect "$method" --help
	like "$(echo $out)" "usage: python3 -m lmodel.protect $method .*MODEL.*--output SCORES.*--data NAME.*--seed N" \
		"$method --help has the common options"
	is "$err" "" "and nothing is said on standard error"
done

# ---- scores of each method, taken by lmodel pack ----

run 0 lmodel keygen -q -o owner.txt
owner=$(lmodel keygen -y owner.txt)
for method in pss loo wanda fisher; do
	set -- --count 20
	[ $method != pss ] || set -- "$@" --steps 3 --batch 10
	run 0 protect $method vgg.safetensors -o $method.scores --tensors '[037].weight' "$@"
	is "$out$err" "" "$method says nothing"
	for select in pss magnitude; do
		run 0 lmodel pack -f -o $method.lmodel --scores $method.scores --select $select \
			--owner "$owner" --include 0.weight --include 3.weight --include 7.weight \
			--tier low=10% --tier high=30% vgg.safetensors
	done
	run 0 lmodel extract -f -o $method.out -i owner.txt $method.lmodel
	same $method.out vgg.safetensors "$method: what is taken out with the key is what was packed"
done
run 0 protect pss vgg.safetensors -o again.scores --tensors '[037].weight' --count 20 --steps 3 \
	--batch 10
same pss.scores again.scores "equal seeds give equal bytes"
run 0 protect pss vgg.safetensors -o layers.scores --count 20 --steps 2 --layerwise --robust \
	--sampled --optimiser sgd --rate .5 --lambda 1e-3 --temperature .5 --unit column \
	--start fisher.scores
run 0 protect pss vgg.safetensors -o all.scores --count 20 --steps 2 --joint --robust batchnorm
run 0 lmodel pack -o all.lmodel --scores all.scores --owner "$owner" --tier t=10% \
	--include '0.weight' --include '3.weight' --include '7.weight' --include '10.weight' \
	--include '15.weight' vgg.safetensors

# ---- bad input: one line, and the right status ----

bad() {
	bad_status=$1 bad_pattern=$2
	shift 2
	run "$bad_status" protect "$@"
	like "$err" "^lmodel.protect: .*$bad_pattern" "$*: is told"
	is "$(printf '%s\n' "$err" | wc -l)" 1 "in one line"
	is "$out" "" "and nothing else"
}
bad 2 'no method was given'
bad 2 "no method is called 'psss'" psss
bad 2 "no method is called '__main__'" __main__
bad 2 "no method is called 'nets'" nets
bad 2 'arguments are required' pss
bad 2 'unrecognized arguments: --stepz' pss vgg.safetensors -o x --stepz 3
bad 2 'argument --steps: 0 is less than 1' pss vgg.safetensors -o x --steps 0
bad 2 'argument --count' wanda vgg.safetensors -o x --count many
bad 2 '--rate must be above 0' pss vgg.safetensors -o x --rate nan
bad 2 'not allowed with' pss vgg.safetensors -o x --joint --layerwise
bad 2 '--temperature must' pss vgg.safetensors -o x --temperature 0
bad 2 "no data set of images is called 'mnist'" wanda vgg.safetensors -o x --data mnist
bad 2 "no weight of this vgg matches 'conv1" loo vgg.safetensors -o x --tensors 'conv1*'
bad 4 "less.safetensors: tensor '7.weight' is missing" wanda less.safetensors -o x
bad 4 "odd.safetensors: tensor '8.bias' has shape \[3\], not \[16\]" wanda odd.safetensors -o x
bad 4 'other.safetensors: not a network known here' wanda other.safetensors -o x
bad 4 'owner.txt: not a safetensors file' wanda owner.txt -o x
bad 1 'nothing.safetensors: No such file' wanda nothing.safetensors -o x
bad 1 'nowhere/.*: No such file' wanda vgg.safetensors -o nowhere/x --count 4
bad 4 "scores of '3.weight': shape \[63\], not \[64\]" pss vgg.safetensors -o x --start short.scores
bad 4 "scores of '3.weight': some are NaN" pss vgg.safetensors -o x --start nan.scores
bad 4 "scores of '3.weight': some are negative" pss vgg.safetensors -o x --start negative.scores
bad 4 "scores of 'x': the network has no such weight" pss vgg.safetensors -o x --start strange.scores
ok "$(test ! -e x; echo $?)" "a failure leaves no score file"
done_testing
