/*
 * layerstore/loopdev.h: loop devices. All are made with autoclear: the kernel frees them when their last user (a mount,
 * or the descriptor got here) goes, so that none outlives a crash.
 */
#ifndef LAYERSTORE_LOOPDEV_H
#define LAYERSTORE_LOOPDEV_H

#include "base/defs.h"
#include "base/err.h"

#define LOOP_PATH_MAX 32

/* Puts the file on a free device. A descriptor of the device, to be closed when it is mounted; its path goes to path.
 */
int loop_attach(int file, bool read_only, char path[LOOP_PATH_MAX], struct err *err);

/* A device on the file with that identity: its number, or -ENOENT. *read_only says how it was made. */
int loop_find(uint64_t dev, uint64_t ino, bool *read_only);

/* The device takes notice that the file has another size. */
int loop_resized(int number);

#endif
