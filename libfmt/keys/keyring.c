#include "keys/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/publish.h"
#include "crypto/secret.h"

enum { PASSPHRASE_LIMIT = 1024 };

int lmodel_keyring_new(struct lmodel_keyring **out, struct lmodel_error *error)
{
	int r = lm_crypto_init(error);

	*out = NULL;
	if (r != LMODEL_OK)
		return r;
	*out = calloc(1, sizeof(**out));
	return *out == NULL ? lm_fail_memory(error) : LMODEL_OK;
}

void lmodel_keyring_free(struct lmodel_keyring *ring)
{
	if (ring == NULL)
		return;
	for (size_t i = 0; i < ring->identity_count; i++)
		lm_age_identity_free(ring->identities[i]);
	for (size_t i = 0; i < ring->passphrase_count; i++)
		lm_age_identity_free(ring->passphrases[i]);
	for (size_t i = 0; i < ring->detached_count; i++)
		free(ring->detached[i].file);
	free(ring->memory);
	free(ring->identities);
	free(ring->passphrases);
	free(ring->detached);
	free(ring);
}

void lmodel_keyring_ask(struct lmodel_keyring *ring, lmodel_passphrase_fn *ask, void *context)
{
	ring->ask = ask;
	ring->ask_context = context;
}

int lmodel_keyring_remember(struct lmodel_keyring *ring, const char *directory, bool allow_rollback,
			    struct lmodel_error *error)
{
	char *copy = lm_strdup(directory, error);

	if (copy == NULL)
		return LMODEL_EFAILED;
	free(ring->memory);
	ring->memory = copy;
	ring->allow_rollback = allow_rollback;
	return LMODEL_OK;
}

/* ---- adding ---- */

static int ask(void *context, const char *what, char **out, struct lmodel_error *error)
{
	struct lmodel_keyring *ring = context;
	char *text;
	long n;

	if (ring->ask == NULL)
		return lm_fail(error, LMODEL_ENOKEY, "%s: needs a passphrase", what);
	text = lm_secret_alloc(PASSPHRASE_LIMIT + 1, error);
	if (text == NULL)
		return LMODEL_EFAILED;
	n = ring->ask(ring->ask_context, what, text, PASSPHRASE_LIMIT);
	/* One with a NUL would be cut where others read it. */
	if (n < 0 || n > PASSPHRASE_LIMIT || memchr(text, '\0', (size_t)n) != NULL) {
		lm_secret_free(text);
		return lm_fail(error, LMODEL_ENOKEY, "%s: no passphrase was given", what);
	}
	text[n] = '\0';
	*out = text;
	return LMODEL_OK;
}

/* An age file that is not under a passphrase is a grant: nothing else is encrypted to
 * a key here. */
static bool is_grant(const uint8_t *bytes, size_t len)
{
	char kinds[64];

	return lm_age_inspect(bytes, len, kinds, sizeof(kinds), NULL) == LMODEL_OK &&
	       strcmp(kinds, "scrypt") != 0;
}

static int add_detached(struct lmodel_keyring *ring, const uint8_t *bytes, size_t len,
			struct lmodel_error *error)
{
	struct lm_sealed_grant *grown = realloc(ring->detached, (ring->detached_count + 1) *
							       sizeof(*grown));

	if (grown == NULL)
		return lm_fail_memory(error);
	ring->detached = grown;
	grown[ring->detached_count].file = malloc(len);
	if (grown[ring->detached_count].file == NULL)
		return lm_fail_memory(error);
	memcpy(grown[ring->detached_count].file, bytes, len);
	grown[ring->detached_count++].len = len;
	return LMODEL_OK;
}

/* The whole file, in secret memory: it may be a private key. */
static int read_file(int fd, const char *label, uint8_t **bytes, size_t *len,
		     struct lmodel_error *error)
{
	size_t limit = (size_t)LM_AGE_FILE_LIMIT, used = 0, room = 16384;
	uint8_t *buffer = lm_secret_alloc(room, error);

	while (buffer != NULL) {
		ssize_t n = read(fd, buffer + used, room - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			lm_fail_errno(error, "%s", label);
			break;
		}
		used += (size_t)n;
		if (n == 0) {
			*bytes = buffer;
			*len = used;
			return LMODEL_OK;
		}
		if (used > limit) {
			lm_fail(error, LMODEL_ELIMIT, "%s: is longer than a key file can be",
				label);
			break;
		}
		if (used == room) {
			uint8_t *grown = lm_secret_alloc(2 * room, error);

			if (grown == NULL)
				break;
			memcpy(grown, buffer, used);
			lm_secret_free(buffer);
			buffer = grown;
			room *= 2;
		}
	}
	lm_secret_free(buffer);
	return error != NULL && error->code != LMODEL_OK ? (int)error->code : LMODEL_EFAILED;
}

static bool begins(const uint8_t *bytes, size_t len, const char *text)
{
	return len >= strlen(text) && memcmp(bytes, text, strlen(text)) == 0;
}

int lmodel_keyring_add_file(struct lmodel_keyring *ring, const char *path,
			    struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	bool input = strcmp(path, "-") == 0;
	char label[LM_QUOTE_SIZE];
	LM_CLOSE int fd = -1;
	LM_SECRET uint8_t *bytes = NULL;
	struct stat st;
	size_t len;
	int r;

	error = error != NULL ? error : &local;
	if (strncasecmp(path, "AGE-SECRET-KEY-", 15) == 0)
		return lm_fail(error, LMODEL_EUSAGE,
			       "a secret key was given in the place of its file's name");
	lm_quote(label, input ? "standard input" : path);
	/* A pipe is welcome: -i <(pass show lmodel). */
	if (!input) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return lm_fail_errno(error, "%s", label);
		if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
			return lm_fail(error, LMODEL_EUSAGE, "%s: is a directory", label);
	}
	r = read_file(input ? STDIN_FILENO : fd, label, &bytes, &len, error);
	if (r != LMODEL_OK)
		return r;
	if (begins(bytes, len, "ssh-") || begins(bytes, len, "age1"))
		return lm_fail(error, LMODEL_EUSAGE,
			       "%s: is a public key: the private one opens things", label);
	if (is_grant(bytes, len))
		return add_detached(ring, bytes, len, error);
	return lm_age_identities_parse(&ring->identities, &ring->identity_count, bytes, len, label,
				       ask, ring, error);
}

int lmodel_keyring_add_passphrase(struct lmodel_keyring *ring, const char *passphrase, size_t len,
				  struct lmodel_error *error)
{
	struct lmodel_error local = LMODEL_ERROR_INIT;
	struct lm_age_identity **grown;

	error = error != NULL ? error : &local;
	grown = realloc(ring->passphrases, (ring->passphrase_count + 1) * sizeof(*grown));
	if (grown == NULL)
		return lm_fail_memory(error);
	ring->passphrases = grown;
	if (lm_age_identity_passphrase(&grown[ring->passphrase_count], passphrase, len, error))
		return (int)error->code;
	ring->passphrase_count++;
	return LMODEL_OK;
}

int lmodel_keyring_recipients(const struct lmodel_keyring *ring,
			      void (*each)(void *context, const char *recipient), void *context,
			      struct lmodel_error *error)
{
	if (ring->identity_count == 0)
		return lm_fail(error, LMODEL_EUSAGE, "there is no identity");
	for (size_t i = 0; i < ring->identity_count; i++)
		each(context, lm_age_identity_recipient(ring->identities[i]));
	return LMODEL_OK;
}

/* ---- opening ---- */

/* Only the lack of memory or the like is told apart: everything else is "does not open". */
static int no_key(int code, struct lmodel_error *error)
{
	if (code == LMODEL_EFAILED)
		return lm_fail(error, LMODEL_EFAILED, "unlocking failed for lack of memory");
	return LMODEL_ENOKEY;
}

/* Of just one stanza, of this kind. */
static bool is_for_one(const uint8_t *file, size_t len, const char *kind)
{
	char kinds[64];

	return lm_age_inspect(file, len, kinds, sizeof(kinds), NULL) == LMODEL_OK &&
	       strcmp(kinds, kind) == 0;
}

static int open_grant(struct lm_age_identity *const *identities, size_t count, const uint8_t *file,
		      size_t len, struct lm_grant *grant, struct lmodel_error *error)
{
	uint8_t *text;
	size_t text_len;
	int r;

	if (count == 0)
		return LMODEL_ENOKEY;
	r = lm_age_decrypt((const struct lm_age_identity *const *)identities, count, file, len,
			   &text, &text_len, NULL);
	if (r != LMODEL_OK)
		return no_key(r, error);
	r = lm_grant_parse(grant, (const char *)text, text_len, NULL);
	lm_secret_free(text);
	return r == LMODEL_OK ? r : LMODEL_ENOKEY;
}

static int open_with(const struct lmodel_keyring *ring, size_t which,
		     const struct lm_slot_row *slot, struct lm_grant *grant,
		     struct lmodel_error *error)
{
	const struct lm_age_identity *passphrase = ring->passphrases[which];
	struct lm_age_identity **made = NULL;
	size_t count = 0, len;
	uint8_t *text;
	int r;

	/* Not even a lack of memory, which a forged work factor may cause, is told apart. */
	if (lm_age_decrypt(&passphrase, 1, slot->identity, slot->identity_len, &text, &len, NULL))
		return LMODEL_ENOKEY;
	r = lm_age_identities_parse(&made, &count, text, len, "", NULL, NULL, NULL);
	lm_secret_free(text);
	if (r == LMODEL_OK)
		r = open_grant(made, count, slot->grant, slot->grant_len, grant, error);
	else
		r = no_key(r, error);
	for (size_t i = 0; i < count; i++)
		lm_age_identity_free(made[i]);
	free(made);
	return r;
}

static int open_passphrase(const struct lmodel_keyring *ring, const struct lm_slot_row *slot,
			   struct lm_passphrase_work *work, struct lm_grant *grant,
			   struct lmodel_error *error)
{
	unsigned factor;

	if (ring->passphrase_count == 0 ||
	    !is_for_one(slot->identity, slot->identity_len, "scrypt") ||
	    !is_for_one(slot->grant, slot->grant_len, "X25519") ||
	    !lm_age_work_factor(slot->identity, slot->identity_len, &factor))
		return LMODEL_ENOKEY;
	if (work->used == NULL)
		work->used = calloc(ring->passphrase_count, sizeof(*work->used));
	if (work->used == NULL)
		return lm_fail_memory(error);
	for (size_t i = 0; i < ring->passphrase_count; i++) {
		int r;

		if (work->used[i] || factor > LM_AGE_SCRYPT_READ)
			continue;
		work->cost += UINT64_C(1) << factor;
		if (work->cost > LM_PASSPHRASE_COST_LIMIT)
			return lm_fail(error, LMODEL_ELIMIT, "too many passphrase slots to try");
		r = open_with(ring, i, slot, grant, error);
		work->used[i] = r == LMODEL_OK;
		if (r != LMODEL_ENOKEY)
			return r;
	}
	return LMODEL_ENOKEY;
}

int lm_keyring_open_slot(const struct lmodel_keyring *ring, const struct lm_slot_row *slot,
			 struct lm_passphrase_work *work, struct lm_grant *grant,
			 struct lmodel_error *error)
{
	if (slot->identity != NULL)
		return open_passphrase(ring, slot, work, grant, error);
	/* A slot is for one: more stanzas are only there to cost time. */
	if (!is_for_one(slot->grant, slot->grant_len, slot->kind))
		return LMODEL_ENOKEY;
	return open_grant(ring->identities, ring->identity_count, slot->grant, slot->grant_len,
			  grant, error);
}

int lm_keyring_open_detached(const struct lmodel_keyring *ring, size_t index,
			     struct lm_grant *grant, struct lmodel_error *error)
{
	return open_grant(ring->identities, ring->identity_count, ring->detached[index].file,
			  ring->detached[index].len, grant, error);
}

/* ---- making identities ---- */

static void free_identity(struct lm_age_identity **identity)
{
	lm_age_identity_free(*identity);
}

/* The form of age-keygen's files. */
static int print_identity(int fd, const char *label, const struct lm_age_identity *identity,
			  struct lmodel_error *error)
{
	LM_SECRET char *key = lm_age_identity_text(identity, error);
	LM_SECRET char *text = lm_secret_alloc(512, error);
	int n;

	if (key == NULL || text == NULL)
		return LMODEL_EFAILED;
	n = snprintf(text, 512, "# public key: %s\n", lm_age_identity_recipient(identity));
	memcpy(text + n, key, strlen(key));
	memcpy(text + n + strlen(key), "\n", 1);
	return lm_write_all(fd, label, text, (size_t)n + strlen(key) + 1, error);
}

int lmodel_keygen(const char *path, char recipient[LMODEL_RECIPIENT_SIZE],
		  struct lmodel_error *error)
{
	LM_CLEANUP(free_identity) struct lm_age_identity *identity = NULL;
	struct lmodel_error local = LMODEL_ERROR_INIT;
	struct lm_output out = LM_OUTPUT_INIT;
	char label[LM_QUOTE_SIZE];
	int r;

	error = error != NULL ? error : &local;
	r = lm_crypto_init(error);
	if (r == LMODEL_OK)
		r = lm_age_identity_generate(&identity, error);
	if (r != LMODEL_OK)
		return r;
	snprintf(recipient, LMODEL_RECIPIENT_SIZE, "%s", lm_age_identity_recipient(identity));
	if (path == NULL || strcmp(path, "-") == 0)
		return print_identity(STDOUT_FILENO, "standard output", identity, error);
	r = lm_output_begin(&out, path, false, error);
	if (r == LMODEL_OK)
		r = lm_output_mode(&out, 0600, error);
	if (r == LMODEL_OK)
		r = print_identity(out.fd, lm_quote(label, path), identity, error);
	if (r == LMODEL_OK)
		r = lm_output_publish(&out, error);
	lm_output_release(&out);
	return r;
}
