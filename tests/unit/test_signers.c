/* crypto/sig/signers*.c, crypto/sig/signer_options.c */
#include <stdio.h>
#include <time.h>

#include "crypto/age/ssh_key.h"
#include "crypto/crypto.h"
#include "crypto/sig/signer_options.h"
#include "crypto/sig/signers.h"
#include "lib/tap.h"

#define KEY_1 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDx2fAqk01VGbGpp2YOya0nl/DwYD5n5tODce/IYvcpY"
#define KEY_2 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBazo5/2h0ukFhQ/GbyFhR3ak6kNEY5pteNtDTdCD3di"
#define FIDO                                                                                       \
	"sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIBazo5/2h0ukFhQ/"  \
	"GbyFhR3ak6kNEY5pteNtDTdCD3diAAAABHNzaDo="
#define MINI "RWR1NWZA5k3wr0Jo5zlR+tgOvHMWjtYhoIzAFyChkI8Mz3QrnPAw68IX"
#define MINI_2 "RWTn+6vs6V7LlS4AvK0UelKinbK9RjluHm5ERzH3eS7tSFdWlGavkqsM"
#define PRINT_1 "SHA256:qpW5q+kgAuLsYFGfH5CYOMoqET+/fTq3T/Qk0vpGLl0"

static const char everything[] =
	"# who may sign\n"
	"\n"
	"alice@x,bob@y  " KEY_1 " a comment\n"
	"  \"carol of z\"\tnamespaces=\"lm*,!lmx\",valid-after=\"20200101Z\","
	"valid-before=\"20210101Z\" "
	KEY_2 "\r\n"
	"dave " FIDO "\n"
	KEY_2 " the comment of a file\n"
	"eve ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ==\n"
	"*@z cert-authority " KEY_1 "\n"
	"untrusted comment: minisign public key AFF04DE640663575\n"
	MINI "\n"
	MINI_2;

static int notices;
static char last_notice[1024];

static void count_notice(void *context, const char *text)
{
	(void)context;
	notices++;
	snprintf(last_notice, sizeof(last_notice), "%s", text);
}

static const struct lmodel_run run = { .notice = count_notice };

static int parse(struct lm_signers **signers, const char *text, struct lmodel_error *error)
{
	*signers = NULL;
	return lm_signers_parse(signers, (const uint8_t *)text, strlen(text), "list", &run, error);
}

static struct lm_ssh_public plain_key(const char *text)
{
	struct lm_ssh_public public;
	uint8_t key[32];

	if (lm_ssh_public_parse(text, strlen(text), key, NULL))
		abort();
	lm_ssh_public_plain(&public, key);
	return public;
}

static void test_everything(void)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	const struct lm_signer *found = NULL;
	struct lm_signers *s = NULL;
	struct lm_ssh_public key_1 = plain_key(KEY_1), key_2 = plain_key(KEY_2), fido;
	uint8_t unknown[32] = { 1 };

	notices = 0;
	is_int(parse(&s, everything, &error), LMODEL_OK, error.message);
	if (s == NULL)
		return;
	is_int((intmax_t)s->count, 6, "six keys can be used");
	is_int(notices, 2, "two lines were left out");
	is_str(last_notice, "list: line 8: left out: certificates are not supported",
	       "with a notice that says which and why");
	is_str(s->list[0].name, "alice@x,bob@y", "principals");
	ok(s->list[0].line == 3 && s->list[0].namespaces == NULL && s->list[0].after == 0 &&
		   s->list[0].before == 0,
	   "no options");
	is_str(s->list[1].name, "carol of z", "principals in quotes");
	is_str(s->list[1].namespaces, "lm*,!lmx", "namespaces");
	is_int(s->list[1].after, 1577836800, "valid-after");
	is_int(s->list[1].before, 1609459200, "valid-before");
	is_str(s->list[2].name, "dave", "a FIDO key");
	fido = s->list[2].ssh;
	ok(fido.fido && memcmp(fido.key, key_2.key, 32) == 0, "with the bytes of another");
	is_str(s->list[3].name, "the comment of a file", "a public key file");
	ok(s->list[4].kind == LM_SIGNER_MINISIGN && s->list[5].kind == LM_SIGNER_MINISIGN,
	   "minisign keys");
	is_str(s->list[4].name, "minisign public key AFF04DE640663575", "with a comment");
	is_str(s->list[5].name, "minisign public key 95CB5EE9ECABFBE7", "and without");

	ok(lm_signers_find_ssh(s, &key_1, "any", 0, &found, &error) == LMODEL_OK &&
		   found == &s->list[0],
	   "found: a key without options");
	ok(lm_signers_find_ssh(s, &key_2, "lmodel", 1600000000, &found, &error) == LMODEL_OK &&
		   found == &s->list[1],
	   "found: the first line of a key");
	ok(lm_signers_find_ssh(s, &key_2, "lmodel", 1700000000, &found, &error) == LMODEL_OK &&
		   found == &s->list[3],
	   "found: a later line when the first does not allow it");
	ok(lm_signers_find_ssh(s, &fido, "lmodel", 0, &found, &error) == LMODEL_OK &&
		   found == &s->list[2],
	   "found: a FIDO key");
	ok(lm_signers_find_minisign(s, s->list[5].minisign.id, &found, &error) == LMODEL_OK &&
		   found == &s->list[5],
	   "found: a minisign key");
	lm_ssh_public_plain(&key_1, unknown);
	is_int(lm_signers_find_ssh(s, &key_1, "lmodel", 0, &found, &error), LMODEL_ECORRUPT,
	       "an unknown key");
	is_error(&error, LMODEL_ECORRUPT, "unknown key, SHA256:", "with its fingerprint");
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	is_int(lm_signers_find_minisign(s, unknown, &found, &error), LMODEL_ECORRUPT,
	       "an unknown id");
	is_error(&error, LMODEL_ECORRUPT, "0000000000000001: not in list", "the message has it");
	/* the bytes of minisign's key are no SSH key */
	lm_ssh_public_plain(&key_1, s->list[4].minisign.key);
	is_int(lm_signers_find_ssh(s, &key_1, "lmodel", 0, &found, NULL), LMODEL_ECORRUPT,
	       "a minisign key is no SSH key");
	lm_signers_free(s);
}

static void test_validity(void)
{
	static const char list[] =
		"alice namespaces=\"lmodel\",valid-after=\"20200101Z\",valid-before=\"20210101Z\" "
		KEY_1 "\n";
	static const struct {
		const char *ns;
		int64_t when;
		const char *part; /* NULL: allowed */
	} cases[] = {
		{ "lmodel", 1577836799, "list, line 1, is not valid before 2020-01-01T00:00:00Z" },
		{ "lmodel", 1577836800, NULL },
		{ "lmodel", 1609459200, NULL },
		{ "lmodel", 1609459201, "not valid after 2021-01-01T00:00:00Z" },
		{ "lmodel", INT64_MIN, "not valid before" },
		{ "lmodel", INT64_MAX, "not valid after" },
		{ "file", 1600000000, "not for signatures of namespace 'file'" },
		{ "", 1600000000, "not for signatures of namespace ''" },
	};
	struct lm_ssh_public key = plain_key(KEY_1);
	struct lm_signers *s = NULL;

	if (parse(&s, list, NULL))
		abort();
	for (size_t i = 0; i < LM_COUNT(cases); i++) {
		struct lmodel_error error = LMODEL_ERROR_INIT;
		const struct lm_signer *found = NULL;
		int r = lm_signers_find_ssh(s, &key, cases[i].ns, cases[i].when, &found, &error);

		ok((r == LMODEL_OK) == (cases[i].part == NULL) &&
			   (r == LMODEL_OK) == (found != NULL),
		   "validity %zu", i);
		if (cases[i].part != NULL)
			is_error(&error, LMODEL_ECORRUPT, cases[i].part, cases[i].part);
	}
	lm_signers_free(s);
}

static void test_faults(void)
{
	static const struct {
		const char *text;
		int code;
		const char *part;
	} cases[] = {
		{ "", LMODEL_ECORRUPT, "list: holds no key" },
		{ "# nothing\n\n \t\r\n", LMODEL_ECORRUPT, "list: holds no key" },
		{ "a ssh-rsa AAAA\n", LMODEL_EUNSUPPORTED, "list: holds no key" },
		{ "ssh-rsa AAAAB3Nz\n", LMODEL_EUNSUPPORTED, "list: holds no key" },
		{ "a\n", LMODEL_ECORRUPT, "line 1" },
		{ "\n\na ssh-ed25519\n", LMODEL_ECORRUPT, "line 3: the key is missing" },
		{ "a namespaces=\"x\"\n", LMODEL_ECORRUPT, "the key is missing" },
		{ "a namespaces=\"x\" y " KEY_1, LMODEL_ECORRUPT, "the key is missing" },
		{ "a ssh-ed25519 AAAA\n", LMODEL_ECORRUPT, "another kind" },
		{ "a ssh-ed25519 !\n", LMODEL_ECORRUPT, "mistyped or cut" },
		{ "a " KEY_1 "A\n", LMODEL_ECORRUPT, "mistyped or cut" },
		{ "a " KEY_1 "AAAA\n", LMODEL_ECORRUPT, "malformed" },
		{ "a sk-ssh-ed25519@openssh.com AAAAC3NzaC1lZDI1NTE5AAAAIDx2fAqk01VGbGpp2YOya0nl/"
		  "DwYD5n5tODce/IYvcpY\n", LMODEL_ECORRUPT, "another kind than it says" },
		{ "\"a " KEY_1 "\n", LMODEL_ECORRUPT, "quote" },
		{ "a\"b\" " KEY_1 "\n", LMODEL_ECORRUPT, "no principal" },
		{ "\"\" " KEY_1 "\n", LMODEL_ECORRUPT, "no principal" },
		{ ", " KEY_1 "\n", LMODEL_ECORRUPT, "no principal" },
		{ "!a,!b " KEY_1 "\n", LMODEL_ECORRUPT, "no principal" },
		{ "a nonsense " KEY_1 "\n", LMODEL_EUNSUPPORTED, "unknown option 'nonsense'" },
		{ "a namespaces=\"x\",\33[2J " KEY_1, LMODEL_EUNSUPPORTED, "'\\x1B[2J'" },
		{ "a namespaces=\"x\", " KEY_1, LMODEL_EUNSUPPORTED, "unknown option ''" },
		{ "a cert-authority=\"x\" " KEY_1, LMODEL_EUNSUPPORTED, "cert-authority" },
		{ "a namespaces=x " KEY_1, LMODEL_ECORRUPT, "needs double quotes" },
		{ "a namespaces=\"x\",namespaces=\"y\" " KEY_1, LMODEL_ECORRUPT, "twice" },
		{ "a valid-after=\"20200101\",valid-after=\"20200101\" " KEY_1, LMODEL_ECORRUPT,
		  "twice" },
		{ "a valid-after=\"soon\" " KEY_1, LMODEL_ECORRUPT, "is no time: 'soon'" },
		{ "a valid-before=\"20200101Z\",valid-after=\"20200102Z\" " KEY_1, LMODEL_ECORRUPT,
		  "not later" },
		{ "untrusted comment: x\n", LMODEL_ECORRUPT, "without its second line" },
		{ "untrusted comment: x\n\n" MINI, LMODEL_ECORRUPT, "minisign public key" },
		{ "untrusted comment: x\n" KEY_1, LMODEL_ECORRUPT, "minisign public key" },
		{ "untrusted comment: x\nuntrusted comment: y\n" MINI, LMODEL_ECORRUPT,
		  "minisign public key" },
		{ "untrusted comment: x\n\"\n", LMODEL_ECORRUPT, "minisign public key" },
		{ MINI "\n" MINI "\n", LMODEL_ECORRUPT, "line 2: the minisign key id AFF04DE64" },
		{ "RWR1NWZA5k3wr0Jo5zlR+tgOvHMWjtYhoIzAFyChkI8Mz3QrnPAw68I=", LMODEL_ECORRUPT, "" },
	};

	for (size_t i = 0; i < LM_COUNT(cases); i++) {
		struct lmodel_error error = LMODEL_ERROR_INIT;
		struct lm_signers *s = NULL;

		ok(parse(&s, cases[i].text, &error) == cases[i].code && s == NULL, "fault %zu", i);
		is_error(&error, cases[i].code, cases[i].part, error.message);
		lm_signers_free(s);
	}
}

/* Whatever becomes of the file, only keys that were in it may sign. */
static void test_hostile(void)
{
	size_t len = sizeof(everything) - 1, wrong = 0, taken = 0;
	struct lm_ssh_public stranger = plain_key(KEY_1);
	char *copy;

	stranger.wire[40] ^= 1;
	stranger.key[40 - 19] ^= 1;
	for (size_t i = 0; i < 9 * len; i++) {
		struct lmodel_error error = LMODEL_ERROR_INIT;
		const struct lm_signer *found = NULL;
		struct lm_signers *s = NULL;
		size_t n = i < 8 * len ? len : i - 8 * len;
		int r;

		copy = malloc(n + 1); /* for the sanitizer */
		memcpy(copy, everything, n);
		if (i < 8 * len)
			copy[i / 8] = (char)(copy[i / 8] ^ 1 << i % 8);
		r = lm_signers_parse(&s, (uint8_t *)copy, n, "list", NULL, &error);
		free(copy);
		wrong += r != (int)error.code || (r == LMODEL_OK) != (s != NULL);
		if (s == NULL)
			continue;
		taken++;
		wrong += s->count == 0 || s->count > 7;
		for (size_t k = 0; k < s->count; k++)
			wrong += s->list[k].name[0] == '\0';
		wrong += i / 8 > 500 && i < 8 * len &&
			 lm_signers_find_ssh(s, &stranger, "lmodel", 0, &found, NULL) == LMODEL_OK;
		lm_signers_free(s);
	}
	is_int((intmax_t)wrong, 0, "flipped and cut files: nothing strange");
	ok(taken > 100 && taken < 8 * len, "some of them can be read (%zu)", taken);
}

static void test_limits(void)
{
	static char text[LM_SIGNERS_FILE + 2];
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_signers *s = NULL;
	size_t n = 0;

	for (unsigned i = 0; i < LM_SIGNERS_LIMIT; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "a%u %s\n", i, KEY_1);
	ok(parse(&s, text, &error) == LMODEL_OK && s->count == LM_SIGNERS_LIMIT,
	   "as many keys as allowed");
	lm_signers_free(s);
	snprintf(text + n, sizeof(text) - n, "more %s\n", KEY_1);
	is_int(parse(&s, text, &error), LMODEL_ELIMIT, "one more");
	error = (struct lmodel_error)LMODEL_ERROR_INIT;

	memset(text, '\n', sizeof(text));
	memcpy(text, KEY_1, strlen(KEY_1));
	is_int(lm_signers_parse(&s, (uint8_t *)text, LM_SIGNERS_FILE, "list", NULL, &error),
	       LMODEL_OK, "a file as long as allowed");
	lm_signers_free(s);
	s = NULL;
	is_int(lm_signers_parse(&s, (uint8_t *)text, LM_SIGNERS_FILE + 1, "list", NULL, &error),
	       LMODEL_ELIMIT, "a longer one");
	error = (struct lmodel_error)LMODEL_ERROR_INIT;

	memset(text + strlen(KEY_1), ' ', LM_SIGNERS_LINE);
	is_int(lm_signers_parse(&s, (uint8_t *)text, LM_SIGNERS_LINE, "list", NULL, &error),
	       LMODEL_OK, "a line as long as allowed");
	lm_signers_free(s);
	s = NULL;
	is_int(lm_signers_parse(&s, (uint8_t *)text, LM_SIGNERS_LINE + 1, "list", NULL, &error),
	       LMODEL_ELIMIT, "a longer one");
	is_int(lm_signers_parse(&s, (const uint8_t *)KEY_1 " x\0y", strlen(KEY_1) + 4, "list", NULL,
				NULL),
	       LMODEL_ECORRUPT, "a zero byte");
	is_int(lm_signers_parse(&s, NULL, 0, "list", NULL, NULL), LMODEL_ECORRUPT,
	       "nothing at all");
	lm_signers_free(NULL);
}

static void test_patterns(void)
{
	static const struct {
		const char *list, *text;
		bool matches;
	} cases[] = {
		{ "a", "a", true },      { "a", "b", false },     { "a", "A", false },
		{ "a", "ab", false },    { "ab", "a", false },    { "*", "", true },
		{ "*", "abc", true },    { "?", "", false },      { "?", "a", true },
		{ "a*c", "abbc", true }, { "a*c", "abb", false }, { "*a*b*", "xaybz", true },
		{ "*a*b*", "ba", false }, { "", "", true },       { "", "a", false },
		{ "a,b", "b", true },    { "a,", "a", true },     { "!a,*", "a", false },
		{ "*,!a", "a", false },  { "*,!a", "b", true },   { "!a", "b", false },
		{ "[a]", "a", false },   { "a**b", "ab", true },  { "*?*?", "a", false },
	};
	static char pattern[8001], text[4001];
	clock_t start = clock();

	for (size_t i = 0; i < LM_COUNT(cases); i++)
		ok(lm_pattern_list_matches(cases[i].list, cases[i].text) == cases[i].matches,
		   "'%s' %s '%s'", cases[i].list, cases[i].matches ? "matches" : "does not match",
		   cases[i].text);
	memset(text, 'a', sizeof(text) - 1);
	for (size_t i = 0; i < sizeof(pattern) - 1; i++)
		pattern[i] = i % 2 == 0 ? '*' : 'a';
	pattern[sizeof(pattern) - 2] = 'b';
	ok(!lm_pattern_list_matches(pattern, text) &&
		   (clock() - start) / CLOCKS_PER_SEC < 5,
	   "a pattern of thousands of stars is no trap");
}

static void test_times(void)
{
	static const struct {
		const char *text;
		int64_t seconds; /* 0: no time */
	} cases[] = {
		{ "20000229Z", 951782400 }, { "200002291234z", 951827640 },
		{ "20000229123456UTC", 951827696 }, { "20000229123456utc", 951827696 },
		{ "19700101Z", 0 }, { "19700102Z", 86400 }, { "19691231Z", 0 },
		{ "99991231235959Z", 253402300799 }, { "20010229Z", 0 }, { "20000230Z", 0 },
		{ "20001301Z", 0 }, { "20000001Z", 0 }, { "20000100Z", 0 }, { "200001012400Z", 0 },
		{ "200001010060Z", 0 }, { "20000101000060Z", 0 }, { "2000010112Z", 0 },
		{ "20000101ZZ", 0 }, { "20000101 ", 0 }, { " 20000101", 0 }, { "-0000101Z", 0 },
		{ "Z", 0 }, { "", 0 }, { "20000101GMT", 0 }, { "200001010000000Z", 0 },
	};
	int64_t t;

	for (size_t i = 0; i < LM_COUNT(cases); i++) {
		bool is = lm_signer_time(cases[i].text, &t);

		ok(is == (cases[i].seconds != 0) && (!is || t == cases[i].seconds), "time '%s'",
		   cases[i].text);
	}
	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	ok(lm_signer_time("20260110", &t) && t == 1767999600, "a winter's day in local time");
	ok(lm_signer_time("20260701", &t) && t == 1782860400,
	   "a summer's day too is without daylight saving, as in ssh-keygen");
}

int main(void)
{
	if (lm_crypto_init(NULL))
		return 99;
	test_everything();
	test_validity();
	test_faults();
	test_hostile();
	test_limits();
	test_patterns();
	test_times();
	return done();
}
