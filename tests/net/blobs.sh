# Blobs from a registry that lies, breaks, or is slow; and to one.
. "${srcdir:-.}/tests/lib/tap.sh"
. "$srcdir/tests/lib/registry.sh"
tool=$builddir/tests/net/net_tool
start_registry
ref=$registry/some/model
head -c 5000000 /dev/urandom >blob
blob=sha256:$(sha256sum blob | cut -c1-64)
run 0 "$tool" "$ref" put blob
get() { # STATUS
	rm -f back
	run "$1" "$tool" --output back "$ref" get "$blob" 5000000
}
clear_log
get 0
same back blob 'a blob'
is "$(requests .)" 1 'one request'

# lies
faults wrong-content
get 4
like "$err" "blob $blob is another one: its digest is sha256:" 'another byte'
faults truncate=4000000
get 4
like "$err" 'ends after 4000000 of 5000000 bytes' 'too short'
faults endless
get 4
like "$err" 'sends more than 5000000 bytes|has more than 5000000' 'without an end'
is "$(($(stat -c %s back) <= 5000000))" 1 'no byte too many is taken'
faults length=7
get 0
same back blob 'all of it, although more was promised'
faults 'status=404'
get 1
like "$err" "$ref: $blob: not there .status 404: FAULT, fault" 'not there'
run 4 "$tool" --output back "$ref" get "sha256:x" 5
run 4 "$tool" --output back "$ref" get "$blob/../x" 5
faults
run 4 "$tool" --output back "$ref" get "$blob" 4999999
like "$err" 'sends more than 4999999 bytes|has more than' 'longer than its descriptor says'
run 4 "$tool" --output back "$ref" get "$blob" 5000001
like "$err" 'ends after 5000000 of 5000001' 'shorter than its descriptor says'
faults redirect-loop
get 1
like "$err" 'redirected in a circle' 'a circle'

# breaks
faults break-download=1500000
clear_log
get 0
same back blob 'goes on where it broke'
is "$(traffic sent .)" 5000000 'no byte comes twice'
faults break-download=1500000 ignore-range
get 1
like "$err" 'the connection broke \(tried' 'always from the start, and never to the end'
faults break-download=2000000,times=3 ignore-range
get 0
same back blob 'at last to the end'
faults break-download=1000
clear_log
get 1
is "$(requests .)" 5 'next to nothing each time is given up'
faults break-download=1500000,times=1 content-range
get 4
like "$err" 'another part of blob' 'goes on elsewhere'
faults status=503,times=3
get 0
same back blob '503 passes'
faults status=503
get 1
like "$err" 'status 503' 'or not'
faults redirect
get 0
same back blob 'from another host'
faults no-length
get 0
same back blob 'without a length'

# parts
range() { # STATUS OFFSET LENGTH
	"$tool" "$ref" range "$blob" "$2" "$3" >part 2>err
	status=$?
	err=$(cat err)
	is "$status" "$1" "range $2 $3 exits $1"
	[ "$1" != 0 ] || { cmp -s part <(tail -c +$(($2 + 1)) blob | head -c "$3"); ok $? 'its bytes'; }
}
faults
clear_log
range 0 0 1
range 0 4999999 1
range 0 1234567 3000000
range 0 5 0
is "$(traffic sent .)" 3000002 'no other bytes come'
range 1 5000000 1
range 4 4999999 2
faults content-range
range 4 100 100
like "$err" 'another part of blob' 'another part'
faults ignore-range
range 0 100 100
clear_log
range 5 3000000 100
like "$err" 'gives no parts' 'a server without ranges'
is "$(($(traffic sent .) < 4000000))" 1 'whose all is not read'
faults break-download=500,times=2
range 0 3000000 1000
faults truncate=500
range 4 3000000 1000
faults endless
clear_log
run 4 timeout 60 "$tool" "$ref" range "$blob" 3000000 1000
like "$err" 'more of blob .* than was asked for' 'a part without an end'
faults

# whether it is there
run 0 "$tool" "$ref" has "$blob" 5000000
is "$out" yes 'there'
run 0 "$tool" "$registry/other" has "$blob" 5000000
is "$out" no 'not in another repository'
faults "digest-header=sha256:$(printf %064d 0)"
run 4 "$tool" "$ref" has "$blob" 5000000
faults 'status=405'
run 1 "$tool" "$ref" has "$blob" 5000000
faults no-mount
clear_log
run 0 "$tool" "$registry/other" mount "$blob" some/model
is "$out" no 'a registry that does not mount'
is "$(requests DELETE)" 1 'the session that it opened is ended'
run 2 "$tool" "$registry/other" mount "$blob" '../x'
stop_registry
done_testing
