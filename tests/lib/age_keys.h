/* For the tests of the age format: keys to try it with. */
#ifndef AGE_KEYS_H
#define AGE_KEYS_H

#include <stdio.h>

#include "crypto/age/age.h"
#include "crypto/age/base64.h"
#include "crypto/curve.h"
#include "crypto/secret.h"

enum { WORK_FACTOR = 10 };

/* The example of c2sp.org/age: 32 bytes of 0x42. */
static const char example_identity[] =
	"AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
static const char example_recipient[] =
	"age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

/* RFC 8032, 7.1, test 1, as an SSH key. */
static const uint8_t ssh_seed[32] = {
	0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a,
	0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32,
	0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
};
static const char ssh_recipient[] =
	"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";
struct file {
	uint8_t *bytes;
	size_t len;
};

struct keys {
	struct lm_age_identity **list;
	size_t count;
};

__attribute__((unused)) static struct lm_age_recipient *recipient_of(const char *text)
{
	struct lm_age_recipient *recipient = NULL;

	if (lm_age_recipient_parse(&recipient, text, NULL) != LMODEL_OK)
		abort();
	return recipient;
}

__attribute__((unused)) static struct lm_age_recipient *passphrase_recipient(const char *text)
{
	struct lm_age_recipient *recipient = NULL;

	if (lm_age_recipient_passphrase(&recipient, text, strlen(text), WORK_FACTOR, NULL) !=
	    LMODEL_OK)
		abort();
	return recipient;
}

__attribute__((unused)) static struct lm_age_identity *passphrase_identity(const char *text)
{
	struct lm_age_identity *identity = NULL;

	if (lm_age_identity_passphrase(&identity, text, strlen(text), NULL) != LMODEL_OK)
		abort();
	return identity;
}

__attribute__((unused)) static struct lm_age_identity *random_identity(void)
{
	struct lm_age_identity *identity = NULL;

	if (lm_age_identity_generate(&identity, NULL) != LMODEL_OK)
		abort();
	return identity;
}

__attribute__((unused)) static int parse_bytes(struct keys *keys, const void *bytes, size_t len,
					       lm_passphrase_fn *ask, void *context,
					       struct lmodel_error *error)
{
	return lm_age_identities_parse(&keys->list, &keys->count, bytes, len, "k.txt", ask, context,
				       error);
}

__attribute__((unused)) static int parse_text(struct keys *keys, const char *text,
					      struct lmodel_error *error)
{
	return parse_bytes(keys, text, strlen(text), NULL, NULL, error);
}

__attribute__((unused)) static void keys_free(struct keys *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		lm_age_identity_free(keys->list[i]);
	free(keys->list);
	*keys = (struct keys){ NULL, 0 };
}

__attribute__((unused)) static int encrypt(struct file *file,
					   struct lm_age_recipient *const *recipients, size_t count,
					   const void *plain, size_t len, bool armor,
					   const uint8_t *entropy, struct lmodel_error *error)
{
	return lm_age_encrypt((const struct lm_age_recipient *const *)recipients, count, plain, len,
			      armor, entropy, &file->bytes, &file->len, error);
}

__attribute__((unused)) static struct file encrypted(struct lm_age_recipient *recipient,
						     const void *plain, size_t len, bool armor)
{
	struct file file = { NULL, 0 };

	if (encrypt(&file, &recipient, 1, plain, len, armor, NULL, NULL) != LMODEL_OK)
		abort();
	return file;
}

/* ---- SSH keys ---- */

struct blob {
	uint8_t bytes[1024];
	size_t len;
};

__attribute__((unused)) static void put(struct blob *blob, const void *bytes, size_t len)
{
	memcpy(blob->bytes + blob->len, bytes, len);
	blob->len += len;
}

__attribute__((unused)) static void put_number(struct blob *blob, uint32_t n)
{
	uint8_t bytes[4] = { (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
			     (uint8_t)n };

	put(blob, bytes, 4);
}

__attribute__((unused)) static void put_string(struct blob *blob, const void *bytes, size_t len)
{
	put_number(blob, (uint32_t)len);
	put(blob, bytes, len);
}

enum fault {
	NO_FAULT,
	FAULT_MAGIC,
	FAULT_COUNT,
	FAULT_CHECK,
	FAULT_PADDING,
	FAULT_MORE_PADDING,
	FAULT_INNER,
	FAULT_HALVES,
	FAULT_SEED,
	FAULT_OUTER,
	FAULT_TRAILING,
	FAULT_KDF,
	FAULT_CIPHER,
	FAULT_KIND,
};

__attribute__((unused)) static void make_private(struct blob *out, enum fault fault)
{
	struct blob public = { .len = 0 }, section = { .len = 0 };
	const char *kind = fault == FAULT_KIND ? "ssh-ed25518" : "ssh-ed25519";
	const char *cipher = fault == FAULT_CIPHER ? "aes256-ctr" : "none";
	uint8_t key[32], private[64];

	if (lm_ed25519_public(key, ssh_seed, NULL) != LMODEL_OK)
		abort();
	memcpy(private, ssh_seed, 32);
	memcpy(private + 32, key, 32);
	private[0] ^= fault == FAULT_SEED;
	private[32] ^= fault == FAULT_HALVES;
	put_number(&section, 0x01020304);
	put_number(&section, fault == FAULT_CHECK ? 0x01020305 : 0x01020304);
	put_string(&section, fault == FAULT_INNER ? "ssh-ed25518" : "ssh-ed25519", 11);
	put_string(&section, key, 32);
	put_string(&section, private, 64);
	put_string(&section, "me", 2);
	for (uint8_t i = 1; section.len % 8 != 0 || (fault == FAULT_MORE_PADDING && i < 9); i++) {
		uint8_t byte = (uint8_t)(fault == FAULT_PADDING ? i + 1 : i);

		put(&section, &byte, 1);
	}
	key[1] ^= fault == FAULT_OUTER;
	put_string(&public, kind, 11);
	put_string(&public, key, 32);
	out->len = 0;
	put(out, fault == FAULT_MAGIC ? "openssh-key-v2" : "openssh-key-v1", 15);
	put_string(out, cipher, strlen(cipher));
	put_string(out, fault == FAULT_KDF ? "bcrypt" : "none", fault == FAULT_KDF ? 6 : 4);
	put_string(out, "", 0);
	put_number(out, fault == FAULT_COUNT ? 2 : 1);
	put_string(out, public.bytes, public.len);
	put_string(out, section.bytes, section.len);
	if (fault == FAULT_TRAILING)
		put(out, "x", 1);
}

__attribute__((unused)) static void make_pem(char text[2048], const struct blob *blob, size_t width,
					     const char *eol)
{
	char body[1400] = "", *p = text;
	size_t len = lm_base64_encoded(blob->len);

	lm_base64_encode(body, blob->bytes, blob->len);
	while (len % 4 != 0)
		body[len++] = '=';
	p += sprintf(p, "-----BEGIN OPENSSH PRIVATE KEY-----%s", eol);
	for (size_t i = 0; i < len; i += width)
		p += sprintf(p, "%.*s%s", (int)LM_MIN(width, len - i), body + i, eol);
	sprintf(p, "-----END OPENSSH PRIVATE KEY-----%s", eol);
}

__attribute__((unused)) static struct lm_age_identity *ssh_identity(void)
{
	struct lm_age_identity *identity;
	struct keys keys = { NULL, 0 };
	struct blob blob;
	char text[2048];

	make_private(&blob, NO_FAULT);
	make_pem(text, &blob, 70, "\n");
	if (parse_text(&keys, text, NULL) != LMODEL_OK || keys.count != 1)
		abort();
	identity = keys.list[0];
	free(keys.list);
	return identity;
}

#endif
