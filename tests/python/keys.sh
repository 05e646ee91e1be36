# Tiers and keys from Python: what opens, what warns, who is let in.
. "${srcdir:-.}/tests/lib/tap.sh"
. "${srcdir:-.}/tests/lib/python.sh"
python_test keys
