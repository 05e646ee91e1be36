# Help, manual pages and parser say the same.
. "${srcdir:-.}/tests/lib/tap.sh"

commands="pack list inspect extract cat audit verify diff keygen grant revoke rekey sign strip repack transform push pull"
man=$srcdir/bin/man

page_of() {
	if [ "$1" = lmodel ]; then echo "$man/lmodel.1"; else echo "$man/lmodel-$1.1"; fi
}

# Options as --help shows them: "-o, --output OUT", one a line.
help_options() {
	sed -n '/^Options:/,/^$/s/^ \{2,6\}\(-[^ ]*\( [^ ]\{1,\}\)*\).*/\1/p' | sort
}

# The same from the .It lines of the OPTIONS section.
page_options() {
	awk '/^\.Sh /{ in_options = $2 == "OPTIONS" }
	in_options && /^\.It Fl/ {
		text = ""
		for (i = 2; i <= NF; i++) {
			if ($i == "Fl") { text = text " -" $(++i) }
			else if ($i == "Ar") { text = text " " $(++i) }
			else if ($i == ",") { text = text "," }
			else text = text " ?" $i
		}
		print substr(text, 2)
	}' "$1" | sort
}

# The SYNOPSIS section as one line: "lmodel pack [-o OUT] [options] INPUT...".
page_synopsis() {
	awk '/^\.Sh /{ in_synopsis = $2 == "SYNOPSIS"; next }
	in_synopsis {
		text = ""
		for (i = $1 == ".Op" ? 2 : 1; i <= NF; i++) {
			if ($i == "Fl") text = text " -" $(++i)
			else if ($i != ".Nm" && $i != ".Ar" && $i != "Ar") text = text " " $i
		}
		text = substr(text, 2)
		printf "%s%s", sep, $1 == ".Op" ? "[" text "]" : text
		sep = " "
	}' "$1"
}

check_help() {
	name=$1
	shift
	run 0 "$@"
	is "$err" "" "$*: nothing on standard error"
	is "$(printf '%s\n' "$out" | awk 'length($0) > 80')" "" "$*: at most 80 columns"
	is "$(printf '%s\n' "$out" | sed -n 's/^Usage: //p')" "$(page_synopsis "$(page_of "$name")")" \
		"$name: synopsis of help and manual page"
	is "$(printf '%s\n' "$out" | help_options)" "$(page_options "$(page_of "$name")")" \
		"$name: options of help and manual page"
	like "$(printf '%s\n' "$out" | help_options)" "^-h, --help$" "$name: the options were found"
}

check_help lmodel lmodel --help
program_help=$out
check_help lmodel lmodel help
check_help lmodel lmodel -h
is "$(printf '%s\n' "$out" | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' | tr '\n' ' ')" "$commands " \
	"every command is tested"
is "$(sed -n 's/^\.It Cm \([a-z]*\)$/\1/p' "$man/lmodel.1" | tr '\n' ' ')" "$commands " \
	"lmodel.1 names every command"

version=$(sed -n 's/^#define LMODEL_VERSION_STRING "\(.*\)"/\1/p' \
	"$srcdir/libfmt/include/lmodel/version.h")
for option in --version -V; do
	run 0 lmodel $option
	is "$out" "lmodel $version" "lmodel $option"
done

for c in $commands; do
	check_help "$c" lmodel "$c" --help
	text=$out
	run 0 lmodel help "$c"
	is "$out" "$text" "lmodel help $c = lmodel $c --help"
	run 0 lmodel "$c" -h
	is "$out" "$text" "lmodel $c -h = lmodel $c --help"
	is "$(sed -n 's/^\.It Cm //; /^'"$c"'$/{n;s/;$//p;}' "$man/lmodel.1")" \
		"$(printf '%s\n' "$program_help" | sed -n "s/^  $c  *//p")" "$c: one summary"

	# The parser takes each option that help shows, and needs an argument where help says so.
	printf '%s\n' "$text" | help_options >options
	while read -r line; do
		for word in $line; do
			case $word in
			-h, | --help | [!-]*) continue ;;
			esac
			word=${word%,}
			case $line in
			*--*' '*)
				argument=${line##* }
				lmodel "$c" "$word" >/dev/null 2>err
				ok $(($? != 2)) "$c $word alone: usage"
				like "$(head -n 1 err)" "needs an argument$" "$c $word needs $argument"
				;;
			*)
				lmodel "$c" "$word" --help >/dev/null 2>err
				ok $? "$c $word is taken"
				case $word in --*)
					lmodel "$c" "$word=x" 2>err
					like "$(head -n 1 err)" "takes no argument$" "$c $word=x"
					;;
				esac
				;;
			esac
		done
	done <options

	# A usage error is one line and where to look, on standard error.
	run 2 lmodel "$c" --no-such-option
	is "$out" "" "$c: usage error prints nothing on standard output"
	is "$err" "lmodel: unknown option '--no-such-option'
Try 'lmodel $c --help'." "$c: usage error"
done

for section in NAME SYNOPSIS DESCRIPTION OPTIONS "EXIT STATUS" EXAMPLES "SEE ALSO"; do
	is "$(grep -L "^\.Sh $section\$" "$man"/*.1)" "" "every page has $section"
done

if command -v mandoc >/dev/null; then
	cd "$man" && lint=$(mandoc -Tlint -- *.1 2>&1)
	is "$lint" "" "mandoc -Tlint"
	cd "$tap_dir" || exit 99
else
	tap_count=$((tap_count + 1))
	echo "ok $tap_count - mandoc -Tlint # SKIP no mandoc"
fi
done_testing
