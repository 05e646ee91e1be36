#include "base/lazy.h"

#include <dlfcn.h>
#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const char *why(void)
{
	const char *text = dlerror();

	return text != NULL ? text : "the loader does not say why";
}

static int load(struct lm_lazy *l, struct lmodel_error *error)
{
	void *handle = dlopen(l->file, RTLD_LAZY | RTLD_LOCAL);

	if (handle == NULL)
		return lm_fail(error, LMODEL_EFAILED, "cannot load %s: %s", l->file, why());
	for (size_t i = 0; i < l->count; i++) {
		void *symbol = dlsym(handle, l->symbols[i].name);

		if (symbol == NULL) {
			lm_fail(error, LMODEL_EFAILED, "%s lacks %s: %s", l->file,
				l->symbols[i].name, why());
			dlclose(handle);
			return LMODEL_EFAILED;
		}
		/* ISO C has no cast from an object's pointer to a function's */
		memcpy((char *)l->table + l->symbols[i].at, &symbol, sizeof(symbol));
	}
	return LMODEL_OK;
}

int lm_lazy_load(struct lm_lazy *library, struct lmodel_error *error)
{
	int r = LMODEL_OK;

	if (__atomic_load_n(&library->ready, __ATOMIC_ACQUIRE))
		return r;
	pthread_mutex_lock(&lock);
	if (!library->ready)
		r = load(library, error);
	if (r == LMODEL_OK)
		__atomic_store_n(&library->ready, true, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
	return r;
}
