/* What ssh-keygen -Y and minisign -V do, by libfmt/crypto/sig/, for the tests against them:
 *
 *     sig_tool sign KEY NAMESPACE              signs standard input
 *     sig_tool fido KEY NAMESPACE FLAGS        the same as a FIDO token with that key would
 *     sig_tool fido-key KEY                    its public key
 *     sig_tool text SIGNATURE                  an SSH signature, written again
 *     sig_tool verify SIGNATURE SIGNERS NAMESPACE [TIME]
 *                                              of standard input; prints who and the key
 *
 * KEY is an OpenSSH private key file, TIME is as in a signers file. The exit status is an
 * lmodel_code. */
#include <stdio.h>
#include <time.h>

#include "crypto/age/base64.h"
#include "crypto/age/ssh_key.h"
#include "crypto/crypto.h"
#include "crypto/secret.h"
#include "crypto/sha512.h"
#include "crypto/sig/minisign.h"
#include "crypto/sig/signer_options.h"
#include "crypto/sig/signers.h"
#include "crypto/sig/sshsig.h"
#include "crypto/sig/wire.h"

enum { INPUT_LIMIT = 4 << 20 };

static struct lmodel_error error = LMODEL_ERROR_INIT;

struct bytes {
	uint8_t *at;
	size_t len;
};

static struct bytes read_all(const char *path)
{
	FILE *file = path == NULL ? stdin : fopen(path, "rb");
	struct bytes bytes = { malloc(INPUT_LIMIT), 0 };

	if (file == NULL || bytes.at == NULL) {
		fprintf(stderr, "sig_tool: cannot read\n");
		exit(99);
	}
	bytes.len = fread(bytes.at, 1, INPUT_LIMIT, file);
	if (path != NULL)
		fclose(file);
	return bytes;
}

static int read_key(const char *path, uint8_t seed[32], uint8_t public_key[32])
{
	struct bytes file = read_all(path);
	LM_SECRET uint8_t *secret = lm_crypto_init(&error) ? NULL : lm_secret_alloc(32, &error);
	int r;

	if (secret == NULL)
		return LMODEL_EFAILED;
	r = lm_ssh_private_parse(file.at, file.len, path, secret, public_key, &error);
	memcpy(seed, secret, 32);
	free(file.at);
	return r;
}

static int sign(const char *key, const char *ns)
{
	struct bytes message = read_all(NULL);
	uint8_t seed[32], public_key[32];
	char *text = NULL;
	int r = read_key(key, seed, public_key);

	if (r == LMODEL_OK)
		r = lm_sshsig_sign(&text, seed, ns, message.at, message.len, &error);
	if (r == LMODEL_OK)
		fputs(text, stdout);
	free(text);
	free(message.at);
	return r;
}

/* ---- a token in software ---- */

static int fido_public(struct lm_ssh_public *public, const uint8_t key[32])
{
	uint8_t wire[LM_SSH_PUBLIC_WIRE], *p = wire;

	p = lm_wire_put_string(p, "sk-ssh-ed25519@openssh.com", 26);
	p = lm_wire_put_string(p, key, 32);
	p = lm_wire_put_string(p, "ssh:", 4);
	return lm_ssh_public_read(public, wire, (size_t)(p - wire), &error);
}

static int fido_key(const char *path)
{
	struct lm_ssh_public public;
	uint8_t seed[32], key[32];
	char text[512] = "";
	int r = read_key(path, seed, key);

	if (r == LMODEL_OK)
		r = fido_public(&public, key);
	if (r != LMODEL_OK)
		return r;
	lm_base64_encode(text, public.wire, public.wire_len);
	while (strlen(text) % 4 != 0)
		text[strlen(text)] = '=';
	printf("sk-ssh-ed25519@openssh.com %s token\n", text);
	return LMODEL_OK;
}

static int fido_sign(const char *path, const char *ns, unsigned flags)
{
	struct bytes message = read_all(NULL);
	struct lm_sshsig sig = { .flags = (uint8_t)flags, .counter = 0x01020304 };
	uint8_t seed[32], key[32], digest[64], data[512] = "SSHSIG", token[69], *p = data + 6;
	char *text = NULL;
	int r = read_key(path, seed, key);

	if (r == LMODEL_OK)
		r = fido_public(&sig.key, key);
	if (r != LMODEL_OK)
		return r;
	memcpy(sig.ns, ns, strlen(ns) + 1);
	lm_sha512(digest, message.at, message.len);
	p = lm_wire_put_string(p, ns, strlen(ns));
	p = lm_wire_put_string(p, "", 0);
	p = lm_wire_put_string(p, "sha512", 6);
	p = lm_wire_put_string(p, digest, sizeof(digest));
	lm_sha256(token, "ssh:", 4);
	token[32] = sig.flags;
	lm_wire_put_u32(token + 33, sig.counter);
	lm_sha256(token + 37, data, (size_t)(p - data));
	r = lm_ed25519_sign(sig.signature, seed, token, sizeof(token), &error);
	if (r == LMODEL_OK)
		r = lm_sshsig_text(&text, &sig, &error);
	if (r == LMODEL_OK)
		fputs(text, stdout);
	free(text);
	free(message.at);
	return r;
}

/* ---- checking ---- */

static void print_notice(void *context, const char *message)
{
	(void)context;
	fprintf(stderr, "%s\n", message);
}

static int verify_ssh(struct bytes file, const struct lm_signers *signers, const char *ns,
		      int64_t when, struct bytes message)
{
	const struct lm_signer *signer = NULL;
	char fingerprint[LM_SSH_FINGERPRINT];
	struct lm_sshsig sig;
	int r = lm_sshsig_parse(&sig, file.at, file.len, &error);

	if (r == LMODEL_OK && !lm_sshsig_verify(&sig, ns, message.at, message.len))
		r = lm_fail(&error, LMODEL_ECORRUPT, "is not a signature of this");
	if (r == LMODEL_OK)
		r = lm_signers_find_ssh(signers, &sig.key, ns, when, &signer, &error);
	if (r != LMODEL_OK)
		return r;
	lm_ssh_public_fingerprint(fingerprint, &sig.key);
	printf("%s %s\n", signer->name, fingerprint);
	return LMODEL_OK;
}

static int verify_minisign(struct bytes file, const struct lm_signers *signers,
			   struct bytes message)
{
	const struct lm_signer *signer = NULL;
	static struct lm_minisign sig;
	int r = lm_minisign_parse(&sig, file.at, file.len, &error);

	if (r == LMODEL_OK)
		r = lm_signers_find_minisign(signers, sig.id, &signer, &error);
	if (r == LMODEL_OK &&
	    !lm_minisign_verify(&sig, &signer->minisign, message.at, message.len))
		r = lm_fail(&error, LMODEL_ECORRUPT, "is not a signature of this");
	if (r == LMODEL_OK)
		printf("%s\n%s\n", signer->name, sig.trusted_comment);
	return r;
}

static int verify(const char *path, const char *signers_path, const char *ns, const char *time_text)
{
	const struct lmodel_run run = { .notice = print_notice };
	struct bytes file = read_all(path), list = read_all(signers_path), message = read_all(NULL);
	struct lm_signers *signers = NULL;
	int64_t when = time(NULL);
	int r;

	if (time_text != NULL && !lm_signer_time(time_text, &when))
		exit(99);
	r = lm_signers_parse(&signers, list.at, list.len, signers_path, &run, &error);
	if (r == LMODEL_OK && lm_minisign_begins(file.at, file.len))
		r = verify_minisign(file, signers, message);
	else if (r == LMODEL_OK)
		r = verify_ssh(file, signers, ns, when, message);
	lm_signers_free(signers);
	free(file.at);
	free(list.at);
	free(message.at);
	return r;
}

static int write_again(const char *path)
{
	struct bytes file = read_all(path);
	struct lm_sshsig sig;
	char *text = NULL;
	int r = lm_sshsig_parse(&sig, file.at, file.len, &error);

	if (r == LMODEL_OK)
		r = lm_sshsig_text(&text, &sig, &error);
	if (r == LMODEL_OK)
		fputs(text, stdout);
	free(text);
	free(file.at);
	return r;
}

static int run_command(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "sign") == 0)
		return sign(argv[2], argv[3]);
	if (argc == 5 && strcmp(argv[1], "fido") == 0)
		return fido_sign(argv[2], argv[3], (unsigned)strtoul(argv[4], NULL, 0));
	if (argc == 3 && strcmp(argv[1], "fido-key") == 0)
		return fido_key(argv[2]);
	if (argc == 3 && strcmp(argv[1], "text") == 0)
		return write_again(argv[2]);
	if (argc >= 5 && strcmp(argv[1], "verify") == 0)
		return verify(argv[2], argv[3], argv[4], argv[5]);
	return 99;
}

int main(int argc, char **argv)
{
	int r = run_command(argc, argv);

	if (r != LMODEL_OK)
		fprintf(stderr, "sig_tool: %s\n", error.message);
	return r;
}
