/* What comes from registries and from docker's configuration, and what users type: the first
 * byte says which parser gets the rest. */
#include "crypto/crypto.h"
#include "crypto/secret.h"
#include "net/credentials.h"
#include "net/fields.h"
#include "net/reference.h"
#include "net/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int r, const struct lmodel_error *error)
{
	if (r != (int)error->code || (r != LMODEL_OK) != (error->message[0] != '\0'))
		abort();
}

/* What it prints means the same. */
static void fuzz_reference(const char *text)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_reference a, b;
	int r = lm_reference_parse(&a, text, &error);

	check(r, &error);
	if (r != LMODEL_OK)
		return;
	if (lm_reference_parse(&b, a.text, &error) || strcmp(a.text, b.text) != 0 ||
	    strcmp(a.host, b.host) != 0 || strcmp(a.name, b.name) != 0 ||
	    strlen(a.host) + strlen(a.name) > 255 || !lm_reference_is_name(a.name) ||
	    (a.tag != NULL && !lm_reference_is_tag(a.tag)) || (a.tag == NULL && a.digest == NULL))
		abort();
	lm_reference_free(&a);
	lm_reference_free(&b);
}

static void fuzz_challenge(const char *text)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_challenge c;
	int r = lm_challenge_parse(&c, text, &error);

	check(r, &error);
	if (r == LMODEL_OK ? c.kind == LM_CHALLENGE_BEARER && c.realm == NULL :
	    c.realm != NULL || c.service != NULL)
		abort();
	lm_challenge_free(&c);
}

static void fuzz_link(const char *text)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	char *target;

	check(lm_link_next(text, &target, &error), &error);
	if (target != NULL && (error.code != LMODEL_OK || strchr(target, '>') != NULL))
		abort();
	free(target);
}

static void fuzz_ranges(const char *text)
{
	uint64_t first, last, size, arrived;

	if (lm_content_range_parse(text, &first, &last, &size) && (first > last || last >= size))
		abort();
	if (lm_upload_range_parse(text, &arrived) && arrived == 1)
		abort();
}

static void fuzz_credentials(const char *text, size_t len)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_credentials c;
	char *helper, *header;
	int r = lm_credentials_parse(&c, &helper, text, len, "file", "h:5000", &error);

	check(r, &error);
	if ((c.user == NULL) != (c.password == NULL) || (r != LMODEL_OK && c.user != NULL))
		abort();
	if (c.user != NULL) {
		if (lm_basic_header(&c, &header, &error))
			abort();
		lm_secret_free(header);
	}
	lm_credentials_free(&c);
	free(helper);
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	check(lm_credentials_parse_answer(&c, text, len, "helper", &error), &error);
	lm_credentials_free(&c);
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	check(lm_token_parse(text, len, "server", &header, &error), &error);
	lm_secret_free(header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size == 0 || lm_crypto_init(NULL))
		return 0;
	text = malloc(size);
	if (text == NULL)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0]) {
	case 'r': fuzz_reference(text); break;
	case 'c': fuzz_challenge(text); break;
	case 'l': fuzz_link(text); break;
	case 'g': fuzz_ranges(text); break;
	case 'j': fuzz_credentials(text, size - 1); break;
	}
	free(text);
	return 0;
}
