# An output never takes the place of what it is made from, whatever -f says.
. "${srcdir:-.}/tests/lib/tap.sh"

lmodel keygen -q -o owner.key
owner=$(lmodel keygen -y owner.key)
python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors w:F32:40x50 || exit 99
run 0 lmodel pack -q -o m.lmodel --tier gold=10% --owner "$owner" m.safetensors
cp m.lmodel kept.lmodel
cp owner.key kept.key
ln -s m.lmodel link.lmodel
for out in m.lmodel ./m.lmodel link.lmodel; do
	run 2 lmodel extract -f -o $out m.lmodel
	like "$err" "is the input" "extract: says why"
	run 2 lmodel strip -f --base -o $out m.lmodel
	run 2 lmodel audit -q -f --cyclonedx $out m.lmodel
	run 2 lmodel grant -f -i owner.key --tier gold -r "$owner" --detached $out m.lmodel
done
run 2 lmodel extract -f -i owner.key -o owner.key m.lmodel
run 2 lmodel grant -f -i owner.key --tier gold -r "$owner" --detached owner.key m.lmodel
run 2 lmodel pack -f -o m.safetensors m.safetensors
cp m.safetensors beside.safetensors
for option in scores reference ancestor; do
	run 2 lmodel pack -f --owner "$owner" --tier gold=100% --$option beside.safetensors \
		-o beside.safetensors m.safetensors
	like "$err" "the output 'beside.safetensors' is the input" "--$option"
done
run 0 cmp beside.safetensors m.safetensors
run 0 cmp m.lmodel kept.lmodel
run 0 cmp owner.key kept.key
run 0 lmodel repack -f -o m.lmodel m.lmodel
run 0 lmodel extract -q -i owner.key -o back.safetensors m.lmodel
run 0 cmp back.safetensors m.safetensors

# Public keys and directories in the place of keys.
printf '%s\n' "$owner" >owner.pub
run 2 lmodel extract -i owner.pub -o x.safetensors m.lmodel
like "$err" "is a public key" "a public key"
run 2 lmodel extract -i . -o x.safetensors m.lmodel
like "$err" "is a directory" "a directory"
[ ! -e x.safetensors ]
ok $? "nothing is left"
done_testing
