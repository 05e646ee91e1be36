# What lmodel remembers of archives: an older copy is refused by who saw a newer one, and so is
# another owner's.
. "${srcdir:-.}/tests/lib/tap.sh"

for who in owner xena bob; do lmodel keygen -q -o $who.key || exit 99; done
pub() { lmodel keygen -y "$1.key"; }
python3 "$srcdir/tests/lib/mkmodel.py" model.safetensors w:F32:24x32 b:BF16:64x16 || exit 99
lmodel pack --tier gold=10% --owner "$(pub owner)" -r "$(pub xena)=gold" -o m.lmodel \
	model.safetensors || exit 99
id=$(lmodel inspect m.lmodel | sed -n 's/^id *//p')
like "$id" "^[0-9a-f-]{36}$" "the archive has an id"
state=$XDG_STATE_HOME/lmodel
file=$state/$id

# gets ARCHIVE NAME [OPTION...]: xena gets all weights.
gets() {
	gets_archive=$1
	gets_name=$2
	shift 2
	run 0 lmodel extract -i xena.key "$@" -f -o x.safetensors "$gets_archive"
	is "$out$err" "" "$gets_name: without a word"
	same x.safetensors model.safetensors "$gets_name"
	rm -f x.safetensors
}

# refused ARCHIVE PATTERN NAME: by whatever opens it with xena's key; nothing is written.
refused() {
	run 4 lmodel extract -i xena.key -o none "$1"
	like "$err" "$2" "$3: extract"
	is "$(printf '%s\n' "$err" | wc -l)" 1 "$3: one line"
	is "$(ls none 2>/dev/null)" "" "$3: nothing is written"
	run 4 lmodel verify -i xena.key "$1"
	like "$err" "fault: .*$2" "$3: verify"
	run 4 lmodel inspect -i xena.key "$1"
	is "$out" "" "$3: inspect shows nothing"
	lmodel cat -i xena.key --raw "$1" w >none.raw 2>/dev/null
	is "$?:$(wc -c <none.raw)" "4:0" "$3: cat gives nothing"
}

# ---- where ----

for c in "list m.lmodel" "inspect m.lmodel" "verify m.lmodel" "extract --base -o base m.lmodel"; do
	# shellcheck disable=SC2086
	run 0 lmodel $c
done
is "$(ls "$XDG_STATE_HOME" 2>/dev/null)" "" "without a key nothing is remembered"
gets m.lmodel "a first reader"
is "$(ls "$state")" "$id" "a file for the archive"
is "$(stat -c %a "$state" "$file" | tr '\n' ' ')" "700 600 " "which is the user's alone"
is "$(sed 's/[0-9a-f]\{64\}/KEY/' "$file")" "lmodel-memory-v1
owner KEY
generation 1
book 0" "what it holds"
tar -xOf m.lmodel manifest.sqlite >manifest.sqlite
is "$(sed -n 's/^owner //p' "$file")" \
	"$(sqlite3 manifest.sqlite 'SELECT lower(hex(public_key)) FROM owner')" "the owner's public key"

home=$PWD/home
for set in "HOME=$home" "HOME=$home XDG_STATE_HOME=" "HOME=$home XDG_STATE_HOME=relative"; do
	rm -rf "$home"
	# shellcheck disable=SC2086
	run 0 env -u XDG_STATE_HOME $set lmodel verify -i xena.key m.lmodel
	is "$(find "$home" -type f)" "$home/.local/state/lmodel/$id" "$set"
done
rm -rf "$home"
find . ! -name ".out" ! -name ".err" ! -name before | sort >before
for set in "HOME=" "HOME=here" "HOME=here XDG_STATE_HOME=there" "-u HOME"; do
	# shellcheck disable=SC2086
	run 0 env -u XDG_STATE_HOME $set lmodel verify -i xena.key m.lmodel
	is "$err" "" "$set: without a word"
	is "$(find . ! -name .out ! -name .err ! -name before | sort)" "$(cat before)" \
		"$set: nothing is remembered"
done

# Where nothing can be written, the proof of the archive itself stands.
for place in /proc/nowhere /sys/kernel; do
	XDG_STATE_HOME=$place gets m.lmodel "a state directory that cannot be made: $place"
done

# ---- an older copy ----

cp m.lmodel old.lmodel
run 0 lmodel rekey -i owner.key --tier gold m.lmodel
rm -rf "$state"
gets m.lmodel "a reader of the newer"
is "$(sed -n 's/^generation //p' "$file")" 2 "remembers it"
older="older than what was read before: content generation 1, not 2"
refused old.lmodel "$older" "an older copy"
like "$err" "allow-rollback" "and what takes it is told"
run 0 lmodel extract -o base.safetensors old.lmodel
like "$err" "base weights only" "the base, which nothing proves, is given as ever"
cp "$file" remembered
refused old.lmodel "$older" "still"
same "$file" remembered "what was refused is not remembered"
gets m.lmodel "the newer"
gets old.lmodel "--allow-rollback takes it" --allow-rollback
gets old.lmodel "what was taken is what counts"
gets m.lmodel "the newer again"
refused old.lmodel "$older" "and the older is refused again"
for c in "verify" "inspect" "extract -f -o x"; do
	# shellcheck disable=SC2086
	run 0 lmodel $c -i xena.key --allow-rollback old.lmodel
	cp remembered "$file"
done
run 0 lmodel cat -i xena.key --allow-rollback --raw old.lmodel w
cp remembered "$file"
rm "$file"
gets old.lmodel "who forgot it takes it"
cp remembered "$file"

# ---- another owner ----

sed 's/^owner ..../owner 0123/' remembered >"$file"
refused m.lmodel "another owner than when it was read before" "another owner"
gets m.lmodel "--allow-rollback takes another owner" --allow-rollback
same "$file" remembered "and remembers that one"

# ---- a file that is not what was written ----

malformed() {
	run 4 lmodel extract -i xena.key -o none m.lmodel
	like "$err" "is not what lmodel remembers an archive by$" "$1"
	is "$(ls none 2>/dev/null)" "" "$1: nothing is written"
}
echo junk >"$file"
malformed "junk"
head -c -1 remembered >"$file"
malformed "cut by one byte"
{ cat remembered; echo; } >"$file"
malformed "a line more"
sed 's/^owner.*/\U&/; s/^OWNER/owner/' remembered >"$file"
malformed "capital digits"
sed 's/^generation 2/generation 02/' remembered >"$file"
malformed "another way to write a number"
sed 's/^generation 2/generation -2/' remembered >"$file"
malformed "a negative number"
sed 's/^generation 2/generation 99999999999999999999/' remembered >"$file"
malformed "a number that does not fit"
sed 's/lmodel-memory-v1/lmodel-memory-v2/' remembered >"$file"
malformed "another version"
tr '\n' '\000' <remembered >"$file"
malformed "NULs"
cp remembered "$file"
gets m.lmodel "as it was"

# ---- the owner's book of customers ----

cp m.lmodel before.lmodel
run 0 lmodel grant -i owner.key --tier gold -r "$(pub bob)" --label Bob m.lmodel
like "$(sed -n 's/^book //p' "$file")" "^[1-9]" "the owner's commands remember the book"
cp m.lmodel granted.lmodel
run 0 lmodel revoke -i owner.key --label Bob m.lmodel
book="older than what its owner saw before: customer book"
for c in "grant --tier gold -r $(pub bob)" "revoke -r $(pub bob)" "rekey --tier gold" inspect; do
	cp granted.lmodel replayed.lmodel
	# shellcheck disable=SC2086
	run 4 lmodel ${c%% *} -i owner.key ${c#"${c%% *}"} replayed.lmodel
	like "$err" "$book" "${c%% *}: a book of before is refused"
	same replayed.lmodel granted.lmodel "${c%% *}: and nothing is changed"
done
gets granted.lmodel "who is no owner does not see the book"
gets before.lmodel "nor one from before"
run 0 lmodel inspect -i owner.key m.lmodel
cp granted.lmodel replayed.lmodel
run 0 lmodel revoke -i owner.key --allow-rollback --label Bob replayed.lmodel
run 0 lmodel inspect -i owner.key --allow-rollback m.lmodel
for c in "grant --tier gold -r $(pub bob)" "rekey --tier gold"; do
	cp granted.lmodel replayed.lmodel
	# shellcheck disable=SC2086
	run 0 lmodel ${c%% *} -i owner.key --allow-rollback ${c#"${c%% *}"} replayed.lmodel
	run 0 lmodel inspect -i owner.key --allow-rollback m.lmodel
done

# ---- archives apart ----

lmodel pack --tier gold=10% --owner "$(pub bob)" -r "$(pub xena)=gold" -o other.lmodel \
	model.safetensors || exit 99
gets other.lmodel "another archive, of another owner"
is "$(find "$state" -type f | wc -l)" 2 "each has its own file"
gets m.lmodel "the first"

leftovers "nothing is left"
done_testing
