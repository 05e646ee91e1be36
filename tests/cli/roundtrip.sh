# What goes in comes out: every dtype, shape, level and chunk size; every model there is.
. "${srcdir:-.}/tests/lib/tap.sh"

mkmodel() { python3 "$srcdir/tests/lib/mkmodel.py" "$@" || exit 99; }

# there_and_back "NAME" FILE [OPTION...]: one test; pack, verify and extract, identical bytes.
there_and_back() {
	trip_name=$1 trip_file=$2
	shift 2
	rm -f trip.lmodel trip.out
	if lmodel pack -q -o trip.lmodel "$@" "$trip_file" >trip.log 2>&1 &&
	   lmodel verify trip.lmodel >>trip.log 2>&1 &&
	   lmodel extract -o trip.out trip.lmodel >>trip.log 2>&1 &&
	   cmp "$trip_file" trip.out >>trip.log 2>&1 && [ ! -s trip.log ]; then
		ok 0 "$trip_name"
	else
		ok 1 "$trip_name"
		sed 's/^/#   /' trip.log
	fi
	rm -f trip.out trip.log
}

# every dtype, with bytes of every kind
dtypes="BOOL U8 I8 I16 U16 F16 BF16 I32 U32 F32 I64 U64 F64 C64 F8_E4M3 F8_E5M2 F8_E8M0 F4 F6_E2M3 F6_E3M2"
all=()
for dtype in $dtypes; do
	set -- "cube:$dtype:2x4x5:random" "none:$dtype:0x7:zeros" "zero:$dtype:600:zeros" \
		"same:$dtype:600:const" "rising:$dtype:600:arange" "usual:$dtype:24x40:normal"
	all+=("$dtype.cube:$dtype:2x4x5:random" "$dtype.none:$dtype:3x0" "$dtype.usual:$dtype:40x24")
	case $dtype in
	F4|F6*) ;; # a scalar would not fill its byte
	*)
		set -- "$@" "scalar:$dtype::random" "one:$dtype:1x1x1:random"
		all+=("$dtype.scalar:$dtype:")
		;;
	esac
	mkmodel one.safetensors "$@"
	there_and_back "dtype $dtype" one.safetensors
	run 0 lmodel list -l trip.lmodel usual
	like "$out" "^$dtype +\[24,40\] " "dtype $dtype is told as such"
done
mkmodel all.safetensors "${all[@]}" --meta format=pt --meta "größe=viel ☃" --meta empty=
there_and_back "all dtypes in one file, with metadata" all.safetensors
run 0 lmodel inspect --json trip.lmodel
like "$out" '"größe|gr\\u00f6' "metadata is kept"

# files with next to nothing in them
mkmodel nothing.safetensors
there_and_back "a file without a tensor" nothing.safetensors
mkmodel notes.safetensors --meta only=this
there_and_back "a file with metadata alone" notes.safetensors
mkmodel empty.safetensors a:F32:0 b:F32:4x0x4 c:U8:0
there_and_back "a file of empty tensors" empty.safetensors
mkmodel scalar.safetensors x:F32:
there_and_back "a file with one scalar" scalar.safetensors
python3 - <<'P' || exit 99
import struct
def write(name, text, data):
    open(name, "wb").write(struct.pack("<Q", len(text)) + text + data)
one = b'"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
write("spaces.safetensors", b'{ ' + one.replace(b":", b" : ") + b' }' + b" " * 300, b"abcdefgh")
write("odd.safetensors", b'{' + one + b'}', b"abcdefgh")  # data not aligned to 8
write("backwards.safetensors", b'{"b":{"data_offsets":[4,8],"shape":[],"dtype":"F32"},'
      b'"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}', b"12345678")
write("escapes.safetensors", b'{"\\u0061\\/\\n\\"\\ud83d\\ude00":{"dtype":"U8","shape":[3],'
      b'"data_offsets":[0,3]},"__metadata__":{"k\\t":"\\u0001"}}', b"xyz")
P
for file in spaces odd backwards escapes; do
	there_and_back "an unusual header: $file" $file.safetensors
done

# every level, chunk sizes around the tensor's size, numbers of workers
mkmodel large.safetensors w:F32:96x1024 b:BF16:20480 u:U8:70000:arange r:I16:9000:random
for level in fast default small; do
	there_and_back "level $level" large.safetensors --level $level
done
for size in 4096 8KiB 60KiB 1MiB 64MiB; do
	there_and_back "chunk size $size" large.safetensors --chunk-size $size
done
for jobs in 1 2 7; do
	there_and_back "$jobs workers" large.safetensors -j $jobs --chunk-size 4096
done
there_and_back "small chunks at level small" all.safetensors --level small --chunk-size 4096
[ "$(stat -c %s trip.lmodel)" -gt 0 ]
ok $? "an archive is there to compare"

# standard streams
lmodel pack -o file.lmodel --seed 00 large.safetensors || exit 99
run 0 sh -c 'lmodel pack --seed 00 -o - large.safetensors >stream.lmodel'
same stream.lmodel file.lmodel "pack -o - writes what pack -o FILE writes"
run 0 sh -c 'cat large.safetensors | lmodel pack -o piped.lmodel -'
run 0 lmodel extract -o piped.out piped.lmodel
same piped.out large.safetensors "a model from a pipe"
run 0 sh -c 'lmodel pack -o seeked.lmodel - <large.safetensors && lmodel extract -o seeked.out seeked.lmodel'
same seeked.out large.safetensors "a model from a redirected file"
run 0 sh -c 'lmodel extract -o - file.lmodel >out.stream'
same out.stream large.safetensors "extract -o -"
run 0 sh -c 'cat file.lmodel | lmodel extract -o from-pipe.out -'
same from-pipe.out large.safetensors "an archive from a pipe"
run 0 sh -c 'lmodel extract -o from-file.out - <file.lmodel'
same from-file.out large.safetensors "an archive from a redirected file"
run 0 sh -c 'cat large.safetensors | lmodel pack -o - - | lmodel extract -o - - >through.out'
same through.out large.safetensors "through two pipes"
run 0 sh -c 'cat file.lmodel | lmodel extract -'
same model.safetensors large.safetensors "an archive without a name gives model.safetensors"
run 0 sh -c 'cat file.lmodel | lmodel verify -'
run 0 sh -c 'cat file.lmodel | lmodel list -'
is "$(echo $out)" "w b u r" "list of a stream"

# --seed: nothing random and no clock
lmodel pack -o s1.lmodel --seed 0123abcd large.safetensors || exit 99
sleep 1.1
lmodel pack -o s2.lmodel --seed 0123ABCD -j 1 large.safetensors || exit 99
same s1.lmodel s2.lmodel "equal seeds give equal archives"
lmodel pack -o s3.lmodel --seed 0123abce large.safetensors || exit 99
cmp -s s1.lmodel s3.lmodel
is $? 1 "another seed gives another archive"
lmodel pack -o s4.lmodel large.safetensors && lmodel pack -o s5.lmodel large.safetensors || exit 99
cmp -s s4.lmodel s5.lmodel
is $? 1 "without a seed no two archives are alike"

# equal tensors are stored once
mkmodel single.safetensors a:F32:40000:random:seed c:F32:7:normal:x
mkmodel twice.safetensors a:F32:40000:random:seed b:F32:40000:random:seed c:F32:7:normal:x \
	d:F32:200x200:random:seed
there_and_back "equal tensors" twice.safetensors
run 0 lmodel list -l trip.lmodel
like "$out" ' b -> a$' "b is an alias of a"
like "$out" ' d -> a$' "equal bytes in another shape are, too"
run 0 lmodel pack -o single.lmodel single.safetensors
[ "$(stat -c %s trip.lmodel)" -lt $(($(stat -c %s single.lmodel) + 40000)) ]
ok $? "three names cost the bytes of one"
is "$(tar -tf trip.lmodel | grep -c '^base/')" "$(tar -tf single.lmodel | grep -c '^base/')" \
	"as many members as without the copies"
mkmodel types.safetensors a:F32:100:zeros b:I32:100:zeros
there_and_back "equal bytes of two dtypes" types.safetensors
run 0 lmodel list -l trip.lmodel
unlike "$out" '->' "equal bytes of two dtypes are no aliases"

# several inputs
mkmodel one.safetensors a:F32:4 && mkmodel two.safetensors b:F32:5 --meta k=v
run 0 lmodel pack -o both.lmodel one.safetensors two.safetensors
run 0 lmodel extract --format native -o both/ both.lmodel
same both/one.safetensors one.safetensors "the first of two inputs"
same both/two.safetensors two.safetensors "the second of two inputs"

# models of the world
found=0
for file in "$data"/models/*.safetensors "$data"/models/*/*.safetensors; do
	[ -f "$file" ] || continue
	found=$((found + 1))
	there_and_back "model ${file##*/}" "$file"
done
if [ -d "$data/models" ]; then
	[ $found -ge 10 ]
	ok $? "there were models ($found)"
fi

# malformed ones, by what they are known to be
table=$data/malformed/EXPECTED.tsv
if [ -f "$table" ]; then
	accepted=0 rejected=0
	mkdir none
	while IFS=$'\t' read -r path verdict _; do
		case $path in st/*) ;; *) continue ;; esac
		file=$data/malformed/$path
		case $verdict in
		ACCEPT)
			accepted=$((accepted + 1))
			there_and_back "accepted: $path" "$file"
			;;
		REJECT)
			rejected=$((rejected + 1))
			lmodel pack -o none/x.lmodel "$file" >none.out 2>none.err
			status=$?
			case $status in 4|5|6) ok 0 "rejected: $path" ;; *)
				ok 1 "rejected: $path ($status)" ;;
			esac
			is "$(wc -l <none.err):$(grep -c '^lmodel: .*safetensors' none.err):$(cat none.out)" \
				"1:1:" "rejected with one line that names the file: $path"
			is "$(ls -A none)" "" "rejected without output: $path"
			;;
		EITHER)
			lmodel pack -f -o either.lmodel "$file" >/dev/null 2>&1
			status=$?
			if [ $status -eq 0 ]; then
				there_and_back "either, accepted: $path" "$file"
			else
				like "$status" '^[456]$' "either, rejected: $path"
			fi
			;;
		esac
	done <"$table"
	[ $accepted -ge 5 ] && [ $rejected -ge 20 ]
	ok $? "the table had rows ($accepted accepted, $rejected rejected)"
fi
leftovers "nothing is left"
done_testing
