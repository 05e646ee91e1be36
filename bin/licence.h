/* What side files say of a model's licence, and its model card. */
#ifndef LICENCE_H
#define LICENCE_H

#include <stdbool.h>

#include "json.h"

struct lmodel_archive;

/* Whether a side file has the name of a licence's text. */
bool licence_is_file(const char *name);

/* Lines of inspect; nothing when there is neither. */
void licence_print(struct lmodel_archive *archive);

/* [{"file", "identifier", "text"}], null for what is not known. */
json_t *licence_json(struct lmodel_archive *archive);

/* {"file", "title"}, or null. */
json_t *licence_card_json(struct lmodel_archive *archive);

#endif
