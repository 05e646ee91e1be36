/* Opening an archive, and what it says of itself. */
#include "archive/archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include <lmodel/version.h>

#include "archive/attachments.h"
#include "archive/content.h"
#include "archive/member.h"
#include "archive/sign.h"
#include "archive/unlock.h"
#include "base/io.h"
#include "container/lock.h"
#include "crypto/curve.h"
#include "crypto/secret.h"
#include "keys/book.h"

const char *lmodel_version(void)
{
	return LMODEL_VERSION_STRING;
}

/* ---- the public view ---- */

static int make_tensors(struct lmodel_archive *a, struct lmodel_error *error)
{
	const struct lm_manifest *m = &a->manifest;

	a->tensors = calloc(m->tensor_count + 1, sizeof(*a->tensors));
	if (a->tensors == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->tensor_count; i++) {
		const struct lm_tensor_row *row = &m->tensors[i];
		const struct lm_member *member = &m->members[lm_manifest_member_of(m, i)];

		a->tensors[i] = (struct lmodel_tensor){
			.name = row->name, .dtype = row->dtype->name,
			.dtype_bits = row->dtype->bits, .rank = row->rank, .shape = row->shape,
			.elements = row->elements, .bytes = row->bytes,
			.stored_bytes = row->alias == LM_NONE ? lm_member_stored(member) : 0,
			.alias_of = row->alias == LM_NONE ? NULL : m->tensors[row->alias].name,
			.source = m->sources[row->source].name, .member = member->path,
			.block_elements = row->dtype->block,
			.block_bytes = row->dtype->block_bytes,
		};
	}
	return LMODEL_OK;
}

static int make_files(struct lmodel_archive *a, struct lmodel_error *error)
{
	const struct lm_manifest *m = &a->manifest;

	a->sources = calloc(m->source_count + 1, sizeof(*a->sources));
	a->metadata = calloc(m->metadata_count + 1, sizeof(*a->metadata));
	if (a->sources == NULL || a->metadata == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < m->source_count; i++)
		a->sources[i] = (struct lmodel_source){
			.name = m->sources[i].name, .format = m->sources[i].format,
			.bytes = m->sources[i].bytes,
		};
	for (size_t i = 0; i < m->tensor_count; i++)
		a->sources[m->tensors[i].source].tensor_count++;
	for (size_t i = 0; i < m->metadata_count; i++)
		a->metadata[i] = (struct lmodel_metadata){
			.source = m->sources[m->metadata[i].source].name,
			.key = m->metadata[i].key, .value = m->metadata[i].value,
		};
	return LMODEL_OK;
}

/* ---- opening ---- */

enum { LOOKS_MOST = 500 }; /* ten seconds beside a busy writer */

static int open_file(struct lmodel_archive *a, const char *path, uint64_t *size,
		     struct lmodel_error *error)
{
	char quoted[LM_QUOTE_SIZE];
	int r;

	if (strcmp(path, "-") == 0) {
		a->label = lm_strdup("standard input", error);
		if (a->label == NULL)
			return LMODEL_EFAILED;
		a->file.label = a->label;
		return lm_spool(STDIN_FILENO, a->label, NULL, &a->file.fd, size, error);
	}
	a->label = lm_strdup(lm_quote(quoted, path), error);
	a->path = lm_strdup(path, error);
	if (a->label == NULL || a->path == NULL)
		return LMODEL_EFAILED;
	a->file.label = a->label;
	r = lm_open_regular(path, O_RDONLY, &a->file.fd, size, error);
	if (r == LMODEL_OK)
		r = lm_lock_reader(a->file.fd, a->label, error);
	return r;
}

/* A file that has no name yet. */
static int adopt_file(struct lmodel_archive *a, int fd, const char *label, uint64_t *size,
		      struct lmodel_error *error)
{
	struct stat st;

	a->label = lm_strdup(label, error);
	if (a->label == NULL)
		return LMODEL_EFAILED;
	a->file.label = a->label;
	a->file.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (a->file.fd < 0 || fstat(a->file.fd, &st) != 0)
		return lm_fail_errno(error, "%s", label);
	*size = (uint64_t)st.st_size;
	return LMODEL_OK;
}

/* The higher commit counter of the two footers, valid or not. */
static uint64_t newest_counter(const struct lmodel_archive *a)
{
	uint64_t newest = 0;

	for (int i = 0; i < 2; i++) {
		struct lm_slot_footer footer;

		if (lm_slot_footer_read(&a->file, &a->slots, i, &footer))
			newest = LM_MAX(newest, footer.commit_counter);
	}
	return newest;
}

/* Writers beside us may be between their two slot writes, and change after change. So damage counts
 * only when nobody writes and nothing has moved since the look before. */
static int read_slots(struct lmodel_archive *a, uint8_t **image, struct lmodel_error *error)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	uint64_t before = 0;
	struct stat st;

	for (int looks = 0;; looks++) {
		struct lmodel_error e = LMODEL_ERROR_INIT;
		int r = lm_slots_read(&a->file, &a->slots, image, &a->footer, &e);
		bool writing = !a->own_lock && lm_writer_is_active(a->file.fd);
		uint64_t counter = newest_counter(a);

		if (r == LMODEL_OK)
			return r;
		if (r != LMODEL_ECORRUPT || looks > LOOKS_MOST ||
		    (looks > 0 && !writing && counter == before))
			return lm_fail(error, (enum lmodel_code)r, "%s", e.message);
		before = counter;
		if (writing)
			nanosleep(&pause, NULL);
		if (fstat(a->file.fd, &st) == 0)
			a->slots.file_size = (uint64_t)st.st_size;
	}
}

/* Reads the slots and the manifest. */
static int read_manifest(struct lmodel_archive *a, uint64_t size, struct lmodel_error *error)
{
	uint8_t *image = NULL;
	int r = lm_slots_locate(&a->file, size, &a->slots, error);

	if (r != LMODEL_OK)
		return r;
	r = read_slots(a, &image, error);
	if (r != LMODEL_OK)
		return r;
	if (a->footer.format != LMODEL_FORMAT_VERSION)
		r = lm_fail(error, LMODEL_EUNSUPPORTED,
			    "%s: format version %u; this lmodel knows %u", a->label,
			    a->footer.format, LMODEL_FORMAT_VERSION);
	if (r == LMODEL_OK)
		r = lm_manifest_load(&a->manifest, image, a->footer.image_len,
				     lm_slots_end(a->slots.slot_size), a->footer.committed_len,
				     a->label, error);
	if (a->own_lock)
		a->image = image;
	else
		free(image);
	return r;
}

/* The statement must be the one that these rows make. */
static int check_statement(struct lmodel_archive *a, struct lmodel_error *error)
{
	uint8_t root[LM_SHA256_SIZE];
	LM_FREE char *statement = NULL;

	if (lm_content_root(&a->manifest, a->manifest.id, root, error))
		return LMODEL_EFAILED;
	statement = lm_content_statement(&a->manifest, root, error);
	if (statement == NULL)
		return LMODEL_EFAILED;
	if (strcmp(statement, a->manifest.statement) != 0)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: manifest: the statement is not that of its content", a->label);
	lm_hex(a->content_root, root, sizeof(root));
	return LMODEL_OK;
}

/* Says nothing of who the owner is: only that whoever has this key made this statement. */
static int check_owner(const struct lmodel_archive *a, struct lmodel_error *error)
{
	const struct lm_manifest *m = &a->manifest;
	LM_FREE char *message = NULL;
	size_t len;

	if (!m->owner.present)
		return LMODEL_OK;
	message = lm_owner_message(m->statement, &len, error);
	if (message == NULL)
		return LMODEL_EFAILED;
	if (!lm_ed25519_verify(m->owner.public_key, message, len, m->owner.signature))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: the owner's signature is wrong",
			       a->label);
	return LMODEL_OK;
}

static int load(struct lmodel_archive *a, uint64_t size, struct lmodel_error *error)
{
	int r = read_manifest(a, size, error);

	if (r == LMODEL_OK)
		r = check_statement(a, error);
	if (r == LMODEL_OK)
		r = check_owner(a, error);
	if (r == LMODEL_OK)
		r = lm_archive_make_tiers(a, error);
	if (r == LMODEL_OK)
		r = lm_archive_make_signatures(a, error);
	if (r == LMODEL_OK)
		r = make_tensors(a, error);
	if (r == LMODEL_OK)
		r = make_files(a, error);
	if (r == LMODEL_OK)
		r = lm_archive_make_attachments(a, error);
	return r;
}

static struct lmodel_archive *new_archive(bool own_lock, struct lmodel_error *error)
{
	struct lmodel_archive *a = lm_crypto_init(error) == LMODEL_OK ? calloc(1, sizeof(*a)) : NULL;

	if (a == NULL) {
		lm_fail_memory(error); /* unless it was something else */
		return NULL;
	}
	a->file.fd = -1;
	a->own_lock = own_lock;
	pthread_mutex_init(&a->lock, NULL);
	return a;
}

/* Gives the archive, or closes it when it did not open. */
static int opened(struct lmodel_archive **out, struct lmodel_archive *a, int code)
{
	if (code == LMODEL_OK)
		*out = a;
	else
		lmodel_close(a);
	return code;
}

static int open_archive(struct lmodel_archive **out, const char *path, bool own_lock,
			struct lmodel_error *error)
{
	struct lmodel_archive *a = new_archive(own_lock, error);
	uint64_t size = 0;
	int r;

	*out = NULL;
	if (a == NULL)
		return LMODEL_EFAILED;
	r = open_file(a, path, &size, error);
	if (r == LMODEL_OK)
		r = load(a, size, error);
	return opened(out, a, r);
}

int lm_archive_open_file(struct lmodel_archive **out, struct lm_file *file, uint64_t size,
			 struct lmodel_error *error)
{
	struct lmodel_archive *a = new_archive(false, error);
	int r;

	*out = NULL;
	if (a == NULL)
		return LMODEL_EFAILED;
	a->label = lm_strdup(file->label, error);
	if (a->label == NULL)
		return opened(out, a, LMODEL_EFAILED);
	a->file = *file;
	a->file.label = a->label;
	r = load(a, size, error);
	if (r != LMODEL_OK)
		a->file = (struct lm_file){ .fd = -1 };
	return opened(out, a, r);
}

int lmodel_open(struct lmodel_archive **out, const char *path, struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;

	return open_archive(out, path, false, error != NULL ? error : &local);
}

int lm_archive_open_locked(struct lmodel_archive **out, const char *path,
			   struct lmodel_error *error)
{
	return open_archive(out, path, true, error);
}

int lm_archive_open_unnamed(struct lmodel_archive **out, int fd, const char *label,
			    struct lmodel_error *error)
{
	struct lmodel_archive *a = new_archive(true, error);
	uint64_t size = 0;
	int r;

	*out = NULL;
	if (a == NULL)
		return LMODEL_EFAILED;
	r = adopt_file(a, fd, label, &size, error);
	if (r == LMODEL_OK)
		r = load(a, size, error);
	return opened(out, a, r);
}

void lm_archive_forget_image(struct lmodel_archive *a)
{
	free(a->image);
	a->image = NULL;
}

void lmodel_close(struct lmodel_archive *a)
{
	if (a == NULL)
		return;
	lm_reader_free(a->reader);
	lm_secret_free(a->unlocked);
	lm_archive_forget_image(a);
	lm_archive_free_signatures(a);
	if (a->book != NULL)
		lm_book_free(a->book);
	free(a->book);
	lm_manifest_free(&a->manifest);
	free(a->tiers);
	free(a->slots_shown);
	free(a->tensors);
	free(a->attachments);
	free(a->sources);
	free(a->metadata);
	free(a->label);
	free(a->path);
	lm_file_close(&a->file);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

/* ---- looking ---- */

void lmodel_info(const struct lmodel_archive *a, struct lmodel_info *info)
{
	const struct lm_manifest *m = &a->manifest;
	struct lmodel_info i = {
		.id = m->id, .tool = m->tool, .source_format = m->source_format,
		.content_root = a->content_root, .statement = m->statement, .created = m->created,
		.format_version = m->format, .content_generation = m->content_generation,
		.commit_counter = a->footer.commit_counter, .file_bytes = a->slots.file_size,
		.committed_bytes = a->footer.committed_len, .manifest_bytes = a->footer.image_len,
		.manifest_room = a->slots.slot_size - LM_SLOT_FOOTER,
		.tensor_count = m->tensor_count,
		.attachment_count = m->attachment_count + m->sealed_count,
		.source_count = m->source_count, .metadata_count = m->metadata_count,
	};

	for (size_t t = 0; t < m->tensor_count; t++) {
		if (m->tensors[t].alias != LM_NONE) {
			i.alias_count++;
			continue;
		}
		i.tensor_bytes += m->tensors[t].bytes;
		i.tensor_stored_bytes += a->tensors[t].stored_bytes;
		i.parameters += m->tensors[t].elements;
		i.chunk_bytes = LM_MAX(i.chunk_bytes, m->members[m->tensors[t].member].chunk_bytes);
	}
	for (size_t d = 0; d < m->dead_count; d++)
		i.dead_bytes += m->dead[d].length;
	*info = i;
}

const struct lmodel_tensor *lmodel_tensor_at(const struct lmodel_archive *a, size_t index)
{
	return index < a->manifest.tensor_count ? &a->tensors[index] : NULL;
}

const struct lmodel_tensor *lmodel_tensor_find(const struct lmodel_archive *a, const char *name)
{
	size_t index = lm_nameset_find(&a->manifest.tensor_names, name);

	return index != SIZE_MAX ? &a->tensors[index] : NULL;
}

const struct lmodel_source *lmodel_source_at(const struct lmodel_archive *a, size_t index)
{
	return index < a->manifest.source_count ? &a->sources[index] : NULL;
}

const struct lmodel_metadata *lmodel_metadata_at(const struct lmodel_archive *a, size_t index)
{
	return index < a->manifest.metadata_count ? &a->metadata[index] : NULL;
}

size_t lm_archive_tensor_index(const struct lmodel_archive *a, const struct lmodel_tensor *t)
{
	return t >= a->tensors && t < a->tensors + a->manifest.tensor_count ?
		       (size_t)(t - a->tensors) : LM_NONE;
}
