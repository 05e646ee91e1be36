# A real registry (Debian's docker-registry) on this machine. Source it behind tap.sh:
#
#     . "$srcdir/tests/registry/lib.sh"
#     start_docker_registry open|htpasswd|token     # sets registry (127.0.0.1:PORT)
#     login                                         # docker's config.json for $user, in $HOME
#     stop_docker_registry
#
# $HOME is in the test's directory. Everybody may pull with tokens, only $user may push.
user=tester
password='pass word:with/odd+signs'
export HOME=$tap_dir/home
mkdir -p "$HOME"
unset DOCKER_CONFIG REGISTRY_AUTH_FILE XDG_RUNTIME_DIR http_proxy https_proxy all_proxy
docker_log=$tap_dir/docker-registry.log
registry_python=/usr/bin/python3
[ -x "$registry_python" ] || registry_python=python3

start_token_server() {
	openssl req -x509 -newkey rsa:2048 -nodes -keyout token.key -out token.crt -days 2 \
		-subj /CN=token-server 2>/dev/null
	[ -p token.hold ] || mkfifo token.hold
	exec 8<>token.hold
	: >token.port
	"$registry_python" "$srcdir/tests/lib/token_server.py" token.key token.crt "$user:$password" \
		${token_life:+--life "$token_life"} <token.hold >token.port 2>token.err 8>&- &
	token_pid=$!
	for _ in $(seq 200); do
		[ ! -s token.port ] || break
		sleep 0.05
	done
	token_server=127.0.0.1:$(cat token.port)
}

# Writes config.yml for an authentication of this kind.
docker_config() {
	cat <<-C
		version: 0.1
		log: {level: info, accesslog: {disabled: true}}
		storage:
		  filesystem: {rootdirectory: $tap_dir/docker-root}
		  delete: {enabled: true}
		http: {addr: "127.0.0.1:0"}
	C
	case $1 in
	htpasswd)
		printf '%s\n' "$password" | htpasswd -niB "$user" >htpasswd
		echo "auth: {htpasswd: {realm: test, path: $tap_dir/htpasswd}}"
		;;
	token)
		echo "auth: {token: {realm: \"http://$token_server/token\", service: test," \
			"issuer: lmodel-test-issuer, rootcertbundle: $tap_dir/token.crt}}"
		;;
	esac
}

start_docker_registry() {
	[ "$1" != token ] || start_token_server
	docker_config "$1" >config.yml
	: >"$docker_log"
	docker-registry serve config.yml >"$docker_log" 2>&1 8>&- &
	docker_pid=$!
	for _ in $(seq 400); do
		port=$(sed -n 's/.*listening on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$docker_log")
		[ -z "$port" ] || break
		kill -0 $docker_pid 2>/dev/null || break
		sleep 0.05
	done
	registry=127.0.0.1:$port
	[ -n "$port" ]
	ok $? "docker-registry runs ($1)"
	[ -n "$port" ] || sed 's/^/#   /' "$docker_log"
	trap 'stop_docker_registry; chmod -R u+rwx "$tap_dir" 2>/dev/null; rm -rf "$tap_dir"' EXIT
}

stop_docker_registry() {
	[ -z "${docker_pid:-}" ] || kill "$docker_pid" 2>/dev/null
	[ -z "${token_pid:-}" ] || kill "$token_pid" 2>/dev/null
	wait ${docker_pid:-} ${token_pid:-} 2>/dev/null
	docker_pid='' token_pid=''
	exec 8>&-
}

# login [PASSWORD]
login() {
	mkdir -p "$HOME/.docker"
	printf '{"auths":{"%s":{"auth":"%s"}}}\n' "$registry" \
		"$(printf '%s' "$user:${1:-$password}" | base64 -w 0)" >"$HOME/.docker/config.json"
}

logout() {
	rm -f "$HOME/.docker/config.json"
}

digest_of() {
	echo "sha256:$(sha256sum "$1" | cut -c1-64)"
}
