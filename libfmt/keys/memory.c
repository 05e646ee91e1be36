#include "keys/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/publish.h"
#include "crypto/chunked.h"
#include "crypto/secret.h"

#define HEAD "lmodel-memory-v1\n"
#define BOOK_LABEL "grants book"

enum { TEXT_LIMIT = 512 };

/* The whole of a small file; `*len` 0 when there is none, or no way to one. */
static int read_file(const char *path, uint64_t limit, uint8_t **bytes, size_t *len,
		     struct lmodel_error *error)
{
	char label[LM_QUOTE_SIZE];
	LM_CLOSE int fd = -1;
	struct stat st;
	uint64_t size;
	int r;

	*bytes = NULL;
	*len = 0;
	if (stat(path, &st) != 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES))
		return LMODEL_OK;
	r = lm_open_regular(path, O_RDONLY, &fd, &size, error);
	if (r != LMODEL_OK)
		return r;
	if (size > limit)
		return lm_fail(error, LMODEL_ELIMIT, "%s: is too long", LM_QUOTE(path));
	*bytes = malloc((size_t)size + 1);
	if (*bytes == NULL)
		return lm_fail_memory(error);
	r = lm_read_at(fd, lm_quote(label, path), *bytes, (size_t)size, 0, error);
	if (r != LMODEL_OK) {
		free(*bytes);
		*bytes = NULL;
		return r;
	}
	(*bytes)[size] = '\0';
	*len = (size_t)size;
	return LMODEL_OK;
}

static int write_file(const char *path, const void *bytes, size_t len, struct lmodel_error *error)
{
	struct lm_output out = LM_OUTPUT_INIT;
	char label[LM_QUOTE_SIZE];
	int r = lm_output_begin(&out, path, true, error);

	if (r == LMODEL_OK)
		r = lm_output_mode(&out, 0600, error);
	if (r == LMODEL_OK)
		r = lm_write_all(out.fd, lm_quote(label, path), bytes, len, error);
	if (r == LMODEL_OK)
		r = lm_output_publish(&out, error);
	lm_output_release(&out);
	return r;
}

/* ---- memory ---- */

static size_t print(char text[TEXT_LIMIT], const struct lm_memory *m)
{
	char hex[65];

	lm_hex(hex, m->owner, sizeof(m->owner));
	return (size_t)snprintf(text, TEXT_LIMIT, HEAD "owner %s\ngeneration %ju\nbook %ju\n", hex,
				(uintmax_t)m->generation, (uintmax_t)m->book_counter);
}

/* What does not print again to the same bytes is not ours. */
static bool parse(struct lm_memory *m, const char *text)
{
	const size_t owner = sizeof(HEAD) - 1 + 6;
	char again[TEXT_LIMIT], *end;

	if (strlen(text) < owner + 64 + 12)
		return false;
	for (size_t i = 0; i < sizeof(m->owner); i++) {
		char pair[3] = { text[owner + 2 * i], text[owner + 2 * i + 1], '\0' };

		m->owner[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	m->generation = strtoull(text + owner + 64 + 12, &end, 10);
	if (strncmp(end, "\nbook ", 6) == 0)
		m->book_counter = strtoull(end + 6, NULL, 10);
	print(again, m);
	return strcmp(again, text) == 0;
}

int lm_memory_load(struct lm_memory *memory, const char *directory, const char *archive,
		   struct lmodel_error *error)
{
	LM_FREE char *path = lm_format(error, "%s/%s", directory, archive);
	LM_FREE uint8_t *text = NULL;
	size_t len;
	int r;

	*memory = (struct lm_memory){ 0 };
	if (path == NULL)
		return LMODEL_EFAILED;
	r = read_file(path, TEXT_LIMIT, &text, &len, error);
	if (r != LMODEL_OK || len == 0)
		return r;
	if (strlen((char *)text) != len || !parse(memory, (char *)text))
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: is not what lmodel remembers an archive by", LM_QUOTE(path));
	memory->known = true;
	return LMODEL_OK;
}

/* Held while a file is read and written again, so that of two processes the later one does not put
 * back what the other has learnt. Without a lock it is done all the same. */
static int lock_directory(const char *directory)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		(void)!flock(fd, LOCK_EX);
	return fd;
}

int lm_memory_store(const struct lm_memory *given, bool back, const char *directory,
		    const char *archive, struct lmodel_error *error)
{
	LM_FREE char *path = lm_format(error, "%s/%s", directory, archive);
	struct lm_memory now = *given, before;
	char text[TEXT_LIMIT];
	LM_CLOSE int lock = -1;

	if (path == NULL || lm_make_private(directory, error))
		return LMODEL_EFAILED;
	lock = lock_directory(directory);
	if (!back && lm_memory_load(&before, directory, archive, NULL) == LMODEL_OK &&
	    before.known && memcmp(before.owner, now.owner, sizeof(now.owner)) == 0) {
		now.generation = LM_MAX(now.generation, before.generation);
		now.book_counter = LM_MAX(now.book_counter, before.book_counter);
		if (now.generation == before.generation && now.book_counter == before.book_counter)
			return LMODEL_OK;
	}
	return write_file(path, text, print(text, &now), error);
}

/* ---- the book of detached grants ---- */

static size_t about(uint8_t out[128], const char *archive)
{
	return (size_t)snprintf((char *)out, 128, "lmodel/1/grants-book%c%s", 0, archive);
}

static void book_key(uint8_t key[LM_KEY], const char *archive, const uint8_t owner_key[LM_KEY])
{
	const struct lm_key_scope scope = { .archive = archive, .tier = "" };

	lm_derive(key, owner_key, BOOK_LABEL, &scope);
}

int lm_grants_book_load(struct lm_book *book, const char *path, const char *archive,
			const uint8_t owner_key[LM_KEY], struct lmodel_error *error)
{
	uint8_t key[LM_KEY], context[128];
	LM_FREE uint8_t *sealed = NULL;
	size_t len;
	int r = read_file(path, LM_BOOK_LIMIT, &sealed, &len, error);

	*book = (struct lm_book){ 0 };
	if (r != LMODEL_OK || len == 0)
		return r;
	book_key(key, archive, owner_key);
	r = lm_book_open_bytes(book, sealed, len, key, context, about(context, archive), NULL);
	lm_wipe(key, sizeof(key));
	if (r == LMODEL_ECORRUPT)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: is not this owner's book of the archive's "
			       "detached grants", LM_QUOTE(path));
	return r == LMODEL_OK ? r : lm_fail_memory(error);
}

int lm_grants_book_store(const struct lm_book *book, const char *path, const char *archive,
			 const uint8_t owner_key[LM_KEY], struct lmodel_error *error)
{
	uint8_t key[LM_KEY], context[128];
	LM_FREE uint8_t *sealed = NULL;
	LM_FREE char *directory = lm_directory_of(path, error);
	size_t len;
	int r;

	if (directory == NULL || lm_make_private(directory, error))
		return LMODEL_EFAILED;
	book_key(key, archive, owner_key);
	r = lm_book_seal_bytes(book, key, context, about(context, archive), NULL, &sealed, &len,
			       error);
	lm_wipe(key, sizeof(key));
	return r == LMODEL_OK ? write_file(path, sealed, len, error) : r;
}

char *lm_grants_book_path(const char *directory, const char *archive, struct lmodel_error *error)
{
	return lm_format(error, "%s/%s.grants", directory, archive);
}
