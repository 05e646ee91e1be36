#include "crypto/sig/signer_options.h"

#include <strings.h>
#include <time.h>

/* ---- pattern lists ---- */

/* Goes back to the last star only, so that the time is at most the product of the lengths. */
static bool pattern_matches(const char *pattern, size_t len, const char *text)
{
	size_t at = 0, star = SIZE_MAX;
	const char *tried = text;

	while (*text != '\0') {
		if (at < len && pattern[at] == '*') {
			star = at++;
			tried = text;
		} else if (at < len && (pattern[at] == '?' || pattern[at] == *text)) {
			at++;
			text++;
		} else if (star != SIZE_MAX) {
			at = star + 1;
			text = ++tried;
		} else {
			return false;
		}
	}
	while (at < len && pattern[at] == '*')
		at++;
	return at == len;
}

bool lm_pattern_list_matches(const char *list, const char *text)
{
	bool found = false;

	for (;;) {
		size_t n = strcspn(list, ",");
		bool negated = list[0] == '!';

		if (pattern_matches(list + negated, n - negated, text)) {
			if (negated)
				return false;
			found = true;
		}
		if (list[n] == '\0')
			return found;
		list += n + 1;
	}
}

/* ---- times ---- */

static int number(const char *digits, int count)
{
	int n = 0;

	for (int i = 0; i < count; i++)
		n = 10 * n + (digits[i] - '0');
	return n;
}

/* timegm() makes 1 March of 30 February: then the date was not in the calendar. */
static bool is_date(const struct tm *tm)
{
	struct tm copy = *tm;

	return timegm(&copy) != -1 && copy.tm_year == tm->tm_year && copy.tm_mon == tm->tm_mon &&
	       copy.tm_mday == tm->tm_mday && copy.tm_hour == tm->tm_hour &&
	       copy.tm_min == tm->tm_min && copy.tm_sec == tm->tm_sec;
}

bool lm_signer_time(const char *text, int64_t *seconds)
{
	size_t digits = strspn(text, "0123456789");
	const char *zone = text + digits;
	struct tm tm = { .tm_isdst = 0 };
	time_t t;

	if ((digits != 8 && digits != 12 && digits != 14) ||
	    (zone[0] != '\0' && strcasecmp(zone, "Z") != 0 && strcasecmp(zone, "UTC") != 0))
		return false;
	tm.tm_year = number(text, 4) - 1900;
	tm.tm_mon = number(text + 4, 2) - 1;
	tm.tm_mday = number(text + 6, 2);
	if (digits >= 12) {
		tm.tm_hour = number(text + 8, 2);
		tm.tm_min = number(text + 10, 2);
	}
	if (digits == 14)
		tm.tm_sec = number(text + 12, 2);
	if (!is_date(&tm))
		return false;
	t = zone[0] != '\0' ? timegm(&tm) : mktime(&tm);
	*seconds = t;
	return t > 0;
}

/* ---- options ---- */

struct input {
	const char *at;
	size_t left;
};

static void skip(struct input *in, size_t n)
{
	in->at += n;
	in->left -= n;
}

/* A name, without case, at the end of which the input then is. */
static bool take(struct input *in, const char *name)
{
	size_t n = strlen(name);

	if (in->left < n || strncasecmp(in->at, name, n) != 0)
		return false;
	skip(in, n);
	return true;
}

/* Text in quotes; \" is a quote within it. NULL: none, or (with the error set) no memory. */
static char *take_quoted(struct input *in, struct lmodel_error *error)
{
	char *text, *p;

	if (in->left == 0 || in->at[0] != '"')
		return NULL;
	text = p = malloc(in->left);
	if (text == NULL) {
		lm_fail_memory(error);
		return NULL;
	}
	for (skip(in, 1); in->left > 0 && in->at[0] != '"'; skip(in, 1)) {
		if (in->left > 1 && in->at[0] == '\\' && in->at[1] == '"')
			skip(in, 1);
		*p++ = in->at[0];
	}
	*p = '\0';
	if (in->left == 0) {
		free(text);
		return NULL;
	}
	skip(in, 1);
	return text;
}

static int take_value(struct input *in, const char *name, char **text, const char *where,
		      struct lmodel_error *error)
{
	struct lmodel_error memory = LMODEL_ERROR_INIT;

	if (*text != NULL)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: %s is given twice", where, name);
	*text = take_quoted(in, &memory);
	if (memory.code != LMODEL_OK)
		return lm_fail_memory(error);
	if (*text == NULL)
		return lm_fail(error, LMODEL_ECORRUPT, "%s: the value of %s needs double quotes",
			       where, name);
	return LMODEL_OK;
}

static int unknown_option(const struct input *in, const char *where, struct lmodel_error *error)
{
	char name[33] = "";
	size_t n = 0;

	while (n < in->left && n < sizeof(name) - 1 && strchr(",=\"", in->at[n]) == NULL)
		n++;
	memcpy(name, in->at, n);
	return lm_fail(error, LMODEL_EUNSUPPORTED, "%s: unknown option %s", where, LM_QUOTE(name));
}

/* The values, as text. */
struct values {
	char *namespaces, *after, *before;
};

static void values_free(struct values *values)
{
	free(values->namespaces);
	free(values->after);
	free(values->before);
}

static int parse_one(struct lm_signer_options *options, struct values *values, struct input *in,
		     const char *where, struct lmodel_error *error)
{
	struct input start = *in;
	int r = LMODEL_OK;

	if (take(in, "cert-authority"))
		options->cert_authority = true;
	else if (take(in, "namespaces="))
		r = take_value(in, "namespaces", &values->namespaces, where, error);
	else if (take(in, "valid-after="))
		r = take_value(in, "valid-after", &values->after, where, error);
	else if (take(in, "valid-before="))
		r = take_value(in, "valid-before", &values->before, where, error);
	else
		return unknown_option(&start, where, error);
	if (r == LMODEL_OK && in->left > 0 && in->at[0] != ',')
		return unknown_option(&start, where, error);
	return r;
}

static int read_time(int64_t *seconds, const char *name, const char *text, const char *where,
		     struct lmodel_error *error)
{
	if (text != NULL && !lm_signer_time(text, seconds))
		return lm_fail(error, LMODEL_ECORRUPT, "%s: %s is no time: %s", where, name,
			       LM_QUOTE(text));
	return LMODEL_OK;
}

int lm_signer_options_parse(struct lm_signer_options *options, const char *text, size_t len,
			    const char *where, struct lmodel_error *error)
{
	LM_CLEANUP(values_free) struct values values = { .namespaces = NULL };
	struct input in = { text, len };
	int r;

	*options = (struct lm_signer_options){ .cert_authority = false };
	for (;;) {
		r = parse_one(options, &values, &in, where, error);
		if (r != LMODEL_OK)
			return r;
		if (in.left == 0)
			break;
		skip(&in, 1); /* the comma */
	}
	r = read_time(&options->after, "valid-after", values.after, where, error);
	if (r == LMODEL_OK)
		r = read_time(&options->before, "valid-before", values.before, where, error);
	if (r != LMODEL_OK)
		return r;
	if (options->after != 0 && options->before != 0 && options->before <= options->after)
		return lm_fail(error, LMODEL_ECORRUPT,
			       "%s: valid-before is not later than valid-after", where);
	options->namespaces = values.namespaces;
	values.namespaces = NULL;
	return LMODEL_OK;
}
