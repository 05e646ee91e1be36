/* An archive that is put together from its layers, in a file without a name yet (spec: 16.3). */
#ifndef LM_ASSEMBLY_H
#define LM_ASSEMBLY_H

#include <lmodel/registry.h>

#include "archive/archive.h"
#include "base/publish.h"
#include "registry/exchange.h"
#include "registry/image.h"

struct lm_assembly {
	struct lm_exchange *exchange;
	const struct lm_image *image;
	int fd;                         /* of the file in the making */
	const char *label;
	bool *wanted;                   /* one a layer; set by the caller */
	enum lmodel_layer_fate *fate;

	/* What is there already: an archive of the same id, or NULL, and its layers. */
	struct lmodel_archive *old;
	struct lm_layers old_layers;
	size_t *source;                 /* layer of `old` that has these bytes; LM_NONE */
	uint64_t copied;
};

/* Makes the arrays: everything is wanted. In every case lm_assembly_end() follows. */
int lm_assembly_begin(struct lm_assembly *assembly, struct lm_exchange *exchange,
		      const struct lm_image *image, struct lmodel_error *error) LM_MUST_CHECK;
void lm_assembly_end(struct lm_assembly *assembly);

/* Looks which layers `old` has, by digest, wanted or not: hashes those of a length that is asked
 * for. */
int lm_assembly_match(struct lm_assembly *assembly, struct lmodel_error *error) LM_MUST_CHECK;

/* Brings layer 0 alone, or all that are wanted, to their places. */
int lm_assembly_first(struct lm_assembly *assembly, struct lmodel_error *error) LM_MUST_CHECK;
int lm_assembly_rest(struct lm_assembly *assembly, struct lmodel_error *error) LM_MUST_CHECK;

/* Makes the tiers whose layers are not there absent (spec: 16.4): headers, dead ranges, both slots.
 * `archive` is what layer 0 says. ELIMIT when the slots have no room for that. */
int lm_partial_make(struct lm_assembly *assembly, const struct lmodel_archive *archive,
		    struct lmodel_error *error) LM_MUST_CHECK;

#endif
