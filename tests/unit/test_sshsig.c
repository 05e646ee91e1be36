/* crypto/sig/: wire encoding, SSH public keys, SSH signatures. */
#include <stdio.h>

#include "crypto/age/base64.h"
#include "crypto/crypto.h"
#include "crypto/sha512.h"
#include "crypto/sig/sshsig.h"
#include "crypto/sig/wire.h"
#include "lib/tap.h"

/* Made by ssh-keygen of OpenSSH 9.2: the key, and `ssh-keygen -Y sign -n lmodel`. */
static const uint8_t seed[32] = {
	0x4f, 0x73, 0xf7, 0x4a, 0xba, 0x6e, 0x0f, 0x51, 0xbd, 0x17, 0x50, 0x57,
	0x64, 0x99, 0x92, 0x00, 0x82, 0xca, 0xd8, 0xb0, 0x68, 0x98, 0x85, 0x4e,
	0x50, 0x72, 0x38, 0x9e, 0x4f, 0x4f, 0xa9, 0x12,
};
static const char fingerprint[] = "SHA256:qpW5q+kgAuLsYFGfH5CYOMoqET+/fTq3T/Qk0vpGLl0";
static const char message[] = "a statement\n";
#define MESSAGE message, sizeof(message) - 1
static const char made512[] =
	"-----BEGIN SSH SIGNATURE-----\n"
	"U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgPHZ8CqTTVUZsamnZg7JrSeX8PB\n"
	"gPmfm04Nx78hi9ylgAAAAGbG1vZGVsAAAAAAAAAAZzaGE1MTIAAABTAAAAC3NzaC1lZDI1\n"
	"NTE5AAAAQEeClwE4zEt4sWUV2A+4qyH8807fswvBfs8CWPHz4mvaMeXLQZfvxc4q3siRJS\n"
	"P6jq1wiT54TnAHtb0BJaPLIgo=\n"
	"-----END SSH SIGNATURE-----\n";
static const char made256[] =
	"-----BEGIN SSH SIGNATURE-----\n"
	"U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgPHZ8CqTTVUZsamnZg7JrSeX8PB\n"
	"gPmfm04Nx78hi9ylgAAAAGbG1vZGVsAAAAAAAAAAZzaGEyNTYAAABTAAAAC3NzaC1lZDI1\n"
	"NTE5AAAAQBvHXESZnHIOaa+npR53Rl3YSLHWmBsMl5G6V+mpVU5DCNbhJNaMtiOcDRW+K9\n"
	"IG0ojHqb+oL8kreJqvMQG5HAk=\n"
	"-----END SSH SIGNATURE-----\n";

/* The fields of a blob, to be written one by one and wrong. */
struct field {
	const void *at;
	size_t len;
};

struct parts {
	uint32_t version;
	struct field key, ns, reserved, hash, kind, bytes;
	const char *behind_key, *behind_kind, *behind; /* what should not be there */
};

static uint8_t key_wire[LM_SSH_PUBLIC_WIRE], signature[LM_SIGNATURE];
static size_t key_len;

static size_t build(uint8_t *blob, const struct parts *p)
{
	uint8_t key[4096], inner[4096], *q, *to = blob + 6;

	memcpy(blob, "SSHSIG", 6);
	to = lm_wire_put_u32(to, p->version);
	memcpy(key, p->key.at, p->key.len);
	memcpy(key + p->key.len, p->behind_key, strlen(p->behind_key));
	to = lm_wire_put_string(to, key, p->key.len + strlen(p->behind_key));
	to = lm_wire_put_string(to, p->ns.at, p->ns.len);
	to = lm_wire_put_string(to, p->reserved.at, p->reserved.len);
	to = lm_wire_put_string(to, p->hash.at, p->hash.len);
	q = lm_wire_put_string(inner, p->kind.at, p->kind.len);
	q = lm_wire_put_string(q, p->bytes.at, p->bytes.len);
	memcpy(q, p->behind_kind, strlen(p->behind_kind));
	q += strlen(p->behind_kind);
	to = lm_wire_put_string(to, inner, (size_t)(q - inner));
	memcpy(to, p->behind, strlen(p->behind));
	to += strlen(p->behind);
	return (size_t)(to - blob);
}

#define TEXT(text) { (text), sizeof(text) - 1 }
static const struct parts sound = {
	.version = 1, .key = { key_wire, 51 }, .ns = TEXT("lmodel"), .reserved = TEXT(""),
	.hash = TEXT("sha512"), .kind = TEXT("ssh-ed25519"), .bytes = { signature, LM_SIGNATURE },
	.behind_key = "", .behind_kind = "", .behind = "",
};

static bool verifies(const void *bytes, size_t len)
{
	struct lm_sshsig sig;

	return lm_sshsig_parse(&sig, bytes, len, NULL) == LMODEL_OK &&
	       lm_sshsig_verify(&sig, "lmodel", MESSAGE);
}

static void parses_to(const struct parts *parts, int code, const char *part, const char *what)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	static uint8_t blob[8192];
	struct lm_sshsig sig;
	size_t len = build(blob, parts);

	is_int(lm_sshsig_parse(&sig, blob, len, &error), code, what);
	if (code != LMODEL_OK)
		is_error(&error, code, part, what);
}

static void test_wire(void)
{
	static const uint8_t bytes[] = { 0, 0, 0, 2, 'a', 'b', 0, 0, 0, 1 };
	struct lm_wire wire = { bytes, sizeof(bytes) }, string;
	uint8_t byte, out[8];
	uint32_t number;
	size_t len;

	ok(lm_wire_string(&wire, &string) && lm_wire_is(&string, "ab") &&
		   !lm_wire_is(&string, "abc") && wire.left == 4,
	   "wire: a string");
	ok(!lm_wire_string(&wire, &string) && wire.left == 4, "wire: a string that is cut");
	ok(lm_wire_u32(&wire, &number) && number == 1 && !lm_wire_byte(&wire, &byte) &&
		   !lm_wire_u32(&wire, &number),
	   "wire: a number, and the end");
	ok(lm_base64_padded_decode(out, &len, (const uint8_t *)"Zm9vYg==", 8) && len == 4 &&
		   memcmp(out, "foob", 4) == 0 &&
		   lm_base64_padded_decode(out, &len, (const uint8_t *)"Zm9vYmE=", 8) && len == 5 &&
		   lm_base64_padded_decode(out, &len, (const uint8_t *)"", 0) && len == 0,
	   "base 64 with padding");
	ok(!lm_base64_padded_decode(out, &len, (const uint8_t *)"Zm9vYg=", 7) &&
		   !lm_base64_padded_decode(out, &len, (const uint8_t *)"Zm9vYg", 6) &&
		   !lm_base64_padded_decode(out, &len, (const uint8_t *)"Zm9vYh==", 8) &&
		   !lm_base64_padded_decode(out, &len, (const uint8_t *)"Zm9vY===", 8) &&
		   !lm_base64_padded_decode(out, &len, (const uint8_t *)"====", 4),
	   "base 64 with padding that is wrong");
}

static void test_made(void)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	char *text = NULL, print[LM_SSH_FINGERPRINT], ns[300];
	struct lm_sshsig sig;

	ok(lm_sshsig_sign(&text, seed, "lmodel", MESSAGE, &error) == LMODEL_OK, "sign");
	is_str(text, made512, "the signature is that of ssh-keygen");
	free(text);
	for (int i = 0; i < 2; i++) {
		const char *made = i == 0 ? made512 : made256;

		text = NULL;
		ok(lm_sshsig_parse(&sig, (const uint8_t *)made, strlen(made), &error) == LMODEL_OK,
		   "ssh-keygen's signature %d", i);
		ok(sig.sha256 == (i == 1) && !sig.key.fido, "its hash and kind");
		is_str(sig.ns, "lmodel", "its namespace");
		lm_ssh_public_fingerprint(print, &sig.key);
		is_str(print, fingerprint, "its key");
		ok(lm_sshsig_verify(&sig, "lmodel", MESSAGE), "it verifies");
		ok(!lm_sshsig_verify(&sig, "lmode", MESSAGE) &&
			   !lm_sshsig_verify(&sig, "lmodel2", MESSAGE) &&
			   !lm_sshsig_verify(&sig, "", MESSAGE),
		   "not for another namespace");
		ok(!lm_sshsig_verify(&sig, "lmodel", message, sizeof(message) - 2) &&
			   !lm_sshsig_verify(&sig, "lmodel", message, sizeof(message)) &&
			   !lm_sshsig_verify(&sig, "lmodel", NULL, 0),
		   "not for another message");
		ok(lm_sshsig_text(&text, &sig, &error) == LMODEL_OK, "written again");
		is_str(text, made, "as it was");
		free(text);
	}
	memcpy(key_wire, sig.key.wire, key_len = sig.key.wire_len);
	ok(lm_sshsig_parse(&sig, (const uint8_t *)made512, strlen(made512), &error) == LMODEL_OK,
	   "for what follows");
	memcpy(signature, sig.signature, sizeof(signature));

	memset(ns, 'n', sizeof(ns));
	ns[255] = '\0';
	ok(lm_sshsig_sign(&text, seed, ns, NULL, 0, &error) == LMODEL_OK, "the longest namespace");
	ok(lm_sshsig_parse(&sig, (uint8_t *)text, strlen(text), &error) == LMODEL_OK &&
		   lm_sshsig_verify(&sig, ns, NULL, 0),
	   "and nothing in the message");
	free(text);
	ns[255] = 'n';
	ns[256] = '\0';
	is_int(lm_sshsig_sign(&text, seed, ns, NULL, 0, &error), LMODEL_EUSAGE, "a longer one");
	is_int(lm_sshsig_sign(&text, seed, "", NULL, 0, NULL), LMODEL_EUSAGE, "an empty one");
}

static void test_fields(void)
{
	static const uint8_t zero_in_ns[] = { 'a', 0, 'b' };
	static char long_ns[256];
	static const uint8_t rsa[] = "\0\0\0\7ssh-rsa\0\0\0\1\3";
	static const uint8_t cert[] = "\0\0\0\40ssh-ed25519-cert-v01@openssh.com";
	struct parts p = sound;

	memset(long_ns, 'n', sizeof(long_ns));
	parses_to(&p, LMODEL_OK, "", "a sound blob");
	p.version = 2;
	parses_to(&p, LMODEL_EUNSUPPORTED, "version 2", "version 2");
	p.version = 0;
	parses_to(&p, LMODEL_EUNSUPPORTED, "version 0", "version 0");
	p = sound, p.ns.len = 0;
	parses_to(&p, LMODEL_ECORRUPT, "malformed", "an empty namespace");
	p.ns = (struct field){ zero_in_ns, 3 };
	parses_to(&p, LMODEL_ECORRUPT, "malformed", "a namespace with a zero byte");
	p.ns = (struct field){ long_ns, 255 };
	parses_to(&p, LMODEL_OK, "", "the longest namespace");
	p.ns.len = 256;
	parses_to(&p, LMODEL_ELIMIT, "256", "a longer one");
	p = sound, p.reserved = (struct field)TEXT("x");
	parses_to(&p, LMODEL_EUNSUPPORTED, "reserved", "a reserved field");
	p = sound, p.hash = (struct field)TEXT("sha1");
	parses_to(&p, LMODEL_EUNSUPPORTED, "hash", "another hash");
	p.hash = (struct field)TEXT("sha512\n");
	parses_to(&p, LMODEL_EUNSUPPORTED, "hash", "nearly a hash");
	p = sound, p.kind = (struct field)TEXT("sk-ssh-ed25519@openssh.com");
	parses_to(&p, LMODEL_ECORRUPT, "malformed", "a signature of another kind than the key");
	p = sound, p.bytes.len = 63;
	parses_to(&p, LMODEL_ECORRUPT, "malformed", "a short signature");
	p = sound, p.behind_key = "x";
	parses_to(&p, LMODEL_ECORRUPT, "public key", "bytes behind the key");
	p = sound, p.behind_kind = "x";
	parses_to(&p, LMODEL_ECORRUPT, "malformed", "bytes behind the signature");
	p.behind_kind = "12345";
	parses_to(&p, LMODEL_ECORRUPT, "malformed", "flags and counter without a token");
	p = sound, p.behind = "x";
	parses_to(&p, LMODEL_ECORRUPT, "malformed", "bytes behind the blob");
	p = sound, p.key = (struct field)TEXT(rsa);
	parses_to(&p, LMODEL_EUNSUPPORTED, "'ssh-rsa'", "an RSA key");
	p.key = (struct field)TEXT(cert);
	parses_to(&p, LMODEL_EUNSUPPORTED, "'ssh-ed25519-cert-v01@openssh.com'", "a certificate");
	p.key = (struct field)TEXT("\0\0\0\4\33[2J");
	parses_to(&p, LMODEL_EUNSUPPORTED, "\\x1B", "a kind that would clear the screen");
	p.key.len = 0;
	parses_to(&p, LMODEL_ECORRUPT, "public key", "no key");
	p = sound, p.key.len = 50;
	parses_to(&p, LMODEL_ECORRUPT, "public key", "a key that is cut");
}

/* Every bit of a blob counts; no beginning of it is one, and nothing may follow. */
static void test_hostile_blob(const uint8_t *blob, size_t len, const char *what)
{
	uint8_t copy[1024];
	size_t taken = 0;

	ok(verifies(blob, len), "%s: verifies", what);
	for (size_t i = 0; i < 8 * len; i++) {
		memcpy(copy, blob, len);
		copy[i / 8] ^= (uint8_t)(1u << i % 8);
		taken += verifies(copy, len);
	}
	is_int((intmax_t)taken, 0, "no flipped bit is taken");
	for (size_t n = 0; n < len; n++) {
		uint8_t *exact = malloc(n + 1); /* for the sanitizer */

		memcpy(exact, blob, n);
		taken += verifies(exact, n);
		free(exact);
	}
	memcpy(copy, blob, len);
	copy[len] = 0;
	is_int((intmax_t)taken + verifies(copy, len + 1), 0, "no shorter or longer one is taken");
	/* lengths that are too large by all possible amounts that could wrap */
	for (size_t i = 6; i + 4 <= len; i++)
		for (uint32_t n = 0; n < 8; n++) {
			memcpy(copy, blob, len);
			lm_wire_put_u32(copy + i, UINT32_MAX - n);
			taken += verifies(copy, len);
		}
	is_int((intmax_t)taken, 0, "no wrapped length is taken");
}

/* S + L is the same number for the curve (RFC 8032, 8.4). */
static void test_malleable(void)
{
	static const uint8_t order[32] = {
		0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9,
		0xde, 0x14, [31] = 0x10,
	};
	struct lm_sshsig sig;
	unsigned carry = 0;

	if (lm_sshsig_parse(&sig, (const uint8_t *)made512, strlen(made512), NULL))
		abort();
	for (size_t i = 0; i < 32; i++) {
		carry += (unsigned)sig.signature[32 + i] + order[i];
		sig.signature[32 + i] = (uint8_t)carry;
		carry >>= 8;
	}
	ok(!lm_sshsig_verify(&sig, "lmodel", MESSAGE), "no second signature made from the first");
}

static void test_armor(void)
{
	static const char tail[] = "\n \t\r\n", others[] = "\t\n\v\r =-+/059AQZagz~\x80\xff";
	static char text[LM_SSHSIG_LIMIT + 2];
	size_t len = sizeof(made512) - 1, taken = 0;
	struct lmodel_error error = LMODEL_ERROR_INIT;
	struct lm_sshsig sig;
	char *again = NULL;

	for (size_t n = 0; n < len - 1; n++)
		taken += verifies(made512, n);
	is_int((intmax_t)taken, 0, "no armor that is cut");
	ok(verifies(made512, len - 1), "but the last newline may miss");
	for (size_t i = 0; i < len; i++)
		for (size_t c = 0; c < sizeof(others); c++) {
			memcpy(text, made512, len);
			text[i] = others[c];
			if (text[i] == made512[i] || !verifies(text, len))
				continue;
			/* white space for white space, and NUL is none */
			taken += made512[i] != '\n' || others[c] == '\0' ||
				 strchr(" \t\r", others[c]) == NULL;
			if (lm_sshsig_parse(&sig, (uint8_t *)text, len, NULL) ||
			    lm_sshsig_text(&again, &sig, NULL) || strcmp(again, made512) != 0)
				abort();
			free(again);
		}
	is_int((intmax_t)taken, 0, "no armor in which a character is another");
	memcpy(text, made512, len);
	memcpy(text + len, tail, sizeof(tail));
	ok(verifies(text, len + sizeof(tail) - 1), "white space behind it");
	memcpy(text + len, "x\n", 2);
	ok(!verifies(text, len + 2), "but nothing else");
	ok(!verifies(text, len + 1), "nor without a newline");
	text[0] = '\n';
	memcpy(text + 1, made512, len);
	ok(!verifies(text, len + 1), "nothing in front of it");
	memset(text, '\n', sizeof(text));
	memcpy(text, made512, len);
	ok(verifies(text, LM_SSHSIG_LIMIT), "a file as long as allowed");
	is_int(lm_sshsig_parse(&sig, (uint8_t *)text, LM_SSHSIG_LIMIT + 1, &error), LMODEL_ELIMIT,
	       "a longer one");
	is_int(lm_sshsig_parse(&sig, NULL, 0, NULL), LMODEL_ECORRUPT, "nothing at all");
}

/* ---- FIDO: PROTOCOL.u2f ---- */

static size_t fido_wire(uint8_t *wire, const uint8_t key[32], size_t application)
{
	char text[LM_SSH_APPLICATION + 2] = "ssh:";
	uint8_t *p = lm_wire_put_string(wire, "sk-ssh-ed25519@openssh.com", 26);

	memset(text + 4, 'x', sizeof(text) - 4);
	p = lm_wire_put_string(p, key, 32);
	p = lm_wire_put_string(p, text, application);
	return (size_t)(p - wire);
}

/* A token with our key: signs hashes of the application and of what ssh-keygen gives to it. */
static size_t fido_blob(uint8_t *blob, size_t application, uint8_t flags)
{
	uint8_t key[32], wire[1024], data[512] = "SSHSIG", token[69], bytes[LM_SIGNATURE], more[5];
	size_t len;
	uint8_t digest[64], *p = data + 6;
	struct parts parts = sound;

	if (lm_ed25519_public(key, seed, NULL))
		abort();
	len = fido_wire(wire, key, application);
	lm_sha512(digest, MESSAGE);
	p = lm_wire_put_string(p, "lmodel", 6);
	p = lm_wire_put_string(p, "", 0);
	p = lm_wire_put_string(p, "sha512", 6);
	p = lm_wire_put_string(p, digest, sizeof(digest));
	lm_sha256(token, wire + len - application, application);
	token[32] = more[0] = flags;
	lm_wire_put_u32(token + 33, 0x01020304);
	lm_wire_put_u32(more + 1, 0x01020304);
	lm_sha256(token + 37, data, (size_t)(p - data));
	if (lm_ed25519_sign(bytes, seed, token, sizeof(token), NULL))
		abort();
	parts.key = (struct field){ wire, len };
	parts.kind = (struct field)TEXT("sk-ssh-ed25519@openssh.com");
	parts.bytes = (struct field){ bytes, sizeof(bytes) };
	parts.behind_kind = (const char[]){ (char)more[0], 1, 2, 3, 4, 0 };
	return build(blob, &parts);
}

static void test_fido(void)
{
	struct lmodel_error error = LMODEL_ERROR_INIT;
	uint8_t blob[1024], again[1024];
	char *text = NULL;
	struct lm_sshsig sig;
	struct lm_ssh_public plain;
	size_t len = fido_blob(blob, 4, 5);

	test_hostile_blob(blob, len, "FIDO");
	ok(lm_sshsig_parse(&sig, blob, len, &error) == LMODEL_OK && sig.key.fido &&
		   sig.flags == 5 && sig.counter == 0x01020304,
	   "FIDO: flags and counter");
	lm_ssh_public_plain(&plain, sig.key.key);
	ok(memcmp(plain.key, sig.key.key, 32) == 0 && !lm_ssh_public_equal(&plain, &sig.key),
	   "FIDO: another key than the plain one of the same bytes");
	ok(lm_sshsig_text(&text, &sig, &error) == LMODEL_OK && verifies(text, strlen(text)),
	   "FIDO: written again");
	free(text);
	sig.key = plain;
	ok(!lm_sshsig_verify(&sig, "lmodel", MESSAGE), "FIDO: no signature of the plain key");
	len = fido_blob(again, 0, 1);
	ok(verifies(again, len), "FIDO: no application");
	len = fido_blob(again, LM_SSH_APPLICATION, 1);
	ok(verifies(again, len), "FIDO: the longest application");
	len = fido_blob(again, LM_SSH_APPLICATION + 1, 1);
	is_int(lm_sshsig_parse(&sig, again, len, &error), LMODEL_ELIMIT, "FIDO: a longer one");
}

int main(void)
{
	uint8_t blob[1024];

	if (lm_crypto_init(NULL))
		return 99;
	test_wire();
	test_made();
	test_fields();
	test_hostile_blob(blob, build(blob, &sound), "a blob");
	test_malleable();
	test_armor();
	test_fido();
	return done();
}
