# Archives opened from Python: what they say, whole tensors and parts.
. "${srcdir:-.}/tests/lib/tap.sh"
. "${srcdir:-.}/tests/lib/python.sh"
python_test archive
