/* portofs/cmd.h: the commands of portod, one row each in cmd.c. */
#ifndef PORTOFS_CMD_H
#define PORTOFS_CMD_H

#include "engine/config.h"

#ifndef PORTO_VERSION
#define PORTO_VERSION "0.1"
#endif

struct invocation {
	struct config *conf;
	char **again; /* program and options without the command: to start itself again */
	char **args;  /* what follows the command, NULL at the end */
};

/* Runs the command; the exit code. 2 and a line on stderr for an unknown one. */
int cmd_run(const char *name, struct invocation *inv);
void cmd_usage(void);

#endif
