# Killed before each system call that changes a file, or that call failing: what is there
# afterwards is the old state or the whole new one, never something between.
. "${srcdir:-.}/tests/lib/tap.sh"

real=$builddir/bin/.libs/lmodel
if [ -x "$real" ]; then
	export LD_LIBRARY_PATH="$builddir/libfmt/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
else
	real=$(command -v lmodel)
fi
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" # it cannot work under strace

mkmodel() { python3 "$srcdir/tests/lib/mkmodel.py" "$@" || exit 99; }
mkdir hf
mkmodel hf/a.safetensors w:F32:200x100 b:F32:100 --meta k=v
mkmodel hf/b.safetensors v:U8:300000:random
echo '{}' >hf/config.json
cp hf/a.safetensors m.safetensors
lmodel pack -o hf.lmodel hf && lmodel pack -o m.lmodel m.safetensors || exit 99
root() { lmodel inspect --json "$1" | sed -n 's/.*"content_root": "\([0-9a-f]*\)".*/\1/p'; }
m_root=$(root m.lmodel)
printf garbage | cat m.lmodel - >torn
python3 -c 'raw = bytearray(open("torn", "rb").read()); raw[5000] ^= 1; open("torn", "wb").write(raw)'

hidden=0
# One round: a directory with inputs alone, the command under strace, then the check.
round() { # NAME INJECTION
	rm -rf work && mkdir work
	"prepare_$1"
	# shellcheck disable=SC2046
	(cd work && strace -f -qq -o /dev/null -e trace="${2%%:*}" -e inject="$2" \
		"$real" $("command_$1") >../o 2>../e </dev/null)
	status=$?
	left=$(find work -name '.lmodel-*' | wc -l)
	hidden=$((hidden + left))
}

# What each command is, starts from, and may leave: *_old when nothing happened, *_new when all.
prepare_pack() { :; }
command_pack() { echo pack -j1 -o x.lmodel ../hf; }
old_pack() { [ ! -e work/x.lmodel ]; }
new_pack() { lmodel verify work/x.lmodel && lmodel diff hf.lmodel work/x.lmodel; }

prepare_replace() { cp m.lmodel work/x.lmodel; }
command_replace() { echo pack -j1 -f -o x.lmodel ../hf; }
old_replace() { cmp -s m.lmodel work/x.lmodel; }
new_replace() { new_pack; }

prepare_extract() { :; }
command_extract() { echo extract -j1 -o x ../m.lmodel; }
old_extract() { [ ! -e work/x ]; }
new_extract() { cmp -s m.safetensors work/x; }

prepare_overwrite() { cp torn work/x; }
command_overwrite() { echo extract -j1 -f -o x ../m.lmodel; }
old_overwrite() { cmp -s torn work/x; }
new_overwrite() { new_extract; }

prepare_directory() { :; }
command_directory() { echo extract -j1 --format native -o d/ ../hf.lmodel; }
old_directory() { [ ! -e work/d ]; }
new_directory() { diff -r hf work/d; }

prepare_repack() { cp m.lmodel work/x.lmodel; }
command_repack() { echo repack -j1 --level fast x.lmodel; }
old_repack() { cmp -s m.lmodel work/x.lmodel; }
new_repack() { lmodel verify work/x.lmodel && lmodel diff m.lmodel work/x.lmodel; }

# Repair works on the archive itself: at each moment it is readable, and can be repaired again.
prepare_repair() { cp torn work/x.lmodel; }
command_repair() { echo verify -j1 --repair x.lmodel; }
old_repair() {
	[ "$(root work/x.lmodel)" = "$m_root" ] && lmodel extract -o work/x work/x.lmodel &&
		cmp -s m.safetensors work/x && rm work/x && lmodel verify -q --repair work/x.lmodel &&
		cmp -s m.lmodel work/x.lmodel
}
new_repair() { cmp -s m.lmodel work/x.lmodel; }

# Into a directory that exists each file appears whole, one after the other.
prepare_among() { mkdir work/d && echo mine >work/d/mine; }
command_among() { echo extract -j1 --format native -o d/ ../hf.lmodel; }
old_among() {
	[ "$(cat work/d/mine)" = mine ] || return 1
	for f in work/d/*; do
		[ "$f" = work/d/mine ] || cmp -s "$f" "hf/${f##*/}" || return 1
	done
}
new_among() { rm -f work/d/mine && diff -r hf work/d; }

strace_works=0
strace -f -qq -o /dev/null -e trace=fsync -e inject=fsync:error=EIO:when=1 true 2>/dev/null &&
	strace_works=1
# Without it only kills at random are left, which prove little: that is a failure.
[ $strace_works -eq 1 ]
ok $? "strace is there and may trace"

calls="pwrite64 fsync fdatasync linkat rename renameat2 ftruncate mkdir chmod"
if [ $strace_works -eq 1 ]; then
	for name in pack replace extract overwrite directory repack repair among; do
		# killed before the Nth of these calls, until there is no Nth
		moments=0 wrong=0
		for call in $calls; do
			for n in $(seq 1 60); do
				round $name "$call:signal=KILL:when=$n"
				[ $status -eq 0 ] && break
				moments=$((moments + 1))
				if [ $status -ne 137 ] || ! { old_$name || new_$name; } >check 2>&1; then
					wrong=$((wrong + 1))
					echo "# killed before $call $n: status $status, left: $(find work | tr '\n' ' ')"
					cat e check | sed 's/^/#   /'
				fi
			done
			if ! new_$name >check 2>&1; then
				wrong=$((wrong + 1))
				echo "# without a kill at $call $n: not what was asked for"
			fi
		done
		is "$wrong wrong" "0 wrong" "$name killed at $moments moments: old or new"
		[ $moments -ge 4 ]
		ok $? "$name was killed at some moments"

		# the Nth of these calls fails: status 1 with one line and no change, or it did not matter
		failures=0 wrong=0
		for fault in pwrite64:error=ENOSPC pwrite64:error=EIO fsync:error=EIO fdatasync:error=EIO \
			linkat:error=EIO rename:error=EIO ftruncate:error=ENOSPC mkdir:error=ENOSPC \
			chmod:error=EIO; do
			for n in $(seq 1 60); do
				round $name "$fault:when=$n"
				if [ $status -eq 0 ]; then
					new_$name >check 2>&1 || { wrong=$((wrong + 1)); echo "# $fault $n: done, but wrong"; }
					# past the last call, unless this failure was one that does not matter
					[ "${fault%%:*}" = fsync ] && [ "$n" -le 6 ] || break
					continue
				fi
				failures=$((failures + 1))
				# Repaired, and then could not look at what it repaired.
				sed -i '/: repaired$/d' e
				if [ $status -ne 1 ] || [ "$(wc -l <e)" -ne 1 ] || [ "$left" -ne 0 ] ||
				   ! grep -q '^lmodel: .*\(No space left\|Input/output error\)' e ||
				   ! old_$name >check 2>&1; then
					wrong=$((wrong + 1))
					echo "# $fault $n: status $status, $(cat e), left: $(find work | tr '\n' ' ')"
				fi
			done
		done
		is "$wrong wrong" "0 wrong" "$name with $failures failing calls: status 1, one line, nothing left"
		[ $failures -ge 4 ]
		ok $? "$name met failing calls"
	done
	echo "# hidden temporary files left by kills: $hidden"
fi

# killed at any time at all
python3 - <<'P' || exit 99
import random, struct
n = 6000000
text = b'{"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (n, n)
open("big.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + random.Random(1).randbytes(n))
P
lmodel pack -o big.lmodel big.safetensors || exit 99
wrong=0 killed=0
for i in 1 2 3 4 5 6 7 8; do
	for name in pack extract repack; do
		rm -rf work && mkdir work
		case $name in
		pack) set -- pack -o x.lmodel ../big.safetensors ;;
		extract) set -- extract -o x.lmodel ../big.lmodel ;;
		repack) cp big.lmodel work/x.lmodel && set -- repack --level fast x.lmodel ;;
		esac
		# kills its own child alone
		(cd work && exec python3 -c 'import subprocess, sys
p = subprocess.Popen(sys.argv[2:], stderr=subprocess.DEVNULL)
try: sys.exit(p.wait(float(sys.argv[1])))
except subprocess.TimeoutExpired:
    p.kill(); p.wait(); sys.exit(137)' "$(printf 0.%03d $((i * 5)))" "$real" "$@")
		[ $? -eq 137 ] && killed=$((killed + 1))
		case $name in
		pack) [ ! -e work/x.lmodel ] || lmodel diff -q work/x.lmodel big.lmodel ;;
		extract) [ ! -e work/x.lmodel ] || cmp -s work/x.lmodel big.safetensors ;;
		repack) lmodel verify -q work/x.lmodel && lmodel diff -q work/x.lmodel big.lmodel ;;
		esac || { wrong=$((wrong + 1)); echo "# $name, round $i: wrong"; }
	done
done
is "$wrong wrong" "0 wrong" "killed at random, $killed times: old or new"
done_testing
