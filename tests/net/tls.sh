# https: whose certificates are believed, and that nobody leads away from it.
. "${srcdir:-.}/tests/lib/tap.sh"
. "$srcdir/tests/lib/registry.sh"
needs openssl
tool=$builddir/tests/net/net_tool
unset http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR
openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 2 -subj /CN=localhost \
	-addext subjectAltName=IP:127.0.0.1,DNS:localhost 2>/dev/null
start_registry --tls cert key
head -c 3000000 /dev/urandom >files/a
digest=sha256:$(sha256sum files/a | cut -c1-64)
url=https://$registry/files/a

run 1 "$tool" --tries 3 --output back http GET "$url"
like "$err" 'certificate is not trusted' 'an unknown certificate'
unlike "$err" 'tried' 'which is not tried again'
for variable in CURL_CA_BUNDLE SSL_CERT_FILE; do
	run 0 env $variable=cert "$tool" --output back http GET "$url"
	same back files/a "$variable"
done
export SSL_CERT_FILE=$PWD/cert
faults "redirect=http://$other/files/a"
run 4 "$tool" --plain-http http GET "$url"
like "$err" 'leads from https to http' 'from https to http'
faults
run 0 "$tool" "https://$registry/a/b" put files/a
run 0 "$tool" --output back "https://$registry/a/b" get "$digest" 3000000
same back files/a 'a blob'
faults 'location=other,match=POST'
run 4 "$tool" "https://$registry/a/c" put files/a
like "$err" 'leads from https to http' 'an upload to a place without TLS'
stop_registry
done_testing
