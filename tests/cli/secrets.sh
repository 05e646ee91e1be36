# No key and no passphrase in anything that lmodel prints or writes, in temporary files, on the
# command line, in a core.
. "${srcdir:-.}/tests/lib/tap.sh"
needs age strace

real=$builddir/bin/.libs/lmodel
if [ -x "$real" ]; then
	export LD_LIBRARY_PATH="$builddir/libfmt/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
else
	real=$(command -v lmodel)
fi
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" # it cannot work under strace

for who in owner alice auditor bob stranger; do
	lmodel keygen -q -o $who.key && lmodel keygen -y $who.key >$who.pub || exit 99
done
echo "a phrase of the test, $(od -An -N8 -tx8 /dev/urandom)" >phrase
python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors w:F32:24x32 b:BF16:64x16 || exit 99
echo "a side file of the test, $(od -An -N8 -tx8 /dev/urandom)" >sealed
lmodel pack -q --select random --tier s=2% --tier g=5% --attach sealed@s --owner "$(cat owner.pub)" \
	-r "$(cat alice.pub)=g" --audit "$(cat auditor.pub)" -o m.lmodel m.safetensors || exit 99

strace_works=0
strace -f -qq -o /dev/null -e trace=fsync -e inject=fsync:error=EIO:when=1 true 2>/dev/null &&
	strace_works=1
[ $strace_works -eq 1 ]
ok $? "strace is there and may trace"

python3 -B "$srcdir/tests/lib/find_secrets.py" "$real" $strace_works >results 2>errors
ended=$?
while read -r what name; do
	case $what in
	0 | 1) ok "$what" "$name" ;;
	*) echo "# $name" ;;
	esac
done <results
[ $ended -eq 0 ] || sed 's/^/# /' errors
is $ended 0 "all of it ran"
done_testing
