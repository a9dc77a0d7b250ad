#include "layerstore/store/node.h"

int xattrs_add(struct xattrs *x, const char *name, const void *value, size_t len)
{
	if (x->n == x->cap) {
		size_t cap = x->cap ? x->cap * 2 : 8;
		struct xattr *v = reallocarray(x->v, cap, sizeof(*v));
		if (!v)
			return -ENOMEM;
		x->v = v;
		x->cap = cap;
	}
	struct xattr *one = &x->v[x->n];
	one->name = strdup(name);
	one->value = malloc(len + 1);
	one->len = len;
	if (!one->name || !one->value) {
		free(one->name);
		free(one->value);
		return -ENOMEM;
	}
	if (len > 0)
		memcpy(one->value, value, len);
	x->n++;
	return 0;
}

void xattrs_clear(struct xattrs *x)
{
	while (x->n > 0) {
		struct xattr *one = &x->v[--x->n];
		free(one->name);
		free(one->value);
	}
}

void xattrs_done(struct xattrs *x)
{
	xattrs_clear(x);
	free(x->v);
	*x = (struct xattrs){};
}
