# What the dynamic loader brings in: it is most of the time of a short command. Libraries that only
# some work needs (libfmt/base/lazy.h) come with that work, and are missed in words.
. "${srcdir:-.}/tests/lib/tap.sh"

real=$builddir/bin/.libs/lmodel # behind libtool's script
if [ -x "$real" ]; then
	export LD_LIBRARY_PATH="$builddir/libfmt/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
else
	real=$(command -v lmodel)
fi

# loads COMMAND...: its shared objects, without those of the C library and of sanitizers
loads() {
	rm -f loaded.*
	LD_DEBUG=files LD_DEBUG_OUTPUT=$PWD/loaded "$real" "$@" >/dev/null || echo "exit $?"
	sed -n 's/.*calling init: .*\/\(lib[a-z0-9_+-]*\)\.so.*/\1/p' loaded.* |
		grep -vE '^lib(c|m|pthread|dl|rt|asan|tsan|ubsan|lsan|stdc\+\+|gcc_s)$' | sort |
		tr '\n' ' '
}

python3 "$srcdir/tests/lib/mkmodel.py" model.safetensors a:F32:40x30 b:BF16:64 || exit 99
lmodel keygen -q -o key && key=$(lmodel keygen -y key) || exit 99
lmodel pack -q --tier gold=4% --owner "$key" -o m.lmodel model.safetensors || exit 99
few="libgcrypt libgpg-error libjansson liblmodel libsqlite3 libzstd "
is "$(loads --version)" "$few" "lmodel --version: what it is linked with"
is "$(loads list m.lmodel)" "$few" "list: no more"
is "$(loads inspect -i key m.lmodel)" "$few" "inspect: no more"
is "$(loads extract -q -i key -o back.safetensors m.lmodel)" "$few" "extract: no more"
same back.safetensors model.safetensors "which gives the model"
is "$(loads grant -q -i key --tier gold -r "$key" m.lmodel)" "$few" "grant: no more"
like "$(loads verify -q m.lmodel)" " libarchive " "verify walks the tar: libarchive"
like "$(loads pack -q -o p.lmodel model.safetensors)" "libarchive " "pack writes one: libarchive"

# ---- a library that is not there, or is another ----

soname=$(sed -n 's/^#define ARCHIVE_SONAME "\(.*\)"/\1/p' "$builddir/config.h")
like "$soname" "^libarchive\.so" "configure has found its name"
mkdir none other
echo "not a library" >"none/$soname"
export LD_LIBRARY_PATH="$PWD/none${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
run 1 "$real" pack -q -o n.lmodel model.safetensors
like "$err" "cannot load $soname: " "a library that does not load is named"
is "$(ls n.lmodel 2>/dev/null)" "" "nothing is written"
run 0 "$real" list m.lmodel
cp "$(ldconfig -p | sed -n 's/.*libjansson\.so\.4 .*=> //p' | head -1)" "other/$soname"
export LD_LIBRARY_PATH="$PWD/other:$LD_LIBRARY_PATH"
run 1 "$real" pack -q -o n.lmodel model.safetensors
like "$err" "$soname lacks archive_" "one that lacks a function is named, with it"
done_testing
