/* A model's directory in the Hugging Face layout: one or more files of weights, the index that ties
 * them together, and side files. Only the top level, but for pipelines of several models, which
 * have a folder for each. Hidden files are no part of it. */
#include "import/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <lmodel/archive.h>

#include "base/io.h"
#include "import/index.h"
#include "import/kind.h"

/* Weights that a folder may hold, the better ones first: of those that it has, one kind alone. */
static const struct weights { const char *pattern, *index; } weights[] = {
	{ "*.safetensors", "*.safetensors.index.json" },
	{ "*model*.bin", "*.bin.index.json" },
	{ "*.pth", NULL }, { "*.pt", NULL }, { "*.gguf", NULL }, { "*.npz", NULL },
	{ "*.onnx", NULL },
};

/* What tells, on the top level, that there are models in folders: diffusers, Sentence
 * Transformers. */
static const char *const pipelines[] = { "model_index.json", "modules.json" };

struct folder {
	const char *path;
	const char *prefix; /* of names in the archive: "" or "unet/" */
	char **names; /* sorted, without the hidden ones */
	size_t count, capacity;
};

static void folder_free(struct folder *folder)
{
	for (size_t i = 0; i < folder->count; i++)
		free(folder->names[i]);
	free(folder->names);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int folder_read(struct folder *folder, DIR *dir, struct lmodel_error *error)
{
	const struct dirent *d;

	for (;;) {
		errno = 0;
		d = readdir(dir);
		if (d == NULL)
			break;
		if (d->d_name[0] == '.')
			continue;
		if (lm_grow(&folder->names, folder->count, &folder->capacity,
			    sizeof(*folder->names), error))
			return LMODEL_EFAILED;
		folder->names[folder->count] = lm_strdup(d->d_name, error);
		if (folder->names[folder->count] == NULL)
			return LMODEL_EFAILED;
		folder->count++;
	}
	if (errno != 0)
		return lm_fail_errno(error, "%s", LM_QUOTE(folder->path));
	if (folder->count > 0)
		qsort(folder->names, folder->count, sizeof(*folder->names), compare_names);
	return LMODEL_OK;
}

static char *path_of(const struct folder *folder, const char *name, struct lmodel_error *error)
{
	size_t len = strlen(folder->path);

	return lm_format(error, "%s%s%s", folder->path,
			 len > 0 && folder->path[len - 1] == '/' ? "" : "/", name);
}

/* ---- weights ---- */

static bool is_like(const char *name, const char *pattern)
{
	return fnmatch(pattern, name, FNM_CASEFOLD) == 0;
}

/* The kind of weights to be taken of the folder, or NULL. */
static const struct weights *find_weights(const struct folder *folder)
{
	for (size_t k = 0; k < LM_COUNT(weights); k++)
		for (size_t i = 0; i < folder->count; i++)
			if (is_like(folder->names[i], weights[k].pattern) ||
			    (weights[k].index != NULL &&
			     is_like(folder->names[i], weights[k].index)))
				return &weights[k];
	return NULL;
}

static int find_index(const struct folder *folder, const struct weights *kind, const char **name,
		      struct lmodel_error *error)
{
	*name = NULL;
	for (size_t i = 0; i < folder->count && kind->index != NULL; i++) {
		if (!is_like(folder->names[i], kind->index))
			continue;
		if (*name != NULL)
			return lm_fail(error, LMODEL_EUSAGE,
				       "%s: has two indexes, %s and %s; give the files themselves",
				       LM_QUOTE(folder->path), LM_QUOTE(*name),
				       LM_QUOTE(folder->names[i]));
		*name = folder->names[i];
	}
	return LMODEL_OK;
}

static int read_index(const struct folder *folder, const char *name, struct lm_index *index,
		      struct lmodel_error *error)
{
	LM_FREE char *path = path_of(folder, name, error);
	LM_FREE char *text = NULL;
	LM_CLOSE int fd = -1;
	uint64_t size;
	int r;

	if (path == NULL)
		return LMODEL_EFAILED;
	r = lm_open_regular(path, O_RDONLY, &fd, &size, error);
	if (r != LMODEL_OK)
		return r;
	if (size > LM_HEADER_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT, "%s: %ju bytes; the limit is %u",
			       LM_QUOTE(path), (uintmax_t)size, LM_HEADER_LIMIT);
	text = malloc((size_t)size + 1);
	if (text == NULL)
		return lm_fail_memory(error);
	r = lm_read_at(fd, LM_QUOTE(path), text, (size_t)size, 0, error);
	if (r != LMODEL_OK)
		return r;
	return lm_index_parse(index, text, (size_t)size, LM_QUOTE(path), error);
}

/* ---- the files ---- */

/* A model of hundreds of files stays open as a whole, and the usual soft limit is 1024. */
static void make_room_for_files(size_t count)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t)count + 256;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = LM_MIN(wanted, limit.rlim_max);
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int import_file(struct lm_model *model, const struct folder *folder, const char *name,
		       const char *index, struct lmodel_error *error)
{
	LM_FREE char *path = path_of(folder, name, error);
	LM_FREE char *full = lm_format(error, "%s%s", folder->prefix, name);
	uint64_t size;
	int fd, r;

	if (path == NULL || full == NULL)
		return LMODEL_EFAILED;
	if (!lm_path_is_safe(full))
		return lm_fail(error, LMODEL_EUSAGE, "%s: not a name that an archive may hold",
			       LM_QUOTE(path));
	if (index != NULL && access(path, F_OK) != 0 && errno == ENOENT)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: file %s of index %s is missing",
			       LM_QUOTE(folder->path), LM_QUOTE(name), LM_QUOTE(index));
	r = lm_open_regular(path, O_RDONLY, &fd, &size, error);
	if (r != LMODEL_OK)
		return r;
	model->directory = folder->path;
	r = lm_import_file(model, fd, size, full, LM_QUOTE(path), error);
	model->directory = NULL;
	return r;
}

static int import_indexed(struct lm_model *model, const struct folder *folder,
			  const char *index_name, struct lmodel_error *error)
{
	LM_CLEANUP(lm_index_free) struct lm_index index = { 0 };
	LM_FREE char *path = path_of(folder, index_name, error);
	size_t first = model->tensor_count;
	int r;

	if (path == NULL)
		return LMODEL_EFAILED;
	r = read_index(folder, index_name, &index, error);
	for (size_t i = 0; r == LMODEL_OK && i < index.file_count; i++)
		r = import_file(model, folder, index.files[i], index_name, error);
	if (r != LMODEL_OK)
		return r;
	return lm_index_check(&index, model, first, folder->prefix, LM_QUOTE(path), error);
}

static int import_weights(struct lm_model *model, const struct folder *folder,
			  struct lmodel_error *error)
{
	const struct weights *kind = find_weights(folder);
	const char *index;
	int r;

	if (kind == NULL)
		return LMODEL_OK;
	r = find_index(folder, kind, &index, error);
	if (r == LMODEL_OK && index != NULL)
		return import_indexed(model, folder, index, error);
	for (size_t i = 0; i < folder->count && r == LMODEL_OK; i++)
		if (is_like(folder->names[i], kind->pattern))
			r = import_file(model, folder, folder->names[i], NULL, error);
	return r;
}

/* ---- side files ---- */

/* `first`: of the folder's sources. They have no order: files bring others that they name. */
static bool is_source(const struct lm_model *model, size_t first, const char *full)
{
	for (size_t i = first; i < model->source_count; i++)
		if (strcmp(model->sources[i].name, full) == 0)
			return true;
	return false;
}

/* Why an entry of the directory is left out; NULL for a side file. */
static const char *left_out(const char *path, const char *name, const char *full)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return "cannot be read";
	if (S_ISDIR(st.st_mode))
		return "a directory";
	if (!S_ISREG(st.st_mode))
		return "no regular file";
	if (lm_name_ends(name, ".safetensors"))
		return "not in the index";
	if (lm_name_is_weights(name))
		return "other weights";
	if (!lm_path_is_safe(full) || !lm_name_is_side_file(name))
		return "--attach adds a side file";
	return NULL;
}

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* `folders`: the folders in it are imported by themselves. */
static int import_side_files(struct lm_model *model, const struct folder *folder, size_t first,
			     bool folders, const struct lmodel_run *run,
			     struct lmodel_error *error)
{
	for (size_t i = 0; i < folder->count; i++) {
		const char *name = folder->names[i], *why;
		LM_FREE char *path = path_of(folder, name, error);
		LM_FREE char *full = lm_format(error, "%s%s", folder->prefix, name);
		char printable[LM_QUOTE_SIZE];
		int r = LMODEL_OK;

		if (path == NULL || full == NULL)
			return LMODEL_EFAILED;
		if (is_source(model, first, full) || (folders && is_directory(path)))
			continue;
		why = left_out(path, name, full);
		lmodel_escape(printable, sizeof(printable), full);
		if (why != NULL)
			lm_notice(run, "not packed: %s (%s)", printable, why);
		else
			r = lm_import_attachment(model, path, full, NULL, NULL, error);
		if (r != LMODEL_OK)
			return r;
	}
	return LMODEL_OK;
}

/* ---- folders ---- */

static int open_folder(struct folder *folder, const char *path, const char *prefix,
		       struct lmodel_error *error)
{
	DIR *dir = opendir(path);
	int r;

	*folder = (struct folder){ .path = path, .prefix = prefix };
	if (dir == NULL)
		return lm_fail_errno(error, "%s", LM_QUOTE(path));
	r = folder_read(folder, dir, error);
	closedir(dir);
	return r;
}

static int import_folder(struct lm_model *model, const struct folder *folder, bool folders,
			 const struct lmodel_run *run, struct lmodel_error *error)
{
	size_t first = model->source_count;
	int r;

	make_room_for_files(model->source_count + model->attachment_count + folder->count);
	r = import_weights(model, folder, error);
	return r == LMODEL_OK ? import_side_files(model, folder, first, folders, run, error) : r;
}

static int import_below(struct lm_model *model, const struct folder *top, const char *name,
			const struct lmodel_run *run, struct lmodel_error *error)
{
	LM_CLEANUP(folder_free) struct folder folder = { 0 };
	LM_FREE char *path = path_of(top, name, error);
	LM_FREE char *prefix = lm_format(error, "%s/", name);
	int r;

	if (path == NULL || prefix == NULL)
		return LMODEL_EFAILED;
	if (!is_directory(path))
		return LMODEL_OK;
	r = open_folder(&folder, path, prefix, error);
	return r == LMODEL_OK ? import_folder(model, &folder, false, run, error) : r;
}

static bool is_pipeline(const struct folder *folder)
{
	for (size_t k = 0; k < LM_COUNT(pipelines); k++)
		for (size_t i = 0; i < folder->count; i++)
			if (strcmp(folder->names[i], pipelines[k]) == 0)
				return true;
	return false;
}

int lm_import_directory(struct lm_model *model, const char *path, const struct lmodel_run *run,
			struct lmodel_error *error)
{
	LM_CLEANUP(folder_free) struct folder folder = { 0 };
	size_t before = model->source_count;
	int r = open_folder(&folder, path, "", error);
	bool folders = is_pipeline(&folder);

	if (r == LMODEL_OK)
		r = import_folder(model, &folder, folders, run, error);
	for (size_t i = 0; i < folder.count && folders && r == LMODEL_OK; i++)
		r = import_below(model, &folder, folder.names[i], run, error);
	if (r == LMODEL_OK && model->source_count == before)
		return lm_fail(error, LMODEL_EUSAGE, "%s: holds no weights that lmodel packs",
			       LM_QUOTE(path));
	return r;
}
