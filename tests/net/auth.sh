# Who asks: Basic, Bearer tokens, credentials of docker's and podman's files and of helpers, and what
# a registry that lies gets of them.
. "${srcdir:-.}/tests/lib/tap.sh"
. "$srcdir/tests/lib/registry.sh"
tool=$builddir/tests/net/net_tool
export HOME=$PWD/home
mkdir -p home/.docker home/bin
unset DOCKER_CONFIG REGISTRY_AUTH_FILE XDG_RUNTIME_DIR
PATH=$HOME/bin:$PATH
head -c 3000000 /dev/urandom >blob
blob=sha256:$(sha256sum blob | cut -c1-64)
config=$HOME/.docker/config.json

# login NAME:PASSWORD
login() {
	printf '{"auths":{"%s":{"auth":"%s"}}}' "$registry" "$(printf %s "$1" | base64 -w 0)" >"$config"
}

# stolen WHAT: a host that the registry leads to asks for credentials, for a token server of its own.
stolen() {
	clear_log
	faults "redirect=http://$other/files/evil,match=/blobs/" 'status=401,match=/files/evil' \
		"header=WWW-Authenticate: Bearer realm=\"http://$other/steal\",service=\"x\",match=/files/evil"
	run 1 "$tool" "$ref" has "$blob" 3000000
	is "$(requests /files/evil)" 1 "$1: the host that it leads to is asked, once"
	is "$(requests /steal)" 0 "$1: nobody goes where that one sends him"
	faults
}

# Basic
start_registry --user 'me:se:cret'
ref=$registry/some/model
run 1 "$tool" "$ref" put blob
like "$err" "^$registry: access is denied to those without credentials" 'nobody'
login me:wrong
run 1 "$tool" "$ref" put blob
like "$err" 'access is denied' 'a wrong password'
unlike "$err" 'wrong' 'which is not shown'
login me:se:cret
clear_log
run 0 "$tool" --chunk 1000000 "$ref" put blob
is "$(log_lines . | grep -c '"status": 401')" 1 'Basic is asked for once'
faults redirect
clear_log
run 0 "$tool" --output back "$ref" get "$blob" 3000000
same back blob 'a blob that is elsewhere'
is "$(log_lines . | grep '"server": "other"' | grep -vc '"authorization": null')" 0 \
	'whose host gets no password'
faults 'location=other'
clear_log
run 0 "$tool" --chunk 1000000 "$registry/some/more" put blob
is "$(log_lines 'PATCH' | grep -c '"server": "other"')" 2 'an upload that goes elsewhere, and back'
is "$(log_lines . | grep '"server": "other"' | grep -vc '"authorization": null')" 0 \
	'without a password, too'
stolen 'Basic'
stop_registry

# files
start_registry --user me:secret
ref=$registry/some/model
auth=$(printf 'me:secret' | base64)
# with TEXT: the answer to a push with this configuration
with() {
	printf '%s' "$2" >"$config"
	run "$1" "$tool" "$ref" put blob
}
with 0 "{\"auths\":{\"$registry\":{\"username\":\"me\",\"password\":\"secret\"}}}"
with 0 "{\"auths\":{\"https://$registry/v1/\":{\"auth\":\"$auth\"}}}"
with 0 "{\"auths\":{\"other.invalid\":{\"auth\":\"eDp5\"},\"$registry\":{\"auth\":\"$auth\"}},\"x\":1}"
with 1 "{\"auths\":{\"x$registry\":{\"auth\":\"$auth\"}}}"
with 1 "{\"auths\":{\"$registry\":{}}}"
with 1 '{}'
with 4 '{'
like "$err" "config.json.*ends before it is complete" 'the file is named'
with 4 "{\"auths\":[\"$registry\"]}"
with 4 "{\"auths\":{\"$registry\":\"me\"}}"
with 4 "{\"auths\":{\"$registry\":{\"auth\":\"$auth*\"}}}"
unlike "$err" "$auth" 'without what is in it'
with 4 "{\"auths\":{\"$registry\":{\"auth\":\"bm9jb2xvbg==\"}}}"
with 4 "{\"auths\":{\"$registry\":{\"auth\":7}}}"
with 4 "{\"credsStore\":{}}"
rm "$config"
mkdir docker run run/containers
printf '{"auths":{"%s":{"auth":"%s"}}}' "$registry" "$auth" >good.json
cp good.json docker/config.json
cp good.json run/containers/auth.json
DOCKER_CONFIG=$PWD/docker run 0 "$tool" "$ref" put blob
XDG_RUNTIME_DIR=$PWD/run run 0 "$tool" "$ref" put blob
REGISTRY_AUTH_FILE=$PWD/good.json run 0 "$tool" "$ref" put blob
run 1 "$tool" "$ref" put blob
login me:wrong
REGISTRY_AUTH_FILE=$PWD/good.json run 0 "$tool" "$ref" put blob
DOCKER_CONFIG=$PWD run 1 "$tool" "$ref" put blob
like "$err" 'without credentials' 'DOCKER_CONFIG is in place of HOME'
chmod 644 "$config"
login me:secret
run 0 "$tool" "$ref" put blob

# helpers
helper() { # NAME LINE...: its script
	{ echo '#!/bin/sh'; printf '%s\n' "${@:2}"; } >"home/bin/docker-credential-$1"
	chmod +x "home/bin/docker-credential-$1"
}
# the test's own quoting, not this shell's
# shellcheck disable=SC2016
helper good '[ "$*" = get ] || exit 9' 'host=$(cat)' 'tr "\0" "\n" </proc/$$/environ | grep -w secret && exit 8' \
	"[ \"\$host\" = $registry ] || exit 7" \
	'echo "{\"ServerURL\":\"$host\",\"Username\":\"me\",\"Secret\":\"secret\"}"'
helper none 'echo "credentials not found in native keychain"' 'exit 1'
helper fails 'echo "the keychain is locked"' 'exit 1'
helper deaf 'exec <&-' 'echo "{\"Username\":\"me\",\"Secret\":\"secret\"}"'
helper changes 'echo "{\"Username\":\"me\",\"Secret\":\"secret\"}"' 'exit 3'
helper stays 'echo "{\"Username\":\"me\",\"Secret\":\"secret\"}"' 'exec sleep 1000 >&-'
helper garbage 'echo hello'
helper chatty 'exec yes'
with 0 "{\"credHelpers\":{\"$registry\":\"good\"}}"
with 0 '{"credsStore":"good"}'
with 0 "{\"credsStore\":\"fails\",\"credHelpers\":{\"$registry\":\"good\"}}"
with 0 '{"credsStore":"deaf"}'
with 1 '{"credsStore":"none"}'
like "$err" 'without credentials' 'a helper that knows nobody'
with 0 "{\"credsStore\":\"none\",\"auths\":{\"$registry\":{\"auth\":\"$auth\"}}}"
with 1 '{"credsStore":"fails"}'
like "$err" 'the keychain is locked' 'a helper that fails'
with 4 '{"credsStore":"garbage"}'
with 4 '{"credsStore":"chatty"}'
like "$err" 'prints more than' 'a helper that never stops'
printf '{"credsStore":"stays"}' >"$config"
run 1 timeout 50 "$tool" "$ref" put blob
like "$err" 'docker-credential-stays fails' 'a helper that does not end'
unlike "$err" 'Secret' 'whose answer is not shown'
with 1 '{"credsStore":"changes"}'
like "$err" 'docker-credential-changes fails' 'a helper that answers and fails'
unlike "$err" 'Secret' 'whose answer is not shown, either'
with 1 '{"credsStore":"missing"}'
like "$err" 'docker-credential-missing is not installed' 'a helper that is missing'
for name in ../x 'a b' '' -x/y; do
	with "$([ -z "$name" ] && echo 1 || echo 4)" "{\"credsStore\":\"$name\"}"
done
rm "$config"
stop_registry

# tokens
start_registry --user me:secret --token --token-uses 3 --refresh-token identity --anonymous-pull \
	--strict-mount
ref=$registry/some/model
run 1 "$tool" "$ref" put blob
like "$err" 'without credentials|access is denied' 'nobody pushes'
login me:wrong
run 1 "$tool" "$ref" put blob
like "$err" 'not accepted' 'a wrong password'
login me:secret
clear_log
run 0 "$tool" --chunk 600000 "$ref" put blob
is "$(requests '/token')" 3 'a token that ends is got anew'
is "$(log_lines /v2/ | grep -c '"authorization": "Basic"')" 0 'the registry gets tokens alone'
is "$(log_lines /token | head -n 1 | sed 's/.*"path": "\([^"]*\)".*/\1/')" \
	'/token?service=stand-in&scope=repository%3Asome%2Fmodel%3Apull%2Cpush' 'for this repository alone'
clear_log
run 0 "$tool" "$registry/other/model" mount "$blob" some/model
is "$out" yes 'mounted'
like "$(log_lines /token)" 'other%2Fmodel%3Apull%2Cpush&scope=repository%3Asome%2Fmodel%3Apull"' \
	'with a token for both'
stolen 'a token'
rm "$config"
run 0 "$tool" --output back "$ref" get "$blob" 3000000
same back blob 'nobody pulls'
clear_log
stop_registry
start_registry --token --anonymous-pull --user me:secret
ref=$registry/some/model
login me:secret
run 0 "$tool" "$ref" put blob
rm "$config"
clear_log
run 0 "$tool" "$ref" parallel 8 "$blob" 3000000
is "$(requests '/token')" 1 'eight threads need one token'
is "$(log_lines 'GET /v2/' | grep -c '"status": 20[06]')" 16 'and each gets the blob and a part of it'
stop_registry
start_registry --user me:secret --token --refresh-token identity
ref=$registry/some/model
printf '{"auths":{"%s":{"identitytoken":"identity"}}}' "$registry" >"$config"
clear_log
run 0 "$tool" "$ref" put blob
is "$(requests 'POST /token')" 1 'an identity token'
unlike "$(cat requests.log)" 'identity' 'is in no address'
faults "redirect=http://$other/steal,match=/token"
run 4 "$tool" "$ref" put blob
like "$err" 'redirected to another host' 'and nobody leads it elsewhere'
is "$(requests /steal)" 0 'at all'
stop_registry
for realm in file:///etc/passwd http://somewhere.invalid/ 'http://me:secret@127.0.0.1/' 'http://[::'; do
	start_registry --user me:secret --token --realm "$realm"
	login me:secret
	run 4 "$tool" "$registry/some/model" put blob
	unlike "$err" secret "no tokens from $realm"
	stop_registry
done
start_registry --user me:secret --token --realm OTHER/token
login me:secret
run 0 "$tool" "$registry/some/model" put blob
is "$(log_lines /token | grep -c '"server": "other".*"authorization": "Basic"')" 1 \
	'a token server elsewhere on this machine'
faults 'status=401,match=/v2/' 'header=WWW-Authenticate: Digest realm="x"'
run 5 "$tool" "$registry/some/model" put blob
like "$err" 'neither Basic nor Bearer' 'another kind of authentication'
faults 'status=401,match=/v2/' 'header=WWW-Authenticate: Bearer realm="x'
run 4 "$tool" "$registry/some/model" put blob
faults 'status=401,match=/v2/' 'header=WWW-Authenticate: Bearer realm="/token",service="stand-in"'
clear_log
run 1 "$tool" "$registry/some/model" put blob
is "$(requests .)" 3 'a registry that is never content is asked twice'
faults 'type=x,match=/token' 'status=200,match=/token'
run 4 "$tool" "$registry/some/model" put blob
like "$err" 'no token in the answer' 'a token server that gives none'
faults 'status=500,match=/token'
run 1 "$tool" "$registry/some/model" put blob
like "$err" 'its token server answers 500' 'one that fails'
stop_registry
done_testing
