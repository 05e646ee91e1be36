#!/bin/sh
# Makes ./configure from configure.ac. Needed once, in a checkout.
set -e
cd "$(dirname "$0")"
mkdir -p m4
exec autoreconf --install --force "$@"
