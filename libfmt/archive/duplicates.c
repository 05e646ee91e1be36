#include "archive/duplicates.h"

#include "crypto/crypto.h"

enum { SAMPLE = 64, SAMPLES = 4, PIECE = 1 << 18 };

struct print {
	size_t tensor;
	const struct lm_dtype *dtype;
	uint64_t bytes;
	uint8_t digest[LM_SHA256_SIZE]; /* of the samples, then of everything */
	bool constant;                  /* the samples are one byte, repeated */
};

static int by_content(const void *a, const void *b)
{
	const struct print *p = a, *q = b;
	int r;

	if (p->dtype != q->dtype)
		return p->dtype < q->dtype ? -1 : 1;
	if (p->bytes != q->bytes)
		return p->bytes < q->bytes ? -1 : 1;
	r = memcmp(p->digest, q->digest, sizeof(p->digest));
	if (r != 0)
		return r;
	return p->tensor < q->tensor ? -1 : p->tensor > q->tensor;
}

static bool alike(const struct print *p, const struct print *q)
{
	return p->dtype == q->dtype && p->bytes == q->bytes &&
	       memcmp(p->digest, q->digest, sizeof(p->digest)) == 0;
}

/* Whether two tensors are the same bytes of a file: there may be thousands over one range. Those of
 * one place stand together. */
static bool same_place(const struct lm_model *m, size_t a, size_t b)
{
	const struct lm_source_tensor *p = &m->tensors[a], *q = &m->tensors[b];

	return p->source == q->source && p->spool == q->spool && p->offset == q->offset &&
	       p->bytes == q->bytes;
}

static uint64_t sample_at(uint64_t bytes, unsigned number)
{
	return (bytes - SAMPLE) / (SAMPLES - 1) * number;
}

/* A disk brings many samples at once in the time that a few take one after the other. Those of
 * short tensors are close together, and come with their neighbours. */
static void ask_for_samples(const struct lm_model *m)
{
	enum { LONG = 1 << 20 };

	for (size_t i = 0; i < m->tensor_count; i++)
		for (unsigned k = 0; k < SAMPLES && m->tensors[i].bytes >= LONG; k++)
			lm_model_will_need(m, i, sample_at(m->tensors[i].bytes, k), SAMPLE);
}

/* Samples spread over the tensor; all of it when it is short. */
static int sample(const struct lm_model *m, struct print *p, struct lmodel_error *error)
{
	uint8_t bytes[SAMPLE * SAMPLES] = { 0 };
	int r = LMODEL_OK;

	if (p->bytes <= sizeof(bytes)) {
		r = lm_model_read(m, p->tensor, 0, bytes, (size_t)p->bytes, error);
	} else {
		for (unsigned i = 0; i < SAMPLES && r == LMODEL_OK; i++)
			r = lm_model_read(m, p->tensor, sample_at(p->bytes, i),
					  bytes + SAMPLE * i, SAMPLE, error);
	}
	p->constant = memcmp(bytes, bytes + 1, LM_MIN(p->bytes, (uint64_t)sizeof(bytes)) - 1) == 0;
	lm_sha256(p->digest, bytes, sizeof(bytes));
	return r;
}

static int digest_all(const struct lm_model *m, struct print *p, uint8_t *buffer,
		      struct lmodel_error *error)
{
	struct lm_hash *hash = lm_hash_new(error);
	int r = hash == NULL ? LMODEL_EFAILED : LMODEL_OK;

	for (uint64_t at = 0; at < p->bytes && r == LMODEL_OK;) {
		size_t n = (size_t)LM_MIN((uint64_t)PIECE, p->bytes - at);

		r = lm_model_read(m, p->tensor, at, buffer, n, error);
		lm_hash_add(hash, buffer, n);
		at += n;
	}
	if (hash != NULL) {
		lm_hash_finish(hash, p->digest);
		lm_hash_free(hash);
	}
	return r;
}

/* Replaces the samples' digest by that of all bytes, within a run of tensors that look alike. */
static int look_closer(const struct lm_model *m, struct print *prints, size_t count,
		       uint8_t *buffer, struct lmodel_error *error)
{
	for (size_t i = 0, end; i < count; i = end) {
		for (end = i + 1; end < count && alike(&prints[i], &prints[end]); end++)
			;
		if (end == i + 1 || prints[i].bytes <= SAMPLE * SAMPLES)
			continue;
		for (size_t k = i; k < end; k++) {
			if (k > i && same_place(m, prints[k - 1].tensor, prints[k].tensor))
				memcpy(prints[k].digest, prints[k - 1].digest, LM_SHA256_SIZE);
			else if (digest_all(m, &prints[k], buffer, error))
				return (int)error->code;
		}
	}
	return LMODEL_OK;
}

/* Samples that are all one byte do not make a tensor that is. */
static int look_whole(const struct lm_model *m, struct print *p, uint8_t *buffer,
		      struct lmodel_error *error)
{
	uint8_t first = 0;
	int r = LMODEL_OK;

	for (uint64_t at = 0; at < p->bytes && p->constant && r == LMODEL_OK;) {
		size_t n = (size_t)LM_MIN((uint64_t)PIECE, p->bytes - at);

		r = lm_model_read(m, p->tensor, at, buffer, n, error);
		if (r != LMODEL_OK)
			break;
		if (at == 0)
			first = buffer[0];
		p->constant = buffer[0] == first && memcmp(buffer, buffer + 1, n - 1) == 0;
		at += n;
	}
	return r;
}

static int find(const struct lm_model *m, bool any_dtype, size_t *alias, struct lmodel_error *error)
{
	LM_FREE struct print *prints = calloc(m->tensor_count + 1, sizeof(*prints));
	LM_FREE uint8_t *buffer = malloc(PIECE);
	struct print p = { .tensor = SIZE_MAX };
	size_t count = 0;
	int r = LMODEL_OK;

	if (prints == NULL || buffer == NULL)
		return lm_fail_memory(error);
	ask_for_samples(m);
	for (size_t i = 0; i < m->tensor_count && r == LMODEL_OK; i++) {
		bool again = p.tensor != SIZE_MAX && same_place(m, p.tensor, i);

		alias[i] = SIZE_MAX;
		if (m->tensors[i].bytes == 0)
			continue;
		p.tensor = i;
		p.bytes = m->tensors[i].bytes;
		p.dtype = any_dtype ? NULL : m->tensors[i].dtype;
		if (!again)
			r = sample(m, &p, error);
		if (r == LMODEL_OK && !again && any_dtype && p.constant)
			r = look_whole(m, &p, buffer, error);
		if (!(any_dtype && p.constant))
			prints[count++] = p;
	}
	if (r != LMODEL_OK)
		return r;
	qsort(prints, count, sizeof(*prints), by_content);
	r = look_closer(m, prints, count, buffer, error);
	qsort(prints, count, sizeof(*prints), by_content);
	for (size_t i = 1, first = 0; i < count && r == LMODEL_OK; i++) {
		if (alike(&prints[first], &prints[i]))
			alias[prints[i].tensor] = prints[first].tensor;
		else
			first = i;
	}
	return r;
}

int lm_find_duplicates(const struct lm_model *m, size_t *alias, struct lmodel_error *error)
{
	return find(m, false, alias, error);
}

int lm_find_twins(const struct lm_model *m, size_t *twin, struct lmodel_error *error)
{
	return find(m, true, twin, error);
}
