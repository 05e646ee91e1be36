#include "net/curl.h"

#include <pthread.h>

#include "base/lazy.h"

static struct lm_curl functions;

#define SYMBOL(name) LM_LAZY_SYMBOL(lm_curl, curl_, name),
static const struct lm_lazy_symbol symbols[] = { LM_CURL_FUNCTIONS(SYMBOL) };

static struct lm_lazy library = {
	.file = CURL_SONAME, .symbols = symbols, .count = LM_COUNT(symbols), .table = &functions,
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool started;

static int start(struct lmodel_error *error)
{
	if (lm_lazy_load(&library, error))
		return LMODEL_EFAILED;
	if (functions.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return lm_fail(error, LMODEL_EFAILED, "libcurl does not start");
	return LMODEL_OK;
}

const struct lm_curl *lm_curl_load(struct lmodel_error *error)
{
	bool ready;

	pthread_mutex_lock(&lock);
	if (!started)
		started = start(error) == LMODEL_OK;
	ready = started;
	pthread_mutex_unlock(&lock);
	return ready ? &functions : NULL;
}
