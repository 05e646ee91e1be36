/* What is lost when weights go into another format. */
#include "archive/extraction.h"
#include "import/npy.h"

/* Key-values that say nothing of the model: which program a file was meant for, and what a reader
 * of npz made of it. */
static bool is_idle(const char *key)
{
	return strcmp(key, "format") == 0 ||
	       strncmp(key, LM_NPY_DESCR_KEY, sizeof(LM_NPY_DESCR_KEY) - 1) == 0;
}

static const char *format_name(const struct extraction *x)
{
	if (x->options->format == LMODEL_FORMAT_GGUF)
		return "GGUF";
	return x->options->format == LMODEL_FORMAT_SAFETENSORS ? "safetensors" : "NumPy";
}

/* Whether the tensor comes out as bytes of which the file does not say what they are. */
static bool loses_type(const struct extraction *x, size_t tensor)
{
	const struct lm_dtype *dtype = x->archive->manifest.tensors[tensor].dtype;
	const char *descr;
	unsigned rank;

	if (x->options->format == LMODEL_FORMAT_GGUF)
		return lm_extraction_gguf_lacks(dtype);
	if (x->options->format == LMODEL_FORMAT_SAFETENSORS)
		return lm_dtype_is_opaque(dtype);
	return dtype->npy != NULL && strchr(dtype->npy, 'V') != NULL &&
	       !lm_extraction_describe(x, tensor, &descr, &rank);
}

static int tell(const struct extraction *x, const char *what, struct lmodel_error *error)
{
	if (!x->options->lossy)
		return lm_fail(error, LMODEL_EUSAGE, "%s: %s (--force writes it nevertheless)",
			       x->archive->label, what);
	lm_notice(&x->options->run, "%s: %s", x->archive->label, what);
	return LMODEL_OK;
}

static int check_types(const struct extraction *x, struct lmodel_error *error)
{
	const struct lm_manifest *m = &x->archive->manifest;
	const struct lm_tensor_row *first = NULL;
	LM_FREE char *what = NULL;
	size_t others = 0;

	for (size_t i = 0; i < x->chosen_count; i++) {
		const struct lm_tensor_row *t = &m->tensors[x->chosen[i]];

		if (!loses_type(x, x->chosen[i]))
			continue;
		others += first != NULL;
		first = first != NULL ? first : t;
	}
	if (first == NULL)
		return LMODEL_OK;
	what = others == 0 ?
	       lm_format(error, "%s has no type for %s: tensor %s becomes plain bytes",
			 format_name(x), first->dtype->name, LM_QUOTE(first->name)) :
	       lm_format(error, "%s has no type for %s: tensor %s and %zu more become plain bytes",
			 format_name(x), first->dtype->name, LM_QUOTE(first->name), others);
	return what == NULL ? LMODEL_EFAILED : tell(x, what, error);
}

/* GGUF could have them, but ggml, for which such files are made, does not read them. */
static int check_names(const struct extraction *x, struct lmodel_error *error)
{
	const struct lm_manifest *m = &x->archive->manifest;
	LM_FREE char *what = NULL;
	const char *first = NULL;
	size_t count = 0;

	for (size_t i = 0; i < x->chosen_count; i++) {
		const char *name = m->tensors[x->chosen[i]].name;

		if (strlen(name) <= LM_EXPORT_GGUF_NAME)
			continue;
		first = first != NULL ? first : name;
		count++;
	}
	if (first == NULL)
		return LMODEL_OK;
	what = lm_format(error, "ggml reads no tensor whose name is over %u bytes: %s is, in all "
			 "%zu", LM_EXPORT_GGUF_NAME, LM_QUOTE(first), count);
	return what == NULL ? LMODEL_EFAILED : tell(x, what, error);
}

static bool loses_pair(const struct extraction *x, const char *key)
{
	if (x->options->format == LMODEL_FORMAT_GGUF)
		return !lm_export_gguf_has_key(key);
	return x->options->format != LMODEL_FORMAT_SAFETENSORS && !is_idle(key);
}

static int check_metadata(const struct extraction *x, struct lmodel_error *error)
{
	const char *lack = x->options->format == LMODEL_FORMAT_GGUF ?
			   "keys that are empty or over 65535 bytes" : "metadata";
	const struct lm_manifest *m = &x->archive->manifest;
	LM_FREE char *what = NULL;
	const char *first = NULL;
	size_t others = 0;

	for (size_t i = 0; i < m->metadata_count; i++) {
		if (!loses_pair(x, m->metadata[i].key))
			continue;
		others += first != NULL;
		first = first != NULL ? first : m->metadata[i].key;
	}
	if (first == NULL)
		return LMODEL_OK;
	what = others == 0 ?
	       lm_format(error, "%s has no %s: %s is left out", format_name(x), lack,
			 LM_QUOTE(first)) :
	       lm_format(error, "%s has no %s: %s and %zu more are left out", format_name(x), lack,
			 LM_QUOTE(first), others);
	return what == NULL ? LMODEL_EFAILED : tell(x, what, error);
}

int lm_extraction_check_loss(const struct extraction *x, struct lmodel_error *error)
{
	int r = check_types(x, error);

	if (r == LMODEL_OK && x->options->format == LMODEL_FORMAT_GGUF)
		r = check_names(x, error);
	return r != LMODEL_OK ? r : check_metadata(x, error);
}
