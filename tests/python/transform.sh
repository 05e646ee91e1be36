# The input transforms of the Python package: the same bits as those of lmodel transform.
. "${srcdir:-.}/tests/lib/tap.sh"
. "${srcdir:-.}/tests/lib/python.sh"
python_test transform
