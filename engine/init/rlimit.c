#include <sys/resource.h>

#include "engine/init/init.h"

static const struct limit_name {
	const char *name;
	int type;
} limit_names[] = {
	{ "as",         RLIMIT_AS },
	{ "core",       RLIMIT_CORE },
	{ "cpu",        RLIMIT_CPU },
	{ "data",       RLIMIT_DATA },
	{ "fsize",      RLIMIT_FSIZE },
	{ "locks",      RLIMIT_LOCKS },
	{ "memlock",    RLIMIT_MEMLOCK },
	{ "msgqueue",   RLIMIT_MSGQUEUE },
	{ "nice",       RLIMIT_NICE },
	{ "nofile",     RLIMIT_NOFILE },
	{ "nproc",      RLIMIT_NPROC },
	{ "rss",        RLIMIT_RSS },
	{ "rtprio",     RLIMIT_RTPRIO },
	{ "rttime",     RLIMIT_RTTIME },
	{ "sigpending", RLIMIT_SIGPENDING },
	{ "stack",      RLIMIT_STACK },
};

static int limit_number(struct init *in, const char *word, rlim_t *ret)
{
	unsigned long value = RLIM_INFINITY;

	if (strcmp(word, "unlimited") && init_number(in, word, 10, RLIM_INFINITY, &value))
		return -1;
	*ret = value;
	return 0;
}

/* 0 or an errno: as near to what is wanted as the hard limit that we can't raise lets us. */
static int set_clamped(int type, struct rlimit want)
{
	struct rlimit now;

	if (!setrlimit(type, &want))
		return 0;
	if (errno != EPERM || getrlimit(type, &now))
		return errno;
	want.rlim_max = MIN(want.rlim_max, now.rlim_max);
	want.rlim_cur = MIN(want.rlim_cur, want.rlim_max);
	return setrlimit(type, &want) ? errno : 0;
}

static int limit_refused(struct init *in, int no, int type, char **arg)
{
	struct rlimit now;
	char buf[24];

	if (no == EINVAL)
		return init_fail(in, ERR_InvalidValue, no, arg[0], ": soft ", arg[1], " above hard ", arg[2], NULL);
	if (no != EPERM || getrlimit(type, &now))
		return init_fail_sys(in, no, arg[0]);
	return init_fail(in, ERR_Permission, no, arg[0], ": ", arg[2], ": above the hard limit ",
			 now.rlim_max == RLIM_INFINITY ? "unlimited" : number_format(buf, (long)now.rlim_max),
			 ", which takes CAP_SYS_RESOURCE to raise",
			 type == RLIMIT_NOFILE ? ", and fs.nr_open bounds it" : NULL, NULL);
}

int op_rlimit(struct init *in, char **arg)
{
	const struct limit_name *name = NULL;
	struct rlimit want;
	bool clamp = !strcmp(arg[3], "default");
	int no;

	for (size_t i = 0; i < ARRAY_LEN(limit_names); i++) {
		if (!strcmp(limit_names[i].name, arg[0]))
			name = &limit_names[i];
	}
	if (!name)
		return init_fail_list(in, "no such limit: ", arg[0]);
	if (!clamp && strcmp(arg[3], "explicit"))
		return init_fail_list(in, "neither default nor explicit: ", arg[3]);
	if (limit_number(in, arg[1], &want.rlim_cur) || limit_number(in, arg[2], &want.rlim_max))
		return -1;
	if (clamp)
		no = set_clamped(name->type, want);
	else
		no = setrlimit(name->type, &want) ? errno : 0;
	return no ? limit_refused(in, no, name->type, arg) : 0;
}
