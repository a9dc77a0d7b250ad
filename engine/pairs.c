/* struct pairs of engine/types.h. */
#include "engine/types.h"

/* Where key stands, or would stand. */
static size_t pairs_place(const struct pairs *m, const char *key, bool *found)
{
	size_t low = 0, high = m->k.n;

	*found = false;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = strcmp(m->k.p[mid], key);
		if (c == 0) {
			*found = true;
			return mid;
		}
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The last string goes to place i. */
static void strv_last_to(struct strv *v, size_t i)
{
	char *last = v->p[v->n - 1];

	memmove(v->p + i + 1, v->p + i, (v->n - 1 - i) * sizeof(*v->p));
	v->p[i] = last;
}

static void strv_remove(struct strv *v, size_t i)
{
	free(v->p[i]);
	memmove(v->p + i, v->p + i + 1, (v->n - i) * sizeof(*v->p));
	v->n--;
}

int pairs_set(struct pairs *m, const char *key, const char *value)
{
	bool found;
	size_t i = pairs_place(m, key, &found);

	if (found) {
		char *copy = strdup(value);
		if (!copy)
			return -ENOMEM;
		free(m->v.p[i]);
		m->v.p[i] = copy;
		return 0;
	}
	if (strv_add(&m->k, key) < 0)
		return -ENOMEM;
	if (strv_add(&m->v, value) < 0) {
		strv_remove(&m->k, m->k.n - 1);
		return -ENOMEM;
	}
	strv_last_to(&m->k, i);
	strv_last_to(&m->v, i);
	return 0;
}

void pairs_unset(struct pairs *m, const char *key)
{
	bool found;
	size_t i = pairs_place(m, key, &found);

	if (found) {
		strv_remove(&m->k, i);
		strv_remove(&m->v, i);
	}
}

const char *pairs_get(const struct pairs *m, const char *key)
{
	bool found;
	size_t i = pairs_place(m, key, &found);

	return found ? m->v.p[i] : NULL;
}

void pairs_done(struct pairs *m)
{
	strv_done(&m->k);
	strv_done(&m->v);
}
