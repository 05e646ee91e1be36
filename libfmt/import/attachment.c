/* Side files: which names belong to a model, and what must not come in as one. */
#include "import/kind.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <strings.h>

#include "base/io.h"

static const char *const side_files[] = {
	"config.json",
	"generation_config.json",
	"tokenizer*.json",
	"tokenizer.model",
	"*.tiktoken",
	"special_tokens_map.json",
	"added_tokens.json",
	"vocab.json",
	"vocab.txt",
	"merges.txt",
	"spiece.model",
	"sentencepiece.bpe.model",
	"chat_template.*",
	"preprocessor_config.json",
	"processor_config.json",
	"*_config.json",
	"model_index.json",
	"modules.json",
	"README*",
	"LICENSE*",
	"LICENCE*",
	"NOTICE*",
	"COPYING*",
	"USE_POLICY*",
	"*.safetensors.index.json",
	"*.bin.index.json",
};

static const char *const weights_suffixes[] = {
	".safetensors", ".gguf", ".pt", ".pth", ".bin", ".ckpt", ".npz", ".npy",
	".onnx", ".h5", ".msgpack", ".pb", ".tflite",
};

bool lm_name_ends(const char *name, const char *suffix)
{
	size_t len = strlen(name), suffix_len = strlen(suffix);

	return len >= suffix_len && strcasecmp(name + len - suffix_len, suffix) == 0;
}

bool lm_name_is_weights(const char *name)
{
	for (size_t i = 0; i < LM_COUNT(weights_suffixes); i++)
		if (lm_name_ends(name, weights_suffixes[i]))
			return true;
	return false;
}

bool lm_name_is_side_file(const char *name)
{
	if (lm_name_is_weights(name))
		return false;
	for (size_t i = 0; i < LM_COUNT(side_files); i++)
		if (fnmatch(side_files[i], name, FNM_CASEFOLD) == 0)
			return true;
	return false;
}

/* Weights that came in as a side file would be packed beside every protection of tensors. */
static int check_content(int fd, uint64_t size, const char *label, bool public,
			 struct lmodel_error *error)
{
	uint8_t head[LM_KIND_HEAD];
	const struct lm_kind *kind;
	size_t head_len;
	int r;

	r = lm_kind_head(fd, size, label, head, &head_len, error);
	if (r != LMODEL_OK)
		return r;
	if (lm_kind_is_lfs_pointer(head, head_len))
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: is a Git LFS pointer, not the file: fetch it with "
			       "`git lfs pull`", label);
	if (!public)
		return LMODEL_OK;
	kind = lm_kind_of(head, head_len);
	if (kind != NULL && kind->weights)
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: looks like weights, no side file: it is %s", label, kind->name);
	if (lm_kind_is_safetensors(head, head_len, size))
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: looks like weights, no side file: it is a safetensors file",
			       label);
	return LMODEL_OK;
}

/* What the user wants sealed must not stay public because its directory was packed as well. */
static void make_room(struct lm_model *model, const char *name, const char *tier,
		      const struct lmodel_run *run)
{
	for (size_t i = 0; i < model->attachment_count; i++) {
		struct lm_source_attachment *a = &model->attachments[i];

		if (!a->found || strcmp(a->name, name) != 0)
			continue;
		lm_notice(run, "%s is not packed: its place is taken in tier %s", a->label,
			  LM_QUOTE(tier));
		free(a->name);
		free(a->label);
		lm_close_cleanup(&a->fd);
		memmove(a, a + 1, (--model->attachment_count - i) * sizeof(*a));
		return;
	}
}

static int check_name(const struct lm_model *model, const char *path, const char *name,
		      bool public, struct lmodel_error *error)
{
	if (!lm_path_is_safe(name))
		return lm_fail(error, LMODEL_EUSAGE, "%s: %s cannot be a name in the archive",
			       LM_QUOTE(path), LM_QUOTE(name));
	if (public && (lm_name_is_weights(path) || lm_name_is_weights(name)))
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: looks like weights, no side file, by its name",
			       LM_QUOTE(lm_name_is_weights(path) ? path : name));
	for (size_t i = 0; i < model->attachment_count; i++)
		if (strcmp(model->attachments[i].name, name) == 0)
			return lm_fail(error, LMODEL_EUSAGE,
				       "%s and %s would both be %s in the archive",
				       model->attachments[i].label, LM_QUOTE(path), LM_QUOTE(name));
	return LMODEL_OK;
}

int lm_import_attachment(struct lm_model *model, const char *path, const char *name,
			 const char *tier, const struct lmodel_run *run,
			 struct lmodel_error *error)
{
	struct lm_source_attachment *attachment;
	const char *slash = strrchr(path, '/');
	LM_CLOSE int fd = -1;
	uint64_t size;
	int r;

	if (name == NULL)
		name = slash != NULL ? slash + 1 : path;
	if (tier != NULL)
		make_room(model, name, tier, run);
	r = check_name(model, path, name, tier == NULL, error);
	if (r == LMODEL_OK)
		r = lm_open_regular(path, O_RDONLY, &fd, &size, error);
	if (r == LMODEL_OK)
		r = check_content(fd, size, LM_QUOTE(path), tier == NULL, error);
	if (r != LMODEL_OK)
		return r;
	attachment = lm_model_add_attachment(model, error);
	if (attachment == NULL)
		return LMODEL_EFAILED;
	attachment->fd = fd;
	attachment->size = size;
	fd = -1;
	attachment->name = lm_strdup(name, error);
	attachment->label = lm_strdup(LM_QUOTE(path), error);
	if (tier != NULL)
		attachment->tier = lm_strdup(tier, error);
	return attachment->name == NULL || attachment->label == NULL ||
			       (tier != NULL && attachment->tier == NULL) ?
		       LMODEL_EFAILED : LMODEL_OK;
}
