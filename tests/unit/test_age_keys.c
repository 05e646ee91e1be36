/* crypto/age/: recipients and key files. */
#include "crypto/age/age.h"

#include "crypto/age/bech32.h"
#include "crypto/crypto.h"
#include "lib/age_keys.h"
#include "lib/tap.h"

static const char long_passphrase[1025];

/* ---- recipients ---- */

static void test_recipients(void)
{
	static const struct {
		const char *text;
		int code;
		const char *part;
	} bad[] = {
		{ "", LMODEL_EUSAGE, "not a recipient" },
		{ "hunter2", LMODEL_EUSAGE, "not a recipient" },
		{ example_identity, LMODEL_EUSAGE, "secret key" },
		{ "age-secret-key-1gfp", LMODEL_EUSAGE, "secret key" },
		{ "AGE-PLUGIN-YUBIKEY-1", LMODEL_EUSAGE, "secret key" },
		{ "-----BEGIN OPENSSH PRIVATE KEY-----", LMODEL_EUSAGE, "secret key" },
		{ "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwk", LMODEL_EUSAGE,
		  "mistyped" },
		{ "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujw", LMODEL_EUSAGE,
		  "mistyped" },
		{ "age1pq1x34nzsvr0rx", LMODEL_EUNSUPPORTED, "post-quantum" },
		{ "age1yubikey1qt8lw0", LMODEL_EUNSUPPORTED, "plugin" },
		{ "ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB", LMODEL_EUNSUPPORTED, "SSH" },
		{ "ecdsa-sha2-nistp256 AAAA", LMODEL_EUNSUPPORTED, "SSH" },
		{ "sk-ssh-ed25519@openssh.com AAAA", LMODEL_EUNSUPPORTED, "SSH" },
		{ "ssh-ed25519", LMODEL_EUSAGE, "malformed" },
		{ "ssh-ed25519 AAAA", LMODEL_EUSAGE, "malformed" },
		{ "ssh-ed25519 "
		  "AAAAC3NzaC1lZDI1NTE4AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea",
		  LMODEL_EUSAGE, "another kind" },
		/* y = 2 is on no point of the curve; y = 1 is the neutral element */
		{ "ssh-ed25519 "
		  "AAAAC3NzaC1lZDI1NTE5AAAAIAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		  LMODEL_EUSAGE, "no usable key" },
		{ "ssh-ed25519 "
		  "AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		  LMODEL_EUSAGE, "no usable key" },
	};
	struct lm_age_recipient *recipient = NULL;
	char text[128], upper[128];
	uint8_t zeros[32] = { 0 };

	for (size_t i = 0; i < LM_COUNT(bad); i++) {
		struct lmodel_error error = LMODEL_ERROR_INIT;
		int r = lm_age_recipient_parse(&recipient, bad[i].text, &error);

		ok(r == bad[i].code && (int)error.code == r && recipient == NULL &&
			   strstr(error.message, bad[i].part) != NULL,
		   "recipient %zu is refused: %s", i, error.message);
		ok(strlen(bad[i].text) < 12 || strstr(error.message, bad[i].text) == NULL,
		   "and not repeated");
	}
	lm_bech32_encode(text, "age", zeros, 32);
	is_int(lm_age_recipient_parse(&recipient, text, NULL), LMODEL_EUSAGE,
	       "a point of low order");
	for (size_t i = 0; i <= strlen(example_recipient); i++)
		upper[i] = (char)(example_recipient[i] >= 'a' && example_recipient[i] <= 'z'
					  ? example_recipient[i] - 32
					  : example_recipient[i]);
	ok(lm_age_recipient_parse(&recipient, upper, NULL) != LMODEL_OK, "upper case");

	recipient = recipient_of(example_recipient);
	is_str(lm_age_recipient_text(recipient), example_recipient,
	       "the text of an age1 recipient");
	lm_age_recipient_free(recipient);
	snprintf(text, sizeof(text), "%s me@here and there\n", ssh_recipient);
	recipient = recipient_of(text);
	is_str(lm_age_recipient_text(recipient), ssh_recipient, "an SSH key without its comment");
	lm_age_recipient_free(recipient);
	recipient = NULL;
	snprintf(text, sizeof(text), "%s me@here\nand there", ssh_recipient);
	is_int(lm_age_recipient_parse(&recipient, text, NULL), LMODEL_EUSAGE, "two lines");
	is_int(lm_age_recipient_passphrase(&recipient, "", 0, 10, NULL), LMODEL_EUSAGE,
	       "an empty passphrase");
	is_int(lm_age_recipient_passphrase(&recipient, "x", 1, 21, NULL), LMODEL_EUSAGE,
	       "a work factor that could not be read");
	is_int(lm_age_recipient_passphrase(&recipient, "x", 1, 0, NULL), LMODEL_EUSAGE,
	       "a work factor of nothing");
	is_int(lm_age_recipient_passphrase(&recipient, long_passphrase, sizeof(long_passphrase), 10,
					   NULL),
	       LMODEL_EUSAGE, "a passphrase over the limit");
}

/* ---- key files ---- */

static void refused(const char *text, int code, const char *part, const char *what)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct keys keys = { NULL, 0 };

	is_int(parse_text(&keys, text, &error), code, what);
	is_error(&error, code, part, what);
	ok(keys.count == 0 && keys.list == NULL && strstr(error.message, "k.txt") != NULL &&
		   strstr(error.message, "GFPYY") == NULL &&
		   strstr(error.message, "garbage") == NULL,
	   "the file is named, nothing of it is told");
}

static void test_identity_files(void)
{
	struct keys keys = { NULL, 0 };
	char text[400];
	struct lm_age_identity *other = random_identity();
	char *other_text = lm_age_identity_text(other, NULL);

	if (other_text == NULL)
		abort();
	snprintf(text, sizeof(text), "# made today\r\n\n  \n%s\r\n#\n%s", example_identity,
		 other_text);
	is_int(parse_text(&keys, text, NULL), LMODEL_OK, "comments, blank lines, CR LF, two keys");
	is_int((intmax_t)keys.count, 2, "both are found");
	is_str(lm_age_identity_recipient(keys.list[0]), example_recipient, "the first");
	is_str(lm_age_identity_recipient(keys.list[1]), lm_age_identity_recipient(other),
	       "the second");
	is_int(parse_text(&keys, example_identity, NULL), LMODEL_OK, "one more file");
	is_int((intmax_t)keys.count, 3, "is appended");
	is_int(parse_text(&keys, "garbage", NULL), LMODEL_ECORRUPT, "and one that is none");
	is_int((intmax_t)keys.count, 3, "changes nothing");
	keys_free(&keys);

	refused("", LMODEL_ECORRUPT, "holds no identity", "an empty file");
	refused("# AGE-SECRET-KEY-1\n\n", LMODEL_ECORRUPT, "holds no identity", "only comments");
	snprintf(text, sizeof(text), "%s\ngarbage\n", example_identity);
	refused(text, LMODEL_ECORRUPT, "line 2: is not an identity", "garbage behind a key");
	snprintf(text, sizeof(text), " %s\n", example_identity);
	refused(text, LMODEL_ECORRUPT, "line 1: is not an identity", "a blank before a key");
	snprintf(text, sizeof(text), "\n%sQ\n", example_identity);
	refused(text, LMODEL_ECORRUPT, "line 2: a malformed identity", "one character too many");
	snprintf(text, sizeof(text), "%.60s\n", example_identity);
	refused(text, LMODEL_ECORRUPT, "line 1: a malformed identity", "a key that is cut");
	refused("AGE-SECRET-KEY-PQ-1GFPYY\n", LMODEL_EUNSUPPORTED, "post-quantum", "post-quantum");
	refused("AGE-PLUGIN-X-1GFPYY\n", LMODEL_EUNSUPPORTED, "plugin", "a plugin");
	refused("-----BEGIN RSA PRIVATE KEY-----\nGFPYY\n", LMODEL_EUNSUPPORTED, "PEM",
		"an old RSA key");
	refused("-----BEGIN OPENSSH PRIVATE KEY-----\nGFPYY\n", LMODEL_ECORRUPT, "malformed",
		"an SSH key that is cut");
	refused(example_recipient, LMODEL_ECORRUPT, "is not an identity", "a recipient");
	is_int(parse_bytes(&keys, "AGE\0garbage", 11, NULL, NULL, NULL), LMODEL_ECORRUPT, "a NUL");
	lm_secret_free(other_text);
	lm_age_identity_free(other);
}

struct asked {
	const char *passphrase;
	int times, answer;
};

static int ask(void *context, const char *what, char **out, struct lmodel_error *error)
{
	struct asked *asked = context;

	asked->times++;
	if (asked->answer != LMODEL_OK)
		return lm_fail(error, LMODEL_EFAILED, "no terminal");
	if (strcmp(what, "k.txt") != 0)
		abort();
	*out = lm_secret_alloc(strlen(asked->passphrase) + 1, error);
	if (*out == NULL)
		abort();
	memcpy(*out, asked->passphrase, strlen(asked->passphrase));
	return LMODEL_OK;
}

static void locked_answers(const struct file *file, struct asked *asked, int code, const char *part,
			   const char *what)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct keys keys = { NULL, 0 };

	is_int(parse_bytes(&keys, file->bytes, file->len, asked == NULL ? NULL : ask, asked,
			   &error),
	       code, what);
	is_error(&error, code, part, what);
	keys_free(&keys);
}

static void test_locked_files(void)
{
	struct lm_age_recipient *recipient = passphrase_recipient("sesame");
	struct lm_age_recipient *key = recipient_of(example_recipient);
	struct asked right = { "sesame", 0, LMODEL_OK }, wrong = { "garbage", 0, LMODEL_OK };
	struct asked empty = { "", 0, LMODEL_OK }, none = { "", 0, LMODEL_EFAILED };
	struct keys keys = { NULL, 0 };

	for (int armor = 0; armor < 2; armor++) {
		struct file file =
			encrypted(recipient, example_identity, strlen(example_identity), armor);

		right.times = 0;
		is_int(parse_bytes(&keys, file.bytes, file.len, ask, &right, NULL), LMODEL_OK,
		       "a key file under a passphrase");
		is_int(right.times, 1, "asked once");
		is_str(keys.count == 1 ? lm_age_identity_recipient(keys.list[0]) : NULL,
		       example_recipient, "the key inside");
		keys_free(&keys);
		locked_answers(&file, &wrong, LMODEL_ENOKEY, "k.txt: wrong passphrase", "another");
		locked_answers(&file, &empty, LMODEL_EUSAGE, "empty", "an empty one");
		locked_answers(&file, &none, LMODEL_EFAILED, "no terminal", "none to be had");
		locked_answers(&file, NULL, LMODEL_ENOKEY, "encrypted with a passphrase",
			       "no one to ask");
		file.bytes[file.len - 60] ^= 1;
		locked_answers(&file, &right, LMODEL_ECORRUPT, "k.txt: ", "a damaged file");
		free(file.bytes);
	}
	for (int nested = 0; nested < 3; nested++) {
		struct file inner = encrypted(recipient, "x", 1, false), file;

		if (nested == 0)
			file = encrypted(recipient, inner.bytes, inner.len, true);
		else if (nested == 1)
			file = encrypted(recipient, "garbage", 7, false);
		else
			file = encrypted(key, example_identity, strlen(example_identity), false);
		right.times = 0;
		locked_answers(&file, &right, nested == 1 ? LMODEL_ECORRUPT : LMODEL_EUNSUPPORTED,
			       nested == 0   ? "twice"
			       : nested == 1 ? "line 1: is not"
					     : "to a key",
			       "something else inside, or for a key");
		is_int(right.times, nested < 2, "asked only when it could help");
		free(inner.bytes);
		free(file.bytes);
	}
	lm_age_recipient_free(recipient);
	lm_age_recipient_free(key);
}

/* ---- SSH keys ---- */

static void test_ssh_files(void)
{
	static const size_t widths[] = { 70, 64, 4, 2000 };
	struct blob blob;
	char text[2048];
	struct keys keys = { NULL, 0 };
	struct lmodel_error error = LMODEL_ERROR_INIT;
	size_t accepted = 0;
	uint8_t entropy[32] = { 0 };

	make_private(&blob, NO_FAULT);
	for (size_t i = 0; i < LM_COUNT(widths); i++) {
		make_pem(text, &blob, widths[i], i == 1 ? "\r\n" : "\n");
		is_int(parse_text(&keys, text, NULL), LMODEL_OK,
		       "an SSH key, of any width of lines");
		is_str(keys.count == 1 ? lm_age_identity_recipient(keys.list[0]) : NULL,
		       ssh_recipient, "its public key");
		keys_free(&keys);
	}
	for (size_t cut = 0; cut < blob.len; cut++) {
		struct blob shorter = blob;

		shorter.len = cut;
		make_pem(text, &shorter, 70, "\n");
		accepted += parse_text(&keys, text, NULL) != LMODEL_ECORRUPT;
	}
	is_int((intmax_t)accepted, 0, "cut anywhere it is corrupt");
	for (size_t i = 0; i < blob.len; i++) {
		struct blob changed = blob;

		changed.bytes[i] ^= 0x41;
		make_pem(text, &changed, 70, "\n");
		if (parse_text(&keys, text, NULL) == LMODEL_OK) {
			accepted++;
			/* only the comment, 2 bytes, counts for nothing */
			is_str(lm_age_identity_recipient(keys.list[0]), ssh_recipient,
			       "still the key");
			keys_free(&keys);
		}
	}
	is_int((intmax_t)accepted, 2, "every byte but the comment's matters");
	for (enum fault fault = FAULT_MAGIC; fault < FAULT_CIPHER; fault++) {
		make_private(&blob, fault);
		make_pem(text, &blob, 70, "\n");
		is_int(parse_text(&keys, text, NULL), LMODEL_ECORRUPT, "an SSH key with a fault");
	}
	make_private(&blob, FAULT_KIND);
	make_pem(text, &blob, 70, "\n");
	is_int(parse_text(&keys, text, &error), LMODEL_EUNSUPPORTED, "an SSH key of another kind");
	is_error(&error, LMODEL_EUNSUPPORTED, "another kind than Ed25519", "says what it may be");
	make_private(&blob, FAULT_CIPHER);
	make_pem(text, &blob, 70, "\n");
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	is_int(parse_text(&keys, text, &error), LMODEL_EUNSUPPORTED, "a locked SSH key");
	is_error(&error, LMODEL_EUNSUPPORTED, "ssh-keygen -p", "says what helps");
	make_pem(text, &blob, 70, "\n\n- ");
	is_int(parse_text(&keys, text, NULL), LMODEL_ECORRUPT,
	       "other characters between the lines");

	/* such an identity has no text, and a text is not for printing by mistake */
	error = (struct lmodel_error)LMODEL_ERROR_INIT;
	keys.list = calloc(1, sizeof(*keys.list));
	keys.list[0] = ssh_identity();
	keys.count = 1;
	ok(lm_age_identity_text(keys.list[0], &error) == NULL && error.code == LMODEL_EUSAGE,
	   "no text of an SSH identity");
	keys_free(&keys);
	is_int(lm_age_identity_from_scalar((keys.list = calloc(1, sizeof(*keys.list))), entropy,
					   NULL),
	       LMODEL_OK, "an identity of zeros, which clamping makes a key");
	keys.count = 1;
	keys_free(&keys);
}
int main(void)
{
	if (lm_crypto_init(NULL) != LMODEL_OK)
		return 99;
	test_recipients();
	test_identity_files();
	test_locked_files();
	test_ssh_files();
	return done();
}
