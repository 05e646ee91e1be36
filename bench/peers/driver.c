/* Whole files through a peer's codec, by all processors, as `lmodel` and `zstd -T0` do it:
 *
 *     PROGRAM pack|unpack BF16|F32 IN OUT
 *
 * The packed file: chunks, then a u32 length of each, then what is left of a last word, then u64 raw
 * length. */
#include "driver.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { THREADS = 64 };

static struct {
	int in, out;
	unsigned width;
	uint64_t raw;       /* bytes in whole words */
	uint32_t *lengths;
	uint64_t *places;   /* of packed chunks */
	size_t count, next, turn;
	uint64_t end;
	int packing;
	pthread_mutex_t lock;
	pthread_cond_t moved;
} w = { .lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER };

static void must(int fine, const char *what)
{
	if (fine)
		return;
	perror(what);
	exit(1);
}

static void get(void *to, size_t len, uint64_t at)
{
	for (size_t n = 0; n < len;) {
		ssize_t r = pread(w.in, (char *)to + n, len - n, (off_t)(at + n));

		must(r > 0, "read");
		n += (size_t)r;
	}
}

static void put(const void *from, size_t len, uint64_t at)
{
	for (size_t n = 0; n < len;) {
		ssize_t r = pwrite(w.out, (const char *)from + n, len - n, (off_t)(at + n));

		must(r > 0, "write");
		n += (size_t)r;
	}
}

static size_t raw_len(size_t chunk)
{
	uint64_t left = w.raw - (uint64_t)chunk * codec_chunk;

	return left < codec_chunk ? (size_t)left : codec_chunk;
}

static void pack_chunk(void *codec, size_t i, char *raw, char *packed)
{
	size_t len;
	uint64_t at;

	get(raw, raw_len(i), (uint64_t)i * codec_chunk);
	len = codec_pack(codec, raw, raw_len(i), packed, codec_bound(codec_chunk));
	must(len > 0 && len <= UINT32_MAX, "pack");
	pthread_mutex_lock(&w.lock);
	while (w.turn != i)
		pthread_cond_wait(&w.moved, &w.lock);
	at = w.end;
	w.end += len;
	w.lengths[i] = (uint32_t)len;
	w.turn++;
	pthread_cond_broadcast(&w.moved);
	pthread_mutex_unlock(&w.lock);
	put(packed, len, at);
}

static void unpack_chunk(void *codec, size_t i, char *raw, char *packed)
{
	get(packed, w.lengths[i], w.places[i]);
	must(codec_unpack(codec, packed, w.lengths[i], raw, raw_len(i)) == raw_len(i), "unpack");
	put(raw, raw_len(i), (uint64_t)i * codec_chunk);
}

static void *work(void *nothing)
{
	void *codec = codec_new(w.width);
	char *raw = malloc(codec_chunk), *packed = malloc(codec_bound(codec_chunk));

	must(raw != NULL && packed != NULL, "memory");
	for (;;) {
		size_t i;

		pthread_mutex_lock(&w.lock);
		i = w.next++;
		pthread_mutex_unlock(&w.lock);
		if (i >= w.count)
			return nothing;
		(w.packing ? pack_chunk : unpack_chunk)(codec, i, raw, packed);
	}
}

static void run(void)
{
	pthread_t threads[THREADS];
	cpu_set_t set;
	int n;

	must(sched_getaffinity(0, sizeof(set), &set) == 0, "processors");
	n = CPU_COUNT(&set) < THREADS ? CPU_COUNT(&set) : THREADS;
	for (int i = 0; i < n; i++)
		must(pthread_create(&threads[i], NULL, work, NULL) == 0, "thread");
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

static void divide(uint64_t raw)
{
	w.raw = raw - raw % w.width;
	w.count = (size_t)((w.raw + codec_chunk - 1) / codec_chunk);
	w.lengths = calloc(w.count + 1, sizeof(*w.lengths));
	w.places = calloc(w.count + 1, sizeof(*w.places));
	must(w.lengths != NULL && w.places != NULL, "memory");
}

static void pack(uint64_t size)
{
	char tail[8];

	divide(size);
	run();
	put(w.lengths, w.count * sizeof(*w.lengths), w.end);
	w.end += w.count * sizeof(*w.lengths);
	get(tail, (size_t)(size - w.raw), w.raw);
	put(tail, (size_t)(size - w.raw), w.end);
	put(&size, sizeof(size), w.end + (size - w.raw));
}

static void unpack(uint64_t size)
{
	uint64_t raw, at, place = 0;
	char tail[8];

	get(&raw, sizeof(raw), size - sizeof(raw));
	divide(raw);
	at = size - sizeof(raw) - (raw - w.raw);
	get(tail, (size_t)(raw - w.raw), at);
	get(w.lengths, w.count * sizeof(*w.lengths), at - w.count * sizeof(*w.lengths));
	for (size_t i = 0; i < w.count; i++) {
		w.places[i] = place;
		place += w.lengths[i];
	}
	must(ftruncate(w.out, (off_t)raw) == 0, "size");
	run();
	put(tail, (size_t)(raw - w.raw), w.raw);
}

int main(int argc, char **argv)
{
	struct stat s;

	if (argc != 5) {
		fprintf(stderr, "usage: %s pack|unpack BF16|F32 IN OUT\n", argv[0]);
		return 2;
	}
	w.packing = strcmp(argv[1], "pack") == 0;
	w.width = strcmp(argv[2], "BF16") == 0 ? 2 : 4;
	w.in = open(argv[3], O_RDONLY);
	w.out = open(argv[4], O_RDWR | O_CREAT | O_TRUNC, 0666);
	must(w.in >= 0 && w.out >= 0 && fstat(w.in, &s) == 0, "open");
	(w.packing ? pack : unpack)((uint64_t)s.st_size);
	must(close(w.out) == 0, "close");
	return 0;
}
