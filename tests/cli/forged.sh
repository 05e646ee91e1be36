# Archives of a liar: each digest in them is right, what they say is not. Each one is refused, or
# verify tells; nothing of it gets out that should not.
. "${srcdir:-.}/tests/lib/tap.sh"

python3 "$srcdir/tests/lib/mkmodel.py" foo.safetensors w:U8:4096 \
	x:U8:1064:random --meta k=v || exit 99
echo note >note.txt
lmodel pack --seed 01 --attach note.txt -o plain.lmodel foo.safetensors || exit 99

# forge NAME: makes NAME/model.lmodel, and goes there.
forge() {
	cd "$tap_dir" && mkdir "$1" && cd "$1" || exit 99
	python3 "$srcdir/tests/lib/forge.py" "$1" "$tap_dir/plain.lmodel" model.lmodel
	ok $? "forged: $1"
}

# files WANTED NAME: what is here, besides the archive.
files() {
	is "$(find . -type f ! -path ./model.lmodel | sort | tr '\n' ' ')" "$1" "$2"
}

# refused STATUS REASON: verify, list and extract all refuse to open it, and write nothing.
refused() {
	run "$1" lmodel verify model.lmodel
	like "$err" "$2" "verify says why"
	run "$1" lmodel list model.lmodel
	is "$out" "" "nothing is listed"
	run "$1" lmodel extract model.lmodel
	like "$err" "$2" "extract says why"
	run "$1" lmodel extract -f -o d/ model.lmodel
	run "$1" lmodel extract --format native -o n/ model.lmodel
	files "" "nothing is written"
}

# told REASON: it opens, and verify finds the fault.
told() {
	run 4 lmodel verify model.lmodel
	like "$err" "fault: .*$1" "verify says what is wrong"
}

# original: the weights come out as they went in.
original() {
	run 0 lmodel verify model.lmodel
	is "$out$err" "" "verify has nothing to say"
	run 0 lmodel extract --format native -o d/ model.lmodel
	same d/foo.safetensors "$tap_dir/foo.safetensors" "the original bytes"
	same d/note.txt "$tap_dir/note.txt" "the original side file"
	run 0 lmodel extract -o all.safetensors model.lmodel
	same all.safetensors "$tap_dir/foo.safetensors" "and as one file"
}

# The builder itself is right: without a change its archive is a good one.
forge nothing
original
is "$(lmodel list -l model.lmodel)" "$(lmodel list -l ../plain.lmodel)" "the same list"

# What the skeleton says against what the rows say.
forge lie
told "skeleton of 'foo.safetensors'"
run 4 lmodel extract model.lmodel
run 4 lmodel extract -o out.safetensors model.lmodel
run 4 lmodel extract -o - model.lmodel
is "$out" "" "no byte on standard output"
run 4 lmodel extract --format native -o n/ model.lmodel
files "" "no file is written"

forge metadata
told "other metadata than the manifest"
run 4 lmodel extract model.lmodel
files "" "no file is written"

# Names.
forge attachment
mkdir d
run 4 lmodel extract -o d/ model.lmodel
like "$err" "two files would be written as 'model.safetensors'" "the side file is in the way"
run 4 lmodel extract -f -o d/ model.lmodel
files "" "nothing is written"
echo mine >d/model.safetensors
run 4 lmodel extract -f -o d/ model.lmodel
is "$(cat d/model.safetensors)" "mine" "nothing is replaced"

forge directory
refused 4 "is the name of a file and of a directory"

# Files of folders take the folder off the names of tensors, which must have it.
forge folder
refused 4 "does not begin with the folder of its source"
run 4 lmodel extract -o d/ model.lmodel '*'
files "" "no file is written"

forge hidden
run 0 lmodel extract --format native model.lmodel
files "./model.safetensors " "not the archive chooses the name, and it is not .bashrc"
same model.safetensors ../foo.safetensors "the original bytes"

forge escape
refused 5 "is not known"
for command in verify list inspect extract "verify --json" "inspect --json"; do
	# shellcheck disable=SC2086
	lmodel $command model.lmodel >said 2>&1
	is "$? $(grep -c "$(printf '\033')" said)" "5 0" "$command: no escape character"
done
rm said
is "$(lmodel verify model.lmodel 2>&1 | wc -l)" "1" "no line of its own"

# The tar against the manifest.
forge shift
told "tar member 'base/x': .* the manifest says"

forge stowaway
told "tar member 'base/stowaway' .* is not in the manifest"

forge cover
told "member 'base/x' is not in the tar"

# Rows whose data share a member of the tar: one behind the other, and the tar says the sum.
is "$(tar -tf ../plain.lmodel | grep ^base/)" "base/w" "two tensors in one member of the tar"

for name in joined_gap joined_overlap; do
	forge $name
	refused 4 "offset and length are out of range"
done

forge joined_first
refused 4 "path is not safe"

for name in joined_short joined_long; do
	forge $name
	told "tar member 'base/w': .* the manifest says"
done

forge joined_split
told "tar member 'base/w': .* the manifest says"
told "member 'base/x' is not in the tar"

# Replaced data.
forge dead_zero
original

forge dead_data
told "replaced data: bytes at [0-9]+ are not zero"

forge dead_live
refused 4 "overlaps live data"

# The database.
forge encoding0
refused 4 "not UTF-8"

forge encoding2
refused 4 "not UTF-8"

forge table
refused 4 "schema is not that of lmodel"

forge feature
refused 5 "needs the feature 'telepathy'"

cd "$tap_dir" || exit 99
is "$(for d in */; do echo "${d%/}"; done)" \
	"$(python3 "$srcdir/tests/lib/forge.py" list | sort)" "each forgery was tried"
leftovers "nothing is left"
done_testing
