# A directory in the Hugging Face layout: shards, an index, side files, and what is wrong with them.
. "${srcdir:-.}/tests/lib/tap.sh"

mkmodel() { python3 "$srcdir/tests/lib/mkmodel.py" "$@" || exit 99; }

# model DIR: three tensors in two shards, with an index
model() {
	rm -rf "$1" && mkdir "$1"
	mkmodel "$1/model-00001-of-00002.safetensors" a.w:F32:10x20 a.b:F32:20 --meta format=pt
	mkmodel "$1/model-00002-of-00002.safetensors" b.w:F32:10x21 --meta format=pt
	index "$1" '"a.w": "model-00001-of-00002.safetensors",
    "a.b": "model-00001-of-00002.safetensors", "b.w": "model-00002-of-00002.safetensors"'
	printf '{"architectures": ["LlamaForCausalLM"]}\n' >"$1/config.json"
}
index() {
	printf '{\n  "metadata": {"total_size": 1720},\n  "weight_map": {%s}\n}\n' "$2" \
		>"$1/model.safetensors.index.json"
}

# what belongs to it
model hf
side="README.md LICENSE NOTICE.txt USE_POLICY.md added_tokens.json chat_template.jinja \
generation_config.json merges.txt preprocessor_config.json special_tokens_map.json spiece.model \
tokenizer.json tokenizer.model tokenizer_config.json vocab.json vocab.txt"
for f in $side; do echo "contents of $f" >hf/$f; done
: >hf/modules.json
cp -r hf wanted
run 0 lmodel pack hf
is "$out$err" "" "nothing to say about a clean directory"
run 0 lmodel extract --format native -o back/ hf.lmodel
run 0 diff -r wanted back
run 0 lmodel verify hf.lmodel
is "$(lmodel list hf.lmodel | tr '\n' ' ')" "a.w a.b b.w " "tensors in the order of the shards"
is "$(lmodel list --attachments hf.lmodel | wc -l)" 19 "every side file"
run 0 lmodel pack -f -o slash.lmodel hf/
run 0 lmodel diff -q hf.lmodel slash.lmodel
(cd hf && lmodel pack -o ../dot.lmodel .) || exit 99
run 0 lmodel diff -q hf.lmodel dot.lmodel

# as one file: weights of all shards, side files, no index of shards that are not there
run 0 lmodel extract -o merged/ hf.lmodel
is "$(ls merged/*.safetensors* | tr '\n' ' ')" "merged/model.safetensors " "one file, no index"
same merged/config.json hf/config.json "the configuration is beside it"
run 0 lmodel pack -q -o merged.lmodel merged
is "$(lmodel list -l merged.lmodel | awk '{print $1, $2, $3, $NF}')" \
	"$(lmodel list -l hf.lmodel | awk '{print $1, $2, $3, $NF}')" "and the same tensors"
run 0 lmodel extract -o one.safetensors hf.lmodel
same one.safetensors merged/model.safetensors "as in a file of its own"
run 0 lmodel extract -o part/ hf.lmodel a.w
is "$(ls -A part)" model.safetensors "a part brings no side files"

# what does not belong to it
model mixed
echo x >mixed/train.py
echo x >mixed/.gitattributes
mkdir mixed/.git mixed/runs
echo x >mixed/runs/log
echo x >mixed/pytorch_model.bin
echo x >mixed/model.GGUF
mkmodel mixed/adapter.safetensors z:F32:3
mkfifo mixed/pipe
ln -s nowhere mixed/dangling.json
printf x >"mixed/$(printf 'odd\033[31m\nname.txt')"
run 0 timeout 10 lmodel pack mixed
is "$out" "" "nothing on standard output"
is "$(printf '%s\n' "$err" | sort)" "$(sort <<'N'
lmodel: not packed: adapter.safetensors (not in the index)
lmodel: not packed: dangling.json (cannot be read)
lmodel: not packed: model.GGUF (other weights)
lmodel: not packed: odd\x1B[31m\nname.txt (--attach adds a side file)
lmodel: not packed: pipe (no regular file)
lmodel: not packed: pytorch_model.bin (other weights)
lmodel: not packed: runs (a directory)
lmodel: not packed: train.py (--attach adds a side file)
N
)" "each is told, in escaped letters; hidden ones are not"
is "$(lmodel list --attachments mixed.lmodel | tr '\n' ' ')" "config.json model.safetensors.index.json " \
	"and stays out"
is "$(lmodel list mixed.lmodel | tr '\n' ' ')" "a.w a.b b.w " "also the tensors of a stray file"
run 0 lmodel pack -q -f -o mixed.lmodel --attach mixed/train.py mixed
is "$err" "" "-q leaves the notices out"
like "$(lmodel list --attachments mixed.lmodel)" "^train.py$" "--attach brings one in"

# an allowed name does not make weights a side file
model sly && cp sly/model-00002-of-00002.safetensors sly/README.md
run 2 lmodel pack sly
like "$err" "README.md': looks like weights" "weights called README.md"
model sly && printf 'GGUF\3\0\0\0rest' >sly/tokenizer.model
run 2 lmodel pack sly
like "$err" "tokenizer.model': looks like weights, no side file: it is a GGUF file" "GGUF called tokenizer.model"
model sly && printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n' >sly/tokenizer.json
run 4 lmodel pack sly
like "$err" "Git LFS pointer.*git lfs pull" "a side file that was not fetched"
is "$(ls sly.lmodel 2>/dev/null)" "" "none of these left an archive"

# without an index: every file there is
model plain && rm plain/model.safetensors.index.json
run 0 lmodel pack plain
run 0 lmodel extract --format native -o plain.back/ plain.lmodel
run 0 diff -r plain plain.back
cp plain/model-00001-of-00002.safetensors plain/copy.safetensors
run 2 lmodel pack -f plain
like "$err" "both have a tensor 'a.[wb]'" "one name in two files"

# a pipeline: models in folders, with tensors of one name
mkdir -p pipe/unet pipe/vae pipe/scheduler pipe/.cache
echo '{"_class_name": "StableDiffusionPipeline"}' >pipe/model_index.json
echo '{"beta_start": 0.1}' >pipe/scheduler/scheduler_config.json
echo '{}' | tee pipe/unet/config.json >pipe/vae/config.json
mkmodel pipe/unet/diffusion_pytorch_model-00001-of-00002.safetensors conv.weight:F32:9x8 in.bias:F32:5
mkmodel pipe/unet/diffusion_pytorch_model-00002-of-00002.safetensors out.weight:F32:7x8
cat >pipe/unet/diffusion_pytorch_model.safetensors.index.json <<'J'
{"metadata": {"total_size": 532}, "weight_map": {
  "conv.weight": "diffusion_pytorch_model-00001-of-00002.safetensors",
  "in.bias": "diffusion_pytorch_model-00001-of-00002.safetensors",
  "out.weight": "diffusion_pytorch_model-00002-of-00002.safetensors"}}
J
mkmodel pipe/vae/diffusion_pytorch_model.safetensors conv.weight:F32:9x8:normal:7
cp -r pipe pipe.wanted && rm -r pipe.wanted/.cache
run 0 lmodel pack pipe
is "$err" "" "nothing is left out"
is "$(lmodel list pipe.lmodel | sort | tr '\n' ' ')" \
	"unet/conv.weight unet/in.bias unet/out.weight vae/conv.weight " "folders are in the names"
run 0 lmodel verify pipe.lmodel
run 0 lmodel extract --format native -o pipe.back/ pipe.lmodel
run 0 diff -r pipe.wanted pipe.back
run 0 lmodel extract -o pipe.made/ pipe.lmodel
is "$(cd pipe.made && find . -name '*.safetensors*' | sort | tr '\n' ' ')" \
	"./unet/diffusion_pytorch_model.safetensors ./vae/diffusion_pytorch_model.safetensors " \
	"a file for each model"
same pipe.made/vae/diffusion_pytorch_model.safetensors pipe/vae/diffusion_pytorch_model.safetensors \
	"with the names that it had"
run 0 lmodel extract --max-shard-size 300 -o pipe.shards/ pipe.lmodel
is "$(cd pipe.shards && find unet -name '*.safetensors*' | wc -l)" 3 "split anew, with an index"
run 0 lmodel pack -o again.lmodel pipe.shards
run 1 lmodel diff pipe.lmodel again.lmodel
unlike "$out" "conv|bias|out.weight" "but the tensors are the same"
run 0 lmodel extract -o one.pipe.safetensors pipe.lmodel
run 0 lmodel pack -f -o one.lmodel one.pipe.safetensors
is "$(lmodel list one.lmodel | sort | tr '\n' ' ')" \
	"unet/conv.weight unet/in.bias unet/out.weight vae/conv.weight " "in one file, too"
# links into another folder, as a download's cache has them
mkdir -p blobs snap && cp hf/model-0000* hf/*.index.json hf/config.json blobs/
for f in blobs/*; do ln -s "../$f" snap/; done
run 0 lmodel pack snap
is "$(lmodel list snap.lmodel | wc -l)" 3 "a snapshot of links"

# weights in PyTorch's files, of which there is an index, too
mkdir torch && python3 "$srcdir/tests/lib/mktorch.py" torch/pytorch_model-00001-of-00001.bin || exit 99
echo '{"weight_map": {"model.w": "pytorch_model-00001-of-00001.bin", "model.b": "pytorch_model-00001-of-00001.bin"}}' \
	>torch/pytorch_model.bin.index.json
echo x >torch/training_args.bin
run 0 lmodel pack torch
is "$err" "lmodel: not packed: training_args.bin (other weights)" "other files are left out"
run 0 lmodel extract --format native -o torch.back/ torch.lmodel
rm torch/training_args.bin
run 0 diff -r torch torch.back

# no model at all
mkdir nothing
run 2 lmodel pack nothing
is "$err" "lmodel: 'nothing': holds no weights that lmodel packs" "an empty directory"
model twoindex && cp twoindex/model.safetensors.index.json twoindex/other.safetensors.index.json
run 2 lmodel pack twoindex
like "$err" "has two indexes" "two indexes"

# an index that is wrong: exit status, one line
wrong() {
	wrong_status=$1 wrong_text=$2 wrong_name=$3
	lmodel pack -q -o wrong.lmodel wrong >out 2>err
	is "$?:$(wc -l <err):$(cat out)" "$wrong_status:1:" "refused: $wrong_name"
	like "$(cat err)" "^lmodel: 'wrong.*$wrong_text" "told: $wrong_name"
	is "$(ls wrong.lmodel 2>/dev/null)" "" "no archive: $wrong_name"
	rm -f out err
}
two='"a.w": "model-00001-of-00002.safetensors", "a.b": "model-00001-of-00002.safetensors"'
model wrong && rm wrong/model-00002-of-00002.safetensors
wrong 4 "file 'model-00002-of-00002.safetensors' of index .* is missing" "a shard is missing"
model wrong && index wrong "$two, \"b.w\": \"model-00002-of-00002.safetensors\", \"c\": \"model-00002-of-00002.safetensors\""
wrong 4 "tensor 'c' is not in file" "a tensor of the index is in no file"
model wrong && index wrong '"a.w": "model-00001-of-00002.safetensors", "b.w": "model-00002-of-00002.safetensors"'
wrong 4 "tensor 'a.b' is not in the index" "a tensor of a file is not in the index"
model wrong && index wrong "$two, \"b.w\": \"model-00001-of-00002.safetensors\""
wrong 4 "tensor 'b.w'" "a tensor is in another file than the index says"
model wrong && cp wrong/model-00001-of-00002.safetensors wrong/model-00002-of-00002.safetensors
wrong 4 "tensor 'a\.[wb]'" "a shard is a copy of the other"
model wrong && : >wrong/model-00002-of-00002.safetensors
wrong 4 "model-00002-of-00002" "a shard is empty"
model wrong && head -c 900 wrong/model-00002-of-00002.safetensors >t && cp t wrong/model-00002-of-00002.safetensors
wrong 4 "model-00002-of-00002" "a shard is cut"
model wrong && rm wrong/model-00002-of-00002.safetensors && mkfifo wrong/model-00002-of-00002.safetensors
wrong 2 "is a FIFO" "a shard is a FIFO"
model wrong && rm wrong/model-00002-of-00002.safetensors && mkdir wrong/model-00002-of-00002.safetensors
wrong 2 "is a directory" "a shard is a directory"
cp hf/model-00002-of-00002.safetensors outside.safetensors
for name in ../outside.safetensors "$PWD/outside.safetensors" hf/../outside.safetensors . .. '' \
	./model-00002-of-00002.safetensors 'x\u0000y' '../../../etc/passwd'; do
	model wrong && index wrong "$two, \"b.w\": \"$name\""
	wrong 4 "" "a shard called '$name'"
done
for text in '[]' '' '{' '{}' '{"weight_map": []}' '{"weight_map": {}}' '{"weight_map": {"a": 1}}' \
	'{"weight_map": {"a.w": null}}' 'null' '{"weight_map": {"a": "x"}, "weight_map": {}}'; do
	model wrong && printf '%s' "$text" >wrong/model.safetensors.index.json
	wrong 4 "" "an index that holds $text"
done

# a snapshot of the hub's cache: links to blobs
model real
mkdir -p cache/blobs cache/snapshots/rev
i=0
for f in real/*; do
	i=$((i + 1))
	cp "$f" cache/blobs/$i
	ln -s ../../blobs/$i "cache/snapshots/rev/${f##*/}"
done
run 0 lmodel pack -o snapshot.lmodel cache/snapshots/rev
is "$err" "" "links to files are files"
run 0 lmodel extract --format native -o snapshot/ snapshot.lmodel
run 0 diff -r real snapshot
is "$(find snapshot -type l)" "" "and come back as files"

# the model of the world
if [ -d "$data/models/stories260K_sharded" ]; then
	run 0 lmodel pack -o stories.lmodel "$data/models/stories260K_sharded"
	run 0 lmodel extract --format native -o stories/ stories.lmodel
	run 0 diff -r "$data/models/stories260K_sharded" stories
fi
leftovers "nothing is left"
done_testing
