/* Extracting: which tensors, into which files, and where in these. */
#include "archive/attachments.h"
#include "archive/extraction.h"

#include <stdio.h>

/* ---- choosing ---- */

static bool any_matches(const char *const *patterns, size_t count, const char *name, bool *hit)
{
	bool any = false;

	for (size_t i = 0; i < count; i++)
		if (lmodel_match(patterns[i], name)) {
			any = true;
			if (hit != NULL)
				hit[i] = true;
		}
	return any;
}

int lm_extraction_choose(struct extraction *x, struct lmodel_error *error)
{
	const struct lm_manifest *m = &x->archive->manifest;
	const struct lmodel_extract_options *o = x->options;
	LM_FREE bool *hit = calloc(o->pattern_count + 1, sizeof(*hit));

	x->chosen = calloc(m->tensor_count + 1, sizeof(*x->chosen));
	if (hit == NULL || x->chosen == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->tensor_count; i++)
		if ((o->pattern_count == 0 ||
		     any_matches(o->patterns, o->pattern_count, m->tensors[i].name, hit)) &&
		    !any_matches(o->excludes, o->exclude_count, m->tensors[i].name, NULL))
			x->chosen[x->chosen_count++] = i;
	for (size_t i = 0; i < o->pattern_count; i++)
		if (!hit[i])
			return lm_fail(error, LMODEL_EUSAGE, "%s: no tensor matches %s",
				       x->archive->label, LM_QUOTE(o->patterns[i]));
	if (x->chosen_count == 0 && m->tensor_count > 0)
		return lm_fail(error, LMODEL_EUSAGE, "%s: every tensor is excluded",
			       x->archive->label);
	return LMODEL_OK;
}

/* ---- planning ---- */

struct lm_export_tensor lm_extraction_tensor(const struct extraction *x, size_t index)
{
	const struct lm_tensor_row *t = &x->archive->manifest.tensors[x->chosen[index]];

	return (struct lm_export_tensor){
		.name = t->name, .dtype = t->dtype, .rank = t->rank, .shape = t->shape,
		.bytes = t->bytes,
	};
}

/* Opaque elements as rows of bytes, which safetensors has. `*shapes` is fresh memory. */
static int open_opaque(struct lm_export_tensor *placed, size_t count, uint64_t **shapes,
		       struct lmodel_error *error)
{
	size_t opaque = 0, room = LM_PERMUTE_RANK + 1;

	for (size_t i = 0; i < count; i++)
		opaque += lm_dtype_is_opaque(placed[i].dtype);
	*shapes = calloc(opaque * room + 1, sizeof(**shapes));
	if (*shapes == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0, at = 0; i < count; i++) {
		struct lm_export_tensor *t = &placed[i];

		if (!lm_dtype_is_opaque(t->dtype))
			continue;
		if (t->rank > 0)
			memcpy(*shapes + at, t->shape, t->rank * sizeof(**shapes));
		t->shape = *shapes + at;
		(*shapes)[at + t->rank++] = t->dtype->block_bytes;
		t->dtype = lm_dtype_find("U8");
		at += room;
	}
	return LMODEL_OK;
}

/* The metadata of all sources, the first of equal keys: what a file made anew carries. Names of
 * tensors begin `skip` bytes into theirs. */
static int plan_safetensors(struct extraction *x, const char *name, size_t skip, size_t first,
			    size_t count, struct lm_export_tensor *placed,
			    struct lmodel_error *error)
{
	const struct lm_manifest *m = &x->archive->manifest;
	LM_FREE struct lm_export_pair *pairs = calloc(m->metadata_count + 1, sizeof(*pairs));
	LM_FREE uint64_t *shapes = NULL;
	struct lm_output_file *file;
	size_t index;
	int r;

	if (pairs == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->metadata_count; i++)
		pairs[i] = (struct lm_export_pair){ m->metadata[i].key, m->metadata[i].value };
	for (size_t i = 0; i < count; i++) {
		placed[i] = lm_extraction_tensor(x, first + i);
		placed[i].name += skip;
	}
	file = lm_outputs_add(&x->outputs, name, &index, error);
	if (file == NULL)
		return LMODEL_EFAILED;
	r = open_opaque(placed, count, &shapes, error);
	if (r == LMODEL_OK)
		r = lm_export_safetensors(placed, count, pairs, m->metadata_count, &file->head,
				  &file->head_len, &file->size, error);
	for (size_t i = 0; i < count && r == LMODEL_OK; i++)
		r = lm_plan_add(&x->plan, lm_manifest_member_of(m, x->chosen[first + i]), 0,
				placed[i].bytes, index, placed[i].offset, error);
	return r;
}

static int plan_npz(struct extraction *x, const char *name, struct lmodel_error *error)
{
	const struct lm_manifest *m = &x->archive->manifest;
	LM_FREE struct lm_export_tensor *placed = calloc(x->chosen_count + 1, sizeof(*placed));
	struct lm_export_layout layout = { 0 };
	struct lm_output_file *file;
	size_t index;
	int r;

	if (placed == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < x->chosen_count; i++) {
		placed[i] = lm_extraction_tensor(x, i);
		lm_extraction_describe(x, x->chosen[i], &placed[i].descr, &placed[i].rank);
	}
	file = lm_outputs_add(&x->outputs, name, &index, error);
	if (file == NULL)
		return LMODEL_EFAILED;
	r = lm_export_npz(placed, x->chosen_count, &layout, error);
	file->head = layout.bytes;
	file->head_len = layout.len;
	file->pieces = layout.pieces;
	file->piece_count = layout.piece_count;
	file->size = layout.size;
	for (size_t i = 0; i < x->chosen_count && r == LMODEL_OK; i++)
		r = lm_plan_add(&x->plan, lm_manifest_member_of(m, x->chosen[i]), 0,
				placed[i].bytes, index, placed[i].offset, error);
	for (size_t i = 0; i < layout.crc_count && r == LMODEL_OK; i++)
		r = lm_plan_add_crc(&x->plan, index, layout.crcs[i].to, layout.crcs[i].begin,
				    layout.crcs[i].end, error);
	free(layout.crcs);
	return r;
}

static int plan_npy(struct extraction *x, const char *name, struct lmodel_error *error)
{
	const struct lm_manifest *m = &x->archive->manifest;
	struct lm_output_file *file;
	struct lm_export_tensor t;
	size_t index;
	int r;

	if (x->chosen_count != 1)
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: npy holds one array; %zu tensors were asked for (npz holds "
			       "several)", x->archive->label, x->chosen_count);
	t = lm_extraction_tensor(x, 0);
	lm_extraction_describe(x, x->chosen[0], &t.descr, &t.rank);
	file = lm_outputs_add(&x->outputs, name, &index, error);
	if (file == NULL)
		return LMODEL_EFAILED;
	r = lm_export_npy_as(&t, &file->head, &file->head_len, error);
	file->size = file->head_len + t.bytes;
	return r != LMODEL_OK ? r :
	       lm_plan_add(&x->plan, lm_manifest_member_of(m, x->chosen[0]), 0, t.bytes, index,
			   file->head_len, error);
}

static int plan_source(struct extraction *x, size_t source, const char *name,
		       struct lmodel_error *error)
{
	struct lm_output_file *file;
	size_t index;

	file = lm_outputs_add(&x->outputs, name, &index, error);
	if (file == NULL)
		return LMODEL_EFAILED;
	file->size = x->archive->manifest.sources[source].bytes;
	return lm_skeleton_plan(x->archive, source, index, &x->plan, error);
}

/* Whether the input itself is what is asked for. */
static bool is_native(const struct extraction *x, bool whole)
{
	static const char *const formats[] = {
		[LMODEL_FORMAT_SAFETENSORS] = "safetensors", [LMODEL_FORMAT_NPZ] = "npz",
		[LMODEL_FORMAT_NPY] = "npy", [LMODEL_FORMAT_GGUF] = "gguf",
	};
	const struct lm_manifest *m = &x->archive->manifest;

	return whole && m->source_count == 1 && x->options->max_shard_bytes == 0 &&
	       (x->options->format == LMODEL_FORMAT_NATIVE ||
		strcmp(m->sources[0].format, formats[x->options->format]) == 0);
}

static bool is_index(const char *name)
{
	static const char suffix[] = ".safetensors.index.json";
	size_t n = strlen(name), k = sizeof(suffix) - 1;

	return n >= k && strcmp(name + n - k, suffix) == 0;
}

/* An index of shards is left out where other shards are written. */
static int plan_attachments(struct extraction *x, bool native, struct lmodel_error *error)
{
	const struct lm_manifest *m = &x->archive->manifest;

	for (size_t i = 0; i < m->attachment_count; i++) {
		const struct lm_member *member = &m->members[m->attachments[i].member];
		struct lm_output_file *file;
		size_t index;

		if (!native && is_index(m->attachments[i].name))
			continue;
		file = lm_outputs_add(&x->outputs, m->attachments[i].name, &index, error);
		if (file == NULL)
			return LMODEL_EFAILED;
		file->size = member->bytes;
		if (lm_plan_add(&x->plan, m->attachments[i].member, 0, member->bytes, index, 0,
				error))
			return LMODEL_EFAILED;
	}
	return LMODEL_OK;
}

/* Chosen tensors that go into files of one folder; `folder` is "" or ends with a slash, `stem`
 * begins the files' names. */
struct group {
	size_t first, count;
	char *folder, *stem;
};

/* How many tensors of the group, from number `first` of it on, go into one shard: at least one. */
static size_t shard_length(const struct extraction *x, const struct group *g, size_t first)
{
	const struct lm_manifest *m = &x->archive->manifest;
	uint64_t most = x->options->max_shard_bytes > 0 ? x->options->max_shard_bytes : UINT64_MAX;
	uint64_t sum = 0;
	size_t n = 0;

	while (first + n < g->count) {
		uint64_t bytes = m->tensors[x->chosen[g->first + first + n]].bytes;

		if (n > 0 && (!lm_add(sum, bytes, &sum) || sum > most))
			break;
		if (n == 0)
			sum = bytes;
		n++;
	}
	return n;
}

static int plan_index(struct extraction *x, const struct group *g,
		      const struct lm_export_tensor *placed, const char *const *file_of,
		      struct lmodel_error *error)
{
	LM_FREE char *name = lm_format(error, "%s%s.safetensors.index.json", g->folder, g->stem);
	struct lm_output_file *file;
	size_t index;
	char *text;
	int r;

	if (name == NULL)
		return LMODEL_EFAILED;
	file = lm_outputs_add(&x->outputs, name, &index, error);
	if (file == NULL)
		return LMODEL_EFAILED;
	r = lm_export_index(placed, g->count, file_of, &text, &file->head_len, error);
	if (r == LMODEL_OK) {
		file->head = (uint8_t *)text;
		file->size = file->head_len;
	}
	return r;
}

static int plan_group(struct extraction *x, const struct group *g, struct lmodel_error *error)
{
	LM_FREE struct lm_export_tensor *placed = calloc(g->count + 1, sizeof(*placed));
	LM_FREE const char **file_of = calloc(g->count + 1, sizeof(*file_of));
	size_t shards = 0, done = 0, skip = strlen(g->folder);
	int r = LMODEL_OK;

	if (placed == NULL || file_of == NULL)
		return lm_fail_memory(error);
	for (size_t at = 0; at < g->count; at += shard_length(x, g, at))
		shards++;
	for (size_t s = 0; s < LM_MAX(shards, (size_t)1) && r == LMODEL_OK; s++) {
		size_t n = shard_length(x, g, done);
		LM_FREE char *name = shards <= 1 ?
			lm_format(error, "%s%s.safetensors", g->folder, g->stem) :
			lm_format(error, "%s%s-%05zu-of-%05zu.safetensors", g->folder, g->stem,
				  s + 1, shards);

		if (name == NULL)
			return LMODEL_EFAILED;
		r = plan_safetensors(x, name, skip, g->first + done, n, placed + done, error);
		for (size_t i = 0; i < n && r == LMODEL_OK; i++)
			file_of[done + i] = lm_outputs_name(&x->outputs, x->outputs.count - 1) +
					    skip;
		done += n;
	}
	return r == LMODEL_OK && shards > 1 ? plan_index(x, g, placed, file_of, error) : r;
}

static const char *source_of(const struct extraction *x, size_t chosen)
{
	const struct lm_manifest *m = &x->archive->manifest;

	return m->sources[m->tensors[x->chosen[chosen]].source].name;
}

static size_t folder_len(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash == NULL ? 0 : (size_t)(slash + 1 - name);
}

/* Libraries look for the name that a model came with: "diffusion_pytorch_model" of
 * "unet/diffusion_pytorch_model-00001-of-00002.safetensors". */
static char *stem_of(const char *name, size_t folder, struct lmodel_error *error)
{
	static const char number[] = "-00001-of-00001";
	const char *stem = name + folder, *dot = strchr(stem, '.'), *of = strstr(stem, "-of-");
	size_t len = dot == NULL ? strlen(stem) : (size_t)(dot - stem), n = sizeof(number) - 1;

	if (folder == 0)
		return lm_strdup("model", error);
	if (of != NULL && len > n && of == stem + len - 9)
		len -= n;
	return lm_format(error, "%.*s", (int)len, stem);
}

/* Models of several folders stay in these; tensors of one folder stand together. */
static int plan_shards(struct extraction *x, struct lmodel_error *error)
{
	size_t at = 0;
	int r = LMODEL_OK;

	do {
		const char *name = x->chosen_count == 0 ? "" : source_of(x, at);
		size_t len = folder_len(name), end = at;
		struct group g = { .first = at };

		while (end < x->chosen_count && folder_len(source_of(x, end)) == len &&
		       strncmp(source_of(x, end), name, len) == 0)
			end++;
		g.count = end - at;
		g.folder = lm_format(error, "%.*s", (int)len, name);
		g.stem = stem_of(name, len, error);
		r = g.folder == NULL || g.stem == NULL ? LMODEL_EFAILED : plan_group(x, &g, error);
		free(g.folder);
		free(g.stem);
		at = end;
	} while (at < x->chosen_count && r == LMODEL_OK);
	return r;
}

/* Whether there are models in folders: a file for each of them, not one for all. */
static bool has_folders(const struct extraction *x)
{
	for (size_t i = 0; i < x->archive->manifest.source_count; i++)
		if (folder_len(x->archive->manifest.sources[i].name) > 0)
			return true;
	return false;
}

/* Into files made anew; `name` is of the one that there is, unless shards are wanted. */
static int plan_converted(struct extraction *x, const char *name, bool folders,
			  struct lmodel_error *error)
{
	LM_FREE struct lm_export_tensor *placed = NULL;
	int r = lm_extraction_check_loss(x, error);

	if (r != LMODEL_OK)
		return r;
	if (x->options->format == LMODEL_FORMAT_NPY)
		return plan_npy(x, name, error);
	if (x->options->format == LMODEL_FORMAT_NPZ)
		return plan_npz(x, name, error);
	if (x->options->format == LMODEL_FORMAT_GGUF)
		return lm_extraction_plan_gguf(x, name, error);
	if (x->options->max_shard_bytes > 0 || folders)
		return plan_shards(x, error);
	placed = calloc(x->chosen_count + 1, sizeof(*placed));
	if (placed == NULL)
		return lm_fail_memory(error);
	return plan_safetensors(x, name, 0, 0, x->chosen_count, placed, error);
}

int lm_extraction_plan_directory(struct extraction *x, bool whole, struct lmodel_error *error)
{
	const struct lm_manifest *m = &x->archive->manifest;
	bool native = x->options->format == LMODEL_FORMAT_NATIVE;
	const char *name = x->options->format == LMODEL_FORMAT_NPZ ? "model.npz" :
			   x->options->format == LMODEL_FORMAT_GGUF ? "model.gguf" :
								      "model.safetensors";
	int r = LMODEL_OK;

	if (x->options->format == LMODEL_FORMAT_NPY)
		return lm_fail(error, LMODEL_EUSAGE, "npy is one file: -o FILE");
	if (native)
		for (size_t i = 0; i < m->source_count && r == LMODEL_OK; i++)
			r = plan_source(x, i, m->sources[i].name, error);
	else if (is_native(x, whole))
		r = plan_source(x, 0, name, error);
	else
		r = plan_converted(x, name, has_folders(x), error);
	if (r == LMODEL_OK && x->options->pattern_count == 0)
		r = plan_attachments(x, native, error);
	if (r == LMODEL_OK && x->options->pattern_count == 0)
		r = lm_sealed_plan(x->archive, &x->options->run, native ? NULL : is_index,
				   &x->outputs, &x->sealed_file, error);
	return r;
}

int lm_extraction_plan_file(struct extraction *x, const char *name, bool whole,
			    struct lmodel_error *error)
{
	const struct lm_manifest *m = &x->archive->manifest;

	if (x->options->max_shard_bytes > 0)
		return lm_fail(error, LMODEL_EUSAGE,
			       "shards are written into a directory: -o DIR/");
	if (is_native(x, whole))
		return plan_source(x, 0, name, error);
	if (x->options->format == LMODEL_FORMAT_NATIVE)
		return lm_fail(
			error, LMODEL_EUSAGE,
			"%s: native format of %zu files is written into a directory: -o DIR/",
			x->archive->label, m->source_count);
	return plan_converted(x, name, false, error);
}
