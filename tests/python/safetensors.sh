# The package's own reader and writer of safetensors files.
. "${srcdir:-.}/tests/lib/tap.sh"
. "${srcdir:-.}/tests/lib/python.sh"
python_test safetensors
