# Each exception of the Python package, with the program's exit status beside it.
. "${srcdir:-.}/tests/lib/tap.sh"
. "${srcdir:-.}/tests/lib/python.sh"
python_test errors
