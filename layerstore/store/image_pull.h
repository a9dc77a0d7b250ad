/*
 * store/image_pull.h: images from a registry. Talking to registries is left to skopeo, and to curl (image_curl.h) where
 * somebody brings a token or names the server that gives one; what they bring is imported as if a stranger had brought
 * it.
 */
#ifndef STORE_IMAGE_PULL_H
#define STORE_IMAGE_PULL_H

#include "layerstore/store/image_import.h"

struct image_registry {
	const char *token;    /* for the registry, or NULL: as it asks for itself */
	const char *auth_url; /* where to get a token if there is none, or NULL */
	const char *service;  /* the name of the registry there */
	bool insecure;        /* plain http, and certificates are not looked at */
};

/* wish->name is what to pull; digests are verified. out as in image_import. DockerImageNotFound if it isn't there. */
int image_pull(struct image_job *job, const struct image_wish *wish, const struct image_registry *reg, struct text *out,
	       struct err *err);

#endif
