#!/bin/sh
# The main job on a real model, every step shown. On a bare Debian 12:
#     examples/quickstart.sh                       with the neural networks of GNU Backgammon
#     examples/quickstart.sh MODEL.safetensors     or with a model (a file, or a Hugging Face
#                                                  directory) of your own
# Builds in build/ (or $LMODEL_BUILD); what it makes is left in build/quickstart/.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
build=${LMODEL_BUILD:-$top/build}
model=${1:+$(realpath "$1")}

say() {
	printf '\n# %s\n' "$*"
}
show() {
	printf '$ %s\n' "$*" >&3
	"$@"
}
exec 3>&1

say 'Install what the build needs'
show "$top/build-aux/install-deps"

say 'Build'
[ ! -f "$top/config.status" ] || {
	echo "this tree was configured in place: run 'make distclean' in it first" >&2
	exit 1
}
[ -x "$top/configure" ] || (cd "$top" && ./autogen.sh >/dev/null 2>&1)
mkdir -p "$build"
(cd "$build" && { [ -f Makefile ] || "$top/configure" --quiet; } && make -s -j"$(nproc)")
PATH=$build/bin:$PATH
mkdir -p "$build/quickstart"
cd "$build/quickstart"
export XDG_STATE_HOME=$PWD/state # what lmodel remembers of archives
rm -rf state
show lmodel --version

if [ -z "$model" ]; then
	say 'A real trained model: the networks that GNU Backgammon plays with (Debian package gnubg)'
	command -v python3 >/dev/null || {
		[ "$(id -u)" -eq 0 ] && apt-get install -y -qq python3-minimal >/dev/null ||
			sudo apt-get install -y -qq python3-minimal >/dev/null
	}
	show apt-get download -qq -o APT::Sandbox::User=root gnubg
	dpkg-deb --extract gnubg_*.deb gnubg
	show python3 "$top/examples/gnubg-to-safetensors.py" gnubg/usr/lib/gnubg/gnubg.wd gnubg.safetensors
	model=gnubg.safetensors
fi

say 'Pack it'
show lmodel pack -v -f -o model.lmodel "$model"

say 'List its tensors'
show lmodel list -l model.lmodel >list.txt
head -n 12 list.txt

say 'See what it is'
show lmodel inspect model.lmodel

say 'Check every byte and every claim'
show lmodel verify -v model.lmodel

say 'It is a tar: any tool lists it, and sqlite3 reads its manifest'
show tar -tf model.lmodel >list.txt
head -n 5 list.txt

say 'One tensor, without reading the others'
name=$(lmodel list model.lmodel | head -n 1)
printf '$ lmodel cat model.lmodel %s >tensor.npy\n' "$name"
lmodel cat model.lmodel "$name" >tensor.npy
show ls -l tensor.npy

say 'Extract it, and compare with what went in'
rm -rf back
show lmodel extract --format native -o back/ model.lmodel
if [ -d "$model" ]; then
	for f in back/*; do
		show cmp "$f" "$model/${f#back/}"
	done
else
	show cmp "$model" "back/$(basename "$model")"
fi
say 'The same, byte for byte'

say 'Now with protection: keys for the owner and for two customers'
rm -f ./*.key
show lmodel keygen -q -o owner.key
show lmodel keygen -q -o ann.key
show lmodel keygen -q -o ben.key
owner=$(lmodel keygen -y owner.key)
ann=$(lmodel keygen -y ann.key)
ben=$(lmodel keygen -y ben.key)

say 'Two tiers: silver holds the most important 4 % of the weights, gold 8 %. Ann gets silver'
show lmodel pack -v -f -o tiers.lmodel --tier silver=4% --tier gold=8% \
	--owner "$owner" -r "$ann=silver" "$model"
show lmodel inspect tiers.lmodel

say 'Everybody can extract the base: a model that loads, and is worse. It says so'
rm -rf base silver gold
show lmodel extract -o base/ tiers.lmodel

say "Ann extracts silver with her key; gold is not hers"
show lmodel extract -i ann.key -o silver/ tiers.lmodel
if lmodel extract -i ann.key --tier gold -o gold/ tiers.lmodel; then
	echo 'the lock does not hold' >&2
	exit 1
fi

say 'Ben buys gold: his slot goes into the same file, in milliseconds. Gold is the model, bit for bit'
show lmodel grant -v --label Ben --tier gold -r "$ben" -i owner.key tiers.lmodel
show lmodel extract -i ben.key --format native -o gold/ tiers.lmodel
if [ -d "$model" ]; then
	for f in gold/*; do
		show cmp "$f" "$model/${f#gold/}"
	done
else
	show cmp "$model" "gold/$(basename "$model")"
fi

say 'Ben is taken out, and the tiers that he could open get new keys; Ann goes on as before'
cp tiers.lmodel before.lmodel
show lmodel revoke -v --label Ben -i owner.key tiers.lmodel
show lmodel rekey -v -i owner.key tiers.lmodel
if lmodel extract -f -i ben.key -o gold/ tiers.lmodel; then
	echo 'a revoked key opens the archive' >&2
	exit 1
fi
show lmodel extract -f -i ann.key -o silver/ tiers.lmodel
say 'A copy from before is refused by who saw the newer one'
if lmodel extract -f -i ann.key -o silver/ before.lmodel; then
	echo 'an old copy was taken' >&2
	exit 1
fi

say 'An auditor sees what is encrypted, and no value'
show lmodel keygen -q -o auditor.key
show lmodel grant --audit -r "$(lmodel keygen -y auditor.key)" -i owner.key tiers.lmodel
show lmodel audit -i auditor.key tiers.lmodel

if command -v ssh-keygen >/dev/null; then
	say 'Signed with an SSH key, checked by lmodel, and by ssh-keygen without it'
	rm -f sign_key sign_key.pub
	ssh-keygen -q -t ed25519 -N '' -C publisher -f sign_key
	printf 'publisher namespaces="lmodel" %s\n' "$(cut -d ' ' -f 1,2 sign_key.pub)" >signers
	show lmodel sign -k sign_key tiers.lmodel
	show lmodel verify -v --signers signers tiers.lmodel
	lmodel sign --print tiers.lmodel >statement
	tar -xOf tiers.lmodel manifest.sqlite >m.db
	ssh-keygen -Y sign -q -n lmodel -f sign_key <statement >statement.sig 2>/dev/null
	show ssh-keygen -Y verify -f signers -I publisher -n lmodel -s statement.sig <statement
fi
show lmodel verify -v tiers.lmodel
say 'All of it as it should be'
