/* Writing shards. First every tensor is walked to learn how long its streams will be; then their
 * places are known, and every tensor is walked again to write them, each by one worker. */
#include "archive/protect_parts.h"

#include <stdio.h>

#include "archive/content.h"
#include "archive/deeplock.h"
#include "base/pool.h"
#include "crypto/aead.h"
#include "crypto/chunked.h"
#include "crypto/crypto.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"

/* ---- writing ---- */

static int to_stream(void *context, const uint8_t *bytes, size_t len, struct lmodel_error *error)
{
	return lm_stream_add(context, bytes, len, error);
}

static int flush_values(struct lm_part *part, struct lmodel_error *error)
{
	size_t len = part->pending_len;

	part->pending_len = 0;
	return len == 0 ? LMODEL_OK :
			  lm_stream_add(&part->stream[LM_VALUES], part->pending, len, error);
}

static inline int add_values(struct lm_part *part, const uint8_t *values, size_t len,
			     struct lmodel_error *error)
{
	if (len > LM_PART_PENDING - part->pending_len) {
		int r = flush_values(part, error);

		if (r != LMODEL_OK || len > LM_PART_PENDING)
			return r == LMODEL_OK ? lm_stream_add(&part->stream[LM_VALUES], values, len,
							      error) : r;
	}
	if (len == 2)
		memcpy(part->pending + part->pending_len, values, 2);
	else if (len == 4)
		memcpy(part->pending + part->pending_len, values, 4);
	else
		memcpy(part->pending + part->pending_len, values, len);
	part->pending_len += len;
	return LMODEL_OK;
}

static int write_run(struct lm_part *part, uint64_t first, uint64_t count, const uint8_t *values,
		     size_t len, bool positions, struct lmodel_error *error)
{
	int r = positions ? lm_positions_writer_add(part->writer, first, count, error) : LMODEL_OK;

	return r == LMODEL_OK ? add_values(part, values, len, error) : r;
}

/* The values of the units of a window. */
static int add_units(const struct lm_tensor_job *job, struct lm_part *part, const uint8_t *bytes,
		     size_t len, struct lmodel_error *error)
{
	const size_t unit = (size_t)job->units->unit_bytes;
	int r = LMODEL_OK;

	for (size_t i = 0, n; i < part->at_count && r == LMODEL_OK; i += n) {
		const uint32_t *at = part->at + i;
		uint8_t *to = part->pending + part->pending_len;

		n = LM_MIN(part->at_count - i, (LM_PART_PENDING - part->pending_len) / unit);
		if (n == 0 || (unit != 2 && unit != 4)) {
			const size_t from = *at * unit;

			n = 1;
			r = add_values(part, bytes + from, LM_MIN(unit, len - from), error);
			continue;
		}
		if (unit == 2)
			for (size_t k = 0; k < n; k++)
				memcpy(to + 2 * k, bytes + 2 * (size_t)at[k], 2);
		else
			for (size_t k = 0; k < n; k++)
				memcpy(to + 4 * k, bytes + 4 * (size_t)at[k], 4);
		part->pending_len += n * unit;
	}
	return r;
}

static int write_window(void *context, uint64_t first, uint64_t count,
			const struct lm_chosen *chosen, const uint8_t *bytes, size_t len,
			struct lmodel_error *error)
{
	struct lm_tensor_job *job = context;
	int r;

	(void)count;
	if (job->columns)
		return lm_part_each_run(job, write_run, first, chosen, bytes, len, error);
	r = lm_tensor_job_split(job, chosen, error);
	for (size_t t = 0; t < job->p->manifest->tier_count && r == LMODEL_OK; t++) {
		struct lm_part *part = &job->part[t];

		if (part->at_count == 0)
			continue;
		r = lm_positions_writer_numbers(part->writer, first, part->at, part->at_count,
						error);
		if (r == LMODEL_OK)
			r = add_units(job, part, bytes, len, error);
	}
	return r;
}

static int write_piece(void *context, const uint8_t *bytes, size_t len,
		       struct lmodel_error *error)
{
	struct lm_tensor_job *job = context;
	int r = write_run(&job->part[0], 0, 1, bytes, len, job->first_row, error);

	job->first_row = false;
	return r;
}

/* With a seed, the salt follows from all that it seals: never one key and salt for two contents. */
static void make_salt(const struct lm_protection *p, size_t shard, const uint8_t *context,
		      size_t len, uint8_t salt[LM_KEY])
{
	uint8_t key[LM_KEY], about[LM_SHARD_CONTEXT + LM_SHA256_SIZE];

	memcpy(about, context, len);
	memcpy(about + len, p->content[shard], LM_SHA256_SIZE);
	lm_protection_key(p, "shard salt", "", key);
	lm_hmac_sha256(salt, key, sizeof(key), about, len + LM_SHA256_SIZE);
	lm_wipe(key, sizeof(key));
}

static int begin_stream(struct lm_tensor_job *job, size_t tier, enum lm_stream kind, uint64_t len,
			const uint8_t base[LM_SHA256_SIZE], const uint8_t random[LM_SEALED_SALT],
			struct lmodel_error *error)
{
	struct lm_protection *p = job->p;
	const struct lm_manifest *m = p->manifest;
	const struct lm_tier_row *row = &m->tiers[tier];
	const struct lm_shard_row *shard = &m->shards[job->part[tier].shard];
	const struct lm_key_scope scope = { .archive = m->id, .tier = row->name,
					    .generation = row->generation };
	uint8_t context[LM_SHARD_CONTEXT], key[LM_KEY], salt[LM_KEY];
	size_t n = lm_shard_context(context, m, shard, kind, base, lm_padded_len(len));
	int r;

	lm_derive(key, p->owner->tiers[tier].key,
		  kind == LM_POSITIONS ? LM_LABEL_POSITIONS : LM_LABEL_VALUES, &scope);
	if (p->seeded)
		make_salt(p, job->part[tier].shard, context, n, salt);
	r = lm_stream_begin(&job->part[tier].stream[kind], job->out->fd, job->out->label,
			    row->offset[kind] + shard->stream[kind].offset, key, context, n,
			    p->seeded ? salt : random, len, error);
	lm_wipe(key, sizeof(key));
	return r;
}

/* Fresh random bytes, at the place of the tensor in a keystream: libgcrypt stirs its pool at each
 * call, which takes longer than the encryption of a small tensor. */
static int draw_salts(const struct lm_tensor_job *job,
		      uint8_t salts[LM_TIER_ROW_LIMIT][2][LM_SEALED_SALT],
		      struct lmodel_error *error)
{
	const size_t len = LM_TIER_ROW_LIMIT * sizeof(salts[0]);
	struct lm_keystream *stream = lm_keystream_new(job->salt_key, error);

	if (stream == NULL)
		return LMODEL_EFAILED;
	lm_keystream_read(stream, job->tensor * (uint64_t)len, salts, len);
	lm_keystream_free(stream);
	return LMODEL_OK;
}

static int write_tensor(struct lm_tensor_job *job, const struct lm_positions_form *forms,
			const uint64_t *values, struct lmodel_error *error)
{
	struct lm_protection *p = job->p;
	uint8_t base[LM_SHA256_SIZE], salts[LM_TIER_ROW_LIMIT][2][LM_SEALED_SALT];
	int r = lm_content_base_digest(p->manifest, job->tensor, base, error);

	if (r == LMODEL_OK && !p->seeded)
		r = draw_salts(job, salts, error);

	for (size_t t = 0; t < p->manifest->tier_count && r == LMODEL_OK; t++) {
		struct lm_part *part = &job->part[t];

		if (part->shard == LM_NONE)
			continue;
		r = begin_stream(job, t, LM_POSITIONS, forms[part->shard].len, base,
				 salts[t][LM_POSITIONS], error);
		if (r == LMODEL_OK)
			r = begin_stream(job, t, LM_VALUES, values[part->shard], base,
					 salts[t][LM_VALUES], error);
		if (r != LMODEL_OK)
			break;
		part->writer = lm_positions_writer_new(&forms[part->shard], to_stream,
						       &part->stream[LM_POSITIONS], error);
		part->pending = malloc(LM_PART_PENDING);
		if (part->writer == NULL)
			r = LMODEL_EFAILED;
		else if (part->pending == NULL)
			r = lm_fail_memory(error);
	}
	if (r == LMODEL_OK)
		r = p->model.lock_key != NULL ?
			    lm_lock_record(&p->model, job->tensor, write_piece, job, error) :
			    lm_protected_walk(&p->model, job->tensor, true, write_window, job,
					      error);
	for (size_t t = 0; t < p->manifest->tier_count && r == LMODEL_OK; t++) {
		struct lm_part *part = &job->part[t];
		struct lm_stream_row *rows;

		if (part->shard == LM_NONE)
			continue;
		rows = p->manifest->shards[part->shard].stream;
		r = flush_values(part, error);
		if (r == LMODEL_OK)
			r = lm_positions_writer_finish(part->writer, error);
		for (int k = 0; k < 2 && r == LMODEL_OK; k++)
			r = lm_stream_finish(&part->stream[k], rows[k].digest, error);
	}
	return r;
}

/* ---- all tensors, through the pool ---- */

struct passing {
	struct lm_protection *p;
	struct lm_writer *out;       /* NULL: measuring */
	struct lm_positions_form *forms;
	const uint64_t *values;
	uint8_t salt_key[LM_KEY];
	size_t next;
};

static int next_tensor(void *context, void *argument, struct lmodel_error *error)
{
	struct passing *c = context;

	(void)error;
	while (c->next < c->p->manifest->tensor_count &&
	       (c->p->manifest->tensors[c->next].alias != LM_NONE ||
		!lm_is_protected(&c->p->model, c->next)))
		c->next++;
	if (c->next == c->p->manifest->tensor_count)
		return LM_POOL_END;
	*(size_t *)argument = c->next++;
	return LMODEL_OK;
}

static int do_tensor(void *context, unsigned worker, void *argument, struct lmodel_error *error)
{
	struct passing *c = context;
	struct lm_tensor_job job;
	int r;

	(void)worker;
	lm_tensor_job_begin(&job, c->p, c->out, *(size_t *)argument);
	job.salt_key = c->salt_key;
	r = c->out == NULL ? lm_tensor_job_measure(&job, c->forms, error) :
			     write_tensor(&job, c->forms, c->values, error);
	lm_tensor_job_end(&job);
	return r;
}

static int done(void *context, void *argument, struct lmodel_error *error)
{
	(void)context;
	(void)argument;
	(void)error;
	return LMODEL_OK;
}

static int pass(struct passing *c, struct lmodel_error *error)
{
	static const struct lm_pool_ops ops = {
		.job_size = sizeof(size_t), .next = next_tensor, .work = do_tensor, .emit = done,
	};

	c->next = 0;
	return lm_pool_run(lm_pool_workers(c->p->run->jobs), &ops, c, error);
}

/* Streams of a tier back to back, tiers one behind the other. */
static int place(struct lm_protection *p, struct lm_writer *out, struct lmodel_error *error)
{
	struct lm_manifest *m = p->manifest;
	char path[LM_TIER_PATH_SIZE];

	for (size_t i = 0; i < m->shard_count; i++)
		for (int k = 0; k < 2; k++) {
			m->shards[i].stream[k].offset = m->tiers[m->shards[i].tier].length[k];
			m->tiers[m->shards[i].tier].length[k] += m->shards[i].stream[k].length;
		}
	for (size_t i = 0; i < m->sealed_count; i++) {
		struct lm_tier_row *tier = &m->tiers[m->sealed[i].tier];

		m->sealed[i].stream.offset = tier->length[LM_VALUES];
		tier->length[LM_VALUES] += m->sealed[i].stream.length;
	}
	for (size_t t = 0; t < m->tier_count; t++)
		for (int k = 0; k < 2; k++) {
			lm_tier_path(&m->tiers[t], (enum lm_stream)k, path);
			if (lm_writer_extent(out, path, m->tiers[t].length[k],
					     &m->tiers[t].offset[k], error))
				return LMODEL_EFAILED;
		}
	return LMODEL_OK;
}

int lm_protection_write(struct lm_protection *p, struct lm_writer *out, struct lmodel_error *error)
{
	const size_t count = p->manifest->shard_count;
	LM_FREE struct lm_positions_form *forms = calloc(count + 1, sizeof(*forms));
	LM_FREE uint64_t *values = calloc(count + 1, sizeof(*values));
	struct passing c = { .p = p, .forms = forms, .values = values };
	int r;

	lm_mask_free(p->model.mask); /* the base stands: no decoy is drawn any more */
	p->model.mask = NULL;
	if (p->seeded)
		p->content = calloc(count + 1, sizeof(*p->content));
	if (forms == NULL || values == NULL || (p->seeded && p->content == NULL))
		return lm_fail_memory(error);
	r = pass(&c, error);
	if (r != LMODEL_OK)
		return r;
	for (size_t i = 0; i < count; i++)
		values[i] = p->manifest->shards[i].stream[LM_VALUES].offset;
	r = place(p, out, error);
	c.out = out;
	lm_random(c.salt_key, sizeof(c.salt_key));
	if (r == LMODEL_OK)
		r = pass(&c, error);
	lm_wipe(c.salt_key, sizeof(c.salt_key));
	lm_selection_free(p->model.selection); /* room for the manifest */
	p->model.selection = NULL;
	return r == LMODEL_OK ? lm_protection_write_sealed(p, out, error) : r;
}
