# Documents say what the code says.
. "${srcdir:-.}/tests/lib/tap.sh"

spec=$srcdir/spec/lmodel-format.md
lib=$srcdir/libfmt
documents="README.md HACKING.md SECURITY.md spec/lmodel-format.md spec/worked-example.md"

for d in $documents spec/make-example.py; do
	[ -s "$srcdir/$d" ]
	ok $? "$d is there"
done

# ---- the worked example ----

run 0 python3 "$srcdir/spec/make-example.py" "$builddir/bin/lmodel"
same .out "$srcdir/spec/worked-example.md" "spec/worked-example.md is what make-example.py prints"

# ---- constants ----

# value NAME FILE: of a macro or an enumerator, as a decimal number.
value() {
	v=$(sed -n -e "s/^#define[[:space:]]\{1,\}$1[[:space:]]\{1,\}\([^/]*\).*/\1/p" \
		-e "s/^.*[[:space:]]$1 = \([^,}]*\).*/\1/p" "$lib/$2" | head -n 1 |
		sed -e 's/UINT[0-9]*_C(\([0-9]*\))/\1/g' -e 's/\([0-9]\)u/\1/g')
	[ -n "$v" ] && echo $((v))
}

# says PATTERN NAME: some line of the specification has it.
says() {
	grep -Eq -- "$1" "$spec"
	ok $? "spec: $2"
}

# constant NAME FILE PATTERN: PATTERN, with the value in place of @, is in the specification.
constant() {
	v=$(value "$1" "$2")
	like "$v" '^[0-9]+$' "$1 is a number in $2"
	says "$(printf '%s\n' "$3" | sed "s/@/$v/g")" "$1 is $v"
}

layout=container/layout.h
pack=include/lmodel/pack.h
inputs=import/source.h
constant LM_SLOT_LIMIT $layout '^\| manifest slot \| @ bytes'
constant LM_SLOT_FOOTER $layout '^\| 12 \| 4 \| u32 \| footer length \| @ \|'
constant LM_SLOT_FOOTER $layout '^    R    = align\(image \+ room \+ @, '
constant LM_SLOT_ALIGN $layout '^R is a multiple of @, '
constant LM_SLOT_A_OFFSET $layout '^\| @ \| R \| slot A \|'
constant LM_TAR_END $layout '^\| \*committed length\* \| @ \|'
constant LM_TAR_HEADER_MAX $layout 'A header of @ bytes holds'
constant LM_LOCK_READER $layout '^\| @ \| a reader,'
constant LM_LOCK_WRITER $layout '^\| @ \| a writer, all'
constant LM_CHUNK_LEN_BITS manifest/manifest.h '^\| 31 to @ \| method'
constant LMODEL_CHUNK_MIN $pack '^\| raw bytes of a chunk \| @ to '
constant LMODEL_CHUNK_MAX $pack '^\| raw bytes of a chunk \| .* to @,'
constant LMODEL_CHUNK_DEFAULT $pack '^\| raw bytes of a chunk \|.*; @ unless'
constant LM_PATH_LIMIT base/base.h '^\| name of a source or attachment \| @ bytes'
constant LM_NAME_LIMIT $inputs '^\| name of a tensor \| @ bytes'
constant LM_RANK_LIMIT $inputs '^\| dimensions of a tensor \| @ \|'
constant LM_TENSOR_LIMIT $inputs '^\| tensors of one archive \| @ \|'
constant LM_HEADER_LIMIT $inputs '^\| header of a safetensors input.*\| @ bytes'
constant LM_DEPTH_LIMIT base/json.h '^\| nesting of JSON in an input \| @ \|'
tiers=manifest/manifest.h
constant LM_TIER_ROW_LIMIT $tiers '^\| tiers \| @ \|'
constant LM_TIER_ROW_LIMIT $tiers '^Table `tier`, lowest first, at most @ rows'
constant LM_TIER_ROW_LIMIT $tiers '^There are 1 to @ tier lines'
constant LM_TIER_NAME_LIMIT $tiers '^\| name of a tier \| @ bytes'
constant LM_TIER_NAME_LIMIT $tiers '^\| name \| 1 to @ of `A-Z'
constant LM_AMOUNT_LIMIT $tiers '^\| amount of a tier \| @ bytes'
constant LM_AMOUNT_LIMIT $tiers '^\| amount \| .*1 to @ bytes of'
constant LM_SLOT_ROW_LIMIT $tiers '^\| key slots \| @ \|'
constant LM_SLOT_ROW_LIMIT $tiers '^Table `key_slot` .*at most @ rows'
constant LM_SLOT_ID_LIMIT $tiers '^\| id of a key slot \| @ \|'
constant LM_SLOT_ID_LIMIT $tiers '^\| id \| 1 to @, rising'
constant LM_GRANT_LIMIT $tiers '^\| age file of a key slot \| @ bytes'
constant LM_GRANT_LIMIT $tiers '^\| grant \| an age file of 1 to @ bytes'
constant LM_BOOK_LIMIT $tiers '^\| customer book, encrypted \| @ bytes'
constant LM_BOOK_LIMIT $tiers '^\| book \| .*encrypted: 1 to @ bytes'
constant LM_SIGNATURE_ROW_LIMIT $tiers "^\| publishers' signatures \| @ \|"
constant LM_SIGNATURE_ROW_LIMIT $tiers '^Table `signature`, .*at most @ rows'
constant LM_SIGNATURE_FILE_LIMIT $tiers "^\| file of a publisher's signature \| @ bytes"
constant LM_SIGNATURE_FILE_LIMIT $tiers '^\| bytes \| a signature file .*1 to @ bytes'
constant LM_SIGNERS_FILE crypto/sig/signers.h '^\| file of signers \| @ bytes'
constant LM_SIGNERS_LINE crypto/sig/signers.h '^\| line of a file of signers \| @ bytes'
constant LM_SIGNERS_LIMIT crypto/sig/signers.h '^\| keys in a file of signers \| @ \|'
constant LM_MINISIGN_LEGACY crypto/sig/minisign.h 'has at *most @ bytes|^most @ bytes'
constant TEXT_LIMIT keys/memory.c '^\| memory of an archive \| @ bytes'
constant LM_BOOK_LIMIT $tiers '^\| book of detached grants, encrypted \| @ bytes'
constant LM_SEALED_LIMIT crypto/chunked.h '^\| plaintext of a stream \| @ bytes'
constant LM_SEALED_CHUNK crypto/chunked.h '^\| 56 \| \| chunks: @ bytes of plaintext each'
constant LM_AGE_FILE_LIMIT crypto/age/age.h '^\| key file, detached grant \| @ bytes'
constant LM_AGE_SCRYPT_WRITE crypto/age/age.h '^\| work factor .* of a passphrase \| @ when written'
constant LM_AGE_SCRYPT_READ crypto/age/age.h '^\| work factor .*, @ at most when read'
constant LM_AGE_SCRYPT_READ crypto/age/age.h 'work *factor above @ MUST NOT|^factor above @ MUST NOT'
constant LM_PASSPHRASE_COST_LIMIT keys/keyring.h '^\| tries of passphrases .* \| @ \|'
constant LM_PASSPHRASE_COST_LIMIT keys/keyring.h 'when the sum is over @ '
constant PASSPHRASE_LIMIT keys/keyring.c '^\| passphrase \| @ bytes'
constant LABEL_LIMIT keys/book.c '^\| label in a customer book \| @ bytes'
constant LMODEL_FORMAT_VERSION include/lmodel/version.h '^\| 8 \| 4 \| u32 \| format version \| @ \|'
constant LMODEL_FORMAT_VERSION include/lmodel/version.h '^Status: format version @,'
constant LM_SQLITE_USER_VERSION manifest/hardened.h '^\| 60 \| 4 \| @: `user_version`'
constant LM_PLANE_ENTRY codec/context.h '^A chunk of method 3 or 4 .*, @ bytes each:'
constant DIGEST_AT container/slot.c '^\| @ \| 32 \| bytes \| digest \|'
constant OP_LITERAL archive/skeleton.c '^\| 0 \| 1 \| u8 \| @: literal \|'
constant OP_TENSORS archive/skeleton.c '^\| 0 \| 1 \| u8 \| @: tensors \|'
constant SMALLEST container/slot.c 'clamp\(payload / 32768, clamp\(payload / 1024, @, '
constant LARGEST container/slot.c 'clamp\(payload / 32768, clamp\(.*\), @\)\)'
constant FEW container/slot.c 'room \+ clamp\(payload / 1024, @, '
constant MANY container/slot.c 'room \+ clamp\(payload / 1024, [0-9]*, @\)'
constant SMALL archive/bundle.c 'joins \(3.3\) each row of at most @ raw'
constant MOST archive/bundle.c 'would have more than @ raw'
constant CUT container/tar.c '^ *its first @ bytes'
says "$(printf '0x%x\\) == 0x%x' "$(value DESCRIPTOR_MASK codec/frame.c)" \
	"$(value DESCRIPTOR codec/frame.c)")" "frame descriptor"
says "$(printf '0x%x' "$(value LM_SQLITE_APPLICATION_ID manifest/hardened.h)")" "application id"
for name in LM_MIMETYPE LM_MIMETYPE_MEMBER LM_SLOT_A_MEMBER LM_SLOT_B_MEMBER; do
	text=$(sed -n "s/^#define $name \"\(.*\)\"/\1/p" "$lib/$layout")
	grep -Fq "\`${text:-?}\`" "$spec"
	ok $? "spec: $name is $text"
done
for text in $(grep -oh '"lmodel-[a-z-]*-v1' "$lib/archive/content.c" "$lib/archive/unlock.c" \
	"$lib/keys/grant.c" "$lib/keys/book.c" "$lib/keys/memory.c" | tr -d '"'); do
	says "$text" "domain $text"
done
contexts=0
for text in $(grep -oh '"lmodel/1/[a-z-]\{1,\}' "$lib/archive/shard.c" "$lib/keys/book.c" \
	"$lib/keys/memory.c" | tr -d '"'); do
	says "[\"\`]$text[\"\`]" "context $text"
	contexts=$((contexts + 1))
done
is "$contexts" 4 "all contexts were looked for"

# Labels of derived keys.
labels=0
for label in $(sed -n 's/^#define LM_LABEL_[A-Z_]* "\(.*\)"/\1/p' "$lib/keys/tier_keys.h" |
	tr ' ' _); do
	says "^\| labels of derived keys .*\`$(echo "$label" | tr _ ' ')\`" "label $label"
	labels=$((labels + 1))
done
is "$labels" 7 "all labels were looked for"
label=$(sed -n 's/^#define BOOK_LABEL "\(.*\)"/\1/p' "$lib/keys/memory.c")
says "^\| labels of derived keys .*\`${label:-?}\`" "label $label"
namespace=$(sed -n 's/^#define LMODEL_SIGNATURE_NAMESPACE "\(.*\)"/\1/p' "$lib/include/lmodel/sign.h")
says "^\| namespace of SSH signatures .*\`${namespace:-?}\`" "namespace $namespace"
for kind in $(sed -n 's/^#define KIND_[A-Z]* "\(.*\)"/\1/p' "$lib/archive/sign.c"); do
	says "^\| kinds of publishers' signatures .*\`$kind\`" "kind $kind"
done

# Ids: enum NAME = number, in lower case, in a row of its own.
ids=0
for pair in $(sed -n 's/^\tLM_\(METHOD\|PLANE\)_\([A-Z0-9]*\) = \([0-9]*\),.*/\2:\3/p' \
	"$lib/codec/codec.h" | tr A-Z a-z); do
	says "^\\| ${pair#*:} \\| ${pair%:*} \\|" "method ${pair#*:} is ${pair%:*}"
	ids=$((ids + 1))
done
is "$ids" 10 "all methods were looked for"

# Element types: name, bits, coding; quantised ones: name, elements and bytes of a block.
{
	sed -n 's/^\t{ "\([A-Z0-9_]*\)", \([0-9]*\), "\([wf][0-9]\)".*/\1 \2 \3/p' "$lib/base/dtype.c"
	sed -n 's/^\tQUANTISED("\([A-Z0-9_]*\)", \([0-9]*\), \([0-9]*\), .*/\1 \2 \3/p' \
		"$lib/base/dtype.c"
} | sort >types
sed -n '/^### 3.4/,/^### 3.5/p' "$spec" | awk -F ' *[|] *' '$3 ~ /^[0-9]+$/ {
	n = split($2, names, ", "); for (i = 1; i <= n; i++) print names[i], $3, $4 }' |
	sort >types.spec
same types types.spec "element types"
like "$(cat types)" '^Q4_K 256 144$' "quantised types were found"
like "$(cat types)" '^BF16 16 f2$' "element types were found"
like "$(tr '\n' ' ' <types.spec)" 'F4 4 w1' "element types were found in the specification"

# Tables and columns of the manifest.
missing=
columns=0
table=
while read -r word rest; do
	case $word in
	--* | \) | '') continue ;;
	CREATE)
		table=${rest#TABLE }
		table=${table%% *}
		grep -Eq "Table \`$table\`" "$spec" || missing="$missing $table"
		continue
		;;
	esac
	columns=$((columns + 1))
	grep -Eq "^\| $word( \||,)|\`$word\`" "$spec" || missing="$missing $table.$word"
done <"$srcdir/schema/manifest.sql"
is "$missing" "" "tables and columns of the manifest"
[ "$columns" -gt 35 ]
ok $? "columns were found ($columns)"

# ---- references ----

# Sections that the code cites; "distribution-spec 1.1" is another document.
grep -rhoE '(^|[^-])spec:? [0-9]+(\.[0-9]+)?( to [0-9]+\.[0-9]+)?' "$lib" "$srcdir/bin" "$srcdir/tests" \
	"$srcdir/schema" --include='*.[ch]' --include='*.sql' | grep -oE '[0-9]+(\.[0-9]+)?' | sort -u >cited
missing=
while read -r n; do
	grep -Eq "^##+ $n " "$spec" || missing="$missing $n"
done <cited
is "$missing" "" "sections that the code cites"
like "$(tr '\n' ' ' <cited)" '2\.2 .*6\.3' "citations were found"

# Links to files, from the folder of the document; links to headings of the same one.
links=0
missing=
for d in $documents; do
	for link in $(grep -oE '\]\([^) ]+\)' "$srcdir/$d" | sed 's/^](//; s/)$//'); do
		case $link in
		http:* | https:* | mailto:*) continue ;;
		'#'*)
			sed -n 's/^##* //p' "$srcdir/$d" | tr A-Z a-z | tr ' ' - | tr -cd 'a-z0-9\n-' |
				grep -qx -- "${link#?}" || missing="$missing $d:$link"
			;;
		*) [ -e "$srcdir/$(dirname "$d")/${link%%#*}" ] || missing="$missing $d:$link" ;;
		esac
		links=$((links + 1))
	done
done
is "$missing" "" "links of the documents"
[ "$links" -gt 15 ]
ok $? "links were found ($links)"

# Files that HACKING.md names.
missing=
for file in $(grep -oE '`[a-z][a-z_-]*/[A-Za-z0-9_./-]*`' "$srcdir/HACKING.md" | tr -d '`' | sort -u); do
	case $file in
	*[A-Z]* | fuzz-work/) continue ;;
	esac
	[ -e "$srcdir/$file" ] || [ -e "$lib/$file" ] || [ -e "$srcdir/$file.c" ] ||
		missing="$missing $file"
done
is "$missing" "" "files that HACKING.md names"

# Every "lmodel COMMAND ... --option" in the documents: the command takes that option.
for d in $documents; do
	grep -oE '(^|[`$( ])lmodel [a-z]+( [^`|&>]*)?' "$srcdir/$d"
done | sed 's/^[^l]*//' >commands
known=0
missing=
for c in $(lmodel --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
	lmodel "$c" --help | grep -oE '(^|[ ,])--?[a-z0-9]([a-z-]*)' | tr -d ' ,' | sort -u >options
	for o in $(grep -E "^lmodel $c( |\$)" commands | sed 's/#.*//' |
		grep -oE ' --?[a-z0-9][a-z-]*' | sort -u); do
		known=$((known + 1))
		grep -qx -- "$o" options || missing="$missing $c:$o"
	done
done
is "$missing" "" "options that the documents name"
[ "$known" -ge 5 ]
ok $? "options were found ($known)"

# ---- nothing of the writer's own machine ----

(cd "$srcdir" && grep -nE '(^|[^A-Za-z0-9_.])/(work|home|root|tmp|Users)/' $documents NEWS.md \
	spec/make-example.py bin/man/*.1) >local
is "$(cat local)" "" "no local paths"

done_testing
