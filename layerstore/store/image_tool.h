/* store/image_tool.h: runs a program that talks to a registry. */
#ifndef STORE_IMAGE_TOOL_H
#define STORE_IMAGE_TOOL_H

#include "base/err.h"
#include "base/text.h"
#include "layerstore/store/job.h"

struct image_tool {
	const char *const *argv;  /* argv[0] is looked for in PATH */
	int cwd;                  /* directory to run in, or -1 */
	const struct text *input; /* what it reads, or NULL */
	const struct job_tick *tick;
};

/*
 * out: what it printed, at most IMAGE_JSON_MAX bytes. A failure is Docker (or DockerImageNotFound) with its own last
 * words, NotSupported when the program is not installed. Its environment is ours without DOCKER_TOKEN.
 */
int image_tool_run(struct job *j, const struct image_tool *t, struct text *out, struct err *err);

#endif
