# Archives behind an address, from Python.
. "${srcdir:-.}/tests/lib/tap.sh"
. "${srcdir:-.}/tests/lib/python.sh"
. "${srcdir:-.}/tests/lib/registry.sh"
export XDG_CACHE_HOME=$tap_dir/cache
mkdir files
python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors big:U8:3000x1024:random a:F32:200x300 b:BF16:64x64 \
	c:F32:50 || exit 99
lmodel keygen -q -o key && lmodel pack -q -o files/m.lmodel m.safetensors --owner "$(lmodel keygen -y key)" \
	--tier gold=10% || exit 99
start_registry >registry.started
lmodel push files/m.lmodel "$registry/models/m:v1" || exit 99
"$PYTHON" "$srcdir/tests/python/remote.py" "http://$registry/files/m.lmodel" \
	"oci://$registry/models/m:v1"
status=$?
stop_registry
exit $status
