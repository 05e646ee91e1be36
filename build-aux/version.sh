#!/bin/sh
# Prints the version; the public header holds the only copy.
here=$(dirname "$0")
sed -n 's/^#define LMODEL_VERSION_STRING "\(.*\)"/\1/p' "$here/../libfmt/include/lmodel/version.h" | tr -d '\n'
