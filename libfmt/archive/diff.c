/* lmodel_diff(): what differs between two archives. */
#include <lmodel/check.h>

#include <stdio.h>

#include "archive/member.h"
#include "archive/scan.h"
#include "base/pool.h"

struct difference {
	struct lmodel_archive *a, *b;
	const struct lmodel_run *run;
	void (*entry)(void *context, const struct lmodel_diff_entry *entry);
	size_t count;
	/* Pairs whose bytes have to be compared. */
	struct lm_scan_item *items;
	size_t *member_b;          /* the other side of each item */
	unsigned *width;           /* bytes an element */
	uint64_t *differing;       /* elements, counted in order */
	size_t item_count;
	struct lm_reader **readers; /* of B, one a worker */
	pthread_mutex_t lock;
};

static void tell(struct difference *d, enum lmodel_difference kind, const char *name,
		 const char *detail, uint64_t elements)
{
	struct lmodel_diff_entry e = {
		.kind = kind, .name = name, .detail = detail, .elements = elements,
	};

	d->count++;
	if (d->entry != NULL)
		d->entry(d->run != NULL ? d->run->context : NULL, &e);
}

/* ---- bytes ---- */

/* Equal without a look at the data: the same stored chunks under the same coding. */
static bool same_member(const struct lm_member *p, const struct lm_member *q)
{
	return p->bytes == q->bytes && p->chunk_bytes == q->chunk_bytes &&
	       strcmp(p->coding_name, q->coding_name) == 0 &&
	       memcmp(p->digest, q->digest, sizeof(p->digest)) == 0 &&
	       (p->chunk_count == 0 ||
		memcmp(p->chunks, q->chunks, p->chunk_count * sizeof(*p->chunks)) == 0);
}

static int compare(void *context, unsigned worker, const struct lm_scan_piece *piece,
		   struct lmodel_error *error)
{
	struct difference *d = context;
	size_t width = d->width[piece->item];
	LM_FREE uint8_t *other = malloc(piece->len);
	uint64_t n = 0;
	int r;

	if (other == NULL)
		return lm_fail_memory(error);
	r = lm_reader_range(d->readers[worker], d->member_b[piece->item], piece->at, other,
			    piece->len, error);
	if (r != LMODEL_OK || memcmp(other, piece->bytes, piece->len) == 0)
		return r;
	for (size_t i = 0; i < piece->len; i += width)
		n += memcmp(other + i, piece->bytes + i, LM_MIN(width, piece->len - i)) != 0;
	pthread_mutex_lock(&d->lock);
	d->differing[piece->item] += n;
	pthread_mutex_unlock(&d->lock);
	return LMODEL_OK;
}

/* Compares all pairs in one scan of A, B read beside it. */
static int compare_all(struct difference *d, struct lmodel_error *error)
{
	struct lm_scan scan = {
		.archive = d->a, .items = d->items, .item_count = d->item_count, .work = compare,
		.context = d,
	};
	unsigned workers = lm_pool_workers(d->run != NULL ? d->run->jobs : 0);
	int r = LMODEL_OK;

	d->readers = calloc(workers, sizeof(struct lm_reader *));
	if (d->readers == NULL)
		return lm_fail_memory(error);
	for (unsigned i = 0; i < workers && r == LMODEL_OK; i++) {
		d->readers[i] = lm_reader_new(d->b, error);
		if (d->readers[i] == NULL)
			r = LMODEL_EFAILED;
	}
	pthread_mutex_init(&d->lock, NULL);
	if (r == LMODEL_OK)
		r = lm_scan_run(&scan, d->run, error);
	pthread_mutex_destroy(&d->lock);
	for (unsigned i = 0; i < workers; i++)
		lm_reader_free(d->readers[i]);
	free(d->readers);
	return r;
}

static void add_pair(struct difference *d, size_t member_a, size_t member_b, unsigned width)
{
	const struct lm_member *p = &d->a->manifest.members[member_a];

	if (p->bytes != d->b->manifest.members[member_b].bytes ||
	    same_member(p, &d->b->manifest.members[member_b]))
		return;
	d->items[d->item_count] = (struct lm_scan_item){ .member = member_a, .len = p->bytes };
	d->member_b[d->item_count] = member_b;
	d->width[d->item_count++] = width;
}

/* ---- tensors ---- */

static bool same_shape(const struct lmodel_tensor *p, const struct lmodel_tensor *q)
{
	return p->rank == q->rank &&
	       (p->rank == 0 || memcmp(p->shape, q->shape, p->rank * sizeof(*p->shape)) == 0);
}

static char *shapes(const struct lmodel_tensor *p, const struct lmodel_tensor *q,
		    struct lmodel_error *error)
{
	const struct lmodel_tensor *both[2] = { p, q };
	size_t size = (p->rank + q->rank) * 21 + 16, used = 0;
	char *text = malloc(size);

	if (text == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	for (int k = 0; k < 2; k++) {
		used += (size_t)snprintf(text + used, size - used, "%s[", k > 0 ? " -> " : "");
		for (unsigned i = 0; i < both[k]->rank; i++)
			used += (size_t)snprintf(text + used, size - used, "%s%ju",
						 i > 0 ? "," : "", (uintmax_t)both[k]->shape[i]);
		used += (size_t)snprintf(text + used, size - used, "]");
	}
	return text;
}

static size_t find_attachment(const struct lm_manifest *m, const char *name)
{
	for (size_t i = 0; i < m->attachment_count; i++)
		if (strcmp(m->attachments[i].name, name) == 0)
			return i;
	return LM_NONE;
}

/* Lists what has to be read, in the order in which it is told. */
static int pair_up(struct difference *d, struct lmodel_error *error)
{
	const struct lm_manifest *m = &d->a->manifest, *n = &d->b->manifest;
	size_t most = m->tensor_count + m->attachment_count + 1;

	d->items = calloc(most, sizeof(*d->items));
	d->member_b = calloc(most, sizeof(*d->member_b));
	d->width = calloc(most, sizeof(*d->width));
	d->differing = calloc(most, sizeof(*d->differing));
	if (d->items == NULL || d->member_b == NULL || d->width == NULL || d->differing == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->tensor_count; i++) {
		const struct lmodel_tensor *p = &d->a->tensors[i];
		const struct lmodel_tensor *q = lmodel_tensor_find(d->b, p->name);

		if (q != NULL && strcmp(p->dtype, q->dtype) == 0)
			add_pair(d, lm_manifest_member_of(m, i),
				 lm_manifest_member_of(n, lm_archive_tensor_index(d->b, q)),
				 LM_MAX(lm_dtype_number_bits(lm_dtype_find(p->dtype)) / 8, 1u));
	}
	for (size_t i = 0; i < m->attachment_count; i++) {
		size_t k = find_attachment(n, m->attachments[i].name);

		if (k != LM_NONE)
			add_pair(d, m->attachments[i].member, n->attachments[k].member, 1);
	}
	return LMODEL_OK;
}

/* Elements that differ in this pair of members; UINT64_MAX when their lengths do. */
static uint64_t differing(const struct difference *d, size_t member_a, size_t member_b,
			  size_t *next)
{
	if (d->a->manifest.members[member_a].bytes != d->b->manifest.members[member_b].bytes)
		return UINT64_MAX;
	if (*next < d->item_count && d->items[*next].member == member_a &&
	    d->member_b[*next] == member_b)
		return d->differing[(*next)++];
	return 0;
}

static int tell_tensors(struct difference *d, size_t *next, struct lmodel_error *error)
{
	const struct lm_manifest *m = &d->a->manifest, *n = &d->b->manifest;

	for (size_t i = 0; i < m->tensor_count; i++) {
		const struct lmodel_tensor *p = &d->a->tensors[i];
		const struct lmodel_tensor *q = lmodel_tensor_find(d->b, p->name);

		if (q == NULL) {
			tell(d, LMODEL_ONLY_A, p->name, "", 0);
		} else if (strcmp(p->dtype, q->dtype) != 0) {
			char detail[64];

			snprintf(detail, sizeof(detail), "%s -> %s", p->dtype, q->dtype);
			tell(d, LMODEL_DTYPE, p->name, detail, 0);
		} else {
			uint64_t k = differing(
				d, lm_manifest_member_of(m, i),
				lm_manifest_member_of(n, lm_archive_tensor_index(d->b, q)), next);

			if (!same_shape(p, q)) {
				LM_FREE char *detail = shapes(p, q, error);

				if (detail == NULL)
					return LMODEL_EFAILED;
				tell(d, LMODEL_SHAPE, p->name, detail, 0);
			} else if (k > 0) {
				tell(d, LMODEL_CONTENT, p->name, "", k);
			}
		}
	}
	for (size_t i = 0; i < n->tensor_count; i++)
		if (lmodel_tensor_find(d->a, d->b->tensors[i].name) == NULL)
			tell(d, LMODEL_ONLY_B, d->b->tensors[i].name, "", 0);
	return LMODEL_OK;
}

/* ---- metadata and attachments ---- */

static const char *metadata_value(const struct lmodel_archive *a, const char *source,
				  const char *key)
{
	for (size_t i = 0; i < a->manifest.metadata_count; i++)
		if (strcmp(a->metadata[i].source, source) == 0 &&
		    strcmp(a->metadata[i].key, key) == 0)
			return a->metadata[i].value;
	return NULL;
}

/* A single source may be called otherwise on the other side: its metadata is compared all the
 * same. */
static const char *other_source(const struct lmodel_archive *from, const struct lmodel_archive *to,
				const char *source)
{
	if (from->manifest.source_count == 1 && to->manifest.source_count == 1)
		return to->sources[0].name;
	return source;
}

static int tell_metadata(struct difference *d, struct lmodel_error *error)
{
	for (int side = 0; side < 2; side++) {
		const struct lmodel_archive *from = side == 0 ? d->a : d->b;
		const struct lmodel_archive *to = side == 0 ? d->b : d->a;

		for (size_t i = 0; i < from->manifest.metadata_count; i++) {
			const struct lmodel_metadata *md = &from->metadata[i];
			const char *value = metadata_value(to, other_source(from, to, md->source),
							   md->key);
			LM_FREE char *name = NULL;

			if (value != NULL && (side == 1 || strcmp(value, md->value) == 0))
				continue;
			name = lm_format(error, "%s: %s", md->source, md->key);
			if (name == NULL)
				return LMODEL_EFAILED;
			tell(d, LMODEL_METADATA, name, value != NULL ? "other value" :
			     side == 0 ? "only in the first" : "only in the second", 0);
		}
	}
	return LMODEL_OK;
}

static size_t find_sealed(const struct lm_manifest *m, const char *name)
{
	for (size_t i = 0; i < m->sealed_count; i++)
		if (strcmp(m->sealed[i].name, name) == 0)
			return i;
	return LM_NONE;
}

static void tell_attachments(struct difference *d, size_t *next)
{
	const struct lm_manifest *m = &d->a->manifest, *n = &d->b->manifest;

	for (size_t i = 0; i < m->attachment_count; i++) {
		size_t k = find_attachment(n, m->attachments[i].name);
		uint64_t bytes = k == LM_NONE ? 0 : differing(d, m->attachments[i].member,
							      n->attachments[k].member, next);

		if (k == LM_NONE && find_sealed(n, m->attachments[i].name) == LM_NONE)
			tell(d, LMODEL_ATTACHMENT, m->attachments[i].name, "only in the first", 0);
		else if (k == LM_NONE)
			continue; /* told with those of tiers */
		else if (bytes == UINT64_MAX)
			tell(d, LMODEL_ATTACHMENT, m->attachments[i].name, "other length", 0);
		else if (bytes > 0)
			tell(d, LMODEL_ATTACHMENT, m->attachments[i].name, "other bytes", bytes);
	}
	for (size_t i = 0; i < n->attachment_count; i++)
		if (find_attachment(m, n->attachments[i].name) == LM_NONE &&
		    find_sealed(m, n->attachments[i].name) == LM_NONE)
			tell(d, LMODEL_ATTACHMENT, n->attachments[i].name, "only in the second", 0);
}

/* Of one that is in a tier on both sides what shows is compared, as of tensors. */
static void tell_sealed(struct difference *d, const struct lm_sealed_row *x,
			const struct lm_sealed_row *y)
{
	if (strcmp(d->a->manifest.tiers[x->tier].name, d->b->manifest.tiers[y->tier].name) != 0)
		tell(d, LMODEL_ATTACHMENT, x->name, "of another tier", 0);
	else if (x->stream.length != y->stream.length)
		tell(d, LMODEL_ATTACHMENT, x->name, "other length", 0);
}

static void tell_all_sealed(struct difference *d)
{
	const struct lm_manifest *m = &d->a->manifest, *n = &d->b->manifest;

	for (size_t i = 0; i < m->sealed_count; i++) {
		const char *name = m->sealed[i].name;
		size_t k = find_sealed(n, name);

		if (k != LM_NONE)
			tell_sealed(d, &m->sealed[i], &n->sealed[k]);
		else if (find_attachment(n, name) != LM_NONE)
			tell(d, LMODEL_ATTACHMENT, name, "of a tier in the first alone", 0);
		else
			tell(d, LMODEL_ATTACHMENT, name, "only in the first", 0);
	}
	for (size_t k = 0; k < n->sealed_count; k++) {
		const char *name = n->sealed[k].name;

		if (find_sealed(m, name) != LM_NONE)
			continue;
		if (find_attachment(m, name) != LM_NONE)
			tell(d, LMODEL_ATTACHMENT, name, "of a tier in the second alone", 0);
		else
			tell(d, LMODEL_ATTACHMENT, name, "only in the second", 0);
	}
}

int lmodel_diff(struct lmodel_archive *a, struct lmodel_archive *b, const struct lmodel_run *run,
		void (*entry)(void *context, const struct lmodel_diff_entry *entry), size_t *count,
		struct lmodel_error *error)
{
	struct difference d = { .a = a, .b = b, .run = run, .entry = entry };
	struct lmodel_error local = LMODEL_ERROR_INIT;
	size_t next = 0;
	int r;

	error = error != NULL ? error : &local;
	r = pair_up(&d, error);
	if (r == LMODEL_OK)
		r = compare_all(&d, error);
	if (r == LMODEL_OK)
		r = tell_tensors(&d, &next, error);
	if (r == LMODEL_OK)
		r = tell_metadata(&d, error);
	if (r == LMODEL_OK) {
		tell_attachments(&d, &next);
		tell_all_sealed(&d);
	}
	if (count != NULL)
		*count = d.count;
	free(d.items);
	free(d.member_b);
	free(d.width);
	free(d.differing);
	return r;
}
