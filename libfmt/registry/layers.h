/* An archive as layers: byte ranges of its file, each one blob in a registry (spec: 2.6, 16.1).
 *
 *   manifest   0 .. lm_slots_end(): mimetype and both slots; the one that grants change
 *   base       all that is in no other layer, in file order, in pieces of at most LM_LAYER_MOST
 *   tier       one for each tier that is there: both members, headers included
 *   end        the two zero blocks
 *
 * Dead ranges, with their padding, are in no layer: whoever puts the file together leaves zeros
 * there. The header of one is a layer of its own, so that a tier that dies does not change the layer
 * before it. So a grant changes the first layer alone, and a rekeyed tier brings a layer of its own.
 */
#ifndef LM_LAYERS_H
#define LM_LAYERS_H

#include "base/base.h"
#include "container/slot.h"
#include "manifest/manifest.h"
#include "net/registry.h"

#define LM_LAYER_MOST (UINT64_C(2) << 30)
#define LM_LAYERS 4096 /* in one artifact, and as many dead ranges */

enum lm_layer_kind { LM_LAYER_MANIFEST, LM_LAYER_BASE, LM_LAYER_TIER, LM_LAYER_END };

struct lm_layer {
	enum lm_layer_kind kind;
	uint64_t offset, length;       /* in the file */
	size_t tier;                   /* row of the tier, for LM_LAYER_TIER */
	char digest[LM_DIGEST_SIZE];   /* "" until it is known */
};

struct lm_range {
	uint64_t offset, length;
};

struct lm_layers {
	struct lm_layer *layers;       /* in file order */
	size_t count;
	struct lm_range *dead;         /* what no layer covers, in file order */
	size_t dead_count;
	uint64_t size;                 /* of the file */
};

/* The layers of an archive by its rows; digests stay empty. Absent tiers have none: their ranges
 * are dead. ECORRUPT when rows and headers do not fill the file; EUNSUPPORTED for a tier whose
 * members do not follow each other; ELIMIT. */
int lm_layers_plan(struct lm_layers *layers, const struct lm_manifest *manifest,
		   uint64_t slot_size, uint64_t committed_len, const char *label,
		   struct lmodel_error *error) LM_MUST_CHECK;
const char *lm_layer_kind_name(enum lm_layer_kind kind);
bool lm_layer_kind_parse(const char *name, enum lm_layer_kind *kind);
void lm_layers_free(struct lm_layers *layers);

#endif
