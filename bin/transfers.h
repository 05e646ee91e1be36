/* What push and pull tell of the layers of an archive. */
#ifndef TRANSFERS_H
#define TRANSFERS_H

#include <jansson.h>

#include <lmodel.h>

struct cmd;

/* With -v a line for each layer; with `list` also as JSON there. `context` of the callback is not
 * used: the library gives the run's. */
void transfers_begin(json_t *list);
lmodel_layer_fn transfers_layer;

/* The operand of push and pull: a reference, no file. */
int transfers_check(const struct cmd *cmd, const char *reference);

#endif
