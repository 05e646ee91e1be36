# The age vectors of C2SP/CCTV (npm package cctv-age 0.2.0): 143 files, each with what a reader has
# to answer. They are not a part of this tree: build-aux/install-deps --tests installs them.
. "${srcdir:-.}/tests/lib/tap.sh"

tool=$builddir/tests/vectors/age_vector
package=
for place in ${LMODEL_NODE_MODULES:+"$LMODEL_NODE_MODULES"} "$srcdir/tests/vectors" \
	"$builddir/tests/vectors"; do
	package=$place/node_modules/cctv-age/index.js
	[ ! -f "$package" ] || break
done
if [ ! -f "$package" ]; then
	npm install --silent --no-audit --no-fund --no-save --prefix "$builddir/tests/vectors" \
		cctv-age@0.2.0 >&2
fi
[ -f "$package" ]
ok $? "the vectors are installed"

# The package holds each file in base 64; what is compressed is unpacked on the way.
cat >write.py <<'P'
import base64, re, sys, zlib
text = open(sys.argv[1]).read()
for name, data in re.findall(r'var (\w+)_default = __toBinary\("([^"]*)"\)', text):
    head, file = base64.b64decode(data).split(b"\n\n", 1)
    if b"\ncompressed: zlib" in head:
        file = zlib.decompress(file)
    open("vector." + name, "wb").write(head + b"\n\n" + file)
P
python3 write.py "$package"
ok $? "the vectors are unpacked"
cat vector.* | sha256sum >digest
is "$(find . -name 'vector.*' | wc -l)" 143 "they are 143"
is "$(cut -d ' ' -f 1 digest)" \
	c8afee72a9067f01dd6dd99ce0854f11f66bc875acd84d0a45598aa999f2a3fe \
	"they are those of version 0.2.0"

unsupported=
for file in vector.*; do
	name=${file#vector.}
	run 0 "$tool" "$file"
	answer=$(printf '%s\n' "$out" | tail -n 1)
	like "$answer" '^ok ' "$name: $answer"
	if [ "$answer" = "ok unsupported" ]; then
		unsupported="$unsupported $name"
	fi
done

# What needs ML-KEM. Where such a file is malformed by age's own syntax, that is found all the same.
is "$unsupported" " armor_hybrid hybrid hybrid_and_x25519 hybrid_bad_tag \
hybrid_currupted_enc_mlkem hybrid_currupted_enc_x25519 hybrid_extra_argument hybrid_grease \
hybrid_identity hybrid_long_file_key hybrid_long_share hybrid_low_order \
hybrid_multiple_recipients hybrid_no_match hybrid_not_canonical_enc hybrid_short_share \
hybrid_uppercase" "17 are for post-quantum identities alone"

# The tool can fail: a sound file with another digest, and a broken one that should be sound.
sed 's/^payload: ../payload: 00/' vector.x25519 >other
run 1 "$tool" other
like "$out" '^not ok another plaintext' "a wrong plaintext is noticed"
sed 's/^expect: .*/expect: success/' vector.hmac_bad >other
run 1 "$tool" other
like "$out" '^not ok HMAC failure, wanted success' "a wrong answer is noticed"
done_testing
