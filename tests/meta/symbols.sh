# The library exports what lmodel.sym lists, no more and no less.
. "${srcdir:-.}/tests/lib/tap.sh"

library=$builddir/libfmt/.libs/liblmodel.so
[ -f "$library" ]
ok $? "there is a shared library"
nm -D --defined-only "$library" | awk '$2 ~ /[A-Z]/ {print $3}' | sed 's/@.*//' | sort -u >all
grep -v '^LMODEL_[0-9.]*$' all | grep -vE '^__(asan|ubsan|odr_asan|sancov|lsan)' >exported
sed -n 's/^[[:space:]]*\(lmodel_[a-z0-9_]*\);.*/\1/p' "$srcdir/libfmt/lmodel.sym" | sort -u >listed
[ "$(wc -l <listed)" -gt 10 ]
ok $? "the list is not empty ($(wc -l <listed))"
is "$(cat exported)" "$(cat listed)" "exported = listed"
is "$(grep -v '^lmodel_' exported)" "" "every exported name begins with lmodel_"

# declared in a public header = listed: nothing promised is missing, nothing undocumented is given
cat "$srcdir"/libfmt/include/lmodel/*.h "$srcdir"/libfmt/include/lmodel.h >headers
python3 - <<'P' >declared
import re
text = re.sub(r"/\*.*?\*/", "", open("headers").read(), flags=re.S)
text = re.sub(r"^\s*#.*$", "", text, flags=re.M)
print("\n".join(sorted(set(re.findall(r"\b(lmodel_[a-z0-9_]+)\s*\((?!\*)", text)))))
P
grep -v '_fn$' declared >functions
is "$(cat functions)" "$(cat listed)" "declared = listed"

# in the objects: what crosses files is lm_* or lmodel_*
nm -g --defined-only "$builddir/libfmt/.libs/libcore.a" 2>/dev/null | awk 'NF == 3 {print $3}' |
	grep -vE '^__(asan|ubsan|odr_asan|sancov|lsan|sanitizer)|^_ZN|^\.' | sort -u >internal
[ "$(wc -l <internal)" -gt 50 ]
ok $? "the library's objects were looked at ($(wc -l <internal))"
is "$(grep -vE '^lm(odel)?_' internal)" "" "names across files begin with lm_ or lmodel_"

# it needs no symbol that is not resolved by a library that it names
run 0 sh -c "ldd -r '$library'"
unlike "$out$err" "undefined symbol: lm" "nothing of its own is missing"
done_testing
