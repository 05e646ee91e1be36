#include "archive/protect_parts.h"

#include "archive/deeplock.h"
#include "crypto/chunked.h"
#include "crypto/secret.h"

int lm_tensor_job_split(struct lm_tensor_job *job, const struct lm_chosen *chosen,
			struct lmodel_error *error)
{
	const size_t tiers = job->p->manifest->tier_count;
	const size_t room = chosen->count + 1;

	for (size_t t = 0; t < tiers; t++) {
		struct lm_part *part = &job->part[t];
		uint32_t *at;
		size_t n = 0;

		part->at_count = 0;
		if (part->shard == LM_NONE)
			continue;
		if (room > part->at_capacity) {
			free(part->at);
			part->at_capacity = 0;
			part->at = malloc(room * sizeof(*part->at));
			if (part->at == NULL)
				return lm_fail_memory(error);
			part->at_capacity = room;
		}
		at = part->at;
		for (size_t i = 0; i < chosen->count; i++) { /* no jump: tiers are mixed */
			at[n] = chosen->at[i];
			n += chosen->tier[i] == t;
		}
		part->at_count = n;
	}
	return LMODEL_OK;
}

/* ---- measuring ---- */

static int measure_run(struct lm_part *part, uint64_t first, uint64_t count, const uint8_t *values,
		       size_t len, bool positions, struct lmodel_error *error)
{
	uint8_t run[16];

	(void)error;
	if (positions)
		lm_positions_meter_add(part->meter, first, count);
	part->values += len;
	if (part->hash != NULL) {
		lm_put_u64(run, first);
		lm_put_u64(run + 8, count);
		lm_hash_add(part->hash, run, sizeof(run));
		lm_hash_add(part->hash, values, len);
	}
	return LMODEL_OK;
}

static int measure_window(void *context, uint64_t first, uint64_t count,
			  const struct lm_chosen *chosen, const uint8_t *bytes, size_t len,
			  struct lmodel_error *error)
{
	struct lm_tensor_job *job = context;
	int r;

	(void)count;
	if (job->columns || job->p->seeded)
		return lm_part_each_run(job, measure_run, first, chosen, bytes, len, error);
	r = lm_tensor_job_split(job, chosen, error);
	for (size_t t = 0; t < job->p->manifest->tier_count && r == LMODEL_OK; t++) {
		struct lm_part *part = &job->part[t];

		if (part->at_count == 0)
			continue;
		lm_positions_meter_numbers(part->meter, first, part->at, part->at_count);
		part->values += (part->at_count - 1) * job->units->unit_bytes +
				lm_unit_len(job->units, first + part->at[part->at_count - 1]);
	}
	return r;
}

/* A locked tensor is one unit of the only tier; its record is in the place of values. */
static int measure_piece(void *context, const uint8_t *bytes, size_t len,
			 struct lmodel_error *error)
{
	struct lm_tensor_job *job = context;
	int r = measure_run(&job->part[0], 0, 1, bytes, len, job->first_row, error);

	job->first_row = false;
	return r;
}

/* The length is known; what it holds matters to a seeded salt alone. */
static int measure_record(struct lm_tensor_job *job, struct lmodel_error *error)
{
	const struct lm_protected_model *model = &job->p->model;

	if (job->p->seeded)
		return lm_lock_record(model, job->tensor, measure_piece, job, error);
	lm_positions_meter_add(job->part[0].meter, 0, 1);
	job->part[0].values = lm_lock_record_len(model->model->tensors[job->tensor].bytes);
	return LMODEL_OK;
}

void lm_tensor_job_begin(struct lm_tensor_job *job, struct lm_protection *p, struct lm_writer *out,
			 size_t tensor)
{
	memset(job, 0, sizeof(*job));
	job->p = p;
	job->out = out;
	job->tensor = tensor;
	job->units = &lm_protected_tensor(&p->model, tensor)->units;
	job->columns = job->units->kind == LM_UNIT_COLUMN;
	job->first_row = true;
	for (size_t t = 0; t < LM_TIER_ROW_LIMIT; t++) {
		job->part[t].shard = t < p->manifest->tier_count ?
					     lm_shard_find(p->manifest, t, tensor) : LM_NONE;
		job->part[t].stream[0].fd = job->part[t].stream[1].fd = -1;
	}
}

void lm_tensor_job_end(struct lm_tensor_job *job)
{
	for (size_t t = 0; t < LM_TIER_ROW_LIMIT; t++) {
		struct lm_part *part = &job->part[t];

		lm_positions_meter_free(part->meter);
		lm_positions_writer_free(part->writer);
		if (part->pending != NULL)
			lm_wipe(part->pending, LM_PART_PENDING);
		free(part->pending);
		free(part->at);
		lm_stream_release(&part->stream[0]);
		lm_stream_release(&part->stream[1]);
		if (part->hash != NULL)
			lm_hash_free(part->hash);
	}
}

int lm_tensor_job_measure(struct lm_tensor_job *job, struct lm_positions_form *forms,
			  struct lmodel_error *error)
{
	struct lm_protection *p = job->p;
	const struct lm_selected_tensor *s = lm_protected_tensor(&p->model, job->tensor);
	int r = LMODEL_OK;

	for (size_t t = 0; t < p->manifest->tier_count && r == LMODEL_OK; t++) {
		struct lm_part *part = &job->part[t];

		if (part->shard == LM_NONE)
			continue;
		part->meter = lm_positions_meter_new(s->units.count,
						     s->upto[t] - (t > 0 ? s->upto[t - 1] : 0),
						     error);
		if (p->seeded)
			part->hash = lm_hash_new(error);
		if (part->meter == NULL || (p->seeded && part->hash == NULL))
			r = LMODEL_EFAILED;
	}
	if (r == LMODEL_OK)
		r = p->model.lock_key != NULL ? measure_record(job, error) :
		    lm_protected_walk(&p->model, job->tensor, p->seeded, measure_window, job,
				      error);
	for (size_t t = 0; t < p->manifest->tier_count && r == LMODEL_OK; t++) {
		struct lm_part *part = &job->part[t];
		struct lm_stream_row *stream;

		if (part->shard == LM_NONE)
			continue;
		stream = p->manifest->shards[part->shard].stream;
		lm_positions_meter_finish(part->meter, &forms[part->shard]);
		if (lm_padded_len(part->values) > LM_SEALED_LIMIT)
			return lm_fail(error, LMODEL_ELIMIT,
				       "tensor %s: %ju bytes of it in one tier; the "
				       "limit is %ju",
				       LM_QUOTE(p->manifest->tensors[job->tensor].name),
				       (uintmax_t)part->values, (uintmax_t)LM_SEALED_LIMIT);
		stream[LM_POSITIONS].length = lm_sealed_len(lm_padded_len(forms[part->shard].len));
		stream[LM_VALUES].length = lm_sealed_len(lm_padded_len(part->values));
		/* Kept here until the stream is written. */
		stream[LM_VALUES].offset = part->values;
		if (part->hash != NULL)
			lm_hash_finish(part->hash, p->content[part->shard]);
	}
	return r;
}

