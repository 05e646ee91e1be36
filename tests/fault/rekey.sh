# rekey, sign and repack, killed or failing at each call that changes a file, and several crashes
# in a row: the old or the new keys are in force, whoever is in gets the weights, the next change
# works, and then nothing is left of the old ciphertext. A reader beside a rekey. How much a rekey
# writes.
. "${srcdir:-.}/tests/lib/tap.sh"

real=$builddir/bin/.libs/lmodel
if [ -x "$real" ]; then
	export LD_LIBRARY_PATH="$builddir/libfmt/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
else
	real=$(command -v lmodel)
fi
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" # it cannot work under strace

for who in owner alice bob audit; do
	lmodel keygen -q -o $who.key && lmodel keygen -y $who.key >$who.pub || exit 99
done
for who in sid publisher; do # an SSH key each
	ssh-keygen -q -t ed25519 -N '' -C '' -f $who.key && mv $who.key.pub $who.pub || exit 99
done
echo "publisher@example.org namespaces=\"lmodel\" $(cat publisher.pub)" >signers
printf 'correct horse battery' >passphrase

# One tensor, and a lower tier whose streams are shorter than a block: gaps between them count.
python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors w:F32:100x80 || exit 99
head -c 3000 /dev/urandom >side
lmodel pack -q --select random --tier s=2% --tier g=30% --attach side@g --owner "$(cat owner.pub)" \
	-r "$(cat alice.pub)=g" -r "$(cat sid.pub)=s" --audit "$(cat audit.pub)" \
	-o base.lmodel m.safetensors &&
	lmodel extract -q --tier s -i owner.key -o s.safetensors base.lmodel || exit 99
cmp -s m.safetensors s.safetensors
is $? 1 "the lower tier is not the whole model"

strace_works=0
strace -f -qq -o /dev/null --seccomp-bpf -e trace=fsync -e inject=fsync:error=EIO:when=1 true \
	2>/dev/null && strace_works=1
[ $strace_works -eq 1 ]
ok $? "strace is there and may trace"

python3 -B "$srcdir/tests/lib/rekey_faults.py" "$real" $strace_works >results 2>errors
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
