/* A model's directory in the Hugging Face layout: one or more .safetensors files, the index
 * that ties them together, and side files. Only the top level; hidden files are no part of it. */
#include "import/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <lmodel/archive.h>

#include "base/io.h"
#include "import/json.h"
#include "import/kind.h"

static const char index_suffix[] = ".safetensors.index.json";

struct folder {
	const char *path;
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

/* ---- the index ---- */

/* Real ones hold two objects; this leaves room for whatever else "metadata" may hold. */
static const struct lm_json_limits limits = { .depth = LM_DEPTH_LIMIT, .containers = 4096 };

static int check_mapping(const char *tensor, const json_t *file, const char *label,
			 struct lmodel_error *error)
{
	const char *name = json_string_value(file);

	if (strlen(tensor) > LM_NAME_LIMIT)
		return lm_fail(error, LMODEL_ELIMIT,
			       "%s: tensor %s: name of %zu bytes; the limit is %u", label,
			       LM_QUOTE(tensor), strlen(tensor), LM_NAME_LIMIT);
	if (name == NULL)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: tensor %s: the file is %s, not a string", label,
			       LM_QUOTE(tensor), lm_json_kind(file));
	if (!lm_path_is_safe(name) || strchr(name, '/') != NULL)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: tensor %s: %s is no name of a file in this directory", label,
			       LM_QUOTE(tensor), LM_QUOTE(name));
	return LMODEL_OK;
}

static int collect_files(struct lm_index *index, const char *label, struct lmodel_error *error)
{
	const char *tensor;
	json_t *file;
	size_t n = 0, distinct = 0;

	index->files = calloc(json_object_size(index->weight_map) + 1, sizeof(*index->files));
	if (index->files == NULL)
		return lm_fail_memory(error);
	json_object_foreach(index->weight_map, tensor, file) {
		int r = check_mapping(tensor, file, label, error);

		if (r != LMODEL_OK)
			return r;
		index->files[n++] = json_string_value(file);
	}
	qsort(index->files, n, sizeof(*index->files), compare_names);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || strcmp(index->files[i], index->files[i - 1]) != 0)
			index->files[distinct++] = index->files[i];
	index->file_count = distinct;
	return LMODEL_OK;
}

int lm_index_parse(struct lm_index *index, const char *text, size_t len, const char *label,
		   struct lmodel_error *error)
{
	int r;

	*index = (struct lm_index){ 0 };
	r = lm_json_parse(text, len, 0, label, &limits, &index->root, error);
	if (r != LMODEL_OK)
		return r;
	if (!json_is_object(index->root))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: is %s, not an object", label,
			       lm_json_kind(index->root));
	index->weight_map = json_object_get(index->root, "weight_map");
	if (!json_is_object(index->weight_map))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: weight_map is %s%s", label,
			       lm_json_kind(index->weight_map),
			       index->weight_map == NULL ? "" : ", not an object");
	if (json_object_size(index->weight_map) == 0)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: weight_map is empty", label);
	return collect_files(index, label, error);
}

int lm_index_check(struct lm_index *index, const struct lm_model *model, size_t first,
		   const char *label, struct lmodel_error *error)
{
	const char *tensor;
	json_t *file;

	for (size_t i = first; i < model->tensor_count; i++) {
		const char *name = model->tensors[i].name;
		const struct lm_source *source = &model->sources[model->tensors[i].source];
		const json_t *wanted = json_object_get(index->weight_map, name);

		if (wanted == NULL)
			return lm_fail(error, LMODEL_ECORRUPT, "%s: tensor %s is not in the index",
				       source->label, LM_QUOTE(name));
		if (json_is_null(wanted)) /* met before */
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: tensor %s is also in another file of the index",
				       source->label, LM_QUOTE(name));
		if (strcmp(json_string_value(wanted), source->name) != 0)
			return lm_fail(error, LMODEL_ECORRUPT,
				       "%s: tensor %s is in this file, but the index says %s",
				       source->label, LM_QUOTE(name),
				       LM_QUOTE(json_string_value(wanted)));
		if (json_object_set_new(index->weight_map, name, json_null()) != 0)
			return lm_fail_memory(error);
	}
	json_object_foreach(index->weight_map, tensor, file)
		if (!json_is_null(file))
			return lm_fail(error, LMODEL_ECORRUPT, "%s: tensor %s is not in file %s",
				       label, LM_QUOTE(tensor),
				       LM_QUOTE(json_string_value(file)));
	return LMODEL_OK;
}

void lm_index_free(struct lm_index *index)
{
	json_decref(index->root);
	free(index->files);
	*index = (struct lm_index){ 0 };
}

static int find_index(const struct folder *folder, const char **name, struct lmodel_error *error)
{
	*name = NULL;
	for (size_t i = 0; i < folder->count; i++) {
		if (!lm_name_ends(folder->names[i], index_suffix))
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
	uint64_t size;
	int fd, r;

	if (path == NULL)
		return LMODEL_EFAILED;
	if (!lm_path_is_safe(name))
		return lm_fail(error, LMODEL_EUSAGE, "%s: not a name that an archive may hold",
			       LM_QUOTE(path));
	if (index != NULL && access(path, F_OK) != 0 && errno == ENOENT)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: file %s of index %s is missing",
			       LM_QUOTE(folder->path), LM_QUOTE(name), LM_QUOTE(index));
	r = lm_open_regular(path, O_RDONLY, &fd, &size, error);
	if (r != LMODEL_OK)
		return r;
	return lm_import_file(model, fd, size, name, LM_QUOTE(path), error);
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
	return lm_index_check(&index, model, first, LM_QUOTE(path), error);
}

static int import_all(struct lm_model *model, const struct folder *folder,
		      struct lmodel_error *error)
{
	size_t before = model->source_count;

	for (size_t i = 0; i < folder->count; i++) {
		int r = LMODEL_OK;

		if (lm_name_ends(folder->names[i], ".safetensors"))
			r = import_file(model, folder, folder->names[i], NULL, error);
		if (r != LMODEL_OK)
			return r;
	}
	if (model->source_count == before)
		return lm_fail(error, LMODEL_EUSAGE, "%s: holds no .safetensors file",
			       LM_QUOTE(folder->path));
	return LMODEL_OK;
}

static int compare_source(const void *name, const void *source)
{
	return strcmp(name, ((const struct lm_source *)source)->name);
}

/* Both ways of importing go by sorted names. */
static bool is_source(const struct lm_model *model, size_t first, const char *name)
{
	return bsearch(name, model->sources + first, model->source_count - first,
		       sizeof(*model->sources), compare_source) != NULL;
}

/* Why an entry of the directory is left out; NULL for a side file. */
static const char *left_out(const char *path, const char *name)
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
	if (!lm_path_is_safe(name) || !lm_name_is_side_file(name))
		return "--attach adds a side file";
	return NULL;
}

static int import_side_files(struct lm_model *model, const struct folder *folder, size_t first,
			     const struct lmodel_run *run, struct lmodel_error *error)
{
	for (size_t i = 0; i < folder->count; i++) {
		const char *name = folder->names[i], *why;
		LM_FREE char *path = path_of(folder, name, error);
		char printable[LM_QUOTE_SIZE];
		int r = LMODEL_OK;

		if (path == NULL)
			return LMODEL_EFAILED;
		if (is_source(model, first, name))
			continue;
		why = left_out(path, name);
		lmodel_escape(printable, sizeof(printable), name);
		if (why != NULL)
			lm_notice(run, "not packed: %s (%s)", printable, why);
		else
			r = lm_import_attachment(model, path, name, NULL, NULL, error);
		if (r != LMODEL_OK)
			return r;
	}
	return LMODEL_OK;
}

int lm_import_directory(struct lm_model *model, const char *path, const struct lmodel_run *run,
			struct lmodel_error *error)
{
	LM_CLEANUP(folder_free) struct folder folder = { .path = path };
	size_t first = model->source_count;
	const char *index;
	DIR *dir = opendir(path);
	int r;

	if (dir == NULL)
		return lm_fail_errno(error, "%s", LM_QUOTE(path));
	r = folder_read(&folder, dir, error);
	closedir(dir);
	if (r == LMODEL_OK)
		r = find_index(&folder, &index, error);
	if (r != LMODEL_OK)
		return r;
	make_room_for_files(model->source_count + model->attachment_count + folder.count);
	if (index != NULL)
		r = import_indexed(model, &folder, index, error);
	else
		r = import_all(model, &folder, error);
	if (r == LMODEL_OK)
		r = import_side_files(model, &folder, first, run, error);
	return r;
}
