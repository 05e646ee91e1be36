# ssh-keygen -Y and minisign(1) against our own making and checking of their signatures, and
# ssh-keygen's reading of allowed_signers files against ours.
. "${srcdir:-.}/tests/lib/tap.sh"

tool=$builddir/tests/interop/sig_tool
for program in ssh-keygen minisign; do
	command -v $program >/dev/null
	ok $? "$program is installed"
done

: >empty
echo 'a statement' >line
head -c 300000 /dev/urandom >long
ssh-keygen -q -t ed25519 -N '' -C 'someone@somewhere' -f key
ssh-keygen -q -t ed25519 -N '' -f other
public=$(cut -d ' ' -f 1,2 key.pub)
print=$(ssh-keygen -l -f key.pub | cut -d ' ' -f 2)
echo "alice,bob@x $public" >signers
echo "alice $(cut -d ' ' -f 1,2 other.pub)" >signers.other

# theirs NAMESPACE SIGNATURE FILE [SIGNERS [OPTION]]: the exit status is ssh-keygen's.
theirs() {
	ssh-keygen -Y verify -n "$1" -I alice -s "$2" -f "${4:-signers}" ${5:+"$5"} <"$3" \
		>theirs.out 2>&1
}

# ---- SSH signatures ----

for file in empty line long; do
	run 0 sh -c "'$tool' sign key lmodel <$file >ours"
	ssh-keygen -q -Y sign -f key -n lmodel <$file >made 2>/dev/null
	same ours made "$file: byte for byte what ssh-keygen makes"
	theirs lmodel ours $file
	ok $? "$file: ssh-keygen takes ours"
	run 0 sh -c "'$tool' verify made signers lmodel <$file"
	is "$out" "alice,bob@x $print" "$file: we take theirs, and know whose it is"
	ssh-keygen -q -Y sign -O hashalg=sha256 -f key -n lmodel <$file >made 2>/dev/null
	run 0 sh -c "'$tool' verify made signers lmodel <$file"
	run 0 "$tool" text made
	is "$out" "$(cat made)" "$file: over SHA-256: read, and written as it was"
done
# every way in which the lines can end
different=
ns=
for i in $(seq 72); do
	ns=${ns}n
	"$tool" sign key $ns <line >ours
	ssh-keygen -q -Y sign -f key -n $ns <line >made 2>/dev/null
	cmp -s ours made || different="$different $i"
done
is "$different" "" "namespaces of 1 to 72 bytes: the same signatures"

ssh-keygen -q -Y sign -f key -n lmodel <line >made 2>/dev/null
run 4 sh -c "'$tool' verify made signers lmodel <long"
like "$err" 'not a signature' "another message"
run 4 sh -c "'$tool' verify made signers file <line"
like "$err" 'not a signature' "another namespace"
run 4 sh -c "'$tool' verify made signers.other lmodel <line"
is "$err" "sig_tool: signed by an unknown key, $print: not in signers.other" "another key"
sed 's/$/\r/' made >crlf
run 0 sh -c "'$tool' verify crlf signers lmodel <line"
{ cat made; echo more; } >more
run 4 sh -c "'$tool' verify more signers lmodel <line"

for kind in rsa ecdsa; do
	ssh-keygen -q -t $kind -N '' -f $kind
	ssh-keygen -q -Y sign -f $kind -n lmodel <line >made.$kind 2>/dev/null
	run 5 sh -c "'$tool' verify made.$kind signers lmodel <line"
	like "$err" "$kind" "$kind: the message names the kind"
	# a line that is left out, before one that counts
	{ echo "alice $(cut -d ' ' -f 1,2 $kind.pub)"; cat signers; } >mixed
	run 0 sh -c "'$tool' verify made mixed lmodel <line"
	like "$err" 'mixed: line 1: left out' "$kind: a key in the list is left out"
	run 5 sh -c "'$tool' verify made $kind.pub lmodel <line"
done
# certificates
ssh-keygen -q -t ed25519 -N '' -f ca
ssh-keygen -q -s ca -I alice -n alice key.pub 2>/dev/null
cp key certified && cp key-cert.pub certified-cert.pub
ssh-keygen -q -Y sign -f certified-cert.pub -n lmodel <line >made.cert 2>/dev/null
run 5 sh -c "'$tool' verify made.cert signers lmodel <line"
like "$err" 'cert-v01' "a certificate: the message names the kind"
echo "alice cert-authority $(cut -d ' ' -f 1,2 ca.pub)" >signers.ca
theirs lmodel made.cert line signers.ca
ok $? "which ssh-keygen takes"
run 5 sh -c "'$tool' verify made signers.ca lmodel <line"
like "$err" 'certificates' "a certificate authority is left out"
rm -f key-cert.pub

# FIDO keys, by a token in software: with and without touch, and PIN
"$tool" fido-key key >fido.pub
is "$(ssh-keygen -l -f fido.pub | cut -d ' ' -f 4)" "(ED25519-SK)" "ssh-keygen knows our FIDO key"
echo "alice $(cut -d ' ' -f 1,2 fido.pub)" >signers.fido
for flags in 0 1 5 255; do
	"$tool" fido key lmodel $flags <line >ours
	theirs lmodel ours line signers.fido
	ok $? "FIDO, flags $flags: ssh-keygen takes it"
	run 0 sh -c "'$tool' verify ours signers.fido lmodel <line"
	fido_print=$(ssh-keygen -l -f fido.pub | cut -d ' ' -f 2)
	is "$out" "alice $fido_print" "FIDO, flags $flags: so do we"
	run 4 sh -c "'$tool' verify ours signers lmodel <line"
done

# ---- allowed_signers files ----

# agree LINE [TIME]: both allow the signature, or both do not.
agree() {
	printf '%s\n' "$1" >listed
	theirs lmodel made line listed ${2:+"-Overify-time=$2"}
	their=$?
	"$tool" verify made listed lmodel ${2:+"$2"} <line >our.out 2>&1
	our=$?
	[ $((their != 0)) -eq $((our != 0)) ] && [ $our -lt 10 ]
	ok $? "$1${2:+ at $2}: $([ $our -eq 0 ] && echo taken || echo refused)"
	[ $((their != 0)) -eq $((our != 0)) ] || sed 's/^/#   /' theirs.out our.out
	case $our in 0) taken=$((taken + 1)) ;; *) refused=$((refused + 1)) ;; esac
}
taken=0 refused=0
ssh-keygen -q -Y sign -f key -n lmodel <line >made 2>/dev/null
agree "alice $public"
agree "  alice	$public  a comment"
agree "\"alice,b b\" $public"
agree "\"alice $public"
agree "alice ${public}A"
agree "alice $public="
agree "alice ${public%?}"
agree "alice ssh-ed25519"
agree "alice"
agree "# alice $public"
agree "alice # $public"
agree "alice $(cut -d ' ' -f 1,2 other.pub)"
for list in lmodel 'l*' '*' 'lm?del' 'l?del' lmode lmodelx '' ',' 'x,lmodel' 'lmodel,x' '!lmodel' \
	'!x,lmodel' 'lmodel,!l*' '!x' '*l' '*o*e*' '**l**' '?*' 'LMODEL' 'lmodel ' 'l[m]odel' \
	'lmo\"del' '*,!?????' '*,!??????' '!' '!,lmodel' '\*' 'a,,lmodel'; do
	agree "alice namespaces=\"$list\" $public"
done
for options in namespaces=lmodel namespaces namespaces= 'namespaces="lmodel' nonsense \
	'namespaces="lmodel"x' 'NameSpaces="lmodel"' 'namespaces="lmodel",' \
	'namespaces="x",namespaces="x"' \
	'namespaces="lmodel",nonsense' 'cert-authority' 'cert-authority,namespaces="lmodel"' \
	'cert-authorityx' 'namespaces="lmodel",valid-after="20200101"' 'valid-after=20200101' \
	'valid-after="20200101",valid-before="20210101"' 'valid-before="99990101Z"' \
	'valid-after="20200102",valid-before="20200101"' \
	'valid-after="20200101",valid-after="20200101"' \
	'valid-after="20200101",valid-before="20200101"' 'valid-after="19700101Z"' \
	'valid-after=""' 'valid-after="2020"' 'valid-after="20201301"' \
	'valid-after="202001012400"' 'valid-after="Z"' \
	'valid-after="202001012360"' 'valid-after="20200101 "' 'valid-after="2020010100"' \
	'valid-after="20200101UTC"' 'valid-after="20200101z"' 'valid-after="20200101GMT"' \
	'valid-after="19600101Z"' 'valid-after="-20200101"' '"valid-after=20200101"'; do
	agree "alice $options $public"
done
for zone in UTC 'CET-1CEST,M3.5.0,M10.5.0/3' 'EST5EDT,M3.2.0,M11.1.0'; do
	export TZ="$zone"
	for day in 20260701 20260110; do
		for time in $day ${day}01 ${day}0100 ${day}010001 ${day}Z ${day}0100Z; do
			for option in valid-after valid-before; do
				for now in 0000 0100 0600; do
					agree "alice $option=\"$time\" $public" "${day}${now}Z"
				done
			done
		done
	done
	agree "alice valid-after=\"20260701\",valid-before=\"20260702\" $public" 20260701120000
done
export TZ=UTC
[ $taken -gt 40 ] && [ $refused -gt 40 ]
ok $? "of these lines, $taken were taken and $refused refused"

# where we are stricter: what ssh-keygen takes, or passes over because of another principal
stricter() {
	printf '%s\n' "$1" "alice $public" >listed
	theirs lmodel made line listed
	ok $? "$1: taken by ssh-keygen"
	"$tool" verify made listed lmodel <line >our.out 2>&1
	status=$?
	[ $status -eq 4 ] || [ $status -eq 5 ]
	ok $? "$1: a failure of ours ($(sed 's/^sig_tool: //' our.out))"
}
stricter "alice valid-after=\"20200230\" $public"
stricter "alice valid-after=\"2020 1 1Z\" $public"
stricter "alice ,namespaces=\"lmodel\" $public"
stricter "bob nonsense $public"
stricter "bob ssh-ed25519 AAAA"
stricter "!bob $public"

# key files as they are
run 0 sh -c "'$tool' verify made key.pub lmodel <line"
is "$out" "someone@somewhere $print" "a public key file: its comment is the name"
printf '%s\n' "$public" >bare.pub
run 0 sh -c "'$tool' verify made bare.pub lmodel <line"
is "$out" "$print $print" "without a comment it is the fingerprint"

# ---- minisign ----

minisign -G -W -p mini.pub -s mini.key >/dev/null
minisign -G -W -p mini2.pub -s mini2.key >/dev/null
name=$(sed -n 's/^untrusted comment: //p' mini.pub)
sed -n 2p mini.pub >mini.bare
sed -i 's/$/\r/' mini2.pub
{ cat mini2.pub signers mini.pub; echo '# the end'; } >all
for file in empty line long; do
	for legacy in '' -l; do
		minisign -S $legacy -s mini.key -m $file -x made.mini -t "for $file" >/dev/null
		if [ $file$legacy = long-l ]; then
			run 4 sh -c "'$tool' verify made.mini all lmodel <$file"
			continue
		fi
		for list in mini.pub mini.bare all; do
			run 0 sh -c "'$tool' verify made.mini $list lmodel <$file"
			is "$out" "$name
for $file" "$file${legacy:+, legacy}: we take minisign's ($list)"
		done
	done
done
minisign -S -s mini.key -m line -x made.mini -t 'a comment' >/dev/null
run 4 sh -c "'$tool' verify made.mini all lmodel <long"
like "$err" 'not a signature' "minisign: another message"
run 4 sh -c "'$tool' verify made.mini mini2.pub lmodel <line"
like "$err" 'unknown minisign key' "minisign: another key"
sed 's/a comment/b comment/' made.mini >forged
run 4 sh -c "'$tool' verify forged all lmodel <line"
minisign -V -q -p mini.pub -m line -x forged >/dev/null 2>&1
is $? 1 "minisign: a trusted comment that was changed"
minisign -S -s mini2.key -m line -x made2.mini -t 'a comment' >/dev/null
run 0 sh -c "'$tool' verify made2.mini all lmodel <line"
like "$out" 'a comment' "minisign: another key of the same file"
# the list stays one for ssh-keygen
run 0 sh -c "'$tool' verify made all lmodel <line"
theirs lmodel made line all
ok $? "ssh-keygen passes over minisign's lines"
{ cat key.pub; cat signers; } >both
theirs lmodel made line both
ok $? "ssh-keygen passes over a public key line"
run 4 sh -c "'$tool' verify made made.mini lmodel <line"
done_testing
