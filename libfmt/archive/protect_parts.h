/* The shards of one tensor in the making: measured first, then written. For protect_measure.c and
 * protect_write.c. */
#ifndef LM_PROTECT_PARTS_H
#define LM_PROTECT_PARTS_H

#include "archive/protect.h"
#include "archive/shard.h"
#include "crypto/crypto.h"
#include "protect/positions.h"

enum { LM_PART_PENDING = 4096 };

/* One tensor's share of one tier, in the making. */
struct lm_part {
	size_t shard;                        /* LM_NONE: none */
	struct lm_positions_meter *meter;
	struct lm_positions_form form;
	struct lm_hash *hash;                /* seeded: of what the shard holds */
	struct lm_positions_writer *writer;
	struct lm_stream_writer stream[2];
	uint64_t values;                     /* bytes */
	uint8_t *pending;                    /* values on their way into the stream */
	size_t pending_len;
	uint32_t *at;                        /* of a window, the units of this tier */
	size_t at_count, at_capacity;
};

struct lm_tensor_job {
	struct lm_protection *p;
	struct lm_writer *out;
	size_t tensor;
	bool columns, first_row;
	const uint8_t *salt_key;    /* fresh, of this pack */
	const struct lm_units *units;
	struct lm_part part[LM_TIER_ROW_LIMIT];
};

/* ---- walking: runs of units of one tier, with their values ---- */

typedef int lm_part_run_fn(struct lm_part *part, uint64_t first, uint64_t count,
			   const uint8_t *values, size_t len, bool positions,
			   struct lmodel_error *error);

/* Inlined, `fn` too: most runs are of one element. */
static inline __attribute__((always_inline)) int
lm_part_each_run(struct lm_tensor_job *job, lm_part_run_fn *fn, uint64_t first,
		 const struct lm_chosen *chosen, const uint8_t *bytes, size_t len,
		 struct lmodel_error *error)
{
	uint64_t unit = job->columns ? job->units->element_bytes : job->units->unit_bytes;

	for (size_t i = 0, n; i < chosen->count; i += n) {
		const uint64_t at = chosen->at[i];
		const uint8_t tier = chosen->tier[i];
		size_t from = (size_t)(at * unit);
		int r;

		for (n = 1; i + n < chosen->count && chosen->at[i + n] == at + n &&
			    chosen->tier[i + n] == tier;)
			n++;
		r = fn(&job->part[tier], first + at, n, bytes == NULL ? NULL : bytes + from,
		       (size_t)LM_MIN(n * unit, (uint64_t)(len - from)),
		       !job->columns || job->first_row, error);
		if (r != LMODEL_OK)
			return r;
	}
	job->first_row = false;
	return LMODEL_OK;
}

void lm_tensor_job_begin(struct lm_tensor_job *job, struct lm_protection *p, struct lm_writer *out,
			 size_t tensor);
void lm_tensor_job_end(struct lm_tensor_job *job);

/* Units of each tier by themselves: then all of one kind is done at once. */
int lm_tensor_job_split(struct lm_tensor_job *job, const struct lm_chosen *chosen,
			struct lmodel_error *error) LM_MUST_CHECK;

/* How long the streams will be, into the manifest, and in which form positions: forms[shard]. */
int lm_tensor_job_measure(struct lm_tensor_job *job, struct lm_positions_form *forms,
			  struct lmodel_error *error) LM_MUST_CHECK;

#endif
