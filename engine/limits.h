/*
 * engine/limits.h: how much of the daemon's memory and time one container may take. A change copies the container's values and
 * writes its record anew, in the loop, so that what may be kept is bounded, whatever the number of writes that it came in.
 */
#ifndef ENGINE_LIMITS_H
#define ENGINE_LIMITS_H

#define VALUE_BYTES_MAX (1u << 20)   /* the text of one property: more than execve takes as environment */
#define LABELS_BYTES_MAX (8u << 20)  /* the same of all labels: a hundred of 64 KB may be set */
#define RECORD_BYTES_MAX (9u << 20)  /* the record, with all values and their escapes, that a change may leave */
#define RECORD_READ_MAX (64u << 20)  /* what is read at the start: an end or an error may lengthen the longest record */

#endif
