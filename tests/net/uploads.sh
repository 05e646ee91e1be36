# Uploads: broken, resumed, lied about.
. "${srcdir:-.}/tests/lib/tap.sh"
. "$srcdir/tests/lib/registry.sh"
tool=$builddir/tests/net/net_tool
start_registry
ref=$registry/some/model
head -c 6000000 /dev/urandom >blob
blob=sha256:$(sha256sum blob | cut -c1-64)
# put STATUS [OPTION...]: into a repository of its own each time
count=0
put() {
	local wanted=$1
	shift
	count=$((count + 1))
	ref=$registry/some/model$count
	clear_log
	run "$wanted" "$tool" --chunk 2000000 "$@" "$ref" put blob
}
whole() { # NAME
	rm -f back
	"$tool" --output back "$ref" get "$blob" 6000000
	same back blob "$1"
}
for kind in relative absolute query; do
	faults "location=$kind"
	put 0
	whole "locations: $kind"
	is "$(requests PATCH)" 3 'three chunks'
done
for kind in userinfo garbage; do
	faults "location=$kind"
	put 4
	unlike "$err" password "locations: $kind"
done
faults chunk-min=3000000
put 0
is "$(requests PATCH)" 2 'chunks as long as the registry wants'
faults chunk-min=99999999999999
put 5
faults chunk-min=x
put 5

faults break-upload=700000,times=2
put 0
whole 'broken connections'
is "$(traffic received .)" 6000000 'no byte goes twice'
faults break-upload=100
put 1
like "$err" 'the connection broke \(tried 5 times\)' 'always broken'
faults 'status=503,times=2,match=PATCH'
put 0
whole 'chunks that were refused for a while'
faults 'status=503,match=PATCH'
put 1
like "$err" 'status 503.*tried 5 times' 'or for ever'
faults 'status=429,times=1,match=PATCH'
put 0
whole 'too many requests'
faults 'status=400,match=PATCH'
put 1
like "$err" 'status 400' 'a chunk that the registry does not want'
faults 'range-lie,times=1,match=PATCH'
put 0
whole 'other bytes than were sent: from the start'
faults 'range-lie,match=PATCH'
put 1
like "$err" 'upload given up: the registry has other bytes' 'not for ever'
faults 'upload-gone,times=1,match=PATCH'
put 0
whole 'a session that went'
faults 'refuse,times=1,match=PUT'
put 0
whole 'the end, sent again'
faults "digest-header=sha256:$(printf %064d 0),match=PUT"
put 4
like "$err" 'the registry speaks of' 'another digest'
faults 'status=400,match=PUT'
put 4
like "$err" 'finds another digest' 'a digest that is refused'
is "$(requests PUT)" 1 'is not sent again'
faults append
put 0
whole 'a registry that only appends'

# what is kept
faults
put 1 --state state --stop-bytes 4000000
is "$(ls state | wc -l) $(stat -c %a state) $(stat -c %a state/*)" '1 700 600' 'a session is kept'
clear_log
run 0 "$tool" --chunk 2000000 --state state "$ref" put blob
is "$(traffic received PATCH)" 2000000 'the rest is sent'
is "$(ls state)" '' 'then it is forgotten'
# resume NAME: a session that was kept and changed is not believed
resume() {
	clear_log
	run 0 "$tool" --chunk 2000000 --state state "$ref" put blob
	is "$(traffic received PATCH)" 6000000 "$1: all is sent"
	whole "$1"
	is "$(ls state)" '' "$1: forgotten"
}
kept() {
	put 1 --state state --stop-bytes 2000000
}
kept; sed -i 's/6000000/6000001/' state/*; resume 'another length'
kept; sed -i 's/some/same/' state/*; resume 'another repository'
kept; : >"$(echo state/*)"; resume 'an empty file'
kept; truncate -s -2 state/*; resume 'a truncated file'
kept; head -c 100000 /dev/zero >"$(echo state/*)"; resume 'zeros'
kept; sed -i '2s|.*|http://somewhere.invalid/x|' state/*
run 4 "$tool" --state state "$ref" put blob
like "$err" 'plain http' 'another place is asked under the same rules'
rm -rf state
kept; sed -i 's|uploads/.*|uploads/0000|' state/*; resume 'a session that the registry does not know'
kept; faults 'upload-gone,times=1'; resume 'one that it has forgotten'
faults
kept
exec 7<"$(echo state/*)"
flock 7
run 0 "$tool" --chunk 2000000 --state state "$ref" put blob
whole 'while another process has it'
is "$(ls state | wc -l)" 1 'whose session stays'
exec 7<&-
rm -rf state; mkdir state; chmod 700 state
: >none; none=sha256:$(sha256sum none | cut -c1-64)
clear_log
run 0 "$tool" --state state "$ref" put none
is "$(requests .)" 2 'nothing at all takes two requests'
run 2 "$tool" "$ref" put none md5:0

faults 'status=404,match=(PUT|HEAD)' 'retry-after=3600,match=PUT'
run 1 timeout 60 "$tool" "$ref" put none
like "$err" 'status 404' 'an hour that is no reason to wait'
stop_registry

# A registry that takes, and then has none of it, for ever.
"$registry_python" - >port <<'PYTHON' &
from http.server import BaseHTTPRequestHandler, HTTPServer
asked = 0
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_):
        pass
    def answer(self):
        global asked
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked += self.command == "GET"
        self.send_response({"POST": 202, "GET": 204, "HEAD": 404}.get(self.command, 500))
        self.send_header("Location", "/upload")
        self.send_header("Range", "0-3999999" if asked % 2 else "0-0")
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = answer
server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
PYTHON
pid=$!
for _ in $(seq 200); do [ -s port ] && break; sleep 0.05; done
run 1 timeout 60 "$tool" --chunk 2000000 "127.0.0.1:$(cat port)/some/model" put blob
like "$err" 'status 500\).*tried 5 times' 'bytes that come and go are no gain'
kill $pid
wait $pid 2>/dev/null
done_testing
