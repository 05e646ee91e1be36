# Every way to get the command line wrong: exit status 2, one line, and where to look.
. "${srcdir:-.}/tests/lib/tap.sh"
needs script

# usage "MESSAGE" "COMMAND or nothing" ARGUMENT...
usage() {
	usage_message=$1
	usage_hint="Try 'lmodel${2:+ $2} --help'."
	shift 2
	lmodel "$@" >out 2>err
	is "$?: $(cat out)" "2: " "exit status 2, nothing on standard output: $usage_message"
	is "$(cat err)" "lmodel: $usage_message
$usage_hint" "message and hint: $usage_message"
}

python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors a.w:F32:4x4 a.b:F32:4 || exit 99
lmodel pack m.safetensors || exit 99

# the program
usage "a command is missing" ""
usage "unknown command 'frobnicate'" "" frobnicate
usage "unknown command 'a\\nb'" "" 'a
b'
usage "unknown command 'nope'" "" help nope
usage "help takes one command" "" help pack list
usage "unknown option '--frobnicate'" "" --frobnicate
usage "unknown option '-z'" "" -z list m.lmodel

# options
usage "unknown option '--frobnicate'" list list --frobnicate m.lmodel
usage "unknown option '--frobnicate'" list list m.lmodel --frobnicate=1
usage "unknown option '-z'" list list -z m.lmodel
usage "unknown option '-z'" list list -lz m.lmodel
usage "unknown option '-\\xC3'" list list "$(printf -- '-\303')" m.lmodel
usage "unknown option '--a\\x1B[1m'" list list "$(printf -- '--a\033[1m')" m.lmodel
usage "ambiguous option '--j'" pack pack --j=1 m.safetensors
usage "option '--json' takes no argument" inspect inspect --json=yes m.lmodel
usage "option '--exclude' needs an argument" list list m.lmodel --exclude
usage "option '-o' needs an argument" pack pack m.safetensors -o
usage "option '--output': '' is empty" pack pack -o '' m.safetensors
for c in pack extract repack verify; do
	usage "option '--jobs': 'many' is not a number from 0 to 1024" $c $c -j many x
	usage "option '--jobs': '-1' is not a number from 0 to 1024" $c $c -j -1 x
	usage "option '--jobs': '1025' is not a number from 0 to 1024" $c $c --jobs=1025 x
	usage "option '--progress': 'bar' is not one of auto, none, json" $c $c --progress bar x
done
for c in pack repack; do
	usage "option '--level': '9' is not one of fast, default, small" $c $c --level 9 x
	for size in 1 4095 4097 65M 67108865; do
		usage "option '--chunk-size': '$size' is not a multiple of 4KiB from 4KiB to 64MiB" \
			$c $c --chunk-size $size x
	done
	for size in 0 '' x 1x 1.5M -4096 ' 4096' 4096KiBs 99999999999999999999 16777216T 1MBB 1iB; do
		usage "option '--chunk-size': '$size' is not a size (such as 1MiB, 95M, 2GB or 1000000)" \
			$c $c --chunk-size "$size" x
	done
done
for hex in '' a abc xy 0g "$(printf '%0130d' 0)"; do
	usage "option '--seed': '$hex' is not 1 to 64 bytes of hexadecimal digits" pack \
		pack --seed "$hex" m.safetensors
done
for attach in '' = =name @ =name@ =@; do
	usage "option '--attach': '$attach' is not FILE[=NAME][@TIER]" pack pack --attach "$attach" -o x.lmodel \
		m.safetensors
done
usage "option '--format': 'zip' is not one of safetensors, npz, npy, gguf, native" extract extract --format zip m.lmodel

# operands
usage "INPUT is missing" pack pack -o x.lmodel
usage "ARCHIVE is missing" list list -l
usage "ARCHIVE is missing" inspect inspect
usage "ARCHIVE is missing" extract extract
usage "ARCHIVE or NAME is missing" cat cat m.lmodel
usage "ARCHIVE is missing" verify verify
usage "A or B is missing" diff diff m.lmodel
usage "ARCHIVE is missing" repack repack
usage "'more' is one argument too many" inspect inspect m.lmodel more
usage "'more' is one argument too many" cat cat m.lmodel a.w more
usage "'more' is one argument too many" verify verify m.lmodel more
usage "'more' is one argument too many" diff diff m.lmodel m.lmodel more
usage "'more' is one argument too many" repack repack m.lmodel more

# what does not go together
usage "the input does not tell a name for the archive: -o OUT" pack pack -
usage "the input does not tell a name for the archive: -o OUT" pack pack m.safetensors m.safetensors
usage "the input does not tell a name for the archive: -o OUT" pack pack .
usage "the input does not tell a name for the archive: -o OUT" pack pack ..//
usage "the input does not tell a name for the archive: -o OUT" pack pack /
usage "--json and -o - both need standard output" pack pack --json -o - m.safetensors
usage "--json and -o - both need standard output" extract extract --json -o - m.lmodel
usage "--null and --long exclude each other" list list -0l m.lmodel
usage "--json and --long exclude each other" list list --json -l m.lmodel
usage "--json and --null exclude each other" list list --json -0 m.lmodel
usage "--format native gives whole files: no patterns" extract extract --format native m.lmodel a.w
usage "--format native gives whole files: no patterns" extract extract --format native --exclude a.w \
	m.lmodel
usage "--format native keeps the files as they were: no --max-shard-size" extract \
	extract --format native --max-shard-size 1M -o d/ m.lmodel
for o in "" "-o -" "-o file"; do
	# shellcheck disable=SC2086
	usage "--max-shard-size needs a directory: -o DIR/" extract extract --max-shard-size 1M $o m.lmodel
done
usage "one archive alone can come from standard input" diff diff - -
usage "repack works on files, not on standard streams" repack repack -
usage "repack works on files, not on standard streams" repack repack -o - m.lmodel
usage "--force is for -o OUT" repack repack -f m.lmodel

# sizes that are right: K is 1024 and KB 1000, in any case
while read -r size bytes; do
	run 0 lmodel pack -f -o size.lmodel --chunk-size "$size" m.safetensors
	run 0 lmodel inspect --json size.lmodel
	like "$out" "\"chunk_bytes\": $bytes," "--chunk-size $size"
done <<'S'
4096 4096
8192B 8192
4K 4096
16kib 16384
512KB 512000
1M 1048576
1MiB 1048576
64MB 64000000
64m 67108864
S
rm size.lmodel

# weights do not go to a terminal
terminal() {
	expected=$1
	shift
	script -qec "$* 2>err; echo \$? >code" /dev/null >/dev/null 2>&1 </dev/null
	is "$(cat code):$(head -n 1 err)" "2:lmodel: $expected" "$* on a terminal"
}
if command -v script >/dev/null; then
	terminal "weights are not written to a terminal" lmodel cat m.lmodel a.w
	terminal "weights are not written to a terminal" lmodel extract -o - m.lmodel
	terminal "an archive is not written to a terminal" lmodel pack -o - m.safetensors
fi

# options stand before or after operands, "--" ends them
run 0 lmodel list m.lmodel -l a.w
like "$out" "^F32  \[4,4\]  64 .* a.w$" "an option after an operand"
run 1 lmodel list m.lmodel -- -l
like "$err" "m.lmodel.*: no tensor matches '-l'$" "-- ends the options"
cp m.lmodel ./-x.lmodel
run 0 lmodel list -- -x.lmodel
is "$out" "a.w
a.b" "an archive whose name begins with a dash"

# standard streams that fail
run 1 sh -c 'lmodel list m.lmodel >/dev/full'
is "$err" "lmodel: standard output: No space left on device" "list on a full disk"
run 1 sh -c 'lmodel inspect --json m.lmodel >/dev/full'
like "$err" "No space left on device" "inspect on a full disk"
run 1 sh -c 'lmodel --help >/dev/full'
like "$err" "No space left on device" "help on a full disk"
run 1 sh -c 'lmodel cat --raw m.lmodel a.w >/dev/full'
like "$err" "No space left on device" "cat on a full disk"
run 1 sh -c 'lmodel extract -o - m.lmodel >/dev/full'
like "$err" "No space left on device" "extract on a full disk"
run 1 sh -c 'lmodel pack -o - m.safetensors >/dev/full'
like "$err" "No space left on device" "pack on a full disk"
run 1 sh -c 'lmodel list m.lmodel >&-'
like "$err" "^lmodel: standard output: " "list with standard output closed"
cp m.lmodel untouched.lmodel
run 1 sh -c 'lmodel cat --raw m.lmodel a.w >&-'
same m.lmodel untouched.lmodel "a closed standard output does not become the archive"
run 1 bash -c '{ sleep 0.2; lmodel list m.lmodel; } | :; exit ${PIPESTATUS[0]}'
is "$err" "lmodel: standard output: Broken pipe" "list into a pipe that nobody reads"

leftovers "nothing is left"
rm -f out err code
wanted="-x.lmodel
m.lmodel
m.safetensors
untouched.lmodel"
run 0 ls
is "$out" "$wanted" "nothing was written by any of these"
done_testing
