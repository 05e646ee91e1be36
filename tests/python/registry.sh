# lmodel.push() and lmodel.pull().
. "${srcdir:-.}/tests/lib/tap.sh"
. "${srcdir:-.}/tests/lib/python.sh"
export XDG_CACHE_HOME=$tap_dir/.cache
python_test registry
