# For tests of the Python package. Source it after tap.sh:
#
#     . "${srcdir:-.}/tests/lib/python.sh"
#     python_test archive       # runs tests/python/archive.py, which prints the TAP itself
#
# "$PYTHON" is the interpreter, which finds the package and the built library. The interpreter is
# not sanitized: the library's runtime has to be there before it.
PYTHON=${PYTHON:-/usr/bin/python3}
PYTHONPATH=$srcdir/python:$srcdir/tests
LMODEL_LIBRARY=$builddir/libfmt/.libs/liblmodel.so
PYTHONDONTWRITEBYTECODE=1
PYTHONWARNINGS=${PYTHONWARNINGS:-}
OMP_NUM_THREADS=1 # torch beside other tests
export PYTHONPATH LMODEL_LIBRARY PYTHONDONTWRITEBYTECODE PYTHONWARNINGS OMP_NUM_THREADS

# The runtime that the library wants and does not bring: gcc links one that is found by ldd, clang
# expects it in the program.
python_runtime() {
	ldd "$LMODEL_LIBRARY" 2>/dev/null | awk '/lib[at]san\.so/ {print $3; exit}'
	for python_kind in asan tsan; do
		nm -D --undefined-only "$LMODEL_LIBRARY" | grep -q "__${python_kind}_init" || continue
		ldd "$LMODEL_LIBRARY" | grep -q "lib$python_kind" && continue
		clang -print-file-name="libclang_rt.$python_kind-$(uname -m).so"
	done
}

python_preload=$(python_runtime)
if [ -n "$python_preload" ]; then
	# The interpreter keeps what it allocated to the end.
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
	LMODEL_SANITIZED=1
	export ASAN_OPTIONS LMODEL_SANITIZED
	mkdir "$tap_dir/.python"
	cat >"$tap_dir/.python/python" <<-P
		#!/bin/sh
		LD_PRELOAD='$python_preload' exec '$PYTHON' "\$@"
	P
	chmod +x "$tap_dir/.python/python"
	PYTHON=$tap_dir/.python/python
	# The program has its own runtime: what Python runs must not inherit that one.
	cat >"$tap_dir/.python/lmodel" <<-P
		#!/bin/sh
		unset LD_PRELOAD
		exec '$(command -v lmodel)' "\$@"
	P
	chmod +x "$tap_dir/.python/lmodel"
	PATH=$tap_dir/.python:$PATH
fi
export PYTHON

# python_test NAME [ARGUMENT...]: the whole of the test is tests/python/NAME.py.
python_test() {
	python_name=$1
	shift
	"$PYTHON" "$srcdir/tests/python/$python_name.py" "$@"
	exit
}
