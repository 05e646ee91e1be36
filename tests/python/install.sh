# The Python package installed: by pip from the checkout, with nothing fetched, and by make.
. "${srcdir:-.}/tests/lib/tap.sh"
. "${srcdir:-.}/tests/lib/python.sh"

say='import lmodel, lmodel.torch, lmodel.numpy; print(lmodel.__file__, lmodel.version())'
version=$(sed -n 's/.*VERSION_STRING "\(.*\)"/\1/p' "$srcdir/libfmt/include/lmodel/version.h")

cp -r "$srcdir/python" python # pip may write beside what it builds
mkdir -p libfmt/include/lmodel
cp "$srcdir/libfmt/include/lmodel/version.h" libfmt/include/lmodel/
run 0 env -u PYTHONPATH "$PYTHON" -m pip --isolated install --quiet --no-index --no-deps \
	--disable-pip-version-check --root-user-action=ignore --target site ./python
run 0 env PYTHONPATH="$tap_dir/site" "$PYTHON" -c "$say"
is "$out" "$tap_dir/site/lmodel/__init__.py $version" "pip installs the package"
is "$(cd site && find lmodel -name '*.py' ! -path '*/__pycache__/*' | sort)" \
	"$(cd "$srcdir/python" && find lmodel -name '*.py' | sort)" "... all of it"
[ -f site/lmodel/py.typed ]
ok $? "... with its types"
run 0 cat "site/lmodel-$version.dist-info/METADATA"
like "$out" "^Version: $version\$" "... under the library's version"
mkdir editable
cat >build.py <<'P'
import build_backend
print(build_backend.build_editable("../editable"))
print(build_backend.build_sdist("../editable"))
P
run 0 env -C python PYTHONPATH=. "$PYTHON" ../build.py
[ -f "editable/lmodel-$version.tar.gz" ] && tar -tzf "editable/lmodel-$version.tar.gz" >names
ok $? "a source package"
mkdir alone && tar -xzf "editable/lmodel-$version.tar.gz" -C alone
run 0 env -u PYTHONPATH "$PYTHON" -m pip --isolated install --quiet --no-index --no-deps \
	--disable-pip-version-check --root-user-action=ignore --target again "./alone/lmodel-$version"
[ -f "again/lmodel-$version.dist-info/METADATA" ]
ok $? "... which is enough to install from, and keeps the version"

# Make installs the same, where configure found a Python.
if grep -q '^install-data-local:' "$builddir/Makefile"; then
	run 0 make -s -C "$builddir" install-python DESTDIR="$tap_dir/root"
	made=$(dirname "$(find root -name __init__.py -path '*/lmodel/__init__.py')")
	run 0 env PYTHONPATH="$tap_dir/${made%/lmodel}" "$PYTHON" -c "$say"
	is "$out" "$tap_dir/$made/__init__.py $version" "make installs the package"
	find "$made" -name __pycache__ -prune -exec rm -rf {} +
	run 0 diff -r -x __pycache__ "$srcdir/python/lmodel" "$made"
	run 0 make -s -C "$builddir" uninstall-python DESTDIR="$tap_dir/root"
	[ ! -e "$made" ]
	ok $? "... and takes it away again"
fi
done_testing
