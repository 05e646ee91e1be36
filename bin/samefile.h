/* Outputs that would take the place of what they are made from. */
#ifndef SAMEFILE_H
#define SAMEFILE_H

#include <stddef.h>

struct cmd;

/* EUSAGE, whatever -f says, when `out` is the file at one of the paths (NULL: none): not even by
 * mistake does an output replace the archive that it comes from, or the key that opens it. */
int samefile_check(const struct cmd *cmd, const char *out, const char *const *paths, size_t count);

#endif
