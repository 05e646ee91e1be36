# The HTTP client: redirects, retries, limits, what it says and what it never says.
. "${srcdir:-.}/tests/lib/tap.sh"
. "$srcdir/tests/lib/registry.sh"
tool=$builddir/tests/net/net_tool
unset http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY
start_registry
url=http://$registry/files/a
head -c 100000 /dev/urandom >files/a
echo text >files/t

# counted EXPECTED NAME: requests since the log was cleared
counted() {
	is "$(requests .)" "$1" "$2"
	clear_log
}

clear_log
run 0 "$tool" --output back http GET "$url"
same back files/a 'a body'
like "$err" 'requests 1 sent 0 received 100000$' 'usage is counted'
run 0 "$tool" http GET "http://$registry/files/t?x=y" 'Range: bytes=1-2'
like "$out" '^status 206$' 'status'
like "$out" '^content-range bytes 1-2/5$' 'headers'
like "$out" '^ex$' 'a body that is kept'
like "$out" "^url http://$registry/files/t\\?x=y$" 'the address that answered'
run 0 "$tool" http HEAD "$url"
like "$out" '^length 100000$' 'HEAD has the length'
run 0 "$tool" http GET "http://$registry/files/none"
like "$out" 'NO_FILE' 'other answers keep what they say'
echo '{  }' >sent
run 0 "$tool" --body sent http PUT "http://$registry/v2/x/manifests/t" 'Content-Type: x/y'
like "$err" 'sent 5 ' 'a body is sent'
is "$(traffic received 'PUT ')" 5 'and arrives'

# redirects
clear_log
faults redirect
run 0 "$tool" --authorization 'Basic c2VjcmV0' --output back http GET "$url"
same back files/a 'a redirect to another port'
is "$(log_lines . | grep -c '"authorization": "Basic"')" 1 'Authorization goes to the first one'
is "$(log_lines . | grep '"server": "other"' | grep -c '"authorization": null')" 1 'and not to the next'
run 4 "$tool" --stay http GET "$url"
like "$err" 'redirected to another host' 'a request that stays is not led away'
faults "redirect=http://$registry/files/t,match=/a"
run 0 "$tool" --authorization 'Basic c2VjcmV0' http GET "$url"
like "$out" 'text' 'a redirect within a host'
is "$(log_lines '/t$' | tail -n 1 | grep -c '"authorization": "Basic"')" 1 'keeps Authorization'
faults 'redirect=/files/t,match=/a'
run 0 "$tool" --stay http GET "$url"
like "$out" 'text' 'a relative redirect'
faults "redirect=http://$other/hop,match=/a" "redirect=http://$registry/files/t,match=/hop"
clear_log
run 0 "$tool" --authorization 'Basic c2VjcmV0' http GET "$url"
is "$(log_lines '/t$' | grep -c '"authorization": null')" 1 'who comes back from elsewhere has none'
clear_log
faults redirect-loop
run 1 "$tool" http GET "$url?token=secret"
like "$err" 'redirected in a circle' 'a circle is told'
unlike "$err" 'secret' 'without the query'
counted 1 'and found at once'
hops=()
for i in 0 1 2 3 4 5 6 7 8; do
	hops+=("redirect=/files/h$((i + 1)),match=/h$i\$")
done
faults "${hops[@]}"
run 1 "$tool" http GET "http://$registry/files/h0"
like "$err" 'more than 8 redirects' 'nine are too many'
faults "${hops[@]:1}"
run 0 "$tool" http GET "http://$registry/files/h1"
like "$out" 'NO_FILE' 'eight are not'
for to in ftp://x/ file:///etc/passwd http://user:secret@127.0.0.1/ 'http://[::' http://a.invalid/; do
	faults "redirect=$to"
	run 4 "$tool" http GET "$url"
	unlike "$err" 'secret' "led to $to: no password in the message"
done
faults 'redirect=http://127.0.0.1:1/,match=POST'
run 1 "$tool" --tries 1 http POST "http://$registry/x"
faults 'status=303,match=POST' 'header=Location: /files/t'
run 0 "$tool" http POST "http://$registry/x"
like "$out" '^status 303$' 'a POST is not made a GET'
clear_log

# tries
faults status=503,times=2
run 0 "$tool" --output back http GET "$url"
same back files/a 'a 503 passes'
counted 3 'at the third try'
faults status=500
run 0 "$tool" --tries 3 http GET "$url"
like "$out" '^status 500$' 'one that does not is given to who asked'
like "$err" 'broken' 'as what may pass'
counted 3 'after as many tries as allowed'
faults status=501
run 0 "$tool" http GET "$url"
counted 1 '501 is not tried again'
faults status=404
run 0 "$tool" http GET "$url"
counted 1 'nor is 404'
faults refuse,times=2
run 0 "$tool" --output back http GET "$url"
same back files/a 'broken connections are tried again'
faults break-download=1000,times=2
run 0 "$tool" --output back http GET "$url"
same back files/a 'also in the middle: the sink begins anew'
like "$err" 'received 102000' 'all bytes are counted'
faults break-download=1000
clear_log
run 1 "$tool" --output back http GET "$url"
like "$err" 'the connection broke \(tried 5 times\)' 'five tries'
counted 5 'are all'
run 1 "$tool" --once --output back http GET "$url"
unlike "$err" 'tried' 'once is once'
counted 1 'in the log, too'
faults
run 1 "$tool" --tries 2 http GET http://127.0.0.1:1/
like "$err" 'cannot connect \(tried 2 times\)' 'nobody there'

# back-off
now() { date +%s%N; }
start=$(now)
faults status=429,times=1 retry-after=1,times=1
run 0 "$tool" --output back http GET "$url"
[ $(($(now) - start)) -ge 1000000000 ]
ok $? 'Retry-After is waited for'
faults status=429,times=1 "retry-after=$(LC_ALL=C TZ=GMT date -d '+2 seconds' '+%a, %d %b %Y %H:%M:%S GMT'),times=1"
start=$(now)
run 0 "$tool" --output back http GET "$url"
[ $(($(now) - start)) -ge 900000000 ]
ok $? 'as a date, too'
clear_log
faults status=429 retry-after=3600
run 0 "$tool" http GET "$url"
like "$out" '^retry-after 3600$' 'an hour is not waited for'
counted 1 'nor asked for again'
faults status=503
run 1 "$tool" --backoff 60000 --stop-ms 300 http GET "$url"
like "$err" '^interrupted$' 'interrupted while it waits'
faults drip=0.3
run 1 "$tool" --stop-ms 500 http GET "$url"
like "$err" '^interrupted$' 'interrupted while it reads'

# limits
run 1 "$tool" --slow 1 --tries 2 http GET "$url"
like "$err" 'less than 512 bytes a second for 1 seconds \(tried 2 times\)' 'a slow one is given up'
faults endless
run 4 "$tool" --output back --limit 100000 http GET "$url"
like "$err" 'sends more than 100000 bytes' 'a sink gets no more than it takes'
run 6 "$tool" http GET "$url"
like "$err" 'sends more than 4194304 bytes' 'nor does memory'
is "$(("$(printf '%s\n' "$err" | sed -n 's/.*received \([0-9]*\).*/\1/p')" < 6000000))" 1 'and it stops there'
faults many-headers=100
run 4 "$tool" http GET "$url"
like "$err" 'more than 64 KiB of headers' 'headers are bounded'
faults length=10
run 1 "$tool" --once --output back http GET "$url"
like "$err" 'the connection broke' 'a body that is shorter than was said'
faults

# what may be asked
for bad in ftp://x/ file:///etc/passwd http://user:secret@127.0.0.1/ 'http://[::' 'http://a b/' nothing \
	'http://user:my secret@127.0.0.1/' http://user:a/secret@127.0.0.1/ 'http://user:secret?@127.0.0.1/'; do
	run 2 "$tool" http GET "$bad"
	unlike "$err" 'secret' "$bad: no password in the message"
done
run 2 "$tool" http GET http://somewhere.invalid/
like "$err" 'plain http is for this machine only' 'plain http is refused'
run 2 "$tool" http GET http://127.0.0.1.somewhere.invalid/
run 1 "$tool" --plain-http --tries 1 http GET http://somewhere.invalid/x?secret
like "$err" '^http://somewhere.invalid/x: there is no such host' 'unless it was asked for'
run 6 "$tool" http GET "http://127.0.0.1/$(printf '%020000d' 0)"
like "$err" 'an address of 2' 'an address has an end'

# this machine is asked without a proxy, others with one
clear_log
http_proxy=http://127.0.0.1:1 run 0 "$tool" --output back http GET "$url"
counted 1 'no proxy for this machine'
http_proxy=http://$registry run 0 "$tool" --plain-http http GET http://somewhere.invalid/files/t
is "$(requests 'GET http://somewhere.invalid/files/t')" 1 'a proxy for others'

# nobody elsewhere leads to this machine, by whatever name
for here in localhost 127.0.0.1 127.1 2130706433 0x7f.1 0.0.0.0 0 localhost. x.localhost x.localhost. '[::1]' \
	'[::]' '[::ffff:127.0.0.1]' '[::ffff:0.0.0.0]'; do
	faults "redirect=http://$here:1/"
	http_proxy=http://$registry run 4 "$tool" --plain-http http GET http://somewhere.invalid/files/t
	like "$err" 'leads to this machine itself' "$here is this machine"
done
stop_registry
done_testing
