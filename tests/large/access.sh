#!/usr/bin/env bash
# A 4 GB model with tiers: granting and revoking read and write a few manifest slots, whatever the
# size of the weights, in milliseconds. Needs about 8 GB of disk in $TMPDIR.
. "${srcdir:-.}/tests/lib/tap.sh"

real=$builddir/bin/.libs/lmodel
if [ -x "$real" ]; then
	export LD_LIBRARY_PATH="$builddir/libfmt/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
else
	real=$(command -v lmodel)
fi
for who in owner alice bob carol; do
	lmodel keygen -q -o $who.key && lmodel keygen -y $who.key >$who.pub || exit 99
done
now() { date +%s%N; }

# timed NAME COMMAND...: how long it takes without strace
timed() {
	from=$(now)
	"${@:2}" >printed
	ok $? "$1"
	echo "# $1: $((($(now) - from) / 1000000)) ms"
}

/usr/bin/python3 "$srcdir/tests/large/make_bf16.py" big.safetensors 40 50000000 || exit 99
raw=$(stat -c %s big.safetensors)
timed pack lmodel pack -q --level fast --select random --tier s=1% --tier g=3% \
	--owner "$(cat owner.pub)" -r "$(cat alice.pub)=g" -o big.lmodel big.safetensors
echo "# $raw bytes to $(stat -c %s big.lmodel)"
rm -f big.safetensors

slot=$(/usr/bin/python3 -c 'f = open("big.lmodel", "rb"); f.seek(1024 + 124); print(int(f.read(11), 8))')
echo "# manifest slot: $slot bytes"
cksum_members() { # of what follows the slots
	tail -c +$((1536 + 2 * slot + 512 + 1)) big.lmodel | cksum
}
before=$(cksum_members)

# cost NAME COMMAND...: what is read from and written to the archive
cost() {
	cost_name=$1
	shift
	strace -f -qq -y -e trace=read,readv,pread64,preadv,write,writev,pwrite64,pwritev,mmap \
		-o trace "$@"
	ok $? "$cost_name"
	grep 'big\.lmodel>' trace >ours
	read=$(sed -n 's/^[0-9]* *p\{0,1\}read.*= \([0-9]*\)$/\1/p' ours | awk '{ n += $1 } END { print n + 0 }')
	written=$(sed -n 's/^[0-9]* *p\{0,1\}write.*= \([0-9]*\)$/\1/p' ours | awk '{ n += $1 } END { print n + 0 }')
	grep -q mmap ours
	is $? 1 "$cost_name maps nothing of the archive"
	[ "$read" -ge "$slot" ] && [ "$read" -le $((6 * slot + 65536)) ]
	ok $? "$cost_name reads $read bytes, $((read * 10 / slot)) tenths of a manifest slot"
	[ "$written" -ge "$slot" ] && [ "$written" -le $((3 * slot)) ]
	ok $? "$cost_name writes $written bytes, $((written * 10 / slot)) tenths of a manifest slot"
}
grant=("$real" grant -q -i owner.key --tier s)
revoke=("$real" revoke -q -i owner.key)
cost grant "${grant[@]}" -r "$(cat bob.pub)" --label bob big.lmodel
cost revoke "${revoke[@]}" --label bob big.lmodel
for i in 1 2 3; do
	timed "grant $i" "${grant[@]}" -r "$(cat bob.pub)" --label bob big.lmodel
	timed "revoke $i" "${revoke[@]}" --label bob big.lmodel
done
timed "grant of a passphrase" "${grant[@]}" --passphrase --passphrase-file <(echo a phrase) big.lmodel
timed "detached grant" "${grant[@]}" -r "$(cat carol.pub)" --detached carol.lkey big.lmodel
"${grant[@]}" -r "$(cat bob.pub)" big.lmodel
ok $? "a grant that stays"
is "$(cksum_members)" "$before" "no member was changed"
timed "inspect by the owner" "$real" inspect -i owner.key big.lmodel
timed "one tensor for whom was let in" "$real" extract -q -i bob.key -o one.safetensors big.lmodel \
	model.layers.7.weight
done_testing
