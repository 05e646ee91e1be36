/* import/directory.c, import/attachment.c: models in directories, side files. */
#include "import/index.h"
#include "import/kind.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
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

static char notices[4096];

static void take_notice(void *context, const char *message)
{
	(void)context;
	strncat(notices, message, sizeof(notices) - strlen(notices) - 2);
	strcat(notices, "\n");
}

static const struct lmodel_run run = { .notice = take_notice };

static void put_bytes(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
		abort();
	close(fd);
}

static void put_text(const char *path, const char *text)
{
	put_bytes(path, text, strlen(text));
}

/* A file with U8 tensors of one byte, named by the letters of `names`. */
static void put_model(const char *path, const char *names)
{
	char bytes[4096] = { 0 };
	size_t len = 8, n = strlen(names);

	for (size_t i = 0; i < n; i++)
		len += (size_t)sprintf(bytes + len, "%c\"%c\":{\"dtype\":\"U8\",\"shape\":[],"
				       "\"data_offsets\":[%zu,%zu]}", i == 0 ? '{' : ',', names[i],
				       i, i + 1);
	bytes[len++] = '}';
	lm_put_u64((uint8_t *)bytes, len - 8);
	put_bytes(path, bytes, len + n);
}

static int import_checked(struct lm_model *model, const char *path, struct lmodel_error *error)
{
	int r;

	notices[0] = '\0';
	r = lm_import(model, path, NULL, &run, error);
	return r != LMODEL_OK ? r : lm_model_check(model, error);
}

static void refuse(enum lmodel_code code, const char *part, const char *what)
{
	struct lm_model model = { 0 };

	is_failure(import_checked(&model, "d", &e), code, part, what);
	lm_model_free(&model);
}

static void empty_directory(void)
{
	if (system("rm -rf d && mkdir d") != 0)
		abort();
}

static void test_plain(void)
{
	struct lm_model model = { 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;

	empty_directory();
	refuse(LMODEL_EUSAGE, "'d': holds no weights that lmodel packs", "empty directory");
	put_text("d/config.json", "{}");
	put_text("d/weights.h5", "x");
	refuse(LMODEL_EUSAGE, "'d': holds no weights that lmodel packs", "no model in the directory");
	put_model("d/b.safetensors", "xy");
	put_model("d/a.safetensors", "z");
	put_model("d/.hidden.safetensors", "x");
	put_text("d/README.md", "# model\n");
	put_text("d/Tokenizer_Config.JSON", "{}");
	put_text("d/notes.txt", "");
	put_text("d/up\ndown", "");
	if (mkdir("d/unet", 0700) != 0 || mkdir("d/.git", 0700) != 0 ||
	    mkfifo("d/LICENSE", 0600) != 0 || symlink("nowhere", "d/NOTICE") != 0 ||
	    symlink("../secret", "d/COPYING") != 0)
		abort();
	put_text("secret", "words");

	is_int(import_checked(&model, "d", &error), LMODEL_OK, "directory without an index");
	is_str(error.message, "", "no message");
	is_int((intmax_t)model.source_count, 2, "two files");
	is_str(model.sources[0].name, "a.safetensors", "sorted by name");
	is_str(model.sources[1].label, "'d/b.safetensors'", "label");
	is_int((intmax_t)model.tensor_count, 3, "three tensors");
	is_int((intmax_t)model.attachment_count, 4, "four side files");
	is_str(model.attachments[0].name, "COPYING", "links to regular files are followed");
	is_int((intmax_t)model.attachments[0].size, 5, "size");
	is_str(model.attachments[1].name, "README.md", "side files are sorted");
	is_str(model.attachments[2].name, "Tokenizer_Config.JSON", "names regardless of case");
	is_str(model.attachments[3].name, "config.json", "config");
	is_str(notices,
	       "not packed: LICENSE (no regular file)\n"
	       "not packed: NOTICE (cannot be read)\n"
	       "not packed: notes.txt (--attach adds a side file)\n"
	       "not packed: unet (a directory)\n"
	       "not packed: up\\ndown (--attach adds a side file)\n"
	       "not packed: weights.h5 (other weights)\n", "what is told");
	lm_model_free(&model);

	put_text("d/c.safetensors", "\x89HDF\r\n\x1a\n");
	refuse(LMODEL_EUNSUPPORTED, "'d/c.safetensors': is an HDF5 file", "another format");
	put_text("d/c.safetensors", "version https://git-lfs.github.com/spec/v1\n");
	refuse(LMODEL_ECORRUPT, "'d/c.safetensors': is a Git LFS pointer", "LFS pointer");
	put_model("d/c.safetensors", "x");
	refuse(LMODEL_EUSAGE, "'d/b.safetensors' and 'd/c.safetensors' both have a tensor 'x'",
	       "one tensor in two files");
	unlink("d/c.safetensors");
	put_text("d/README.md", "version https://git-lfs.github.com/spec/v1\n");
	refuse(LMODEL_ECORRUPT, "'d/README.md': is a Git LFS pointer, not the file",
	       "LFS side file");
	unlink("d/README.md");
	put_model("d/README\t.safetensors", "q");
	refuse(LMODEL_EUSAGE, "'d/README\\t.safetensors': not a name that an archive may hold",
	       "unsafe name of a model's file");
}

static void put_index(const char *map)
{
	char text[4096];

	snprintf(text, sizeof(text), "{\"metadata\":{\"total_size\":3},\"weight_map\":%s}", map);
	put_text("d/model.safetensors.index.json", text);
}

static void test_index(void)
{
	struct lm_model model = { 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;

	empty_directory();
	put_model("blob", "xy");
	if (symlink("../blob", "d/2.safetensors") != 0)
		abort();
	put_model("d/1.safetensors", "z");
	put_model("d/consolidated.safetensors", "xyz");
	put_index("{\"x\":\"2.safetensors\",\"z\":\"1.safetensors\",\"y\":\"2.safetensors\"}");
	is_int(import_checked(&model, "d/", &error), LMODEL_OK, "directory with an index");
	is_str(error.message, "", "no message");
	is_int((intmax_t)model.source_count, 2, "the files of the index");
	is_str(model.sources[0].name, "1.safetensors", "sorted by name");
	is_str(model.sources[1].label, "'d/2.safetensors'", "label, with one slash");
	is_int((intmax_t)model.attachment_count, 1, "the index comes along");
	is_str(model.attachments[0].name, "model.safetensors.index.json", "its name");
	is_str(notices, "not packed: consolidated.safetensors (not in the index)\n",
	       "other models are left out, and told");
	lm_model_free(&model);

	put_index("{\"x\":\"2.safetensors\",\"z\":\"1.safetensors\"}");
	refuse(LMODEL_ECORRUPT, "'d/2.safetensors': tensor 'y' is not in the index",
	       "tensor that the index lacks");
	put_index("{\"x\":\"2.safetensors\",\"y\":\"2.safetensors\",\"z\":\"1.safetensors\","
		  "\"w\":\"1.safetensors\"}");
	refuse(LMODEL_ECORRUPT,
	       "'d/model.safetensors.index.json': tensor 'w' is not in file '1.safetensors'",
	       "tensor that the files lack");
	put_index("{\"x\":\"2.safetensors\",\"y\":\"1.safetensors\",\"z\":\"1.safetensors\"}");
	refuse(LMODEL_ECORRUPT, "'d/2.safetensors': tensor 'y' is in this file, but the index says "
	       "'1.safetensors'", "tensor in another file");
	put_model("d/3.safetensors", "xw");
	put_index("{\"x\":\"2.safetensors\",\"y\":\"2.safetensors\",\"z\":\"1.safetensors\","
		  "\"w\":\"3.safetensors\"}");
	refuse(LMODEL_ECORRUPT, "'d/3.safetensors': tensor 'x' is also in another file",
	       "tensor in two files");
	put_index("{\"x\":\"missing.safetensors\"}");
	refuse(LMODEL_ECORRUPT, "'d': file 'missing.safetensors' of index "
	       "'model.safetensors.index.json' is missing", "file that is missing");
	if (mkfifo("d/fifo.safetensors", 0600) != 0)
		abort();
	put_index("{\"x\":\"fifo.safetensors\"}");
	refuse(LMODEL_EUSAGE, "'d/fifo.safetensors': is a FIFO", "file that is a FIFO");
	put_text("d/other.safetensors.index.json", "{}");
	refuse(LMODEL_EUSAGE, "'d': has two indexes, 'model.safetensors.index.json' and "
	       "'other.safetensors.index.json'", "two indexes");
	unlink("d/other.safetensors.index.json");
	if (truncate("d/model.safetensors.index.json", 100000001) != 0)
		abort();
	refuse(LMODEL_ELIMIT, "100000001 bytes; the limit is 100000000", "index over the limit");
}

static void parse(const char *text, enum lmodel_code code, const char *part)
{
	struct lm_index index;

	is_failure(lm_index_parse(&index, text, strlen(text), "'i'", &e), code, part, part);
	lm_index_free(&index);
}

static void test_index_text(void)
{
	static const char sound[] = "{\"weight_map\":{\"t\":\"b\",\"u\":\"a\",\"v\":\"b\"}}";
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_index index;
	char many[5000], *long_name = malloc(66000);

	parse("", LMODEL_ECORRUPT, "'i': byte 0: the JSON ends before it is complete");
	parse("[]", LMODEL_ECORRUPT, "'i': is an array, not an object");
	parse("{}", LMODEL_ECORRUPT, "'i': weight_map is missing");
	parse("{\"weight_map\":[]}", LMODEL_ECORRUPT, "'i': weight_map is an array, not an object");
	parse("{\"weight_map\":{}}", LMODEL_ECORRUPT, "'i': weight_map is empty");
	parse("{\"weight_map\":{\"t\":null}}", LMODEL_ECORRUPT,
	      "'i': tensor 't': the file is null, not a string");
	parse("{\"weight_map\":{\"t\":\"../x\"}}", LMODEL_ECORRUPT,
	      "'i': tensor 't': '../x' is no name of a file in this directory");
	parse("{\"weight_map\":{\"t\":\"a/b\"}}", LMODEL_ECORRUPT, "'a/b' is no name of a file");
	parse("{\"weight_map\":{\"t\":\"..\"}}", LMODEL_ECORRUPT, "'..' is no name of a file");
	parse("{\"weight_map\":{\"t\":\"\"}}", LMODEL_ECORRUPT, "'' is no name of a file");
	parse("{\"weight_map\":{\"t\":\"a\",\"t\":\"b\"}}", LMODEL_ECORRUPT,
	      "'i': byte 23: duplicate key 't'");
	parse("\xef\xbb\xbf{}", LMODEL_ECORRUPT, "'i': byte 0: byte order mark");
	parse("{\"weight_map\":{\"\xff\":\"a\"}}", LMODEL_ECORRUPT,
	      "'i': byte 16: 0xFF is not valid UTF-8");
	memset(many, '[', sizeof(many));
	many[3000] = '\0';
	parse(many, LMODEL_ELIMIT, "'i': JSON nested deeper than 2048");
	if (long_name == NULL)
		abort();
	memset(long_name, 0, 66000);
	strcpy(long_name, "{\"a\":[");
	for (int i = 0; i < 4096; i++)
		strcat(long_name + 3 * i, i > 0 ? ",{}" : "{}");
	strcat(long_name, "]}");
	parse(long_name, LMODEL_ELIMIT, "'i': 4098 JSON objects and arrays; the limit is 4096");
	memset(long_name, 'n', 65999);
	memcpy(long_name, "{\"weight_map\":{\"", 16);
	strcpy(long_name + 16 + 65536, "\":\"a\"}}");
	parse(long_name, LMODEL_ELIMIT, "name of 65536 bytes; the limit is 65535");
	free(long_name);

	is_int(lm_index_parse(&index, sound, strlen(sound), "'i'", &error), LMODEL_OK,
	       "sound index");
	is_int((intmax_t)index.file_count, 2, "distinct files");
	ok(strcmp(index.files[0], "a") == 0 && strcmp(index.files[1], "b") == 0, "sorted");
	lm_index_free(&index);
}

static void attach(const char *path, const char *name, enum lmodel_code code, const char *part,
		   const char *what)
{
	struct lm_model model = { 0 };

	is_failure(lm_import_attachment(&model, path, name, NULL, NULL, &e), code, part, what);
	lm_model_free(&model);
}

static void test_attachments(void)
{
	static const struct { const char *bytes; size_t len; const char *part; } weights[] = {
		{ "GGUF\3\0\0\0", 8, "it is a GGUF file" },
		{ "PK\3\4\24\0\0\0", 8, "it is a ZIP file" },
		{ "\x80\2\x8a\nl\xfc\x9c\x46\xf9", 9, "it is a Python pickle" },
		{ "\x89HDF\r\n\x1a\n", 8, "it is an HDF5 file" },
		{ "\x93NUMPY\1\0", 8, "it is a NumPy file" },
		{ "\2\0\0\0\0\0\0\0{}", 10, "it is a safetensors file" },
	};
	static const char *const suffixes[] = {
		".safetensors", ".gguf", ".pt", ".pth", ".bin", ".ckpt", ".npz", ".npy", ".onnx",
		".h5", ".msgpack", ".pb", ".tflite", ".BIN",
	};
	struct lm_model model = { 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	char path[64];

	put_text("side.txt", "text");
	is_int(lm_import_attachment(&model, "./side.txt", NULL, NULL, NULL, &error), LMODEL_OK,
	       "side file");
	is_str(model.attachments[0].name, "side.txt", "last part of the path");
	is_str(model.attachments[0].label, "'./side.txt'", "label");
	is_int((intmax_t)model.attachments[0].size, 4, "size");
	is_int(lm_import_attachment(&model, "side.txt", "docs/a.txt", NULL, NULL, &error), LMODEL_OK,
	       "renamed");
	is_failure(lm_import_attachment(&model, "side.txt", "docs/a.txt", NULL, NULL, &e),
		   LMODEL_EUSAGE,
		   "'side.txt' and 'side.txt' would both be 'docs/a.txt' in the archive", "twice");
	put_model("m.safetensors", "x");
	is_int(lm_import(&model, "m.safetensors", NULL, NULL, &error), LMODEL_OK, "a model");
	is_int(lm_import_attachment(&model, "side.txt", "docs", NULL, NULL, &error), LMODEL_OK,
	       "a file 'docs'");
	is_failure(lm_model_check(&model, &e), LMODEL_EUSAGE, "would be file 'docs'",
		   "file and directory of one name");
	lm_model_free(&model);

	attach("side.txt", "../x", LMODEL_EUSAGE, "'side.txt': '../x' cannot be a name",
	       "unsafe name");
	attach("side.txt", "", LMODEL_EUSAGE, "'side.txt': '' cannot be a name", "empty name");
	attach("none.txt", NULL, LMODEL_EFAILED, "'none.txt': No such file", "no such file");
	attach("d", NULL, LMODEL_EUSAGE, "'d': is a directory, not a file", "a directory");
	attach("side.txt", "x.gguf", LMODEL_EUSAGE, "'x.gguf': looks like weights",
	       "renamed to weights");
	for (size_t i = 0; i < LM_COUNT(suffixes); i++) {
		snprintf(path, sizeof(path), "side%s", suffixes[i]);
		put_text(path, "text");
		attach(path, "x.txt", LMODEL_EUSAGE,
		       "looks like weights, no side file, by its name", suffixes[i]);
	}
	for (size_t i = 0; i < LM_COUNT(weights); i++) {
		put_bytes("vocab.json", weights[i].bytes, weights[i].len);
		attach("vocab.json", NULL, LMODEL_EUSAGE, weights[i].part, weights[i].part);
	}
	put_text("vocab.json", "");
	is_int(lm_import_attachment(&model, "vocab.json", NULL, NULL, NULL, &error), LMODEL_OK,
	       "an empty file");
	put_text("tokenizer.model", "\n\x0e\n\5<unk>\x15\0\0\0\0\x18\2");
	is_int(lm_import_attachment(&model, "tokenizer.model", NULL, NULL, NULL, &error), LMODEL_OK,
	       "a SentencePiece model");
	put_text("vocab.json", "{\"a\":1}");
	is_int(lm_import_attachment(&model, "vocab.json", "v.json", NULL, NULL, &error), LMODEL_OK,
	       "JSON");
	lm_model_free(&model);
}

static void test_names(void)
{
	static const char *const side[] = {
		"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
		"tokenizer.model", "qwen.tiktoken", "special_tokens_map.json", "added_tokens.json",
		"vocab.json", "vocab.txt", "merges.txt", "spiece.model", "sentencepiece.bpe.model",
		"chat_template.jinja", "chat_template.json", "preprocessor_config.json",
		"processor_config.json", "quantization_config.json", "model_index.json",
		"modules.json", "README", "README.md", "Readme.md", "LICENSE", "LICENSE.txt",
		"LICENCE", "NOTICE", "COPYING", "USE_POLICY.md", "model.safetensors.index.json",
		"model.fp16.safetensors.index.json",
	};
	static const char *const other[] = {
		"pytorch_model.bin", "training_args.bin", "optimizer.pt", "notes.txt",
		"config.json~", "trainer_state.json", "README.safetensors", "config.yaml",
		"model.py", "tokenizer.model.bin",
	};

	for (size_t i = 0; i < LM_COUNT(side); i++)
		ok(lm_name_is_side_file(side[i]), "%s is a side file", side[i]);
	for (size_t i = 0; i < LM_COUNT(other); i++)
		ok(!lm_name_is_side_file(other[i]), "%s is none", other[i]);
}

/* More files than the soft limit on open files allows. */
static void test_many_files(void)
{
	struct lm_model model = { 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct rlimit saved, limit;

	empty_directory();
	for (int i = 0; i < 26; i++) {
		char path[64], name[2] = { (char)('a' + i), 0 };

		snprintf(path, sizeof(path), "d/%d.safetensors", i);
		put_model(path, name);
	}
	if (getrlimit(RLIMIT_NOFILE, &saved) != 0)
		abort();
	limit = saved;
	limit.rlim_cur = 20;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		abort();
	is_int(import_checked(&model, "d", &error), LMODEL_OK, "26 files with room for 20");
	is_str(error.message, "", "no message");
	lm_model_free(&model);
	setrlimit(RLIMIT_NOFILE, &saved);
}

int main(void)
{
	char directory[] = "/tmp/lmodel-test-XXXXXX", command[64];

	if (mkdtemp(directory) == NULL || chdir(directory) != 0)
		abort();
	test_plain();
	test_index();
	test_index_text();
	test_attachments();
	test_names();
	test_many_files();
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	ok(system(command) == 0, "clean up");
	return done();
}
