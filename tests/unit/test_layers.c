/* Archives as layers: what they are, that they make the file again, what changes them; the manifest
 * that describes them, there and back, and all that is refused of one; copies without some tiers. */
#include <fcntl.h>
#include <sys/stat.h>

#include <lmodel.h>

#include "archive/archive.h"
#include "base/io.h"
#include "lib/tap.h"
#include "registry/assembly.h"

static char directory[] = "/tmp/lmodel-layers-XXXXXX";
static char paths[8][128];
static unsigned path_count;

static const char *at(const char *name)
{
	char *path = paths[path_count++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

static void die(const char *what, const struct lmodel_error *e)
{
	printf("Bail out! %s: %s\n", what, e->message);
	exit(99);
}

/* ---- an archive with two tiers ---- */

static void make_model(const char *path)
{
	const char *header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[64,48],\"data_offsets\":[0,12288]},"
			     "\"b\":{\"dtype\":\"F32\",\"shape\":[900],\"data_offsets\":[12288,15888]}}  ";
	uint64_t len = strlen(header);
	FILE *f = fopen(path, "wb");
	uint8_t le[8];
	uint32_t x = 1;

	lm_put_u64(le, len);
	if (f == NULL || fwrite(le, 1, 8, f) != 8 || fwrite(header, 1, len, f) != len)
		exit(99);
	for (size_t i = 0; i < 15888 / 4; i++) {
		float v;

		x = x * 1664525 + 1013904223;
		v = ((float)(x >> 8) / 16777216.f - .5f) / 16;
		if (fwrite(&v, 1, sizeof(v), f) != sizeof(v))
			exit(99);
	}
	if (fclose(f) != 0)
		exit(99);
}

static struct lmodel_keyring *owner_ring(void)
{
	struct lmodel_error e = LMODEL_ERROR_INIT;
	struct lmodel_keyring *ring;

	if (lmodel_keyring_new(&ring, &e) || lmodel_keyring_add_file(ring, at("owner.key"), &e))
		die("keyring", &e);
	return ring;
}

static void make_archive(void)
{
	const struct lmodel_tier_amount tiers[] = { { .name = "silver", .share = .05 },
						    { .name = "gold", .share = .2 } };
	struct lmodel_protect_options protect = LMODEL_PROTECT_OPTIONS_INIT;
	struct lmodel_pack_options options = LMODEL_PACK_OPTIONS_INIT;
	struct lmodel_error e = LMODEL_ERROR_INIT;
	char owner[LMODEL_RECIPIENT_SIZE];
	const struct lmodel_grantee who = { .recipient = owner, .role = LMODEL_OWNER };
	const char *input = at("m.safetensors");

	make_model(input);
	if (lmodel_keygen(at("owner.key"), owner, &e))
		die("keygen", &e);
	protect.tiers = tiers;
	protect.tier_count = 2;
	protect.select = LMODEL_SELECT_RANDOM;
	protect.grantees = &who;
	protect.grantee_count = 1;
	options.protect = &protect;
	options.chunk_bytes = 4096;
	options.run.jobs = 1;
	if (lmodel_pack(at("x.lmodel"), &input, 1, &options, &e))
		die("pack", &e);
}

/* ---- its layers ---- */

struct state {
	struct lmodel_archive *archive;
	struct lm_layers layers;
};

static void look(struct state *s, const char *path)
{
	struct lmodel_error e = LMODEL_ERROR_INIT;
	const struct lmodel_archive *a;

	if (lmodel_open(&s->archive, path, &e))
		die("open", &e);
	a = s->archive;
	if (lm_layers_plan(&s->layers, &a->manifest, a->slots.slot_size, a->footer.committed_len,
			   a->label, &e))
		die("plan", &e);
	for (size_t i = 0; i < s->layers.count; i++) {
		struct lm_layer *l = &s->layers.layers[i];
		uint8_t *bytes = malloc(l->length);

		if (lm_file_read(&a->file, bytes, l->length, l->offset, &e))
			die("read", &e);
		lm_digest_of(l->digest, bytes, l->length);
		free(bytes);
	}
}

/* Its reader's lock would keep a rekey from zeroing what is dead. */
static void let_go(struct state *s)
{
	lmodel_close(s->archive);
	s->archive = NULL;
}

static void forget(struct state *s)
{
	let_go(s);
	lm_layers_free(&s->layers);
}

static const struct lm_layer *find(const struct state *s, enum lm_layer_kind kind, size_t tier)
{
	for (size_t i = 0; i < s->layers.count; i++)
		if (s->layers.layers[i].kind == kind && s->layers.layers[i].tier == tier)
			return &s->layers.layers[i];
	return NULL;
}

/* Layers whose bytes `before` does not have. */
static size_t new_bytes(const struct state *before, const struct state *after, size_t *layers)
{
	size_t bytes = 0;

	*layers = 0;
	for (size_t i = 0; i < after->layers.count; i++) {
		bool known = false;

		for (size_t j = 0; j < before->layers.count; j++)
			known |= strcmp(after->layers.layers[i].digest,
					before->layers.layers[j].digest) == 0;
		bytes += known ? 0 : after->layers.layers[i].length;
		*layers += !known;
	}
	return bytes;
}

/* Layers at their offsets in a fresh file, zeros elsewhere: what a pull does, without a network. */
static void assemble(const struct state *s, const char *path, size_t but_tier)
{
	struct lmodel_error e = LMODEL_ERROR_INIT;
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || ftruncate(fd, (off_t)s->layers.size) != 0)
		exit(99);
	for (size_t i = 0; i < s->layers.count; i++) {
		const struct lm_layer *l = &s->layers.layers[i];
		uint8_t *bytes = malloc(l->length);

		if (lm_file_read(&s->archive->file, bytes, l->length, l->offset, &e) ||
		    ((l->kind != LM_LAYER_TIER || l->tier < but_tier) &&
		     lm_write_at(fd, "y", bytes, l->length, l->offset, &e)))
			die("copy", &e);
		free(bytes);
	}
	close(fd);
}

static bool same_files(const char *a, const char *b)
{
	FILE *x = fopen(a, "rb"), *y = fopen(b, "rb");
	int c, d;

	if (x == NULL || y == NULL)
		exit(99);
	do {
		c = getc(x);
		d = getc(y);
	} while (c == d && c != EOF);
	fclose(x);
	fclose(y);
	return c == d;
}

static void test_plan(void)
{
	struct state s;
	uint64_t end = 0;

	look(&s, at("x.lmodel"));
	is_int((intmax_t)s.layers.count, 5, "manifest, base, two tiers, end");
	is_int((intmax_t)s.layers.dead_count, 0, "nothing is dead");
	for (size_t i = 0; i < s.layers.count; i++) {
		is_int((intmax_t)s.layers.layers[i].offset, (intmax_t)end, "no gap before a layer");
		end += s.layers.layers[i].length;
	}
	is_int((intmax_t)end, (intmax_t)s.layers.size, "the layers are the file");
	is_int((intmax_t)s.layers.size, (intmax_t)s.archive->slots.file_size, "as long as it is");
	assemble(&s, at("y.lmodel"), SIZE_MAX);
	ok(same_files(at("x.lmodel"), at("y.lmodel")), "put together they are the file");
	forget(&s);
}

static void test_changes(void)
{
	char recipient[LMODEL_RECIPIENT_SIZE];
	struct lmodel_keyring *ring = owner_ring();
	const struct lmodel_grantee who = { .recipient = recipient, .tier = "silver" };
	struct lmodel_error e = LMODEL_ERROR_INIT;
	const char *gold = "gold", *silver = "silver";
	struct state before, after;
	size_t changed, bytes;

	look(&before, at("x.lmodel"));
	if (lmodel_keygen(at("holder.key"), recipient, &e) ||
	    lmodel_grant(at("x.lmodel"), ring, &who, 1, NULL, NULL, &e))
		die("grant", &e);
	look(&after, at("x.lmodel"));
	is_int((intmax_t)new_bytes(&before, &after, &changed),
	       (intmax_t)before.layers.layers[0].length, "a grant changes the manifest layer");
	is_int((intmax_t)changed, 1, "and no other");
	forget(&before);
	before = after;
	let_go(&before);

	for (int i = 0; i < 2; i++) {
		size_t tier = i == 0 ? 1 : 0;
		const struct lm_layer *moved;

		if (lmodel_rekey(at("x.lmodel"), ring, i == 0 ? &gold : &silver, 1, NULL, &e))
			die("rekey", &e);
		look(&after, at("x.lmodel"));
		bytes = new_bytes(&before, &after, &changed);
		moved = find(&after, LM_LAYER_TIER, tier);
		is_int((intmax_t)bytes,
		       (intmax_t)(after.layers.layers[0].length + moved->length + 2 * LM_TAR_BLOCK),
		       "rekeying changes the manifest, that tier, two headers");
		is_int((intmax_t)after.layers.dead_count, 2 + 2 * i, "its old places are dead");
		assemble(&after, at("y.lmodel"), SIZE_MAX);
		ok(same_files(at("x.lmodel"), at("y.lmodel")), "put together it is the file");
		forget(&before);
		before = after;
		let_go(&before);
	}
	forget(&before);
	lmodel_keyring_free(ring);
}

/* ---- the manifest ---- */

static void parse(const char *text, enum lmodel_code wanted, const char *part, const char *what)
{
	struct lmodel_error e = LMODEL_ERROR_INIT;
	struct lm_image image;

	is_int(lm_image_parse(&image, text, strlen(text), "r/n:t", &e), wanted, what);
	if (wanted != LMODEL_OK)
		is_error(&e, wanted, part, what);
	lm_image_free(&image);
}

/* The text with the first `from` replaced. */
static void broken(const char *text, const char *from, const char *to, enum lmodel_code wanted,
		   const char *part, const char *what)
{
	const char *found = strstr(text, from);
	char *copy = malloc(strlen(text) + strlen(to) + 1);

	if (!ok(found != NULL, "%s: is in the text", what))
		return;
	memcpy(copy, text, (size_t)(found - text));
	strcpy(copy + (found - text), to);
	strcat(copy, found + strlen(from));
	parse(copy, wanted, part, what);
	free(copy);
}

static void test_image(void)
{
	struct lm_image_texts texts, again;
	struct lmodel_error e = LMODEL_ERROR_INIT;
	struct lm_image image;
	struct state s;
	char *two, size[40];

	look(&s, at("x.lmodel"));
	if (lm_image_make(&texts, &s.layers, &s.archive->manifest, "bert", &e) ||
	    lm_image_make(&again, &s.layers, &s.archive->manifest, "bert", &e))
		die("make", &e);
	is_str(texts.manifest, again.manifest, "the same text each time");
	ok(strstr(texts.manifest, "bert.lmodel.parts/000-manifest") != NULL, "a path of a layer");
	ok(strstr(texts.manifest, "-tier-gold") != NULL, "the path of a tier");
	if (lm_image_parse(&image, texts.manifest, texts.manifest_len, "r/n:t", &e))
		die("parse", &e);
	is_str(image.id, s.archive->manifest.id, "the id comes back");
	is_int((intmax_t)image.generation, 3, "the content generation");
	is_int((intmax_t)image.layers.count, (intmax_t)s.layers.count, "the layers");
	is_int((intmax_t)image.layers.dead_count, 4, "the dead ranges");
	is_int((intmax_t)image.tier_count, 2, "the tiers");
	is_str(image.config_digest, texts.config_digest, "the config");
	is_int(lm_image_matches(&image, &s.layers, &s.archive->manifest, "x", &e), LMODEL_OK,
	       "it is what the archive's rows make");
	image.layers.dead[1].length += 512;
	is_int(lm_image_matches(&image, &s.layers, &s.archive->manifest, "x", NULL),
	       LMODEL_ECORRUPT, "another dead range is seen");
	image.layers.dead[1].length -= 512;
	image.layers.layers[2].offset += 512;
	is_int(lm_image_matches(&image, &s.layers, &s.archive->manifest, "x", NULL),
	       LMODEL_ECORRUPT, "another offset is seen");
	lm_image_free(&image);

	two = texts.manifest;
	parse(two, LMODEL_OK, "", "as it is");
	parse("[]", LMODEL_ECORRUPT, "no JSON object", "an array");
	parse("{}", LMODEL_ECORRUPT, "no manifest", "an empty object");
	broken(two, "\"schemaVersion\":2", "\"schemaVersion\":1", LMODEL_ECORRUPT, "no manifest",
	       "another schema");
	broken(two, "image.manifest.v1", "image.index.v1", LMODEL_EUNSUPPORTED, "not one artifact",
	       "an index");
	broken(two, "vnd.cncf.model.manifest", "vnd.example.manifest", LMODEL_EUNSUPPORTED,
	       "no model", "another artifact");
	broken(two, "org.lmodel.id", "org.lmodel.ie", LMODEL_EUNSUPPORTED, "another form",
	       "a model of others");
	broken(two, "\"org.lmodel.id\":\"", "\"org.lmodel.id\":\"x", LMODEL_ECORRUPT, "its id",
	       "no id");
	broken(two, "model.config.v1", "model.config.v9", LMODEL_ECORRUPT, "config",
	       "another config");
	broken(two, "weight.v1.raw", "weight.v1.tar", LMODEL_EUNSUPPORTED, "layer 0: has the type",
	       "another kind of layer");
	broken(two, "\"org.lmodel.kind\":\"manifest\"", "\"org.lmodel.kind\":\"base\"",
	       LMODEL_ECORRUPT, "does not belong there", "no manifest layer");
	broken(two, "\"org.lmodel.kind\":\"base\"", "\"org.lmodel.kind\":\"end\"",
	       LMODEL_ECORRUPT, "does not belong there", "two ends");
	broken(two, "\"org.lmodel.kind\":\"base\"", "\"org.lmodel.kind\":\"bass\"",
	       LMODEL_ECORRUPT, "no kind", "an unknown kind");
	broken(two, "\"org.lmodel.tier\":\"gold\"", "\"org.lmodel.tier\":\"silver\"",
	       LMODEL_ECORRUPT, "comes twice", "one tier twice");
	broken(two, "\"org.lmodel.tier\":\"gold\"", "\"org.lmodel.tier\":\"../gold\"",
	       LMODEL_ECORRUPT, "no name of a tier", "a name that is none");
	broken(two, "\"org.lmodel.offset\":\"0\"", "\"org.lmodel.offset\":\"1\"", LMODEL_ECORRUPT,
	       "do not fit", "a gap");
	broken(two, "\"org.lmodel.offset\":\"0\"", "\"org.lmodel.offset\":\"00\"",
	       LMODEL_ECORRUPT, "no offset", "a number with leading zeros");
	broken(two, "\"org.lmodel.offset\":\"0\"",
	       "\"org.lmodel.offset\":\"9223372036854775808\"", LMODEL_ECORRUPT, "no offset",
	       "an offset over 2^63");
	snprintf(size, sizeof(size), "\"size\":%ju,", (uintmax_t)s.layers.layers[0].length);
	broken(two, size, "\"size\":4294967296,", LMODEL_ELIMIT, "a manifest of 4294967296 bytes",
	       "a first layer longer than slots can be");
	broken(two, "\"size\":1024,", "\"size\":1536,", LMODEL_ECORRUPT, "no end",
	       "an end of another length");
	broken(two, "\"org.lmodel.size\":\"", "\"org.lmodel.size\":\"1", LMODEL_ECORRUPT, "size",
	       "another size of the file");
	broken(two, "\"org.lmodel.dead\":\"", "\"org.lmodel.dead\":\",", LMODEL_ECORRUPT,
	       "dead ranges", "an empty dead range");
	broken(two, "\"org.lmodel.dead\":\"", "\"org.lmodel.dead\":\"0+512,", LMODEL_ECORRUPT,
	       "do not fit", "a dead range over a layer");
	broken(two, "\"org.lmodel.generation\":\"3\"", "\"org.lmodel.generation\":\"0\"",
	       LMODEL_ECORRUPT, "generation", "generation 0");
	broken(two, "\"digest\":\"sha256:", "\"digest\":\"sha512:", LMODEL_ECORRUPT, "config",
	       "another hash");
	lm_image_texts_free(&texts);
	lm_image_texts_free(&again);
	forget(&s);
}

/* ---- copies without tiers ---- */

static void test_partial(size_t keep)
{
	struct lmodel_error e = LMODEL_ERROR_INIT;
	struct lmodel_archive *part;
	struct lm_image_texts texts;
	struct lm_assembly assembly;
	struct lm_exchange session = { .run = NULL };
	struct lmodel_verify_report report;
	struct lm_image image;
	struct state s, after;
	size_t changed;

	look(&s, at("x.lmodel"));
	assemble(&s, at("part.lmodel"), keep);
	if (lm_image_make(&texts, &s.layers, &s.archive->manifest, "bert", &e) ||
	    lm_image_parse(&image, texts.manifest, texts.manifest_len, "r/n:t", &e) ||
	    lm_assembly_begin(&assembly, &session, &image, &e))
		die("image", &e);
	assembly.fd = open(at("part.lmodel"), O_RDWR);
	assembly.label = "part";
	for (size_t i = 0; i < s.layers.count; i++)
		if (s.layers.layers[i].kind == LM_LAYER_TIER)
			assembly.wanted[i] = s.layers.layers[i].tier < keep;
	is_int(lm_partial_make(&assembly, s.archive, &e), LMODEL_OK, "a copy without a tier");
	close(assembly.fd);
	lm_assembly_end(&assembly);
	if (lmodel_open(&part, at("part.lmodel"), &e))
		die("open", &e);
	is_int(lmodel_verify(part, NULL, NULL, &report, &e), LMODEL_OK, "it verifies");
	is_int((intmax_t)report.notes, (intmax_t)(2 - keep), "it says what is absent");
	for (size_t t = 0; t < 2; t++)
		is_int(part->manifest.tiers[t].absent, t >= keep, "the tiers that were kept");
	is_int((intmax_t)part->footer.commit_counter, (intmax_t)s.archive->footer.commit_counter,
	       "under the same commit");
	lmodel_close(part);

	/* With the layers that it lacks it is the whole again. */
	look(&after, at("part.lmodel"));
	new_bytes(&after, &s, &changed);
	is_int((intmax_t)changed, (intmax_t)(1 + 2 - keep), "the manifest and the tiers are missing");
	forget(&after);
	lm_image_free(&image);
	lm_image_texts_free(&texts);
	forget(&s);
}

int main(void)
{
	const char *const files[] = { "m.safetensors", "owner.key", "holder.key", "x.lmodel",
				      "y.lmodel", "part.lmodel" };

	if (mkdtemp(directory) == NULL)
		return 99;
	make_archive();
	test_plan();
	test_changes();
	test_image();
	test_partial(1);
	test_partial(0);
	for (size_t i = 0; i < LM_COUNT(files); i++)
		unlink(at(files[i]));
	rmdir(directory);
	return done();
}
