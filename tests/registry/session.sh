# examples/registry/session.sh ends well, and shows what its README says.
. "${srcdir:-.}/tests/lib/tap.sh"
needs docker-registry npm
unset npm_config_registry http_proxy https_proxy
run 0 env LMODEL="$builddir/bin/lmodel" timeout 300 bash "$srcdir/examples/registry/session.sh"
like "$out" '^# done$' 'it comes to its end'
like "$err" 'left +[0-9]+ bytes at [0-9]+ +tier gold' 'gold stays in the registry'
like "$err" '2 grants of the artifact before go with it' 'grants go along'
like "$err" 'none of the keys opens it' 'who goes gets nothing more'
like "$out" 'npm install' 'the package was installed'
is "$(printf '%s\n' "$err" | grep -c 'exists already')" 0 'nothing was in the way'
done_testing
