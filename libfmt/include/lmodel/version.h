/* Version of the library. build-aux/version.sh reads it from here: the only copy. */
#ifndef LMODEL_VERSION_H
#define LMODEL_VERSION_H

#define LMODEL_VERSION_MAJOR 0
#define LMODEL_VERSION_MINOR 1
#define LMODEL_VERSION_PATCH 0
#define LMODEL_VERSION_STRING "0.1.0"

/* The archive format that this library writes, and the highest it reads
 * (spec: 1 "Versions"). */
#define LMODEL_FORMAT_VERSION 1

#endif
