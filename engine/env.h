/* engine/env.h: the environment of a container's command: spec/PROPERTIES.md 3.1. */
#ifndef ENGINE_ENV_H
#define ENGINE_ENV_H

#include "engine/ct.h"

/* All of it, NAME=value; autostrv. */
int env_build(struct ct *ct, struct strv *out);
/* One effective variable as readers see it, a secret hashed; -ENODATA. */
int env_effective(struct ct *ct, const char *name, struct text *out);
/* env_secret as readers see it: values hashed with a salt of the moment. */
int env_secret_format(struct ct *ct, const char *key, struct text *out, struct err *err);

#endif
