/*
 * base/defs.h: what every file of the project may use without asking.
 *
 * Ownership is shown by the declaration: `autofree char *s = NULL;` and
 * `autoclose int fd = -1;` release at the end of their scope; TAKE_PTR and
 * TAKE_FD hand the thing over and leave nothing behind.
 */
#ifndef BASE_DEFS_H
#define BASE_DEFS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h> /* before the poison below: it declares some of them */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define MUST_CHECK __attribute__((warn_unused_result))
#define UNUSED __attribute__((unused))

#define CONTAINER_OF(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

/* Closes, keeping errno: the caller may be on its way out with one. */
static inline void cleanup_close(const int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		close(*fd);
		errno = saved;
	}
}

#define autofree __attribute__((cleanup(cleanup_free)))
#define autoclose __attribute__((cleanup(cleanup_close)))

static inline int take_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

static inline void *take_ptr(void *p)
{
	void **pp = p, *taken = *pp;
	*pp = NULL;
	return taken;
}

#define TAKE_FD(fd) take_fd(&(fd))
#define TAKE_PTR(p) ((__typeof__(p))take_ptr(&(p)))

/* Some are macros under _FORTIFY_SOURCE; a macro can't be poisoned with clang. */
#undef sprintf
#undef vsprintf
#undef strcpy
#undef strcat
#pragma GCC poison strcpy strcat sprintf vsprintf gets strtok

#endif
