/* import/import.c, import/model.c: what an input is; what must hold between inputs. */
#include "import/source.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/tap.h"

#define is_failure(call, wanted, part, what)                          \
	do {                                                          \
		struct lmodel_error e = LMODEL_ERROR_INIT;            \
		int r = (call);                                       \
		is_error(&e, wanted, part, what);                     \
		if (r != (int)e.code)                                 \
			ok(0, "%s: the call returned %d", what, r);   \
	} while (0)

/* A file with one tensor, 't'. */
static int add_one(struct lm_model *model, const char *name, const char *label,
		   struct lmodel_error *error)
{
	static const char text[] = "\65\0\0\0\0\0\0\0"
		"{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}.";
	int fd = memfd_create("test", MFD_CLOEXEC);

	if (fd < 0 || write(fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1)
		abort();
	return lm_import_safetensors(model, fd, sizeof(text) - 1, name, label, error);
}

static void test_model_check(void)
{
	struct lm_model model = { 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	is_failure(lm_model_check(&model, &e), LMODEL_EUSAGE, "no model to pack",
		   "nothing to pack");

	is_int(add_one(&model, "m", "'m'", &error), LMODEL_OK, "first input");
	is_int(add_one(&model, "n.safetensors", "'n'", &error), LMODEL_OK, "second input");
	is_failure(lm_model_check(&model, &e), LMODEL_EUSAGE,
		   "'m' and 'n' both have a tensor 't'", "name in two inputs");

	model.tensors[1].source = 0;
	is_failure(lm_model_check(&model, &e), LMODEL_ECORRUPT, "'m': has tensor 't' twice",
		   "name twice in one input");

	strcpy(model.sources[1].name, "m");
	is_failure(lm_model_check(&model, &e), LMODEL_EUSAGE,
		   "'m' and 'n' would both be 'm' in the archive",
		   "two files of one name");

	strcpy(model.sources[0].name, "a");
	strcpy(model.sources[1].name, "a/b/c");
	is_failure(lm_model_check(&model, &e), LMODEL_EUSAGE,
		   "'m' would be file 'a' in the archive, but 'n' needs a directory of that name",
		   "a file and a directory of one name");
	lm_model_free(&model);
}

/* lm_import(): by content, whatever the name. */
static void put_file(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
		abort();
	close(fd);
}

static void import_as(const char *path, const void *bytes, size_t len, int code, const char *part,
		      const char *what)
{
	struct lm_model model = { 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;

	put_file(path, bytes, len);
	is_int(lm_import(&model, path, NULL, NULL, &error), code, what);
	if (code != LMODEL_OK && strstr(error.message, part) == NULL)
		ok(0, "%s: got: %s", what, error.message);
	if (code == LMODEL_OK)
		is_str(model.sources[0].name, part, "name in the archive");
	lm_model_free(&model);
	unlink(path);
}

static void test_kinds(void)
{
	static const struct { const char *bytes; size_t len; const char *part; } kinds[] = {
		{ "\x80\2\x8a\nl\xfc\x9c\x46\xf9\x20", 10, "is a Python pickle" },
		{ "\x80\4\x95\x10\0\0\0\0\0\0}", 11, "is a Python pickle" },
		{ "\x89HDF\r\n\x1a\n\0\0", 10, "is an HDF5 file" },
		{ "{\"metadata\":{}}", 15, "is a JSON file" },
		{ "<!DOCTYPE html>", 15, "is an HTML page" },
	};
	char tar[1024] = "mimetype", json[8 + 640];

	for (size_t i = 0; i < LM_COUNT(kinds); i++)
		import_as("x.safetensors", kinds[i].bytes, kinds[i].len, LMODEL_EUNSUPPORTED,
			  kinds[i].part, kinds[i].part);
	strcpy(tar + 512, "application/vnd.lmodel.v1+tar");
	import_as("x", tar, sizeof(tar), LMODEL_EUNSUPPORTED, "is an lmodel archive already",
		  "an archive");
	strcpy(tar + 257, "ustar");
	tar[512] = '\0';
	import_as("x", tar, sizeof(tar), LMODEL_EUNSUPPORTED, "is a tar file", "another tar");
	import_as("x", "", 0, LMODEL_ECORRUPT, "'x': is empty", "an empty file");
	import_as("x", "hello", 5, LMODEL_ECORRUPT, "truncated: 5 bytes", "a short text");
	import_as("x", "hello world", 11, LMODEL_ECORRUPT, "none of the inputs that are known",
		  "a longer text");

	/* a header of 640 bytes starts like a pickle */
	memset(json, ' ', sizeof(json));
	lm_put_u64((uint8_t *)json, 640);
	memcpy(json + 8, "{}", 2);
	import_as("x.bin", json, sizeof(json), LMODEL_OK, "x.bin", "header of 640 bytes");
	import_as("x\n.bin", json, sizeof(json), LMODEL_OK, "model.safetensors", "unsafe name");
}

static void test_paths(void)
{
	struct lm_model model = { 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	int saved = dup(STDIN_FILENO), in;

	is_failure(lm_import(&model, "missing\n", NULL, NULL, &e), LMODEL_EFAILED,
		   "'missing\\n': No such file", "no such file");
	if (mkfifo("fifo", 0600) != 0)
		abort();
	is_failure(lm_import(&model, "fifo", NULL, NULL, &e), LMODEL_EUSAGE, "'fifo': is a FIFO",
		   "FIFO");
	is_failure(lm_import(&model, "/dev/null", NULL, NULL, &e), LMODEL_EUSAGE, "is a device",
		   "device");
	unlink("fifo");

	put_file("in", "\2\0\0\0\0\0\0\0{}", 10);
	in = open("in", O_RDONLY | O_CLOEXEC);
	if (in < 0 || dup2(in, STDIN_FILENO) < 0)
		abort();
	is_int(lm_import(&model, "-", ".", NULL, &error), LMODEL_OK, "standard input");
	is_str(model.sources[0].name, "model.safetensors", "its name");
	is_str(model.sources[0].label, "standard input", "its label");
	is_failure(lm_import(&model, "-", ".", NULL, &e), LMODEL_ECORRUPT,
		   "standard input: is empty", "at its end");
	dup2(saved, STDIN_FILENO);
	close(saved);
	close(in);
	unlink("in");
	lm_model_free(&model);
}

int main(void)
{
	char directory[] = "/tmp/lmodel-test-XXXXXX";

	if (mkdtemp(directory) == NULL || chdir(directory) != 0)
		abort();
	test_model_check();
	test_kinds();
	test_paths();
	ok(rmdir(directory) == 0, "clean up");
	return done();
}
