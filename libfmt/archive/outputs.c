#include "archive/outputs.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

int lm_outputs_open(struct lm_outputs *o, const char *directory, bool replace,
		    struct lmodel_error *error)
{
	struct stat st;
	size_t n;

	o->replace = replace;
	if (directory == NULL)
		return LMODEL_OK;
	o->directory = lm_strdup(directory, error);
	if (o->directory == NULL)
		return LMODEL_EFAILED;
	for (n = strlen(o->directory); n > 1 && o->directory[n - 1] == '/'; n--)
		o->directory[n - 1] = '\0';
	if (stat(o->directory, &st) == 0) {
		if (!S_ISDIR(st.st_mode))
			return lm_fail(error, LMODEL_EUSAGE, "%s: is not a directory",
				       LM_QUOTE(o->directory));
	} else if (errno == ENOENT) {
		o->new_directory = true;
	} else {
		return lm_fail_errno(error, "%s", LM_QUOTE(o->directory));
	}
	return LMODEL_OK;
}

struct lm_output_file *lm_outputs_add(struct lm_outputs *o, const char *name, size_t *index,
				      struct lmodel_error *error)
{
	struct lm_output_file *file;
	char label[LM_QUOTE_SIZE];

	if (lm_grow(&o->files, o->count, &o->capacity, sizeof(*o->files), error))
		return NULL;
	file = &o->files[o->count];
	*file = (struct lm_output_file){ .output = LM_OUTPUT_INIT };
	file->name = lm_strdup(name, error);
	file->label = lm_strdup(lm_quote(label, name), error);
	*index = o->count++;
	return file->name == NULL || file->label == NULL ? NULL : file;
}

/* One descriptor a file: models come in hundreds of shards. */
static void allow_descriptors(size_t count)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= count + 64)
		return;
	limit.rlim_cur = LM_MIN((rlim_t)count + 64, limit.rlim_max);
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int begin_file(struct lm_outputs *o, struct lm_output_file *file, const char *parent,
		      struct lmodel_error *error)
{
	LM_FREE char *path = NULL;

	if (o->directory == NULL)
		return lm_output_begin(&file->output, file->name, o->replace, error);
	if (o->new_directory)
		return lm_output_begin_in(&file->output, parent, error);
	path = lm_format(error, "%s/%s", o->directory, file->name);
	if (path == NULL || lm_make_parents(o->directory, file->name, error))
		return LMODEL_EFAILED;
	return lm_output_begin(&file->output, path, o->replace, error);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names that are made up here ("model.safetensors") may be those of side files. */
static int check_names(const struct lm_outputs *o, struct lmodel_error *error)
{
	LM_FREE const char **names = calloc(o->count + 1, sizeof(*names));

	if (names == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < o->count; i++)
		names[i] = o->files[i].name;
	qsort(names, o->count, sizeof(*names), by_name);
	for (size_t i = 1; i < o->count; i++)
		if (strcmp(names[i - 1], names[i]) == 0)
			return lm_fail(
				error, LMODEL_ECORRUPT,
				"two files would be written as %s (--format native keeps the "
				"names of the inputs)", LM_QUOTE(names[i]));
	return LMODEL_OK;
}

int lm_outputs_head(const struct lm_output_file *file, int fd, const char *label,
		    struct lmodel_error *error)
{
	size_t from = 0;
	int r = LMODEL_OK;

	if (file->piece_count == 0)
		return lm_write_at(fd, label, file->head, file->head_len, 0, error);
	for (size_t i = 0; i < file->piece_count && r == LMODEL_OK; i++) {
		const struct lm_export_piece *piece = &file->pieces[i];

		r = lm_write_at(fd, label, file->head + from, piece->len, piece->to, error);
		from += piece->len;
	}
	return r;
}

char *lm_outputs_place(const struct lm_outputs *o, struct lmodel_error *error)
{
	if (o->directory != NULL && !o->new_directory)
		return lm_strdup(o->directory, error);
	return lm_directory_of(o->directory != NULL ? o->directory : o->files[0].name, error);
}

int lm_outputs_begin(struct lm_outputs *o, struct lmodel_error *error)
{
	LM_FREE char *parent = o->directory != NULL ? lm_directory_of(o->directory, error) : NULL;

	if (o->directory != NULL && parent == NULL)
		return LMODEL_EFAILED;
	if (check_names(o, error))
		return error != NULL ? (int)error->code : LMODEL_EFAILED;
	allow_descriptors(o->count);
	for (size_t i = 0; i < o->count; i++) {
		struct lm_output_file *file = &o->files[i];
		int r = begin_file(o, file, parent, error);

		if (r != LMODEL_OK)
			return r;
		if (ftruncate(file->output.fd, (off_t)file->size) != 0)
			return lm_fail_errno(error, "%s: %ju bytes", file->label,
					     (uintmax_t)file->size);
		/* One that is mostly holes stays so. */
		if (file->planned >= file->size / 2)
			r = lm_reserve(file->output.fd, file->label, file->size, error);
		if (r == LMODEL_OK)
			r = lm_outputs_head(file, file->output.fd, file->label, error);
		if (r != LMODEL_OK)
			return r;
	}
	return LMODEL_OK;
}

/* Removes what was published into a directory that is then given up. Files are at most a few
 * folders deep, all made here. */
static void remove_published(struct lm_outputs *o, const char *staging)
{
	for (size_t i = 0; i < o->count; i++) {
		char *path = lm_format(NULL, "%s/%s", staging, o->files[i].name);

		if (path == NULL)
			continue;
		unlink(path);
		for (char *slash = strrchr(path, '/'); strlen(path) > strlen(staging);
		     slash = strrchr(path, '/')) {
			*slash = '\0';
			if (strlen(path) > strlen(staging))
				rmdir(path);
		}
		free(path);
	}
	rmdir(staging);
}

static int fill_staging(struct lm_outputs *o, const char *staging, struct lmodel_error *error)
{
	for (size_t i = 0; i < o->count; i++) {
		struct lm_output_file *file = &o->files[i];
		LM_FREE char *path = lm_format(error, "%s/%s", staging, file->name);

		if (path == NULL || lm_make_parents(staging, file->name, error) ||
		    lm_output_aim(&file->output, path, error) ||
		    lm_output_publish(&file->output, error))
			return LMODEL_EFAILED;
	}
	return LMODEL_OK;
}

/* The files get their names in a hidden directory beside the target, which is then renamed. */
static int publish_directory(struct lm_outputs *o, struct lmodel_error *error)
{
	LM_FREE char *parent = lm_directory_of(o->directory, error);
	LM_FREE char *staging =
		parent == NULL ? NULL : lm_format(error, "%s/.lmodel-XXXXXX", parent);
	mode_t mask = umask(0);

	umask(mask);
	if (staging == NULL)
		return LMODEL_EFAILED;
	if (mkdtemp(staging) == NULL)
		return lm_fail_errno(error, "%s", LM_QUOTE(staging));
	if (fill_staging(o, staging, error)) {
		remove_published(o, staging);
		return LMODEL_EFAILED;
	}
	if (chmod(staging, 0777 & ~mask) != 0 || rename(staging, o->directory) != 0) {
		lm_fail_errno(error, "%s", LM_QUOTE(o->directory));
		remove_published(o, staging);
		return LMODEL_EFAILED;
	}
	return LMODEL_OK;
}

int lm_outputs_publish(struct lm_outputs *o, struct lmodel_error *error)
{
	if (o->new_directory)
		return publish_directory(o, error);
	for (size_t i = 0; i < o->count; i++)
		if (lm_output_publish(&o->files[i].output, error))
			return LMODEL_EFAILED;
	return LMODEL_OK;
}

void lm_outputs_release(struct lm_outputs *o)
{
	for (size_t i = 0; i < o->count; i++) {
		lm_output_release(&o->files[i].output);
		free(o->files[i].name);
		free(o->files[i].label);
		free(o->files[i].head);
		free(o->files[i].pieces);
	}
	free(o->files);
	free(o->directory);
	*o = (struct lm_outputs){ 0 };
}
