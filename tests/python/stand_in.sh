# The package in place of safetensors, with and without PyTorch.
. "${srcdir:-.}/tests/lib/tap.sh"
. "${srcdir:-.}/tests/lib/python.sh"
python_test stand_in
