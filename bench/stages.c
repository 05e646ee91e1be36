/* The stages of packing and extracting, one at a time on one thread:
 *
 *     stages bf16|fp32 MODEL SCRATCH
 *
 * on the bytes in the middle of MODEL, by the library's own functions, in chunks as `lmodel pack`
 * makes them. SCRATCH is made in the folder whose speed of writing matters. Prints JSON: for each
 * stage its bytes and the seconds of processor time that they took (median of PASSES), so that other
 * load shows little. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "codec/codec.h"
#include "codec/planes.h"
#include "crypto/chunked.h"
#include "crypto/crypto.h"

enum { PASSES = 7, CHUNKS = 48 };
#define CHUNK ((size_t)LMODEL_CHUNK_DEFAULT)

struct world {
	struct lm_codec *codec;
	struct lm_coding coding;
	int model, scratch;
	off_t from;
	uint8_t *raw, *out, *stored; /* CHUNKS chunks each */
	size_t stored_len[CHUNKS];
	enum lm_method method[CHUNKS];
	uint8_t *sealed;
	uint8_t key[32], head[LM_SEALED_HEAD];
	size_t bytes;                /* what one pass took in */
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "stages: %s\n", what);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void copy(struct world *w)
{
	memcpy(w->out, w->raw, CHUNKS * CHUNK);
	w->bytes = CHUNKS * CHUNK;
}

/* Into a buffer that stays in the cache, as a worker's does. */
static void read_raw(struct world *w)
{
	for (size_t i = 0; i < CHUNKS; i++)
		if (pread(w->model, w->out, CHUNK, w->from + (off_t)(i * CHUNK)) != (ssize_t)CHUNK)
			die("MODEL is too short");
	w->bytes = CHUNKS * CHUNK;
}

/* A fresh file each time: its pages have to be found, too. */
static void write_raw(struct world *w)
{
	if (ftruncate(w->scratch, 0) != 0)
		die("SCRATCH");
	for (size_t i = 0; i < CHUNKS; i++)
		if (pwrite(w->scratch, w->raw, CHUNK, (off_t)(i * CHUNK)) != (ssize_t)CHUNK)
			die("SCRATCH");
	w->bytes = CHUNKS * CHUNK;
}

static void split(struct world *w)
{
	for (size_t i = 0; i < CHUNKS; i++)
		lm_planes_split(w->coding, w->raw + i * CHUNK, CHUNK / w->coding.width, w->out);
	w->bytes = CHUNKS * CHUNK;
}

static void merge(struct world *w)
{
	const uint8_t *planes[8];

	for (size_t i = 0; i < CHUNKS; i++) {
		for (size_t p = 0; p < w->coding.width; p++)
			planes[p] = w->raw + i * CHUNK + p * (CHUNK / w->coding.width);
		lm_planes_merge(w->coding, planes, CHUNK / w->coding.width, w->out);
	}
	w->bytes = CHUNKS * CHUNK;
}

static void encode(struct world *w)
{
	for (size_t i = 0; i < CHUNKS; i++)
		if (lm_chunk_encode(w->codec, w->coding, LMODEL_LEVEL_DEFAULT, w->raw + i * CHUNK,
				    CHUNK, w->stored + i * CHUNK, &w->method[i], &w->stored_len[i],
				    NULL))
			die("a chunk that cannot be coded");
	w->bytes = CHUNKS * CHUNK;
}

static void decode(struct world *w)
{
	for (size_t i = 0; i < CHUNKS; i++)
		if (lm_chunk_decode(w->codec, w->coding, w->method[i], w->stored + i * CHUNK,
				    w->stored_len[i], w->out, CHUNK, NULL))
			die("a chunk that cannot be decoded");
	w->bytes = CHUNKS * CHUNK;
}

static void hash(struct world *w)
{
	uint8_t digest[LM_SHA256_SIZE];

	w->bytes = 0;
	for (size_t i = 0; i < CHUNKS; i++) {
		lm_sha256(digest, w->stored + i * CHUNK, w->stored_len[i]);
		w->bytes += w->stored_len[i];
	}
}

static void seal(struct world *w)
{
	struct lm_sealer *s = lm_sealer_new(w->key, "stages", 6, NULL, w->head, NULL);
	size_t count = CHUNKS * CHUNK / LM_SEALED_CHUNK;

	if (s == NULL)
		die("sealing");
	for (size_t i = 0; i < count; i++)
		if (lm_sealer_chunk(s, w->raw + i * LM_SEALED_CHUNK, LM_SEALED_CHUNK,
				    w->sealed + i * (LM_SEALED_CHUNK + LM_SEALED_TAG), NULL))
			die("sealing");
	if (lm_sealer_chunk(s, w->raw, 0, w->sealed + count * (LM_SEALED_CHUNK + LM_SEALED_TAG),
			    NULL))
		die("sealing");
	lm_sealer_free(s);
	w->bytes = CHUNKS * CHUNK;
}

static void unseal(struct world *w)
{
	struct lm_sealer *s = lm_opener_new(w->key, "stages", 6, w->head, NULL);
	size_t count = CHUNKS * CHUNK / LM_SEALED_CHUNK;

	if (s == NULL)
		die("opening");
	for (size_t i = 0; i < count; i++)
		if (lm_opener_chunk(s, i, w->sealed + i * (LM_SEALED_CHUNK + LM_SEALED_TAG),
				    LM_SEALED_CHUNK + LM_SEALED_TAG, w->out, NULL))
			die("opening");
	lm_sealer_free(s);
	w->bytes = CHUNKS * CHUNK;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(struct world *w, const char *name, void (*stage)(struct world *))
{
	double seconds[PASSES];

	stage(w); /* pages and caches */
	for (int i = 0; i < PASSES; i++) {
		double begin = now();

		stage(w);
		seconds[i] = now() - begin;
	}
	qsort(seconds, PASSES, sizeof(*seconds), ascending);
	printf("%s\n \"%s\": {\"bytes\": %zu, \"seconds\": %.9f}", stage == copy ? "{" : ",", name,
	       w->bytes, seconds[PASSES / 2]);
}

static void prepare(struct world *w, char **argv)
{
	struct stat s;

	if (!lm_coding_parse(strcmp(argv[1], "bf16") == 0 ? "f2" : "f4", &w->coding) ||
	    lm_crypto_init(NULL) != LMODEL_OK)
		die("no such coding");
	w->codec = lm_codec_new(NULL);
	w->model = open(argv[2], O_RDONLY | O_CLOEXEC);
	w->scratch = open(argv[3], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	w->raw = malloc(CHUNKS * CHUNK);
	w->out = malloc(CHUNKS * CHUNK);
	w->stored = malloc(CHUNKS * CHUNK);
	w->sealed = malloc(CHUNKS * CHUNK + LM_SEALED_TAG *
						    (CHUNKS * CHUNK / LM_SEALED_CHUNK + 1));
	if (w->codec == NULL || w->model < 0 || w->scratch < 0 || fstat(w->model, &s) != 0 ||
	    w->raw == NULL || w->out == NULL || w->stored == NULL || w->sealed == NULL)
		die("no memory, MODEL or SCRATCH");
	/* Behind the header, at a whole word. */
	w->from = (s.st_size - (off_t)(CHUNKS * CHUNK)) / 2 & ~(off_t)4095;
	if (w->from < 0)
		die("MODEL is too short");
	if (pread(w->model, w->raw, CHUNKS * CHUNK, w->from) != (ssize_t)(CHUNKS * CHUNK))
		die("MODEL");
	lm_random(w->key, sizeof(w->key));
}

int main(int argc, char **argv)
{
	struct world w = { .model = -1, .scratch = -1 };

	if (argc != 4) {
		fprintf(stderr, "usage: stages bf16|fp32 MODEL SCRATCH\n");
		return 2;
	}
	prepare(&w, argv);
	measure(&w, "memcpy", copy);
	measure(&w, "read", read_raw);
	measure(&w, "write", write_raw);
	measure(&w, "split", split);
	measure(&w, "merge", merge);
	measure(&w, "encode", encode);
	measure(&w, "decode", decode);
	measure(&w, "sha256", hash);
	measure(&w, "seal", seal);
	measure(&w, "open", unseal);
	printf("\n}\n");
	unlink(argv[3]);
	return 0;
}
