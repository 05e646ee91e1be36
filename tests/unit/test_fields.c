#include "crypto/crypto.h"
#include "net/digest.h"
#include "net/fields.h"
#include "lib/tap.h"

static void challenge(const char *text, int code, int kind, const char *realm, const char *service)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_challenge c;
	char quoted[LM_QUOTE_SIZE];

	if (!is_int(lm_challenge_parse(&c, text, &error), code, lm_quote(quoted, text))) {
		printf("#   %s\n", error.message);
	} else if (code == LMODEL_OK) {
		is_int((int)c.kind, kind, "kind");
		ok((c.realm == NULL) == (realm == NULL) &&
		   (realm == NULL || strcmp(c.realm, realm) == 0), "realm");
		ok((c.service == NULL) == (service == NULL) &&
		   (service == NULL || strcmp(c.service, service) == 0), "service");
	}
	lm_challenge_free(&c);
}

static void test_challenges(void)
{
	enum { BASIC = LM_CHALLENGE_BASIC, BEARER = LM_CHALLENGE_BEARER };

	challenge("Bearer realm=\"https://a/t\",service=\"s\",scope=\"x\"", 0, BEARER,
		  "https://a/t", "s");
	challenge("bearer Realm = \"u\" , SERVICE=s", 0, BEARER, "u", "s");
	challenge("Basic realm=\"x\"", 0, BASIC, "x", NULL);
	challenge("Basic", 0, BASIC, NULL, NULL);
	challenge("Basic realm=x, Bearer realm=y", 0, BEARER, "y", NULL);
	challenge("Bearer realm=y, Basic realm=x", 0, BEARER, "y", NULL);
	challenge("Bearer realm=y, Bearer realm=x", 0, BEARER, "y", NULL);
	challenge("Bearer error=\"e\", Basic realm=x", 0, BASIC, "x", NULL);
	challenge("Negotiate, NTLM TlRMTVNTUAAC==, Bearer realm=y", 0, BEARER, "y", NULL);
	challenge(",, Bearer realm=\"a\\\"b\\\\c,d\",,service=z,", 0, BEARER, "a\"b\\c,d", "z");
	challenge("Bearer realm=first,realm=second", 0, BEARER, "first", NULL);
	challenge("Bearer realm=\"\"", 0, BEARER, "", NULL);
	challenge("", LMODEL_EUNSUPPORTED, 0, NULL, NULL);
	challenge("Digest realm=x", LMODEL_EUNSUPPORTED, 0, NULL, NULL);
	challenge("Bearer", LMODEL_EUNSUPPORTED, 0, NULL, NULL);
	challenge("Bearer realm=\"x", LMODEL_ECORRUPT, 0, NULL, NULL);
	challenge("Bearer realm=\"x\\", LMODEL_ECORRUPT, 0, NULL, NULL);
	challenge("Bearer realm=@", LMODEL_ECORRUPT, 0, NULL, NULL);
	challenge("Bearer \"x\"", LMODEL_ECORRUPT, 0, NULL, NULL);
	challenge("Bearer realm=x; service=y", LMODEL_ECORRUPT, 0, NULL, NULL);
	challenge("=x", LMODEL_ECORRUPT, 0, NULL, NULL);
}

static void link_is(const char *text, int code, const char *target)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	char quoted[LM_QUOTE_SIZE];
	char *got;

	is_int(lm_link_next(text, &got, &error), code, lm_quote(quoted, text));
	ok((got == NULL) == (target == NULL) && (got == NULL || strcmp(got, target) == 0),
	   "target");
	free(got);
}

static void test_links(void)
{
	link_is("</v2/x?n=1>; rel=\"next\"", 0, "/v2/x?n=1");
	link_is("<a>;rel=next", 0, "a");
	link_is("<a>; rel=prev, <b,;c>; title=\"x, <y>\"; REL=\"first next\"", 0, "b,;c");
	link_is("<a>; rel=next, <b>; rel=next", 0, "a");
	link_is("<>;rel=next", 0, "");
	link_is("<a>; flag; rel=next;", 0, "a");
	link_is("", 0, NULL);
	link_is(" , ", 0, NULL);
	link_is("<a>", 0, NULL);
	link_is("<a>; rel=nextt", 0, NULL);
	link_is("<a>; rel=\"\"", 0, NULL);
	link_is("a; rel=next", LMODEL_ECORRUPT, NULL);
	link_is("<a; rel=next", LMODEL_ECORRUPT, NULL);
	link_is("<a> rel=next", LMODEL_ECORRUPT, NULL);
	link_is("<a>; rel=\"next", LMODEL_ECORRUPT, NULL);
	link_is("<a>; rel=", LMODEL_ECORRUPT, NULL);
	link_is("<a>; =next", LMODEL_ECORRUPT, NULL);
}

static void test_ranges(void)
{
	static const char *const bad[] = {
		"", "bytes", "bytes ", "bytes */5", "bytes 1-2", "bytes 2-1/5", "bytes 1-5/5",
		"bytes -1-2/5", "bytes 1-/5", "bytes 1-2/", "bytes 1-2/x", "bytes 1-2/5x",
		"items 1-2/5",
		"bytes=1-2/5", "bytes 1 -2/5", "bytes 0-18446744073709551615/*",
		"bytes 0-1/18446744073709551616", "bytes 99999999999999999999-1/2",
	};
	static const char *const bad_uploads[] = {
		"", "0", "0-", "1-5", "-5", "0-x", "0-5 ", "bytes=", "bytes 0-5",
		"0-18446744073709551615",
		"0-18446744073709551616", "0--1",
	};
	uint64_t first = 9, last = 9, size = 9, arrived = 9;

	ok(lm_content_range_parse("bytes 1-2/5", &first, &last, &size) && first == 1 && last == 2 &&
	   size == 5, "a range");
	ok(lm_content_range_parse("Bytes 0-0/*", &first, &last, &size) && first == 0 && last == 0 &&
	   size == UINT64_MAX, "of unknown size");
	ok(lm_content_range_parse("bytes 0-18446744073709551613/18446744073709551614", &first,
				  &last,
				  &size) && size == UINT64_MAX - 1, "the largest");
	for (size_t i = 0; i < LM_COUNT(bad); i++)
		ok(!lm_content_range_parse(bad[i], &first, &last, &size), "no range: %s", bad[i]);
	ok(lm_upload_range_parse("0-99", &arrived) && arrived == 100, "an upload");
	ok(lm_upload_range_parse("bytes=0-1", &arrived) && arrived == 2, "with a unit");
	ok(lm_upload_range_parse("0-0", &arrived) && arrived == 0, "of nothing");
	for (size_t i = 0; i < LM_COUNT(bad_uploads); i++)
		ok(!lm_upload_range_parse(bad_uploads[i], &arrived), "none: %s", bad_uploads[i]);
}

static void test_digests(void)
{
	static const char zeros[] =
		"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	char text[LM_DIGEST_SIZE], other[LM_DIGEST_SIZE];

	lm_digest_of(text, "", 0);
	is_str(text, zeros, "the digest of nothing");
	ok(lm_digest_check(text), "is one");
	memcpy(other, text, sizeof(other));
	other[70] = 'A';
	ok(!lm_digest_check(other), "upper case is none");
	other[70] = '\0';
	ok(!lm_digest_check(other) && !lm_digest_check("") && !lm_digest_check("sha256:") &&
	   !lm_digest_check("sha512:0"), "nor are these");
}

int main(void)
{
	if (lm_crypto_init(NULL))
		return 99;
	test_challenges();
	test_links();
	test_ranges();
	test_digests();
	return done();
}
