# No room: status 1, one line, nothing left, the old file as it was.
. "${srcdir:-.}/tests/lib/tap.sh"

mkmodel() { python3 "$srcdir/tests/lib/mkmodel.py" "$@" || exit 99; }
mkdir hf
mkmodel hf/a.safetensors w:U8:700000:random
mkmodel hf/b.safetensors v:U8:300000:random
cp hf/a.safetensors m.safetensors
lmodel pack m.safetensors && lmodel pack hf || exit 99
mkmodel small.safetensors s:F32:10 && lmodel pack small.safetensors || exit 99

# no_room NAME COMMAND...: in the directory `full`
no_room() {
	room_name=$1
	shift
	before=$(cd full && find . -type f -exec cksum {} + | sort)
	run 1 "$@"
	like "$err" '^lmodel: .*(No space left on device|File too large)$' "said: $room_name"
	is "$(printf '%s\n' "$err" | wc -l)" 1 "in one line: $room_name"
	is "$(cd full && find . -type f -exec cksum {} + | sort)" "$before" "nothing changed: $room_name"
	is "$(find full -name '.lmodel-*' -o -mindepth 1 -type d | sort)" "" "nothing left: $room_name"
}
all() {
	no_room "pack" "$@" lmodel pack -o full/m.lmodel m.safetensors
	no_room "pack of two files" "$@" lmodel pack -o full/hf.lmodel hf
	no_room "pack of a stream" "$@" sh -c 'lmodel pack -o full/m.lmodel - <m.safetensors'
	no_room "pack -f" "$@" lmodel pack -f -o full/small.lmodel m.safetensors
	no_room "extract" "$@" lmodel extract -o full/m.safetensors m.lmodel
	no_room "extract -f" "$@" lmodel extract -f -o full/small.lmodel m.lmodel
	no_room "extract to a new directory" "$@" lmodel extract --format native -o full/d/ hf.lmodel
	no_room "extract of shards" "$@" lmodel extract --max-shard-size 400000 -o full/d/ hf.lmodel
	no_room "extract of a stream" "$@" sh -c 'lmodel extract -o full/m.safetensors - <m.lmodel'
	no_room "repack" "$@" lmodel repack -o full/m.lmodel m.lmodel
	no_room "repack with other chunks" "$@" lmodel repack --chunk-size 64K -o full/m.lmodel m.lmodel
	no_room "standard output" "$@" sh -c 'lmodel extract -o - m.lmodel >full/stream; s=$?; rm -f full/stream; exit $s'
	run 0 lmodel verify full/small.lmodel
}

mkdir full
mounted=0
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=600k lmodel-test full 2>/dev/null; then
	mounted=1
	trap 'umount -l "$tap_dir/full" 2>/dev/null; chmod -R u+rwx "$tap_dir" 2>/dev/null; rm -rf "$tap_dir"' EXIT
fi
echo "# a disk that is full: $mounted"
if [ $mounted -eq 1 ]; then
	cp small.lmodel full/
	all env TMPDIR="$PWD"
	# in place, in a disk that has no room for a second copy
	mkmodel half.safetensors h:U8:300000:random && lmodel pack -o full/half.lmodel half.safetensors
	no_room "repack in place" lmodel repack full/half.lmodel
	no_room "repack in place with other chunks" lmodel repack --chunk-size 8K full/half.lmodel
	run 0 lmodel verify full/half.lmodel
	rm full/half.lmodel
	# no room for what a stream is spooled to
	no_room "spooling" env TMPDIR="$PWD/full" sh -c 'cat m.lmodel | lmodel verify -'
	no_room "output that is spooled" env TMPDIR="$PWD/full" sh -c 'lmodel pack -o - m.safetensors >/dev/null'
	umount full
fi

# a limit on the size of a file stands in for it: a write fails, or is cut short
cp small.lmodel full/
limited() { (trap '' XFSZ; ulimit -f 300; "$@"); }
all limited

# standard output
for c in "list" "list --json" "inspect" "inspect --json" "diff small.lmodel" "cat --raw"; do
	case $c in
	cat*) set -- m.lmodel w ;;
	*) set -- m.lmodel ;;
	esac
	run 1 sh -c "lmodel $c $* >/dev/full"
	like "$err" '^lmodel: (standard )?output: .*No space left on device$' "told: $c"
done
leftovers "nothing is left"
done_testing
