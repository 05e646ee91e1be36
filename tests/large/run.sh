#!/usr/bin/env bash
# A 4 GB bf16 model: packing and extracting stay under 128 MiB of resident memory, one tensor
# costs a few MB of reads. Needs about 11 GB of disk in $TMPDIR; `make check-large` runs it.
. "${srcdir:-.}/tests/lib/tap.sh"

/usr/bin/python3 "$srcdir/tests/large/make_bf16.py" big.safetensors 40 50000000
size=$(stat -c %s big.safetensors)

# peak COMMAND...: runs it and prints its peak resident memory in KiB.
peak() {
	/usr/bin/python3 -c 'import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)' "$@"
}

kib=$(peak lmodel pack -o big.lmodel big.safetensors)
ok $? 'pack'
[ "$kib" -lt 131072 ]
ok $? "pack stays under 128 MiB ($kib KiB)"
stored=$(stat -c %s big.lmodel)
[ $((stored * 10000 / size)) -le 6625 ]
ok $? "size is at most 0.6625 of raw ($stored of $size)"
kib=$(peak lmodel extract -o back.safetensors big.lmodel)
ok $? 'extract'
[ "$kib" -lt 131072 ]
ok $? "extract stays under 128 MiB ($kib KiB)"
same big.safetensors back.safetensors 'comes back byte for byte'
rm -f back.safetensors
run 0 lmodel verify big.lmodel

# One tensor of 1 MB among these: what is read is its own size and the manifest.
/usr/bin/python3 "$srcdir/tests/large/make_bf16.py" many.safetensors 4000 500000
run 0 lmodel pack -o many.lmodel many.safetensors
strace -f -qq -e trace=read,pread64 -o trace lmodel cat many.lmodel model.layers.2000.weight >tensor.npy
read=$(sed -n 's/.*= \([0-9]*\)$/\1/p' trace | awk '{ n += $1 } END { print n }')
[ "$read" -lt 4000000 ]
ok $? "one tensor of $(stat -c %s many.lmodel) bytes costs $read bytes of reads"
done_testing
