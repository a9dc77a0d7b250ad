/*
 * store/image_cmd.h: the commands of porto-store that are about images. Descriptor 4 is the directory
 * PLACE/porto_docker, 3 the status page (job.h), 0 an archive or 5 the directory of an OCI layout; answers go to
 * descriptor 1.
 */
#ifndef STORE_IMAGE_CMD_H
#define STORE_IMAGE_CMD_H

#include "layerstore/store/job.h"

struct image_command;

/* NULL: it is none of them. */
const struct image_command *image_command(const char *name);

/* argv[0] is its name. What it answers was written; a sentence also went to descriptor 2, for scripts. */
int image_run(const struct image_command *c, struct job *j, int argc, char **argv, struct err *err);

#endif
