# inspect, verify and audit from Python say what the program says.
. "${srcdir:-.}/tests/lib/tap.sh"
. "${srcdir:-.}/tests/lib/python.sh"
python_test reports
