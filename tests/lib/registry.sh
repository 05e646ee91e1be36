# The stand-in registry for shell tests. Source it behind tap.sh:
#
#     . "$srcdir/tests/lib/registry.sh"
#     start_registry [OPTION...]        # sets registry (127.0.0.1:PORT) and other; see registry.py
#     faults 'status=503,times=2'       # in place of those before; none without arguments
#     requests 'GET .*/blobs/'          # prints how many there were since the log was cleared
#     traffic received 'PATCH '         # prints the bytes of their bodies (sent or received by it)
#     clear_log
#     stop_registry
#
# Files of the directory files/ are at http://$registry/files/NAME. The log is requests.log.
registry_python=/usr/bin/python3
[ -x "$registry_python" ] || registry_python=python3

start_registry() {
	mkdir -p files registry.root
	[ -p registry.hold ] || mkfifo registry.hold
	: >registry.ports
	: >requests.log
	# the server ends when nobody has the other end of its standard input any more
	exec 9<>registry.hold
	"$registry_python" "$srcdir/tests/lib/registry.py" --root registry.root --log requests.log \
		--files files "$@" <registry.hold >registry.ports 2>registry.err 9>&- &
	registry_pid=$!
	for _ in $(seq 200); do
		[ ! -s registry.ports ] || break
		kill -0 $registry_pid 2>/dev/null || break
		sleep 0.05
	done
	read -r registry other <registry.ports
	registry=127.0.0.1:$registry other=127.0.0.1:$other
	[ -s registry.ports ]
	ok $? "the stand-in registry runs"
	[ -s registry.ports ] || sed 's/^/#   /' registry.err
}

stop_registry() {
	exec 9>&-
	kill "$registry_pid" 2>/dev/null
	wait "$registry_pid" 2>/dev/null
}

# control METHOD WHAT [ARGUMENT...]: to the other port, which is plain http always.
control() {
	"$registry_python" -c 'import json, sys, urllib.request as u
u.build_opener(u.ProxyHandler({})).open(u.Request(
    "http://%s/control/%s" % (sys.argv[1], sys.argv[3]), method=sys.argv[2],
    data=json.dumps(sys.argv[4:]).encode() if sys.argv[2] == "PUT" else None))' \
		"$other" "$@" || ok 1 "control $*"
}

faults() {
	control PUT faults "$@"
}

clear_log() {
	: >requests.log
}

# log_lines REGEX: lines of the log whose "METHOD PATH" the expression finds, as JSON.
log_lines() {
	control GET idle
	"$registry_python" -c 'import json, re, sys
for line in open("requests.log"):
    r = json.loads(line)
    if re.search(sys.argv[1], r["method"] + " " + r["path"]):
        print(line, end="")' "$1"
}

requests() {
	log_lines "$1" | wc -l
}

traffic() {
	log_lines "$2" | "$registry_python" -c 'import json, sys
print(sum(json.loads(line)[sys.argv[1]] for line in sys.stdin))' "$1"
}
