#include "crypto/crypto.h"
#include "crypto/secret.h"
#include "net/credentials.h"
#include "net/token.h"
#include "lib/tap.h"

/* What the file says about host h:5000: "user password", "token ...", "-"; then its helper. */
static void file(const char *text, int code, const char *who, const char *helper)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_credentials c;
	char got[200] = "-", *h;
	int r = lm_credentials_parse(&c, &h, text, strlen(text), "config.json", "h:5000", &error);

	if (c.identity_token != NULL)
		snprintf(got, sizeof(got), "token %s", c.identity_token);
	else if (c.user != NULL)
		snprintf(got, sizeof(got), "%s %s", c.user, c.password);
	is_int(r, code, text);
	is_str(got, who, "who");
	is_str(h != NULL ? h : "-", helper, "helper");
	ok((r == LMODEL_OK) == (error.message[0] == '\0') &&
	   strstr(error.message, "secret") == NULL, "message");
	lm_credentials_free(&c);
	free(h);
}

static void test_files(void)
{
	enum { BAD = LMODEL_ECORRUPT };

	/* bWU6c2VjcmV0 is me:secret */
	file("{\"auths\":{\"h:5000\":{\"auth\":\"bWU6c2VjcmV0\"}}}", 0, "me secret", "-");
	file("{\"auths\":{\"H:5000\":{\"auth\":\"bWU6c2VjcmV0\"}}}", 0, "me secret", "-");
	file("{\"auths\":{\"https://h:5000\":{\"auth\":\"bWU6c2VjcmV0\"}}}", 0, "me secret", "-");
	file("{\"auths\":{\"http://h:5000/v2/\":{\"auth\":\"bWU6c2VjcmV0\"}}}", 0, "me secret",
	     "-");
	file("{\"auths\":{\"h:5000\":{\"auth\":\"bWU6YTpi\"}}}", 0, "me a:b", "-");
	file("{\"auths\":{\"h:5000\":{\"auth\":\"bWU6\"}}}", 0, "me ", "-");
	file("{\"auths\":{\"h:5000\":{\"auth\":\"bTp4AAA=\"}}}", 0, "m x", "-");
	file("{\"auths\":{\"h:5000\":{\"auth\":\"bTp4AAA\"}}}", 0, "m x", "-");
	file("{\"auths\":{\"h:5000\":{\"username\":\"a\",\"password\":\"b\"}}}", 0, "a b", "-");
	file("{\"auths\":{\"h:5000\":{\"auth\":\"bWU6eA==\",\"identitytoken\":\"t\"}}}", 0,
	     "token t", "-");
	file("{\"auths\":{\"h:5000\":{\"auth\":\"\"}}}", 0, "-", "-");
	file("{\"auths\":{\"h:5001\":{\"auth\":\"bWU6eA==\"},\"h\":{\"auth\":\"bWU6eA==\"}}}", 0,
	     "-", "-");
	file("{\"auths\":{\"h:5000/a\":{\"auth\":\"bWU6eA==\"},\"https://h:50001\":{}}}", 0, "-",
	     "-");
	file("{\"auths\":null,\"credsStore\":\"s\"}", 0, "-", "s");
	file("{\"credHelpers\":{\"h:5000\":\"own\",\"h\":\"x\"},\"credsStore\":\"s\"}", 0, "-",
	     "own");
	file("{\"credHelpers\":{\"h\":\"x\"}}", 0, "-", "-");
	file("{}", 0, "-", "-");
	file("", BAD, "-", "-");
	file("[]", BAD, "-", "-");
	file("{\"auths\":[]}", BAD, "-", "-");
	file("{\"auths\":{\"h:5000\":[]}}", BAD, "-", "-");
	file("{\"auths\":{\"h:5000\":{\"auth\":{}}}}", BAD, "-", "-");
	file("{\"auths\":{\"h:5000\":{\"auth\":\"*\"}}}", BAD, "-", "-");
	file("{\"auths\":{\"h:5000\":{\"auth\":\"bWU\"}}}", BAD, "-", "-");
	file("{\"auths\":{\"h:5000\":{\"auth\":\"OnNlY3JldA==\"}}}", BAD, "-", "-");
	file("{\"credHelpers\":[]}", BAD, "-", "-");
	file("{\"credHelpers\":{\"h:5000\":5}}", BAD, "-", "-");
	file("{\"credsStore\":5}", BAD, "-", "-");
	file("{\"auths\":{},\"auths\":{}}", BAD, "-", "-");
}

static void test_answers(void)
{
	static const struct {
		const char *text, *user, *password, *token;
		int code;
	} answers[] = {
		{ "{\"ServerURL\":\"h\",\"Username\":\"me\",\"Secret\":\"x\"}", "me", "x", NULL,
		  0 },
		{ "{\"Username\":\"<token>\",\"Secret\":\"x\"}", NULL, NULL, "x", 0 },
		{ "{\"Username\":\"\",\"Secret\":\"\"}", NULL, NULL, NULL, 0 },
		{ "{\"Username\":5,\"Secret\":\"x\"}", NULL, NULL, NULL, LMODEL_ECORRUPT },
		{ "not JSON", NULL, NULL, NULL, LMODEL_ECORRUPT },
		{ "", NULL, NULL, NULL, LMODEL_ECORRUPT },
	};

	for (size_t i = 0; i < LM_COUNT(answers); i++) {
		struct lmodel_error error = LMODEL_ERROR_INIT;
		struct lm_credentials c;

		is_int(lm_credentials_parse_answer(&c, answers[i].text, strlen(answers[i].text),
						   "helper", &error), answers[i].code,
						   answers[i].text);
		ok((c.user == NULL) == (answers[i].user == NULL) &&
		   (c.user == NULL || strcmp(c.user, answers[i].user) == 0) &&
		   (c.password == NULL) == (answers[i].password == NULL) &&
		   (c.password == NULL || strcmp(c.password, answers[i].password) == 0) &&
		   (c.identity_token == NULL) == (answers[i].token == NULL), "what it says");
		lm_credentials_free(&c);
	}
}

static void token(const char *text, const char *wanted)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	char *header;
	int r = lm_token_parse(text, strlen(text), "h", &header, &error);

	is_int(r, wanted != NULL ? LMODEL_OK : LMODEL_ECORRUPT, text);
	ok((header == NULL) == (wanted == NULL) && (header == NULL || strcmp(header, wanted) == 0),
	   "header");
	lm_secret_free(header);
}

static void test_headers(void)
{
	static char user[] = "me", password[] = "se:cret\xc3\xa4";
	const struct lm_credentials c = { .user = user, .password = password };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	char *header;

	is_int(lm_basic_header(&c, &header, &error), LMODEL_OK, "Basic");
	is_str(header, "Basic bWU6c2U6Y3JldMOk", "in Base 64");
	lm_secret_free(header);
	token("{\"token\":\"abc\"}", "Bearer abc");
	token("{\"access_token\":\"abc\",\"expires_in\":1}", "Bearer abc");
	token("{\"token\":\"abc\",\"access_token\":\"def\"}", "Bearer abc");
	token("{\"token\":5,\"access_token\":\"def\"}", "Bearer def");
	token("{}", NULL);
	token("[]", NULL);
	token("{\"token\":\"\"}", NULL);
	token("{\"token\":\"a b\"}", NULL);
	token("{\"token\":\"a\\r\\nX-Y: z\"}", NULL);
	token("{\"token\":\"\\u00e4\"}", NULL);
	token("{\"token\":{}}", NULL);
	token("token", NULL);
}

int main(void)
{
	if (lm_crypto_init(NULL))
		return 99;
	test_files();
	test_answers();
	test_headers();
	return done();
}
