/* True values over chunks that come from many threads: in whatever order these get to run, it is the
 * same bytes; what is damaged is told as one thread would tell it, and nobody waits for what does
 * not come. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmodel.h>

#include "archive/overlay.h"
#include "base/io.h"
#include "lib/tap.h"

enum { TENSORS = 3, THREADS = 4, PIECE = 5000, MOST = 64 };

static const struct {
	const char *name, *dtype, *shape;
	size_t bytes;
} tensors[TENSORS] = {
	{ "a.weight", "BF16", "200,500", 200000 },
	{ "b.weight", "F32", "70,300", 84000 },
	{ "c.weight", "BF16", "30,30", 1800 },
};

static char root[64];
static uint8_t truth[TENSORS][200000];

#define AT(name) path_to((char[256]){ 0 }, (name))

static const char *path_to(char buffer[256], const char *name)
{
	snprintf(buffer, 256, "%s/%s", root, name);
	return buffer;
}

static void die(const char *what, const struct lmodel_error *e)
{
	printf("Bail out! %s: %s\n", what, e->message);
	exit(99);
}

/* ---- the archive ---- */

static void make_model(void)
{
	char header[1024] = "{";
	uint32_t state = 2463534242u;
	uint8_t len[8];
	size_t n = 1, at = 0;
	FILE *f = fopen(AT("m.safetensors"), "wb");

	for (size_t i = 0; i < TENSORS; i++) {
		n += (size_t)snprintf(header + n, sizeof(header) - n, "%s\"%s\":{\"dtype\":\"%s\","
				      "\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", i > 0 ? "," : "",
				      tensors[i].name, tensors[i].dtype, tensors[i].shape, at,
				      at + tensors[i].bytes);
		at += tensors[i].bytes;
	}
	header[n++] = '}';
	while (n % 8 != 0)
		header[n++] = ' ';
	lm_put_u64(len, n);
	fwrite(len, 1, 8, f);
	fwrite(header, 1, n, f);
	for (size_t i = 0; i < TENSORS; i++) {
		for (size_t k = 0; k < tensors[i].bytes; k++) {
			state ^= state << 13;
			state ^= state >> 17;
			state ^= state << 5;
			/* The upper byte of floats of a sane size. */
			truth[i][k] = k % (i == 1 ? 4 : 2) == (i == 1 ? 3 : 1) ?
					      (uint8_t)(0x3c | (state & 0x80)) : (uint8_t)state;
		}
		fwrite(truth[i], 1, tensors[i].bytes, f);
	}
	fclose(f);
}

static void make_archive(void)
{
	const struct lmodel_tier_amount tiers[] = { { .name = "silver", .share = .05 },
						    { .name = "gold", .share = .6 } };
	struct lmodel_protect_options protect = LMODEL_PROTECT_OPTIONS_INIT;
	struct lmodel_pack_options options = LMODEL_PACK_OPTIONS_INIT;
	struct lmodel_error e = LMODEL_ERROR_INIT;
	char recipient[LMODEL_RECIPIENT_SIZE];
	const struct lmodel_grantee owner = { .recipient = recipient, .role = LMODEL_OWNER };
	const char *input = AT("m.safetensors");

	if (lmodel_keygen(AT("owner.key"), recipient, &e))
		die("keygen", &e);
	protect.tiers = tiers;
	protect.tier_count = 2;
	protect.unit = LMODEL_UNIT_ELEMENT;
	protect.grantees = &owner;
	protect.grantee_count = 1;
	options.protect = &protect;
	options.chunk_bytes = 4096;
	if (lmodel_pack(AT("m.lmodel"), &input, 1, &options, &e))
		die("pack", &e);
}

static struct lmodel_archive *open_archive(bool with_key)
{
	struct lmodel_error e = LMODEL_ERROR_INIT;
	struct lmodel_keyring *ring = NULL;
	struct lmodel_archive *a = NULL;

	if (lmodel_open(&a, AT("m.lmodel"), &e) || lmodel_keyring_new(&ring, &e) ||
	    lmodel_keyring_add_file(ring, AT("owner.key"), &e) ||
	    (with_key && lmodel_unlock(a, ring, &e)))
		die("open", &e);
	lmodel_keyring_free(ring);
	return a;
}

static void base_of(size_t tensor, uint8_t *bytes)
{
	struct lmodel_error e = LMODEL_ERROR_INIT;
	struct lmodel_archive *a = open_archive(false);

	if (lmodel_tensor_read(a, lmodel_tensor_at(a, tensor), 0, bytes, tensors[tensor].bytes, &e))
		die("base", &e);
	lmodel_close(a);
}

/* ---- pieces from threads ---- */

struct work {
	struct lm_overlay *overlay;
	size_t tensor;
	uint8_t bytes[200000];
	int result[MOST];        /* of each piece */
	char message[MOST][160];
	size_t pieces, lost;     /* this one does not come; MOST: all do */
};

struct hand {
	struct work *work;       /* of several tensors */
	size_t works, number;
};

static void *put_pieces(void *argument)
{
	const struct hand *h = argument;

	for (size_t k = h->number; k < MOST; k += THREADS)
		for (size_t i = 0; i < h->works; i++) {
			struct work *w = &h->work[i];
			size_t at = k * PIECE, all = tensors[w->tensor].bytes;
			struct lmodel_error e = LMODEL_ERROR_INIT;

			if (k >= w->pieces)
				continue;
			if ((k * 7 + i) % 5 == 0)
				usleep(200);
			if (k == w->lost)
				lm_overlay_lost(w->overlay, i, w->tensor, at);
			else
				w->result[k] = lm_overlay_put(w->overlay, i, w->tensor, at,
							      w->bytes + at,
							      LM_MIN((size_t)PIECE, all - at), &e);
			snprintf(w->message[k], sizeof(w->message[k]), "%s", e.message);
		}
	return NULL;
}

static void run_work(struct lmodel_archive *a, struct work *work, size_t works)
{
	struct lmodel_error e = LMODEL_ERROR_INIT;
	struct lm_overlay *o = lm_overlay_new(a, &e);
	struct hand hands[THREADS];
	pthread_t thread[THREADS];

	if (o == NULL)
		die("overlay", &e);
	for (size_t i = 0; i < works; i++) {
		work[i].overlay = o;
		work[i].pieces = (tensors[work[i].tensor].bytes + PIECE - 1) / PIECE;
		base_of(work[i].tensor, work[i].bytes);
	}
	for (size_t t = 0; t < THREADS; t++) {
		hands[t] = (struct hand){ work, works, t };
		if (pthread_create(&thread[t], NULL, put_pieces, &hands[t]) != 0)
			exit(99);
	}
	for (size_t t = 0; t < THREADS; t++)
		pthread_join(thread[t], NULL);
	lm_overlay_free(o);
}

static struct work work[4];

static void begin(void)
{
	memset(work, 0, sizeof(work));
	for (size_t i = 0; i < LM_COUNT(work); i++) {
		work[i].tensor = i % TENSORS;
		work[i].lost = MOST;
	}
}

/* All pieces before `first` are right; it has that result, and those behind it have failed. */
static bool broken_at(const struct work *w, size_t first, int result)
{
	bool good = w->result[first] == result;

	for (size_t k = 0; k < w->pieces; k++)
		if (k != first)
			good &= (w->result[k] == LMODEL_OK) == (k < first);
	return good && memcmp(w->bytes, truth[w->tensor], first * PIECE) == 0;
}

static void test_threads(void)
{
	struct lmodel_archive *a = open_archive(true);
	uint8_t base[200000];
	bool good = true;

	base_of(0, base);
	ok(memcmp(base, truth[0], sizeof(base)) != 0, "the base is not the truth");
	for (int round = 0; round < 10; round++) {
		begin();
		run_work(a, work, LM_COUNT(work)); /* the first tensor twice */
		for (size_t i = 0; i < LM_COUNT(work); i++) {
			for (size_t k = 0; k < work[i].pieces; k++)
				good &= work[i].result[k] == LMODEL_OK;
			good &= memcmp(work[i].bytes, truth[work[i].tensor],
				       tensors[work[i].tensor].bytes) == 0;
		}
	}
	ok(good, "pieces of four tensors from four threads: the truth");

	begin();
	work[0].lost = 5;
	run_work(a, work, 2);
	ok(broken_at(&work[0], 5, 0), "a piece is lost: those before it are right, the others fail");
	ok(memcmp(work[1].bytes, truth[1], tensors[1].bytes) == 0, "another tensor is not touched by that");
	begin();
	work[0].lost = 0;
	run_work(a, work, 1);
	ok(broken_at(&work[0], 0, 0), "the first one is lost");
	lmodel_close(a);
}

/* ---- damage ---- */

static void flip(uint64_t at)
{
	struct lmodel_error e = LMODEL_ERROR_INIT;
	uint64_t size;
	uint8_t byte = 0;
	int fd;

	if (lm_open_regular(AT("m.lmodel"), O_RDWR, &fd, &size, &e) ||
	    lm_read_at(fd, "archive", &byte, 1, at, &e))
		die("damage", &e);
	byte ^= 4;
	if (lm_write_at(fd, "archive", &byte, 1, at, &e))
		die("damage", &e);
	close(fd);
}

/* With any number of workers the same is told, and nothing is left behind. */
static void is_told(const char *part, const char *what)
{
	struct lmodel_extract_options options = LMODEL_EXTRACT_OPTIONS_INIT;
	struct lmodel_archive *a = open_archive(true);
	bool extract = true, read = true, cat = true;

	for (unsigned jobs = 1; jobs <= 8; jobs++) {
		const struct lmodel_run run = { .jobs = jobs };
		struct lmodel_error e = LMODEL_ERROR_INIT;
		struct lmodel_read reads[TENSORS];
		FILE *out = tmpfile();

		options.run.jobs = jobs;
		extract &= lmodel_extract(a, AT("out.safetensors"), &options, &e) == LMODEL_ECORRUPT &&
			   strstr(e.message, part) != NULL &&
			   access(AT("out.safetensors"), F_OK) != 0;
		for (size_t i = 0; i < TENSORS; i++)
			reads[i] = (struct lmodel_read){ .tensor = lmodel_tensor_at(a, i),
							 .buffer = work[i].bytes,
							 .len = tensors[i].bytes };
		read &= lmodel_read_tensors(a, reads, TENSORS, &run, &e) == LMODEL_ECORRUPT &&
			strstr(e.message, part) != NULL;
		cat &= out != NULL && lmodel_cat(a, reads[0].tensor, fileno(out), true, &run, &e) ==
						      LMODEL_ECORRUPT &&
		       strstr(e.message, part) != NULL && lseek(fileno(out), 0, SEEK_END) == 0;
		if (!(extract && read && cat))
			printf("# %u jobs: %s\n", jobs, e.message);
		if (out != NULL)
			fclose(out);
	}
	ok(extract, "%s: extraction says so with any number of jobs, and leaves nothing", what);
	ok(read, "%s: so does reading", what);
	ok(cat, "%s: so does cat, before a byte", what);
	lmodel_close(a);
}

static uint64_t stream_at(enum lm_stream kind, uint64_t *len)
{
	struct lmodel_archive *a = open_archive(false);
	const struct lm_manifest *m = &a->manifest;
	const struct lm_shard_row *s = &m->shards[lm_shard_find(m, 1, 0)];
	uint64_t at = m->tiers[1].offset[kind] + s->stream[kind].offset;

	*len = s->stream[kind].length;
	lmodel_close(a);
	return at;
}

static void test_damage(void)
{
	uint64_t len, at = stream_at(LM_VALUES, &len);
	struct lmodel_archive *a;
	size_t first = 0;

	flip(at + len * 3 / 4);
	a = open_archive(true);
	begin();
	run_work(a, work, 1);
	while (first < MOST - 1 && work[0].result[first] == LMODEL_OK)
		first++;
	ok(first > 5 && first < 39 && broken_at(&work[0], first, LMODEL_ECORRUPT) &&
	   strstr(work[0].message[first], "values: is not authentic") != NULL,
	   "damaged values: right as far as they are, then that, then nothing");
	lmodel_close(a);
	is_told("tensor 'a.weight', tier gold: values: is not authentic", "damaged values");
	flip(at + len * 3 / 4);

	flip(at + 3);
	is_told("tensor 'a.weight', tier gold: values: does not belong here", "a damaged salt");
	flip(at + 3);

	at = stream_at(LM_POSITIONS, &len);
	flip(at + len - 1);
	is_told("tensor 'a.weight', tier gold: positions: is not authentic", "a damaged end");
	flip(at + len - 1);

	a = open_archive(false);
	at = a->manifest.members[a->manifest.tensors[0].member].offset;
	lmodel_close(a);
	flip(at + 60000);
	is_told("SHA-256 does not match", "a damaged chunk");
	flip(at + 60000);
}

static void test_whole(void)
{
	struct lmodel_extract_options options = LMODEL_EXTRACT_OPTIONS_INIT;
	struct lmodel_archive *a = open_archive(true);
	struct lmodel_error e = LMODEL_ERROR_INIT;
	char command[600];
	bool same = true;

	options.overwrite = true;
	for (unsigned jobs = 1; jobs <= 4; jobs++) {
		options.run.jobs = jobs;
		snprintf(command, sizeof(command), "cmp %s/out.safetensors %s/m.safetensors", root,
			 root);
		same &= lmodel_extract(a, AT("out.safetensors"), &options, &e) == LMODEL_OK &&
			system(command) == 0;
	}
	ok(same, "undamaged again, extraction with one to four jobs gives the model");
	lmodel_close(a);
}

int main(void)
{
	char command[128];

	alarm(300); /* one that waits for ever fails */
	snprintf(root, sizeof(root), "%s/overlay.XXXXXX",
		 getenv("TMPDIR") != NULL && strlen(getenv("TMPDIR")) < 40 ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(root) == NULL)
		return 99;
	make_model();
	make_archive();
	test_threads();
	test_damage();
	test_whole();
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command) == 0 ? done() : 99;
}
