/* lmodel_unlock() of an archive that its owner changed after it was opened: that is no older copy of
 * it, as one is that was put back; neither is taken. */
#include <stdio.h>
#include <unistd.h>

#include <lmodel.h>

#include "base/base.h"
#include "lib/tap.h"

static char root[64];

#define AT(name) path_to((char[128]){ 0 }, (name))

static const char *path_to(char buffer[128], const char *name)
{
	snprintf(buffer, 128, "%s/%s", root, name);
	return buffer;
}

static void must(int r, const struct lmodel_error *e)
{
	if (r == LMODEL_OK)
		return;
	printf("Bail out! %s\n", e->message);
	exit(99);
}

static void make_archive(char recipient[LMODEL_RECIPIENT_SIZE])
{
	static const char header[] = "{\"w\":{\"dtype\":\"F32\",\"shape\":[64,64],"
				     "\"data_offsets\":[0,16384]}}   ";
	const struct lmodel_tier_amount tier = { .name = "gold", .share = .1 };
	const struct lmodel_grantee owner = { .recipient = recipient, .role = LMODEL_OWNER };
	struct lmodel_protect_options protect = LMODEL_PROTECT_OPTIONS_INIT;
	struct lmodel_pack_options options = LMODEL_PACK_OPTIONS_INIT;
	struct lmodel_error e = LMODEL_ERROR_INIT;
	const char *input = AT("m.safetensors");
	FILE *f = fopen(input, "wb");
	uint8_t len[8];

	lm_put_u64(len, sizeof(header) - 1);
	fwrite(len, 1, sizeof(len), f);
	fwrite(header, 1, sizeof(header) - 1, f);
	for (int i = 0; i < 4096; i++) {
		const float v = (float)(i * 7919 % 4093 - 2046) / 2046;

		fwrite(&v, sizeof(v), 1, f);
	}
	fclose(f);
	must(lmodel_keygen(AT("owner.key"), recipient, &e), &e);
	protect.tiers = &tier;
	protect.tier_count = 1;
	protect.grantees = &owner;
	protect.grantee_count = 1;
	options.protect = &protect;
	must(lmodel_pack(AT("m.lmodel"), &input, 1, &options, &e), &e);
}

static void copy(const char *from, const char *to)
{
	char command[400];

	snprintf(command, sizeof(command), "cp %s/%s %s/%s", root, from, root, to);
	if (system(command) != 0)
		exit(99);
}

int main(void)
{
	struct lmodel_error e = LMODEL_ERROR_INIT;
	char recipient[LMODEL_RECIPIENT_SIZE], command[128];
	const struct lmodel_grantee other = { .recipient = recipient, .role = LMODEL_OWNER };
	struct lmodel_keyring *ring = NULL;
	struct lmodel_archive *before = NULL, *after = NULL, *old = NULL;

	snprintf(root, sizeof(root), "/tmp/meanwhile.XXXXXX");
	if (mkdtemp(root) == NULL)
		return 99;
	make_archive(recipient);
	copy("m.lmodel", "old.lmodel");
	must(lmodel_keyring_new(&ring, &e), &e);
	must(lmodel_keyring_add_file(ring, AT("owner.key"), &e), &e);
	must(lmodel_keyring_remember(ring, AT("state"), false, &e), &e);

	must(lmodel_open(&before, AT("m.lmodel"), &e), &e);
	must(lmodel_grant(AT("m.lmodel"), ring, &other, 1, NULL, NULL, &e), &e);
	ok(lmodel_unlock(before, ring, &e) == LMODEL_EFAILED, "opened, then changed: not taken");
	is_error(&e, LMODEL_EFAILED, "was changed meanwhile; try again", "... and told so");
	must(lmodel_open(&after, AT("m.lmodel"), &e), &e);
	ok(lmodel_unlock(after, ring, &e) == LMODEL_OK, "read again it is taken");

	e = (struct lmodel_error)LMODEL_ERROR_INIT;
	must(lmodel_open(&old, AT("old.lmodel"), &e), &e);
	ok(lmodel_unlock(old, ring, &e) == LMODEL_ECORRUPT, "a copy from before is corrupt");
	is_error(&e, LMODEL_ECORRUPT, "is older than what its owner saw before", "... and older");

	lmodel_close(before);
	lmodel_close(after);
	lmodel_close(old);
	lmodel_keyring_free(ring);
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command) == 0 ? done() : 99;
}
