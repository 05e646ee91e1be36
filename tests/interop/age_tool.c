/* What age(1) does, by lm_age_*(), for the tests against it:
 *
 *     age_tool generate                                  an identity file on standard output
 *     age_tool encrypt [-a] [-p PASSPHRASE] RECIPIENT...  standard input to standard output
 *     age_tool decrypt [-p PASSPHRASE] [FILE]            FILE holds identities; -p opens the input,
 *                                                        or FILE when that is encrypted
 *     age_tool recipient [-p PASSPHRASE] FILE            the recipients of its identities
 *     age_tool inspect                                   kinds of the stanzas
 *
 * The exit status is an lmodel_code. */
#include <stdio.h>

#include "crypto/age/age.h"
#include "crypto/secret.h"

enum { WORK_FACTOR = 12, INPUT_LIMIT = 2 << 20 };

static const char *passphrase;
static struct lmodel_error error = LMODEL_ERROR_INIT;

static int report(int r)
{
	if (r != LMODEL_OK)
		fprintf(stderr, "age_tool: %s\n", error.message);
	return r;
}

static uint8_t *read_all(FILE *file, size_t *len)
{
	uint8_t *bytes = malloc(INPUT_LIMIT);

	if (file == NULL || bytes == NULL) {
		fprintf(stderr, "age_tool: cannot read\n");
		exit(99);
	}
	*len = fread(bytes, 1, INPUT_LIMIT, file);
	return bytes;
}

static int ask(void *context, const char *what, char **out, struct lmodel_error *e)
{
	(void)context;
	(void)what;
	if (passphrase == NULL)
		return lm_fail(e, LMODEL_ENOKEY, "-p is missing");
	*out = lm_secret_alloc(strlen(passphrase) + 1, e);
	if (*out == NULL)
		return LMODEL_EFAILED;
	memcpy(*out, passphrase, strlen(passphrase));
	return LMODEL_OK;
}

static int read_identities(const char *path, struct lm_age_identity ***list, size_t *count)
{
	FILE *file = fopen(path, "rb");
	size_t len;
	uint8_t *bytes = read_all(file, &len);
	int r = lm_age_identities_parse(list, count, bytes, len, path, ask, NULL, &error);

	fclose(file);
	free(bytes);
	return r;
}

static void free_identities(struct lm_age_identity **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		lm_age_identity_free(list[i]);
	free(list);
}

static int generate(void)
{
	struct lm_age_identity *identity = NULL;
	LM_SECRET char *text = NULL;
	int r = lm_age_identity_generate(&identity, &error);

	if (r != LMODEL_OK)
		return r;
	text = lm_age_identity_text(identity, &error);
	if (text != NULL)
		printf("# public key: %s\n%s\n", lm_age_identity_recipient(identity), text);
	lm_age_identity_free(identity);
	return (int)error.code;
}

static int encrypt(bool armor, char **texts, size_t count)
{
	struct lm_age_recipient *recipient[16] = { NULL };
	size_t made = 0, len, out_len = 0;
	uint8_t *bytes = read_all(stdin, &len), *out = NULL;
	int r = LMODEL_OK;

	if (passphrase != NULL)
		r = lm_age_recipient_passphrase(&recipient[made++], passphrase, strlen(passphrase),
						WORK_FACTOR, &error);
	for (size_t i = 0; i < count && made < LM_COUNT(recipient) && r == LMODEL_OK; i++)
		r = lm_age_recipient_parse(&recipient[made++], texts[i], &error);
	if (r == LMODEL_OK)
		r = lm_age_encrypt((const struct lm_age_recipient *const *)recipient, made, bytes,
				   len, armor, NULL, &out, &out_len, &error);
	if (r == LMODEL_OK)
		fwrite(out, 1, out_len, stdout);
	for (size_t i = 0; i < made; i++)
		lm_age_recipient_free(recipient[i]);
	free(bytes);
	free(out);
	return r;
}

static int decrypt(const char *path)
{
	struct lm_age_identity **list = NULL;
	LM_SECRET uint8_t *plain = NULL;
	size_t count = 0, len, plain_len = 0;
	uint8_t *bytes = read_all(stdin, &len);
	int r = LMODEL_OK;

	if (path != NULL) {
		r = read_identities(path, &list, &count);
	} else {
		list = calloc(1, sizeof(*list));
		if (list == NULL || passphrase == NULL)
			exit(99);
		r = lm_age_identity_passphrase(&list[0], passphrase, strlen(passphrase), &error);
		count = r == LMODEL_OK;
	}
	if (r == LMODEL_OK)
		r = lm_age_decrypt((const struct lm_age_identity *const *)list, count, bytes, len,
				   &plain, &plain_len, &error);
	if (r == LMODEL_OK)
		fwrite(plain, 1, plain_len, stdout);
	free_identities(list, count);
	free(bytes);
	return r;
}

static int show_recipients(const char *path)
{
	struct lm_age_identity **list = NULL;
	size_t count = 0;
	int r = read_identities(path, &list, &count);

	for (size_t i = 0; i < count; i++)
		printf("%s\n", lm_age_identity_recipient(list[i]));
	free_identities(list, count);
	return r;
}

static int inspect(void)
{
	char kinds[1024];
	size_t len;
	uint8_t *bytes = read_all(stdin, &len);
	int r = lm_age_inspect(bytes, len, kinds, sizeof(kinds), &error);

	if (r == LMODEL_OK)
		printf("%s\n", kinds);
	free(bytes);
	return r;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";
	bool armor = false;
	int c;

	optind = 2;
	while (argc > 1 && (c = getopt(argc, argv, "ap:")) != -1) {
		if (c == 'a')
			armor = true;
		else if (c == 'p')
			passphrase = optarg;
		else
			return 99;
	}
	if (strcmp(command, "generate") == 0)
		return report(generate());
	if (strcmp(command, "encrypt") == 0)
		return report(encrypt(armor, argv + optind, (size_t)(argc - optind)));
	if (strcmp(command, "decrypt") == 0)
		return report(decrypt(argv[optind]));
	if (strcmp(command, "recipient") == 0 && optind < argc)
		return report(show_recipients(argv[optind]));
	if (strcmp(command, "inspect") == 0)
		return report(inspect());
	return 99;
}
