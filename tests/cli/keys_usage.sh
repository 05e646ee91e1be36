# Command lines about tiers and keys that make no sense, and how passphrases are asked for.
# shellcheck disable=SC2086 # $p, $g and the like are command lines
. "${srcdir:-.}/tests/lib/tap.sh"

# usage "MESSAGE" COMMAND ARGUMENT...
usage() {
	usage_message=$1
	shift
	lmodel "$@" >out 2>err </dev/null
	is "$?: $(cat out)" "2: " "exit status 2, nothing on standard output: $usage_message"
	is "$(cat err)" "lmodel: $usage_message
Try 'lmodel $1 --help'." "message and hint: $usage_message"
}

python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors a.w:F32:16x16 || exit 99
lmodel pack m.safetensors || exit 99
cp m.lmodel before.lmodel
: >key.txt
printf 'age1one\n' >people
p="pack -f -o out.lmodel m.safetensors"
owner="--owner age1owner"
# In two parts, so that nothing takes this for a key that leaked.
secret=AGE-SECRET-KEY-
secret=${secret}1QQPQQPQQPQQPQQPQQPQQPQQPQQP
ssh='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA=='

# ---- tiers ----

while IFS='|' read -r tier wrong; do
	usage "option '--tier': '$tier' $wrong" $p $owner --tier "$tier"
done <<'T'
|does not begin with a tier's name: 1 to 64 of A-Z a-z 0-9 . _ -, no . or - first
=4%|does not begin with a tier's name: 1 to 64 of A-Z a-z 0-9 . _ -, no . or - first
.g=4%|does not begin with a tier's name: 1 to 64 of A-Z a-z 0-9 . _ -, no . or - first
-g=4%|does not begin with a tier's name: 1 to 64 of A-Z a-z 0-9 . _ -, no . or - first
go ld=4%|does not begin with a tier's name: 1 to 64 of A-Z a-z 0-9 . _ -, no . or - first
gold=|has no amount such as 1000 (units), 4% or 0.04 (a share of them)
gold=%|has no amount such as 1000 (units), 4% or 0.04 (a share of them)
gold=.|has no amount such as 1000 (units), 4% or 0.04 (a share of them)
gold=-4%|has no amount such as 1000 (units), 4% or 0.04 (a share of them)
gold=4%%|has no amount such as 1000 (units), 4% or 0.04 (a share of them)
gold=4,5%|has no amount such as 1000 (units), 4% or 0.04 (a share of them)
gold=1e3|has no amount such as 1000 (units), 4% or 0.04 (a share of them)
gold=0x10|has no amount such as 1000 (units), 4% or 0.04 (a share of them)
gold=inf|has no amount such as 1000 (units), 4% or 0.04 (a share of them)
gold=1=2|has no amount such as 1000 (units), 4% or 0.04 (a share of them)
gold=0|is a tier of nothing
gold=0%|is a tier of nothing
gold=0.0|is a tier of nothing
gold=1.1|is more than there is (100%, 1.0)
gold=101%|is more than there is (100%, 1.0)
gold=99999999999999999999|is too large a number of units
T
usage "option '--tier': 'x' has no amount: NAME=AMOUNT" $p $owner --tier x
usage "option '--tier': 'x' has no amount: NAME=AMOUNT" $p $owner --tier x --reference r --tier y=4%
usage "option '--tier': 'x' is given twice" $p $owner --tier x=1% --tier x=2%
usage "option '--tier': 'b' is not more than 'a': a tier counts those below it" $p $owner \
	--tier a=8% --tier b=0.08
usage "option '--tier': 'b' is not more than 'a': a tier counts those below it" $p $owner \
	--tier a=8 --tier b=7
long=$(printf '%065d' 0)
usage "option '--tier': '$long=4%' does not begin with a tier's name: 1 to 64 of A-Z a-z 0-9 . _ -, no . or - first" \
	$p $owner --tier "$long=4%"
many=
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17; do many="$many --tier t$i=$i"; done
usage "option '--tier': 't17=17' is one too many: there can be 16 tiers" $p $owner $many

usage "option '--select': 'best' is not one of pss, magnitude, random, all" $p --select best
usage "option '--mask': 'none' is not one of dprm, zero, deep-lock, perturb" $p --mask none
usage "option '--unit': 'layer' is not one of default, element, slice, row, column, block" $p --unit layer
usage "option '--scope': 'all' is not one of equal, model, layer" $p --scope all
usage "--select all takes all: --tier x, without an amount" $p $owner --select all --tier x=4%
usage "--select all makes one tier" $p $owner --select all --tier x --tier y
usage "--scores is for --select pss and magnitude" $p $owner --tier x=1 --select random --scores s
usage "--raw-scores is for --select pss and magnitude" $p $owner --tier x --select all --raw-scores
usage "with --reference the base shows that file: --mask perturb, or none" $p $owner --tier x \
	--reference r --mask zero
usage "--mask perturb shows weights that were perturbed: --reference FILE" $p $owner --tier x=4% \
	--mask perturb
usage "--reference and --ancestor exclude each other" $p $owner --tier x --reference r --ancestor a
for not in "select pss" "unit row" "scope model" "reference r" "ancestor a"; do
	usage "--mask deep-lock locks every tensor whole: not with --${not% *}" $p $owner --tier x \
		--mask deep-lock --${not% *} ${not#* }
done
usage "--scores is for --select pss and magnitude" $p $owner --tier x --mask deep-lock --scores s
usage "--mask deep-lock makes one tier" $p $owner --tier x --tier y --mask deep-lock
usage "--mask deep-lock takes all: --tier x, without an amount" $p $owner --tier x=4% \
	--mask deep-lock
usage "--ancestor is for archives with tiers: --tier NAME=AMOUNT" $p --ancestor a
usage "with --seed the keys follow from it: --test-keys says that they may" $p $owner --tier x=1 --seed 00
usage "--test-keys is for --seed" $p $owner --tier x=1 --test-keys

# without a tier there is nothing that these could be about
for o in "--select pss" "--mask dprm" "--unit row" "--scope model" "--scores s" --raw-scores \
	"--reference r" "--include a" "--exclude a" "--owner age1x" "--recipient age1x=gold" \
	"--recipients-file people=gold" "--audit age1x" "--passphrase gold" "--passphrase-file people" \
	"--passphrase-fd 0" --test-keys; do
	usage "${o%% *} is for archives with tiers: --tier NAME=AMOUNT" $p $o
done

# ---- whom to let in, at pack time ----

usage "an archive with tiers needs an owner: --owner RECIPIENT" $p --tier gold=4%
usage "an archive with tiers needs an owner: --owner RECIPIENT" $p --tier gold=4% -r age1x=gold --audit age1y
gold="$p $owner --tier silver=1 --tier gold=2"
usage "option '--recipient': 'age1x' is not RECIPIENT=TIER" $gold -r age1x
usage "option '--recipient': 'age1x=' is not RECIPIENT=TIER" $gold -r age1x=
usage "option '--recipient': '=gold' is not RECIPIENT=TIER" $gold -r =gold
usage "option '--recipient': ' ' has no recipient" $gold -r ' =gold'
usage "option '--recipient': there is no --tier 'platinum'" $gold -r age1x=platinum
usage "option '--recipient': '$ssh' is not RECIPIENT=TIER" $gold -r "$ssh"
usage "option '--recipient': ' alice@example' is not a tier's name" $gold -r "$ssh alice@example"
usage "option '--recipient': there is no --tier 'b'" $gold -r "$ssh a=b"
usage "option '--recipients-file': 'people' is not FILE=TIER" $gold -R people
usage "option '--recipients-file': there is no --tier 'tin'" $gold -R people=tin
usage "option '--passphrase': there is no --tier 'tin'" $gold --passphrase tin
usage "--passphrase-file is for one --passphrase TIER" $gold --passphrase-file people
usage "--passphrase-fd is for one --passphrase TIER" $gold --passphrase-fd 0 --passphrase gold --passphrase silver
usage "--passphrase-file and --passphrase-fd exclude each other" $gold --passphrase gold \
	--passphrase-file people --passphrase-fd 0
usage "one thing alone can come from standard input" pack -o x.lmodel - $owner --tier gold=4% -R -=gold
usage "one thing alone can come from standard input" $gold -R -=gold --passphrase gold --passphrase-fd 0

# ---- grant, revoke, strip, keygen ----

g="grant m.lmodel -i key.txt"
usage "--tier NAME, --audit or --owner is missing" $g -r age1x
usage "--tier, --audit and --owner exclude each other" $g -r age1x --tier gold --audit
usage "--tier, --audit and --owner exclude each other" $g -r age1x --owner --audit
usage "nobody to let in: --recipient, --recipients-file or --passphrase" $g --tier gold
usage "an owner's key is missing: -i OWNER" grant m.lmodel --tier gold -r age1x
usage "--detached and --push are for a recipient: no passphrase" $g --tier gold --passphrase --detached x
usage "--detached is for one recipient" $g --tier gold -r age1x -R people --detached x
usage "--force is for --detached FILE" $g --tier gold -r age1x -f
usage "--json and --detached - both need standard output" $g --tier gold -r age1x --json --detached -
usage "--passphrase-file and --passphrase-fd exclude each other" $g --tier gold --passphrase-file x --passphrase-fd 0
usage "option '--passphrase-fd': 'x' is not the number of a file descriptor" $g --tier gold --passphrase-fd x
usage "option '--passphrase-fd': '-1' is not the number of a file descriptor" $g --tier gold --passphrase-fd -1
usage "option '--passphrase-fd': '2147483648' is not the number of a file descriptor" $g --passphrase-fd 2147483648
usage "option '--recipient': '' has no recipient" $g --tier gold -r ''
usage "grant works on files, not on standard streams" grant - -i key.txt --tier gold -r age1x
usage "one thing alone can come from standard input" grant m.lmodel -i - --tier gold -R -
usage "ARCHIVE is missing" grant -i key.txt
usage "'more' is one argument too many" $g more

usage "a SLOT, --label or --recipient is missing" revoke m.lmodel -i key.txt
usage "an owner's key is missing: -i OWNER" revoke m.lmodel 3
for slot in 0 x 1x 4294967296 99999999999999999999 ''; do
	usage "'$slot' is not the number of a slot" revoke -i key.txt m.lmodel 1 "$slot"
done
usage "option '--label': '' is empty" revoke m.lmodel -i key.txt --label ''
usage "option '--recipient': '' is empty" revoke m.lmodel -i key.txt -r ''
usage "revoke works on files, not on standard streams" revoke - -i key.txt 3
usage "ARCHIVE is missing" revoke -i key.txt

usage "--tier NAME or --base is missing" strip m.lmodel -o x.lmodel
usage "--tier and --base exclude each other" strip m.lmodel -o x.lmodel --base --tier gold
usage "-o OUT is missing" strip m.lmodel --base
usage "strip works on files, not on standard streams" strip m.lmodel --base -o -
usage "strip works on files, not on standard streams" strip - --base -o x.lmodel

usage "--recipients and --output exclude each other" keygen -o x -y key.txt
usage "'more' is one argument too many" keygen more
usage "option '--output': '' is empty" keygen -o ''

# ---- extract, cat, inspect, verify ----

for c in "extract -o x.safetensors m.lmodel" "cat m.lmodel a.w"; do
	usage "--tier and --base exclude each other" $c --tier gold --base
	usage "--tier and --allow-absent exclude each other" $c --tier gold --allow-absent
done
for c in "extract -o x.safetensors m.lmodel" "cat m.lmodel a.w" "inspect m.lmodel" "verify m.lmodel"; do
	usage "--passphrase-file and --passphrase-fd exclude each other" $c --passphrase-file x --passphrase-fd 0
	usage "--passphrase asks on the terminal: not with --passphrase-file" $c --passphrase --passphrase-file x
	usage "--passphrase asks on the terminal: not with --passphrase-fd" $c --passphrase --passphrase-fd 0
	usage "one thing alone can come from standard input" $c -i - --passphrase-fd 0
	usage "one thing alone can come from standard input" $c -i - --passphrase-file -
	usage "one thing alone can come from standard input" $c -i - -i -
done
usage "one thing alone can come from standard input" extract - -i -
run 2 lmodel extract -o x.safetensors m.lmodel --tier gold
is "$err" "lmodel: m.lmodel: no tier 'gold'" "a tier that is not there"
for c in "extract -q -o x.safetensors m.lmodel" "inspect m.lmodel" "verify m.lmodel"; do
	run 0 env LMODEL_IDENTITY=missing lmodel $c
	is "$err" "" "$c: an identity in the environment does no harm where nothing is locked"
	rm -f x.safetensors
done

# ---- secret keys are not repeated ----

lower=$(printf '%s' "$secret" | tr "[:upper:]" "[:lower:]")
printf 'age1one\n# %s\n  %s\n' comment "$secret" >leaky
for s in "$secret" "x $lower=y" '-----BEGIN OPENSSH PRIVATE KEY-----'; do
	hidden="that is a secret key, not a recipient; 'lmodel keygen -y FILE' tells the recipient"
	usage "option '--recipient': $hidden" $g --tier gold "--recipient=$s"
	usage "option '--recipient': $hidden" revoke m.lmodel -i key.txt "--recipient=$s"
	usage "option '--recipient': $hidden" $gold "--recipient=$s=gold"
	usage "option '--recipient': $hidden" $gold "--recipient=$s"
	usage "option '--owner': $hidden" $p --tier gold=1 "--owner=$s"
	usage "option '--audit': $hidden" $gold "--audit=$s"
done
run 2 lmodel $g --tier gold -R leaky
is "$err" "lmodel: leaky: line 3 is a secret key, not a recipient; 'lmodel keygen -y FILE' tells the recipient" \
	"a secret key in a file of recipients"

# ---- files of recipients and passphrases ----

run 1 lmodel $g --tier gold -R missing
is "$err" "lmodel: missing: No such file or directory" "no such file of recipients"
printf '# nobody\n\n \t\n' >nobody
run 2 lmodel $g --tier gold -R nobody
is "$err" "lmodel: nobody: no recipient in it" "a file of comments"
head -c 9000 /dev/zero | tr '\0' a >wide
run 6 lmodel $g --tier gold -R wide
is "$err" "lmodel: wide: line 1 is longer than 8190 bytes" "a line without end"
run 1 lmodel $g --tier gold -R .
like "$err" "^lmodel: \\.: Is a directory$" "a directory of recipients"
: >empty
printf '\n' >newline
head -c 1025 wide >long
for f in empty newline; do
	run 2 lmodel $g --tier gold --passphrase-file $f
	is "$err" "lmodel: the new passphrase is empty" "an empty passphrase: $f"
done
run 2 sh -c "exec lmodel $g --tier gold --passphrase-fd 5 5<empty"
is "$err" "lmodel: the new passphrase is empty" "an empty passphrase: descriptor"
run 6 lmodel $g --tier gold --passphrase-file long
is "$err" "lmodel: the new passphrase is longer than 1024 bytes" "a long passphrase"
run 6 lmodel $g --tier gold --passphrase-file wide
is "$err" "lmodel: the new passphrase is longer than 1024 bytes" "a longer passphrase"
run 1 lmodel $g --tier gold --passphrase-file missing
is "$err" "lmodel: missing: No such file or directory" "no such file of a passphrase"
run 1 lmodel $g --tier gold --passphrase-fd 77
is "$err" "lmodel: file descriptor 77: Bad file descriptor" "a descriptor that is not open"
run 2 sh -c "exec lmodel $g --tier gold --passphrase-file - </dev/null"
is "$err" "lmodel: the new passphrase is empty" "an empty standard input"

# ---- the terminal ----

run 1 setsid -w lmodel $g --tier gold --passphrase
is "$err" "lmodel: no terminal to ask for the new passphrase: --passphrase-file or --passphrase-fd" \
	"no terminal"

# terminal.py KEYS COMMAND...: runs the command on a terminal of its own, as the foreground job of a
# little shell, and types one of KEYS for each question, which begins with a capital letter and ends
# in ": ". Prints whether the terminal echoes at each step, and the screen.
cat >terminal.py <<'P'
import os, pty, re, signal, sys, termios

def echo(fd):
    return bool(termios.tcgetattr(fd)[3] & termios.ECHO)

def say(text):
    os.write(1, ("%s, echo: %s\n" % (text, echo(0))).encode())

def shell(command):
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execvp(command[0], command)
    while os.WIFSTOPPED(status := os.waitpid(child, os.WUNTRACED)[1]):
        say("stopped")
        os.kill(child, signal.SIGCONT)
    say("status: %d" % os.waitstatus_to_exitcode(status))
    os._exit(0)

keys = sys.argv[1].split(",")
special = {"INT": b"\x03", "EOF": b"\x04", "STOP": b"\x1a"}
pid, fd = pty.fork()
if pid == 0:
    shell(sys.argv[2:])
screen, seen = b"", 0
while True:
    try:
        some = os.read(fd, 4096)
    except OSError:  # the shell has ended
        break
    screen += some
    if keys and re.search(rb"^[A-Z].*: $", screen[seen:], re.M):
        seen = len(screen)
        key = keys.pop(0)
        print("asked, echo:", echo(fd))
        if key == "TERM":
            os.kill(os.tcgetpgrp(fd), signal.SIGTERM)
        else:
            os.write(fd, special.get(key, key.encode() + b"\n"))
os.waitpid(pid, 0)
print(screen.decode().replace("\r\n", "\n"), end="")
P
asked="asked, echo: False"
question="New passphrase: "
terminal() {
	run 0 timeout 60 python3 terminal.py "$1" lmodel $g --tier gold --passphrase
}
terminal one,two
is "$out" "$asked
$asked
$question
The same again: 
lmodel: the two passphrases differ
status: 2, echo: True" "two passphrases that differ"
terminal ''
is "$out" "$asked
$question
lmodel: the new passphrase is empty
status: 2, echo: True" "an empty passphrase"
terminal EOF
is "$out" "$asked
$question
lmodel: no new passphrase was typed
status: 1, echo: True" "the end of the terminal"
for s in INT:-2 TERM:-15; do
	terminal "${s%:*}"
	is "$out" "$asked
$question
status: ${s#*:}, echo: True" "${s%:*} ends it, and the terminal is as before"
done
terminal STOP,one,two
is "$out" "$asked
$asked
$asked
$question
stopped, echo: True
$question
The same again: 
lmodel: the two passphrases differ
status: 2, echo: True" "stopped and continued: asked anew"

same m.lmodel before.lmodel "the archive is as it was"
leftovers "nothing is left"
[ ! -e out.lmodel ] && [ ! -e x.lmodel ] && [ ! -e x.safetensors ] && [ ! -e x ]
ok $? "nothing was written by any of these"
done_testing
