/*
 * store/image_curl.h: what is fetched from a registry with a token of one's own. skopeo would want it among its
 * arguments, which everybody can see; curl reads it from its standard input. Nothing is believed here: whoever calls
 * compares digests.
 */
#ifndef STORE_IMAGE_CURL_H
#define STORE_IMAGE_CURL_H

#include "base/text.h"
#include "layerstore/store/image_manifest.h"
#include "layerstore/store/job.h"

struct image_curl {
	struct job *job;
	const struct image_ref *ref;
	const char *token;
	bool insecure; /* certificates are not looked at, and plain http will do */
	bool plain;    /* it did, the last time */
};

/* The manifest or index of a tag or digest, as it came. DockerImageNotFound. */
int image_curl_manifest(struct image_curl *c, const char *which, struct text *json, struct err *err);

/* Its configuration and layers, each once, as files in dir named by their digits; manifest.json beside them. */
int image_curl_blobs(const struct image_curl *c, const struct text *json, int dir, const struct job_tick *tick,
		     struct err *err);

/* Whatever an authorisation server answers. */
int image_curl_get(struct job *j, const char *url, const char *const *data, size_t n, struct text *out,
		   struct err *err);

#endif
