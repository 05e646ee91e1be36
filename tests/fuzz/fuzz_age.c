/* The age format. The first byte says what the rest is: an age file ('f'), a key file ('i'), a
 * recipient ('r'). The key is fixed; its passphrase, "fuzz", is asked for. */
#include <stdio.h>

#include "crypto/age/age.h"
#include "crypto/secret.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t scalar[32] = "the scalar of the fuzz target..";
static const char passphrase[] = "fuzz";

static void check(int r, const struct lmodel_error *error)
{
	if (r != (int)error->code || (r != LMODEL_OK) != (error->message[0] != '\0'))
		abort();
}

/* A work factor takes memory and time, both as large as an honest file may ask for. */
static bool is_slow(const uint8_t *data, size_t size)
{
	char kinds[16];

	return lm_age_inspect(data, size, kinds, sizeof(kinds), NULL) == LMODEL_OK &&
	       strcmp(kinds, "scrypt") == 0 && memmem(data, size, " 10\n", 4) == NULL;
}

static int ask(void *context, const char *what, char **out, struct lmodel_error *error)
{
	(void)context;
	(void)what;
	*out = lm_secret_alloc(sizeof(passphrase), error);
	if (*out == NULL)
		return LMODEL_EFAILED;
	memcpy(*out, passphrase, sizeof(passphrase));
	return LMODEL_OK;
}

/* What can be opened can be written, and is read again as it was. */
static void round_trip(const struct lm_age_identity *identity, const uint8_t *plain, size_t len)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_age_recipient *recipient = NULL;
	uint8_t *file = NULL, *again = NULL;
	size_t file_len, again_len;

	if (lm_age_recipient_parse(&recipient, lm_age_identity_recipient(identity), &error) ||
	    lm_age_encrypt((const struct lm_age_recipient *const *)&recipient, 1, plain, len, true,
			   scalar, &file, &file_len, &error) ||
	    lm_age_decrypt(&identity, 1, file, file_len, &again, &again_len, &error) ||
	    again_len != len || memcmp(again, plain, len) != 0)
		abort();
	lm_age_recipient_free(recipient);
	free(file);
	lm_secret_free(again);
}

static void fuzz_file(const uint8_t *data, size_t size)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_age_identity *identity[2] = { NULL, NULL };
	uint8_t *plain = NULL;
	size_t len = 0;
	char kinds[40];
	int inspected, r;

	if (lm_age_identity_from_scalar(&identity[0], scalar, NULL) ||
	    lm_age_identity_passphrase(&identity[1], passphrase, strlen(passphrase), NULL))
		abort();
	inspected = lm_age_inspect(data, size, kinds, sizeof(kinds), &error);
	check(inspected, &error);
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	r = lm_age_decrypt((const struct lm_age_identity *const *)identity,
			   is_slow(data, size) ? 1 : 2, data, size, &plain, &len, &error);
	check(r, &error);
	/* Keys only say no to a file that reads well. */
	if (inspected != LMODEL_OK && r != inspected)
		abort();
	if ((r == LMODEL_OK) != (plain != NULL))
		abort();
	if (r == LMODEL_OK && len < 1000)
		round_trip(identity[0], plain, len);
	lm_secret_free(plain);
	lm_age_identity_free(identity[0]);
	lm_age_identity_free(identity[1]);
}

static void fuzz_identities(const uint8_t *data, size_t size)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_age_identity **list = NULL;
	size_t count = 0;
	int r = lm_age_identities_parse(&list, &count, data, size, "input",
					is_slow(data, size) ? NULL : ask, NULL, &error);

	check(r, &error);
	if ((r == LMODEL_OK) != (count > 0))
		abort();
	for (size_t i = 0; i < count; i++) {
		round_trip(list[i], data, LM_MIN(size, 100u));
		lm_age_identity_free(list[i]);
	}
	free(list);
}

static void fuzz_recipient(const uint8_t *data, size_t size)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_age_recipient *recipient = NULL, *again = NULL;
	char *text = calloc(1, size + 1);
	int r;

	if (text == NULL)
		abort();
	if (size > 0)
		memcpy(text, data, size);
	r = lm_age_recipient_parse(&recipient, text, &error);
	check(r, &error);
	if (r == LMODEL_OK) {
		const char *canonical = lm_age_recipient_text(recipient);

		if (lm_age_recipient_parse(&again, canonical, &error) ||
		    strcmp(lm_age_recipient_text(again), canonical) != 0)
			abort();
	}
	lm_age_recipient_free(recipient);
	lm_age_recipient_free(again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == 'f')
		fuzz_file(data + 1, size - 1);
	else if (data[0] == 'i')
		fuzz_identities(data + 1, size - 1);
	else if (data[0] == 'r')
		fuzz_recipient(data + 1, size - 1);
	return 0;
}
