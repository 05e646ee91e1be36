# age(1), age-keygen(1) and ssh-keygen(1) against our own reading and writing of their files.
. "${srcdir:-.}/tests/lib/tap.sh"

tool=$builddir/tests/interop/age_tool
for program in age age-keygen ssh-keygen script; do
	command -v $program >/dev/null
	ok $? "$program is installed"
done

# Three plaintexts: nothing, a line, three chunks of which the last is full.
: >empty
echo 'a grant' >line
head -c 196608 /dev/urandom >chunks

# with_tty SECRET COMMAND...: runs it with a terminal, on which SECRET is typed twice: age asks for
# passphrases there, again when it is to encrypt. Something typed too early is typed into the
# terminal all the same.
with_tty() {
	secret=$1
	shift
	{ sleep 0.3; printf '%s\n' "$secret"; sleep 0.3; printf '%s\n' "$secret"; sleep 0.3; } |
		timeout 60 script -qec "$*" /dev/null >typescript 2>&1
}

age-keygen -o age.key 2>/dev/null && age_recipient=$(age-keygen -y age.key)
ok $? "age-keygen makes a key"
ssh-keygen -q -t ed25519 -N '' -C 'someone@somewhere' -f ssh.key
ok $? "ssh-keygen makes a key"
run 0 sh -c "'$tool' generate >our.key"
our_recipient=$(sed -n 's/^# public key: //p' our.key)
is "$(age-keygen -y our.key)" "$our_recipient" "age-keygen finds the recipient of our key"
run 0 "$tool" recipient age.key
is "$out" "$age_recipient" "we find the recipient of age-keygen's key"
run 0 "$tool" recipient ssh.key
is "$out" "$(cut -d ' ' -f 1,2 ssh.key.pub)" "we find the public key of ssh-keygen's key"

# both CASE RECIPIENT IDENTITY: every plaintext, armored or not, in both directions
both() {
	for plain in empty line chunks; do
		for armor in '' -a; do
			name="$1, $plain${armor:+, armored}"
			rm -f ours theirs back
			run 0 sh -c "'$tool' encrypt $armor \"\$1\" <$plain >ours" - "$2"
			age -d -i "$3" <ours >back
			ok $? "$name: age opens ours"
			same back $plain "$name: what age finds"
			age $armor -r "$2" <$plain >theirs
			ok $? "$name: age encrypts"
			run 0 sh -c "'$tool' decrypt '$3' <theirs >back"
			same back $plain "$name: what we find"
			is "$(wc -c <ours)" "$(wc -c <theirs)" "$name: as long as age's"
		done
	done
	run 0 sh -c "'$tool' inspect <theirs"
	is "$out" "$1" "$1: the kind of age's stanza"
}
both X25519 "$age_recipient" age.key
both X25519 "$our_recipient" our.key
both ssh-ed25519 "$(cat ssh.key.pub)" ssh.key
like "$(cat theirs)" '^-----BEGIN AGE ENCRYPTED FILE-----' "age's was armored"
like "$(cat ours)" '^-----BEGIN AGE ENCRYPTED FILE-----' "ours was armored"

# several recipients
run 0 sh -c "'$tool' encrypt \"\$1\" \"\$2\" \"\$3\" <line >ours" - "$age_recipient" \
	"$(cat ssh.key.pub)" "$our_recipient"
age -r "$our_recipient" -R ssh.key.pub -r "$age_recipient" <line >theirs
for key in age.key ssh.key our.key; do
	is "$(age -d -i $key <ours)" "a grant" "age opens ours for three with $key"
	run 0 sh -c "'$tool' decrypt $key <theirs"
	is "$out" "a grant" "we open age's for three with $key"
done

# for someone else
age-keygen -o other.key 2>/dev/null
run 3 sh -c "'$tool' decrypt other.key <theirs"
age -d -i other.key <ours >/dev/null 2>&1
is $? 1 "age does not open ours with another key"

# passphrases
for armor in '' -a; do
	name="passphrase${armor:+, armored}"
	run 0 sh -c "'$tool' encrypt $armor -p 'correct horse' <line >ours"
	with_tty 'correct horse' "age -d -o back ours"
	ok $? "$name: age opens ours"
	same back line "$name: what age finds"
	rm -f theirs back
	with_tty 'correct horse' "age -p $armor -o theirs line"
	ok $? "$name: age encrypts"
	run 0 sh -c "'$tool' decrypt -p 'correct horse' <theirs"
	is "$out" "a grant" "$name: what we find"
	run 3 sh -c "'$tool' decrypt -p 'correct house' <theirs"
	like "$err" 'wrong passphrase' "$name: another one is wrong"
done
run 0 sh -c "'$tool' inspect <theirs"
is "$out" scrypt "the kind of age's stanza"

# key files under a passphrase
rm -f locked
with_tty 'correct horse' "age -p -a -o locked age.key"
run 0 "$tool" recipient -p 'correct horse' locked
is "$out" "$age_recipient" "a key file that age has encrypted"
run 3 "$tool" recipient -p 'correct house' locked
run 0 sh -c "'$tool' encrypt -p 'correct horse' <our.key >locked"
age -r "$our_recipient" -o theirs2 line
with_tty 'correct horse' "age -d -i locked -o back2 theirs2"
same back2 line "age reads a key file that we have encrypted"

# SSH keys that are not read
ssh-keygen -q -t ed25519 -N secret -f locked.key
run 5 "$tool" recipient locked.key
like "$err" 'ssh-keygen -p' "a locked SSH key: the message says what to do"
ssh-keygen -q -p -P secret -N '' -f locked.key >/dev/null
run 0 "$tool" recipient locked.key
is "$out" "$(cut -d ' ' -f 1,2 locked.key.pub)" "and that helps"
for kind in ecdsa rsa; do
	ssh-keygen -q -t $kind -N '' -f $kind.key
	run 5 "$tool" recipient $kind.key
	like "$err" 'another kind than Ed25519' "an $kind key is not read"
	run 5 "$tool" encrypt "$(cat $kind.key.pub)"
	ssh-keygen -q -t $kind -m PEM -N '' -f $kind.pem
	run 5 "$tool" recipient $kind.pem
done
done_testing
