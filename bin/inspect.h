/* What inspect shows on its screen, and the part of it that is about tiers, keys and signatures. */
#ifndef INSPECT_H
#define INSPECT_H

#include <stdbool.h>
#include <stddef.h>

#include "json.h"

struct lmodel_archive;

/* Columns of a line. */
#define INSPECT_WIDTH 100

/* Below a tier whose mask publishes a function of the true values. */
#define INSPECT_OBFUSCATION "  obfuscation: recoverable without a key; counts as public"

/* Lines of a list, before it is cut: it is to be one screen, but for -v. */
size_t inspect_lines(void);

__attribute__((format(printf, 2, 3)))
void inspect_line(const char *label, const char *format, ...);

/* "... and 3 more", when a list of `count` was cut. */
void inspect_more(size_t count);

/* Whether a tier is not in this file. */
bool inspect_lacks_tiers(const struct lmodel_archive *archive);

void inspect_tiers(const struct lmodel_archive *archive);
void inspect_slots(const struct lmodel_archive *archive);
void inspect_signatures(const struct lmodel_archive *archive);
json_t *inspect_tiers_json(const struct lmodel_archive *archive);
json_t *inspect_slots_json(const struct lmodel_archive *archive);
json_t *inspect_signatures_json(const struct lmodel_archive *archive);

#endif
