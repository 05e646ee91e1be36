/* Telling what an input is, and opening it. */
#include "import/kind.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/format.h"
#include "base/io.h"
#include "container/zip.h"
#include "import/npy.h"
#include "import/onnx.h"
#include "import/torch.h"

#define MAGIC(literal) (literal), sizeof(literal) - 1

static const struct lm_kind kinds[] = {
	{ "an lmodel archive already", MAGIC("application/vnd.lmodel"), 512, true },
	{ "a GGUF file", MAGIC("GGUF"), 0, true },
	{ "a ZIP file (.pth, .pt?)", MAGIC("PK\3\4"), 0, true },
	{ "an empty ZIP file", MAGIC("PK\5\6"), 0, true },
	{ "a Python pickle (.pth, .pt, .bin?)", MAGIC("\x80\2"), 0, true },
	{ "a Python pickle (.pth, .pt, .bin?)", MAGIC("\x80\3"), 0, true },
	{ "a Python pickle (.pth, .pt, .bin?)", MAGIC("\x80\4"), 0, true },
	{ "a Python pickle (.pth, .pt, .bin?)", MAGIC("\x80\5"), 0, true },
	{ "a NumPy file", MAGIC("\x93NUMPY"), 0, true },
	{ "an HDF5 file", MAGIC("\x89HDF\r\n\x1a\n"), 0, true },
	{ "a tar file", MAGIC("ustar"), 257, false },
	{ "a gzip file", MAGIC("\x1f\x8b"), 0, false },
	{ "a Zstandard file", MAGIC("\x28\xb5\x2f\xfd"), 0, false },
	{ "a JSON file", MAGIC("{"), 0, false },
	{ "an HTML page", MAGIC("<!DOCTYPE html"), 0, false },
	{ "an HTML page", MAGIC("<!doctype html"), 0, false },
};

int lm_kind_head(int fd, uint64_t size, const char *label, uint8_t head[LM_KIND_HEAD],
		 size_t *head_len, struct lmodel_error *error)
{
	*head_len = (size_t)LM_MIN(size, (uint64_t)LM_KIND_HEAD);
	return lm_read_at(fd, label, head, *head_len, 0, error);
}

const struct lm_kind *lm_kind_of(const uint8_t *head, size_t head_len)
{
	/* Every magic, read as the header length of a safetensors file, is far over the limit,
	 * but for "\x80\2": that is also how 640 starts. */
	if (head_len >= 8 && lm_get_u64(head) <= LM_HEADER_LIMIT)
		return NULL;
	for (size_t i = 0; i < LM_COUNT(kinds); i++) {
		const struct lm_kind *kind = &kinds[i];

		if (head_len >= kind->offset + kind->magic_len &&
		    memcmp(head + kind->offset, kind->magic, kind->magic_len) == 0)
			return kind;
	}
	return NULL;
}

bool lm_kind_is_safetensors(const uint8_t *head, size_t head_len, uint64_t size)
{
	return head_len > 8 && lm_get_u64(head) <= LM_MIN(size - 8, LM_HEADER_LIMIT) &&
	       head[8] == '{';
}

bool lm_kind_is_lfs_pointer(const uint8_t *head, size_t head_len)
{
	static const char start[] = "version https://git-lfs";

	return head_len >= sizeof(start) - 1 && memcmp(head, start, sizeof(start) - 1) == 0;
}

/* ---- formats ---- */

/* An importer and how its files are told by content. Every format of base/format.h has one. */
struct importer {
	const char *format;
	const char *suffix;  /* of a file that has no name of its own */

	/* Only looks at the file. The first importer that says yes gets it; NULL: what no other
	 * wants, and is of no kind that is known. */
	bool (*is_mine)(int fd, uint64_t size, const uint8_t *head, size_t head_len);
	int (*import)(struct lm_model *model, int fd, uint64_t size, const char *name,
		      const char *label, struct lmodel_error *error);
};

static bool is_gguf(int fd, uint64_t size, const uint8_t *head, size_t head_len)
{
	(void)fd;
	(void)size;
	return head_len >= 4 && memcmp(head, "GGUF", 4) == 0;
}

static bool is_torch_legacy(int fd, uint64_t size, const uint8_t *head, size_t head_len)
{
	(void)fd;
	(void)size;
	return lm_torch_is_legacy(head, head_len);
}

static bool is_npy(int fd, uint64_t size, const uint8_t *head, size_t head_len)
{
	(void)fd;
	(void)size;
	return lm_npy_is_like(head, head_len);
}

/* A ZIP file whose first member is an array, or that has none at all. */
static bool is_npz(int fd, uint64_t size, const uint8_t *head, size_t head_len)
{
	enum { LOCAL_LEN = 30 };
	char end[4] = "";
	size_t name_len;

	if (!lm_zip_is_like(head, head_len))
		return false;
	if (head[2] != 3 || head_len < LOCAL_LEN)
		return size >= 22 && head[2] == 5;
	name_len = (size_t)head[26] | (size_t)head[27] << 8;
	return name_len >= 4 && size >= LOCAL_LEN + name_len &&
	       lm_read_at(fd, "", end, 4, LOCAL_LEN + name_len - 4, NULL) == LMODEL_OK &&
	       memcmp(end, ".npy", 4) == 0;
}

/* Every other ZIP file: what is none of PyTorch's is told there. */
static bool is_zip(int fd, uint64_t size, const uint8_t *head, size_t head_len)
{
	(void)fd;
	(void)size;
	return lm_zip_is_like(head, head_len);
}

static bool is_onnx(int fd, uint64_t size, const uint8_t *head, size_t head_len)
{
	return !lm_kind_is_safetensors(head, head_len, size) &&
	       lm_onnx_is_like(fd, size, head, head_len);
}

static const struct importer importers[] = {
	{ "safetensors", ".safetensors", NULL, lm_import_safetensors },
	{ "gguf", ".gguf", is_gguf, lm_import_gguf },
	{ "npy", ".npy", is_npy, lm_import_npy },
	{ "npz", ".npz", is_npz, lm_import_npz },
	{ "pytorch", ".pth", is_zip, lm_import_torch },
	{ "pytorch-legacy", ".pth", is_torch_legacy, lm_import_torch_legacy },
	{ LM_FORMAT_ONNX, ".onnx", is_onnx, lm_import_onnx },
};

/* Tensors of a file in a folder have the folder before their names, so that models in several
 * folders may have tensors of one name (spec: 3.6). */
static int add_folder(struct lm_model *model, size_t first, const char *name,
		      struct lmodel_error *error)
{
	const char *slash = strrchr(name, '/');

	for (size_t i = first; i < model->tensor_count && slash != NULL; i++) {
		struct lm_source_tensor *t = &model->tensors[i];
		char *full = lm_format(error, "%.*s%s", (int)(slash + 1 - name), name, t->name);

		if (full == NULL)
			return LMODEL_EFAILED;
		free(t->name);
		t->name = full;
		if (strlen(full) > LM_NAME_LIMIT)
			return lm_fail(error, LMODEL_ELIMIT,
				       "tensor %s: name of %zu bytes; the limit is %u",
				       LM_QUOTE(full), strlen(full), LM_NAME_LIMIT);
	}
	return LMODEL_OK;
}

static int import_by(const struct importer *importer, struct lm_model *model, int fd,
		     uint64_t size, const char *name, const char *label,
		     struct lmodel_error *error)
{
	size_t first = model->tensor_count;
	int r = importer->import(model, fd, size, name, label, error);

	return r == LMODEL_OK ? add_folder(model, first, name, error) : r;
}

int lm_import_format(struct lm_model *model, const char *format, int fd, uint64_t size,
		     const char *name, const char *label, struct lmodel_error *error)
{
	for (size_t i = 0; i < LM_COUNT(importers); i++)
		if (strcmp(importers[i].format, format) == 0)
			return import_by(&importers[i], model, fd, size, name, label, error);
	close(fd);
	return lm_fail(error, LMODEL_EUNSUPPORTED, "%s: format %s is not known", label,
		       LM_QUOTE(format));
}

/* NULL: no importer but that of safetensors may want it. */
static const struct importer *recognise(int fd, uint64_t size, const uint8_t *head,
					size_t head_len)
{
	for (size_t i = 0; i < LM_COUNT(importers); i++)
		if (importers[i].is_mine != NULL &&
		    importers[i].is_mine(fd, size, head, head_len))
			return &importers[i];
	return NULL;
}

const char *lm_import_kind(int fd, uint64_t size)
{
	uint8_t head[LM_KIND_HEAD];
	const struct importer *importer;
	size_t head_len;

	if (lm_kind_head(fd, size, "", head, &head_len, NULL))
		return NULL;
	importer = recognise(fd, size, head, head_len);
	if (importer == NULL && lm_kind_is_safetensors(head, head_len, size))
		importer = &importers[0];
	return importer != NULL ? importer->format : NULL;
}

static const struct importer *choose(int fd, uint64_t size, const char *label,
				     struct lmodel_error *error)
{
	const struct importer *importer;
	uint8_t head[LM_KIND_HEAD];
	const struct lm_kind *kind;
	size_t head_len;

	if (lm_kind_head(fd, size, label, head, &head_len, error))
		return NULL;
	importer = recognise(fd, size, head, head_len);
	if (importer != NULL)
		return importer;
	kind = lm_kind_of(head, head_len);
	if (kind == NULL)
		return &importers[0];
	lm_fail(error, LMODEL_EUNSUPPORTED, "%s: is %s, which lmodel does not pack", label,
		kind->name);
	return NULL;
}

int lm_import_file(struct lm_model *model, int fd, uint64_t size, const char *name,
		   const char *label, struct lmodel_error *error)
{
	LM_CLOSE int file = fd;
	const struct importer *importer = choose(file, size, label, error);
	LM_FREE char *made = NULL;

	if (importer == NULL)
		return error != NULL ? (int)error->code : LMODEL_EFAILED;
	if (name == NULL) {
		made = lm_format(error, "model%s", importer->suffix);
		if (made == NULL)
			return LMODEL_EFAILED;
	}
	file = -1;
	return import_by(importer, model, fd, size, name != NULL ? name : made, label, error);
}

/* The last part of the path; NULL when it could not be extracted. */
static const char *archive_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;

	return lm_path_is_safe(name) ? name : NULL;
}

static char *directory_of(const char *path, struct lmodel_error *error)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return lm_strdup(".", error);
	return lm_format(error, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

int lm_import(struct lm_model *model, const char *path, const char *spool_directory,
	      const struct lmodel_run *run, struct lmodel_error *error)
{
	static const char standard_input[] = "standard input";
	LM_FREE char *directory = NULL;
	struct stat st;
	uint64_t size;
	int fd, r;

	model->directory = NULL;
	model->spool_directory = spool_directory;
	model->run = run;
	if (strcmp(path, "-") == 0) {
		r = lm_spool(STDIN_FILENO, standard_input, spool_directory, &fd, &size, error);
		if (r != LMODEL_OK)
			return r;
		return lm_import_file(model, fd, size, model->input_name, standard_input, error);
	}
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		if (model->input_name != NULL)
			return lm_fail(error, LMODEL_EUSAGE,
				       "%s: a directory keeps the names in it",
				       LM_QUOTE(model->input_name));
		return lm_import_directory(model, path, run, error);
	}
	r = lm_open_regular(path, O_RDONLY, &fd, &size, error);
	if (r != LMODEL_OK)
		return r;
	directory = directory_of(path, error);
	if (directory == NULL) {
		close(fd);
		return LMODEL_EFAILED;
	}
	model->directory = directory;
	r = lm_import_file(model, fd, size,
			   model->input_name != NULL ? model->input_name : archive_name(path),
			   LM_QUOTE(path), error);
	model->directory = NULL;
	return r;
}
