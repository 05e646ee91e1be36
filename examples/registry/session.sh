#!/bin/bash
# A vendor, a registry and two customers, every step shown: see README.md beside this.
#     examples/registry/session.sh [MODEL.safetensors]
# Needs docker-registry; npm for the last part. $LMODEL is the program. All happens on this machine,
# in a directory that is removed at the end; $KEEP=1 leaves it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$here/../..
lmodel=$(realpath "${LMODEL:-$top/build/bin/lmodel}")
model=${1:+$(realpath "$1")}
work=$(mktemp -d "${TMPDIR:-/tmp}/lmodel-registry-XXXXXX")
docker_pid=''

finish() {
	[ -z "$docker_pid" ] || kill "$docker_pid" 2>/dev/null || :
	exec 7>&-
	[ -n "${KEEP:-}" ] && echo "left in $work" || rm -rf "$work"
}
trap finish EXIT
cd "$work"
export HOME=$work XDG_STATE_HOME=$work/.state XDG_CACHE_HOME=$work/.cache

say() { printf '\n# %s\n' "$*"; }
show() {
	printf '$ %s\n' "${*//$lmodel/lmodel}"
	"$@"
}

if [ -z "$model" ]; then
	model=$work/bert.safetensors
	python3 "$top/tests/lib/mkmodel.py" "$model" embed.weight:F32:512x256 \
		layer.0.weight:F32:256x256 layer.1.weight:BF16:256x256 head.weight:F32:64x256
fi
command -v docker-registry >/dev/null || { echo 'docker-registry is not installed' >&2; exit 1; }

say 'A registry, on this machine'
cat >config.yml <<C
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "127.0.0.1:0"}
C
docker-registry serve config.yml >registry.log 2>&1 &
docker_pid=$!
for _ in $(seq 200); do
	port=$(sed -n 's/.*listening on 127\.0\.0\.1:\([0-9]*\).*/\1/p' registry.log)
	[ -z "$port" ] || break
	sleep 0.05
done
ref=127.0.0.1:$port/models/bert:v1
echo "$ref"

say 'The vendor packs a model with two tiers, and pushes it'
for who in vendor ann ben; do "$lmodel" keygen -q -o $who.key; done
pub() { "$lmodel" keygen -y "$1.key"; }
show "$lmodel" pack -q --select random --tier silver=4% --tier gold=8% --owner "$(pub vendor)" \
	-o bert.lmodel "$model"
show "$lmodel" push -v bert.lmodel "$ref"

say 'Customers get grants, which lie beside the archive: its digest stays as it is'
show "$lmodel" grant -q -i vendor.key --tier gold -r "$(pub ann)" --label Ann --push "$ref" bert.lmodel
show "$lmodel" grant -q -i vendor.key --tier silver -r "$(pub ben)" --label Ben --push "$ref" bert.lmodel
show "$lmodel" push -v bert.lmodel "$ref"

say 'Ben pulls what his key opens: silver; the shards of gold stay in the registry'
mkdir ben ann
show "$lmodel" pull -v -i ben.key -o ben/bert.lmodel "$ref"
show "$lmodel" verify -v -i ben.key -i ben/bert.lmodel.grant ben/bert.lmodel
show "$lmodel" extract -i ben.key -i ben/bert.lmodel.grant -o ben/bert.safetensors ben/bert.lmodel

say 'Ann has gold: the model as it was'
show "$lmodel" pull -i ann.key -o ann/bert.lmodel "$ref"
show "$lmodel" extract -i ann.key -i ann/bert.lmodel.grant -o ann/bert.safetensors ann/bert.lmodel
show cmp "$model" ann/bert.safetensors

say 'Ben looks at one tensor without fetching the archive'
show "$lmodel" list -l "oci://$ref"

say 'Ben goes. Silver, which he could open, gets a new key; Ann a new grant'
show "$lmodel" revoke -q -i vendor.key --label Ben bert.lmodel
show "$lmodel" rekey -q -i vendor.key bert.lmodel
show "$lmodel" push -v bert.lmodel "$ref"
show "$lmodel" grant -q -i vendor.key --tier gold -r "$(pub ann)" --label Ann --push "$ref" bert.lmodel
echo '$ lmodel pull -i ben.key -o ben/new.lmodel '"$ref"
"$lmodel" pull -i ben.key -o ben/new.lmodel "$ref" || echo "(exit status $?)"
show "$lmodel" pull -v -i ann.key -o ann/bert.lmodel "$ref"
show "$lmodel" extract -f -i ann.key -i ann/bert.lmodel.grant -o ann/bert.safetensors ann/bert.lmodel
show cmp "$model" ann/bert.safetensors

if ! command -v npm >/dev/null; then
	say 'npm is not installed: the same as a package is left out'
	exit 0
fi
say 'The same as an npm package, to a registry on this machine'
mkfifo hold
exec 7<>hold
python3 "$here/npm_registry.py" "$work/packages" <hold >npm.port 7>&- &
for _ in $(seq 200); do [ -s npm.port ] && break; sleep 0.05; done
npm=http://127.0.0.1:$(cat npm.port)
export npm_config_registry=$npm npm_config_cache=$work/.npm npm_config_update_notifier=false \
	npm_config_fund=false npm_config_audit=false
printf '//127.0.0.1:%s/:_authToken=none\n' "$(cat npm.port)" >.npmrc
mkdir package app
cp bert.lmodel package/
echo '{"name": "bert-model", "version": "1.0.0", "description": "bert, as an archive of lmodel",
"license": "UNLICENSED", "files": ["bert.lmodel"], "main": "bert.lmodel"}' >package/package.json
echo '{"name": "app", "version": "1.0.0", "private": true}' >app/package.json
(cd package && show npm publish --silent)
(cd app && show npm install --silent bert-model)
show cmp bert.lmodel app/node_modules/bert-model/bert.lmodel
show "$lmodel" extract -i ann.key -i ann/bert.lmodel.grant -o npm.safetensors \
	app/node_modules/bert-model/bert.lmodel
show cmp "$model" npm.safetensors
say 'done'
