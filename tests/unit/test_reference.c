#include "net/reference.h"
#include "net/http.h"
#include "lib/tap.h"

struct good {
	const char *text, *host, *name, *tag, *digest, *printed;
	bool secure;
};

#define D "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct good good[] = {
	{ "host.example/a", "host.example", "a", "latest", NULL, "host.example/a:latest", true },
	{ "host.example:5000/a/b:v1", "host.example:5000", "a/b", "v1", NULL,
	  "host.example:5000/a/b:v1", true },
	{ "oci://h/a@" D, "h", "a", NULL, D, "h/a@" D, true },
	{ "h/a:t@" D, "h", "a", "t", D, "h/a:t@" D, true },
	{ "https://localhost/a", "localhost", "a", "latest", NULL, "localhost/a:latest", true },
	{ "localhost/a", "localhost", "a", "latest", NULL, "localhost/a:latest", false },
	{ "LocalHost:1/a", "localhost:1", "a", "latest", NULL, "localhost:1/a:latest", false },
	{ "HTTP://H.Example/a", "h.example", "a", "latest", NULL, "h.example/a:latest", false },
	{ "127.9.8.7:65535/a", "127.9.8.7:65535", "a", "latest", NULL,
	  "127.9.8.7:65535/a:latest", false },
	{ "[::1]:5000/a:1.2_3-x", "[::1]:5000", "a", "1.2_3-x", NULL, "[::1]:5000/a:1.2_3-x",
	  false },
	{ "[2001:DB8::1]/a", "[2001:db8::1]", "a", "latest", NULL, "[2001:db8::1]/a:latest", true },
	{ "128.0.0.1/a", "128.0.0.1", "a", "latest", NULL, "128.0.0.1/a:latest", true },
	{ "h/a.b_c__d--e---f/0:_", "h", "a.b_c__d--e---f/0", "_", NULL,
	  "h/a.b_c__d--e---f/0:_", true },
};

static const char *const bad[] = {
	"", "/", "h", "h/", "/a", "h//a", "h/a/", "h/a//b", "h/A", "h/a:", "h/a@", "h/a:.x",
	"h/a:-x",
	"h/a:x/y", "h/a:x:y", "h/a@sha256:00", "h/a@" D "0", "h/a@" D "@" D, "h/a b", "h/a?x",
	"h/a#x",
	"h/a%20", "h/\xc3\xa4", "h/.a", "h/a.", "h/a..b", "h/a___b", "h/a._b", "h/-a", "h/a-",
	"h/../a",
	"user@h/a", "user:secret@h/a", "http://user:secret@h/a", "h:/a", "h:0/a", "h:65536/a",
	"h:x/a",
	"h:1:2/a", "h:99999999999999999999/a", "-h/a", "h-/a", "h_/a", "h..x/a", ".h/a", "[::1/a",
	"[x]/a", "[::1]x/a", "[]/a", "h\n/a", "h/a\n", "ftp://h/a", "oci:///a", "http:/h/a",
	"\x01/a",
};

static void test_good(void)
{
	for (size_t i = 0; i < LM_COUNT(good); i++) {
		const struct good *g = &good[i];
		struct lmodel_error error = LMODEL_ERROR_INIT;
		struct lm_reference r;

		if (!ok(lm_reference_parse(&r, g->text, &error) == LMODEL_OK, "%s", g->text)) {
			printf("#   %s\n", error.message);
			continue;
		}
		is_str(r.host, g->host, "host");
		is_str(r.name, g->name, "name");
		ok((r.tag == NULL) == (g->tag == NULL) &&
		   (r.tag == NULL || strcmp(r.tag, g->tag) == 0), "tag");
		ok((r.digest == NULL) == (g->digest == NULL) &&
		   (r.digest == NULL || strcmp(r.digest, g->digest) == 0), "digest");
		is_str(r.text, g->printed, "text");
		ok(r.secure == g->secure, "%s", g->secure ? "with TLS" : "without TLS");
		lm_reference_free(&r);
	}
}

static void test_bad(void)
{
	char name[300], text[400];

	for (size_t i = 0; i < LM_COUNT(bad); i++) {
		struct lmodel_error error = LMODEL_ERROR_INIT;
		char quoted[LM_QUOTE_SIZE];
		struct lm_reference r;

		is_int(lm_reference_parse(&r, bad[i], &error), LMODEL_EUSAGE,
		       lm_quote(quoted, bad[i]));
		ok(error.message[0] != '\0' && strstr(error.message, "secret") == NULL &&
		   r.host == NULL, "says why, without a password");
	}
	memset(name, 'a', sizeof(name));
	for (size_t len = 253; len <= 254; len++) {
		struct lmodel_error error = LMODEL_ERROR_INIT;
		struct lm_reference r;

		snprintf(text, sizeof(text), "h/%.*s", (int)len - 1, name);
		is_int(lm_reference_parse(&r, text, &error),
		       len == 253 ? LMODEL_OK : LMODEL_EUSAGE, "a name at its limit");
		lm_reference_free(&r);
		error = (struct lmodel_error)LMODEL_ERROR_INIT;
		snprintf(text, sizeof(text), "h/a:%.*s", (int)len - 125, name);
		is_int(lm_reference_parse(&r, text, &error),
		       len == 253 ? LMODEL_OK : LMODEL_EUSAGE, "a tag at its limit");
		lm_reference_free(&r);
	}
}

int main(void)
{
	test_good();
	test_bad();
	ok(lm_reference_is_remote("oci://x") && lm_reference_is_remote("HTTPS://x") &&
	   lm_reference_is_remote("http://x"), "remote");
	ok(!lm_reference_is_remote("x.lmodel") && !lm_reference_is_remote("oci:/x") &&
	   !lm_reference_is_remote("") && !lm_reference_is_remote("./http://x"), "files");
	ok(lm_http_is_loopback("localhost") && lm_http_is_loopback("127.0.0.1") &&
	   lm_http_is_loopback("127.255.0.9") && lm_http_is_loopback("::1") &&
	   lm_http_is_loopback("[::1]") && lm_http_is_loopback("[0:0::1]"), "this machine");
	ok(!lm_http_is_loopback("") && !lm_http_is_loopback("127.0.0.1.example") &&
	   !lm_http_is_loopback("localhost.example") && !lm_http_is_loopback("[::2]") &&
	   !lm_http_is_loopback("::1%lo") && !lm_http_is_loopback("1") &&
	   !lm_http_is_loopback("0.0.0.0") && !lm_http_is_loopback("[") &&
	   !lm_http_is_loopback("[]"), "others");
	return done();
}
