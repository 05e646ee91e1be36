/* Extracting into a GGUF file made anew: key-values of GGUF inputs keep their types. */
#include "archive/extraction.h"
#include "base/io.h"

/* The metadata of all sources, and what holds the bytes of values that come from GGUF files. */
struct metadata {
	struct lm_export_pair *pairs;
	struct lm_export_value *values;
	uint8_t **held;
	size_t count, held_count;
};

static void metadata_free(struct metadata *d)
{
	for (size_t i = 0; i < d->held_count; i++)
		free(d->held[i]);
	free(d->held);
	free(d->values);
	free(d->pairs);
}

/* What a file that is one of several says of its place among them. */
static bool is_about_parts(const char *key)
{
	return strcmp(key, "split.no") == 0 || strcmp(key, "split.count") == 0 ||
	       strcmp(key, "split.tensors.count") == 0;
}

/* The file is read again from its skeleton, and proved to be what the rows say. Its key-values
 * stand side by side: one read gets all. */
static int hold_values(const struct extraction *x, size_t source, struct lm_model *file,
		       struct metadata *d, struct lmodel_error *error)
{
	uint64_t begin, end;
	uint8_t *bytes;
	int r = lm_skeleton_read(x->archive, source, file, error);

	if (r != LMODEL_OK || file->metadata_count == 0)
		return r;
	begin = file->metadata[0].begin;
	end = file->metadata[file->metadata_count - 1].end;
	bytes = malloc((size_t)(end - begin));
	if (bytes == NULL)
		return lm_fail_memory(error);
	d->held[d->held_count++] = bytes;
	return lm_read_at(file->sources[0].fd, "memory file", bytes, (size_t)(end - begin), begin,
			  error);
}

static int add_source(const struct extraction *x, size_t source, struct metadata *d,
		      struct lmodel_error *error)
{
	const struct lm_manifest *m = &x->archive->manifest;
	bool typed = strcmp(m->sources[source].format, "gguf") == 0;
	struct lm_model file = { 0 };
	size_t next = 0;
	int r = typed ? hold_values(x, source, &file, d, error) : LMODEL_OK;

	for (size_t i = 0; i < m->metadata_count && r == LMODEL_OK; i++) {
		const struct lm_metadata_row *row = &m->metadata[i];
		size_t number = next;

		if (row->source != source)
			continue;
		next++;
		if (typed && m->source_count > 1 && is_about_parts(row->key))
			continue;
		if (typed) {
			const struct lm_source_metadata *t = &file.metadata[number];
			const uint8_t *held = d->held[d->held_count - 1];

			d->values[d->count] = (struct lm_export_value){
				.bytes = held + (t->begin - file.metadata[0].begin),
				.len = (size_t)(t->end - t->begin),
			};
		}
		d->pairs[d->count++] = (struct lm_export_pair){ row->key, row->value };
	}
	lm_model_free(&file);
	return r;
}

static int gather_metadata(const struct extraction *x, struct metadata *d,
			   struct lmodel_error *error)
{
	const struct lm_manifest *m = &x->archive->manifest;
	int r = LMODEL_OK;

	d->pairs = calloc(m->metadata_count + 1, sizeof(*d->pairs));
	d->values = calloc(m->metadata_count + 1, sizeof(*d->values));
	d->held = calloc(m->source_count + 1, sizeof(*d->held));
	if (d->pairs == NULL || d->values == NULL || d->held == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->source_count && r == LMODEL_OK; i++)
		r = add_source(x, i, d, error);
	return r;
}

bool lm_extraction_gguf_lacks(const struct lm_dtype *dtype)
{
	uint32_t number;

	return !lm_dtype_ggml(dtype, &number) && dtype->bits >= 8;
}

/* Elements of types that GGUF lacks as rows of bytes; of one byte, as they are. `*shapes` is fresh
 * memory. */
static int open_elements(struct lm_export_tensor *placed, size_t count, uint64_t **shapes,
			 struct lmodel_error *error)
{
	enum { ROOM = LM_EXPORT_GGUF_RANK + 1 };
	size_t lacking = 0;
	uint64_t *shape;

	for (size_t i = 0; i < count; i++)
		lacking += lm_extraction_gguf_lacks(placed[i].dtype);
	*shapes = shape = calloc(lacking * ROOM + 1, sizeof(*shape));
	if (shape == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < count; i++) {
		struct lm_export_tensor *t = &placed[i];

		if (!lm_extraction_gguf_lacks(t->dtype))
			continue;
		/* More than that is refused where the file is laid out. */
		if (t->dtype->block_bytes > 1 && t->rank <= LM_EXPORT_GGUF_RANK) {
			if (t->rank > 0)
				memcpy(shape, t->shape, t->rank * sizeof(*shape));
			shape[t->rank++] = t->dtype->block_bytes;
			t->shape = shape;
			shape += ROOM;
		}
		t->dtype = lm_dtype_find("I8");
	}
	return LMODEL_OK;
}

int lm_extraction_plan_gguf(struct extraction *x, const char *name, struct lmodel_error *error)
{
	LM_CLEANUP(metadata_free) struct metadata d = { 0 };
	LM_FREE struct lm_export_tensor *placed = calloc(x->chosen_count + 1, sizeof(*placed));
	LM_FREE uint64_t *shapes = NULL;
	struct lm_output_file *file;
	size_t index;
	int r;

	if (placed == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < x->chosen_count; i++)
		placed[i] = lm_extraction_tensor(x, i);
	file = lm_outputs_add(&x->outputs, name, &index, error);
	if (file == NULL)
		return LMODEL_EFAILED;
	r = open_elements(placed, x->chosen_count, &shapes, error);
	if (r == LMODEL_OK)
		r = gather_metadata(x, &d, error);
	if (r == LMODEL_OK)
		r = lm_export_gguf(placed, x->chosen_count, d.pairs, d.values, d.count, &file->head,
				   &file->head_len, &file->size, error);
	for (size_t i = 0; i < x->chosen_count && r == LMODEL_OK; i++)
		r = lm_plan_add(&x->plan,
				lm_manifest_member_of(&x->archive->manifest, x->chosen[i]), 0,
				placed[i].bytes, index, placed[i].offset, error);
	return r;
}
