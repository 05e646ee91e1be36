/* One vector of C2SP/CCTV's age collection: FILE holds its header lines and, decompressed, the age
 * file. Prints "ok ANSWER", or "not ok ANSWER, wanted EXPECTATION" and exits with 1.
 *
 * The steps of lm_age_decrypt() are taken one by one, since a wrong answer of the right kind would
 * hide among the ECORRUPTs; then the function itself has to agree. ANSWER is "unsupported" for a
 * file that is for a post-quantum identity alone. */
#include <stdio.h>

#include "crypto/age/age.h"
#include "crypto/age/armor.h"
#include "crypto/age/header.h"
#include "crypto/age/payload.h"
#include "crypto/age/stanza.h"
#include "crypto/crypto.h"
#include "crypto/secret.h"

#include <lmodel/error.h>

enum { KEYS = 8 };

struct vector {
	char expect[32];
	char payload[65]; /* digits of the plaintext's digest */
	bool armored, post_quantum;
	struct lm_age_identity *identity[KEYS];
	size_t identities;
	const uint8_t *file;
	size_t len;
};

__attribute__((noreturn))
static void give_up(const char *why)
{
	printf("not ok: %s\n", why);
	exit(1);
}

static uint8_t *read_all(const char *path, size_t *len)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes = NULL;
	long size;

	if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0 ||
	    fseek(file, 0, SEEK_SET) != 0)
		give_up("cannot read the vector");
	bytes = malloc((size_t)size + 1);
	if (bytes == NULL || fread(bytes, 1, (size_t)size, file) != (size_t)size)
		give_up("cannot read the vector");
	fclose(file);
	*len = (size_t)size;
	return bytes;
}

static void take_identity(struct vector *v, const char *text)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_age_identity **list = NULL;
	size_t count = 0;
	int r = lm_age_identities_parse(&list, &count, (const uint8_t *)text, strlen(text),
					"vector", NULL, NULL, &error);

	if (strncmp(text, "AGE-SECRET-KEY-PQ-1", 19) == 0) {
		if (r != LMODEL_EUNSUPPORTED)
			give_up("a post-quantum identity is not refused as unsupported");
		v->post_quantum = true;
		return;
	}
	if (r != LMODEL_OK || count != 1 || v->identities == KEYS)
		give_up("identity");
	v->identity[v->identities++] = list[0];
	free(list);
}

static void take_line(struct vector *v, const char *line)
{
	static const char *const ignored[] = { "file key: ", "comment: ", "compressed: " };

	if (strncmp(line, "expect: ", 8) == 0) {
		snprintf(v->expect, sizeof(v->expect), "%s", line + 8);
	} else if (strncmp(line, "payload: ", 9) == 0) {
		snprintf(v->payload, sizeof(v->payload), "%s", line + 9);
	} else if (strcmp(line, "armored: yes") == 0) {
		v->armored = true;
	} else if (strncmp(line, "identity: ", 10) == 0) {
		take_identity(v, line + 10);
	} else if (strncmp(line, "passphrase: ", 12) == 0) {
		if (v->identities == KEYS ||
		    lm_age_identity_passphrase(&v->identity[v->identities++], line + 12,
					       strlen(line + 12), NULL) != LMODEL_OK)
			give_up("passphrase");
	} else {
		for (size_t i = 0; i < LM_COUNT(ignored); i++)
			if (strncmp(line, ignored[i], strlen(ignored[i])) == 0)
				return;
		give_up("a header line that this program does not know");
	}
}

static void take_header(struct vector *v, uint8_t *bytes, size_t len)
{
	size_t at = 0;

	for (;;) {
		uint8_t *end = memchr(bytes + at, '\n', len - at);

		if (end == NULL)
			give_up("the vector has no empty line");
		*end = '\0';
		if (bytes + at == end)
			break;
		take_line(v, (char *)bytes + at);
		at = (size_t)(end - bytes) + 1;
	}
	v->file = bytes + at + 1;
	v->len = len - at - 1;
}

static const struct lm_age_identity *const *keys_of(const struct vector *v)
{
	return (const struct lm_age_identity *const *)v->identity;
}

static bool digest_fits(const struct vector *v, const uint8_t *plain, size_t len)
{
	uint8_t digest[LM_SHA256_SIZE];
	char digits[65];

	lm_sha256(digest, plain, len);
	lm_hex(digits, digest, sizeof(digest));
	return strcmp(digits, v->payload) == 0;
}

/* The names are those of the collection's README. */
static const char *open_payload(const struct vector *v, const struct lm_age_header *header,
				const uint8_t *file, size_t len, const uint8_t *file_key)
{
	LM_FREE uint8_t *plain = malloc(len + 1);
	size_t plain_len;

	if (plain == NULL)
		give_up("memory");
	if (!lm_age_payload_plain_len(len - header->len, &plain_len) ||
	    lm_age_payload_open(file_key, header->nonce, file + header->len, len - header->len,
				plain, NULL) != LMODEL_OK)
		return "payload failure";
	return digest_fits(v, plain, plain_len) ? "success" : "another plaintext";
}

static const char *open_by_steps(const struct vector *v)
{
	LM_FREE uint8_t *armor = NULL;
	LM_CLEANUP(lm_age_header_free) struct lm_age_header header = { .count = 0 };
	uint8_t file_key[LM_AGE_FILE_KEY];
	const uint8_t *file = v->file;
	size_t len = v->len;
	int r;

	if (v->armored) {
		if (lm_armor_decode(file, len, &armor, &len, NULL) != LMODEL_OK)
			return "armor failure";
		file = armor;
	}
	if (lm_age_header_parse(&header, file, len, NULL) != LMODEL_OK ||
	    lm_age_stanzas_check(&header, NULL) != LMODEL_OK)
		return "header failure";
	r = lm_age_stanzas_unwrap(&header, keys_of(v), v->identities, file_key, NULL);
	if (r == LMODEL_ENOKEY)
		return v->post_quantum ? "unsupported" : "no match";
	if (r != LMODEL_OK)
		return "header failure";
	if (lm_age_header_check(&header, file, file_key, NULL) != LMODEL_OK)
		return "HMAC failure";
	return open_payload(v, &header, file, len, file_key);
}

/* The code that lm_age_decrypt() should answer where the steps gave `answer`. */
static bool whole_agrees(const struct vector *v, const char *answer)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	LM_SECRET uint8_t *plain = NULL;
	size_t len = 0;
	int r = lm_age_decrypt(keys_of(v), v->identities, v->file, v->len, &plain, &len, &error);

	if (r != (int)error.code || (r == LMODEL_OK) != (plain != NULL))
		return false;
	if (r != LMODEL_OK)
		printf("# %s\n", error.message);
	if (v->len > LM_AGE_FILE_LIMIT)
		return r == LMODEL_ELIMIT;
	if (strcmp(answer, "success") == 0)
		return r == LMODEL_OK && digest_fits(v, plain, len);
	if (strcmp(answer, "no match") == 0 || strcmp(answer, "unsupported") == 0)
		return r == LMODEL_ENOKEY;
	if (strcmp(answer, "header failure") == 0)
		return r == LMODEL_ECORRUPT || r == LMODEL_EUNSUPPORTED || r == LMODEL_ELIMIT;
	return r == LMODEL_ECORRUPT;
}

int main(int argc, char **argv)
{
	struct vector v = { .armored = false };
	const char *answer;
	bool right, agree;
	uint8_t *bytes;
	size_t len;

	if (argc != 2 || lm_crypto_init(NULL) != LMODEL_OK)
		return 99;
	bytes = read_all(argv[1], &len);
	take_header(&v, bytes, len);
	answer = open_by_steps(&v);
	right = strcmp(answer, "unsupported") == 0 || strcmp(answer, v.expect) == 0;
	agree = whole_agrees(&v, answer);
	if (!right)
		printf("not ok %s, wanted %s\n", answer, v.expect);
	else if (!agree)
		printf("not ok %s by steps, lm_age_decrypt() disagrees\n", answer);
	else
		printf("ok %s\n", answer);
	for (size_t i = 0; i < v.identities; i++)
		lm_age_identity_free(v.identity[i]);
	free(bytes);
	return !right || !agree;
}
