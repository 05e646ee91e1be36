#include "text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <lmodel.h>

#include "cmd.h"
#include "message.h"

/* ---- reading ---- */

static bool parse_digits(const char **text, uint64_t *value)
{
	const char *p = *text;
	uint64_t n = 0;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return false;
	if (p == *text)
		return false;
	*text = p;
	*value = n;
	return true;
}

bool text_parse_count(const char *text, uint64_t *count)
{
	return parse_digits(&text, count) && *text == '\0';
}

bool text_parse_size(const char *text, uint64_t *bytes)
{
	static const char letters[] = "kmgt";
	uint64_t n, unit = 1;

	if (!parse_digits(&text, &n))
		return false;
	if (strcasecmp(text, "b") == 0)
		text++;
	for (size_t i = 0; *text != '\0' && i < 4; i++) {
		bool decimal = strcasecmp(text + 1, "b") == 0;

		if ((*text | 0x20) != letters[i])
			continue;
		if (!decimal && text[1] != '\0' && strcasecmp(text + 1, "ib") != 0)
			return false;
		for (size_t k = 0; k <= i; k++)
			unit *= decimal ? 1000 : 1024;
		text = "";
	}
	return *text == '\0' && !__builtin_mul_overflow(n, unit, bytes);
}

/* ---- numbers ---- */

const char *text_human(char *buffer, uint64_t bytes)
{
	static const char *const units[] = { "kB", "MB", "GB", "TB", "PB", "EB" };
	double value = (double)bytes / 1000;
	size_t unit = 0;

	if (bytes < 1000) {
		snprintf(buffer, TEXT_HUMAN, "%" PRIu64 " B", bytes);
		return buffer;
	}
	for (; value >= 999.95 && unit + 1 < COUNT(units); unit++)
		value /= 1000;
	snprintf(buffer, TEXT_HUMAN, "%.1f %s", value, units[unit]);
	return buffer;
}

const char *text_count(char *buffer, uint64_t count)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, count), used = 0;

	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			buffer[used++] = ',';
		buffer[used++] = digits[i];
	}
	buffer[used] = '\0';
	return buffer;
}

const char *text_ratio(char *buffer, uint64_t part, uint64_t whole)
{
	if (whole == 0)
		snprintf(buffer, TEXT_RATIO, "-");
	else
		snprintf(buffer, TEXT_RATIO, "%.1f%%", (double)part * 100 / (double)whole);
	return buffer;
}

const char *text_plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

/* ---- text ---- */

char *text_format(const char *format, ...)
{
	va_list args;
	char *text;
	int r;

	va_start(args, format);
	r = vasprintf(&text, format, args);
	va_end(args);
	if (r < 0)
		message_no_memory();
	return text;
}

char *text_escape(const char *text)
{
	size_t size = lmodel_escape(NULL, 0, text) + 1;
	char *out = malloc(size);

	if (out == NULL)
		message_no_memory();
	lmodel_escape(out, size, text);
	return out;
}

void text_print(FILE *out, const char *text)
{
	char small[256], *escaped;

	if (lmodel_escape(small, sizeof(small), text) < sizeof(small)) {
		fputs(small, out);
		return;
	}
	escaped = text_escape(text);
	fputs(escaped, out);
	free(escaped);
}

const char *text_quote(char *buffer, const char *text)
{
	size_t room = TEXT_QUOTE_SIZE - 6; /* two quotes, "...", NUL */
	size_t needed, used;

	buffer[0] = '\'';
	needed = lmodel_escape(buffer + 1, room, text);
	used = strlen(buffer);
	memcpy(buffer + used, needed >= room ? "...'" : "'", needed >= room ? 5 : 2);
	return buffer;
}

char *text_cut(const char *text, size_t width)
{
	char *escaped = text_escape(text);
	size_t len = strlen(escaped), keep = width - 3;

	if (len <= width)
		return escaped;
	while (keep > 0 && ((unsigned char)escaped[keep] & 0xc0) == 0x80)
		keep--;
	memcpy(escaped + keep, "...", 4);
	return escaped;
}

char *text_shape(const struct lmodel_tensor *tensor)
{
	size_t size = (size_t)tensor->rank * 21 + 3, used = 1;
	char *text = malloc(size);

	if (text == NULL)
		message_no_memory();
	text[0] = '[';
	for (unsigned i = 0; i < tensor->rank; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%" PRIu64, i > 0 ? "," : "",
					 tensor->shape[i]);
	memcpy(text + used, "]", 2);
	return text;
}

const char *text_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

bool text_ends(const char *text, const char *end)
{
	size_t n = strlen(text), k = strlen(end);

	return n >= k && strcmp(text + n - k, end) == 0;
}

const char *text_weights_suffix(const char *name)
{
	static const char *const suffixes[] = {
		".safetensors", ".gguf", ".npz", ".npy", ".pt", ".pth", ".th", ".bin", ".ckpt",
		".onnx",
	};

	for (size_t i = 0; i < COUNT(suffixes); i++)
		if (text_ends(name, suffixes[i]))
			return name + strlen(name) - strlen(suffixes[i]);
	return NULL;
}

char *text_archive(const char *path)
{
	return strcmp(path, "-") == 0 ? text_format("standard input") : text_escape(path);
}
