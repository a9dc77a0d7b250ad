/*
 * base/log.h: four levels, one sink (a descriptor, stderr at first). Keeps errno. One line a call, no newline in fmt.
 * Line: "2026-01-02 03:04:05.678 portod[PID] warning: text". Only mains, portofs' reply path and engine/fsm log:
 * below them a function returns its error instead.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/defs.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_LEVELS };

extern enum log_level log_level_max; /* LOG_INFO at first; readable by the macro below, set by log_set_level */

void log_write(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
void log_set_level(enum log_level level);
void log_set_fd(int fd);                  /* borrowed, O_APPEND expected */
void log_set_name(const char *name);      /* borrowed; "portod" at first */
const char *log_level_name(enum log_level level);           /* error warning info debug */
int log_level_parse(const char *text, enum log_level *ret); /* 0 or -EINVAL */

#define log_at(level, ...) do { if ((level) <= log_level_max) log_write((level), __VA_ARGS__); } while (0)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

#endif
