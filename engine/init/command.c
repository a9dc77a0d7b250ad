#include <wordexp.h>

#include <linux/close_range.h>

#include "engine/init/init.h"

int words_add(struct words *w, char *word)
{
	if (w->count + 1 >= w->size) {
		size_t size = w->size ? w->size * 2 : 32;
		char **at = reallocarray(w->at, size, sizeof(*at));

		if (!at)
			return -ENOMEM;
		w->at = at;
		w->size = size;
	}
	w->at[w->count++] = word;
	w->at[w->count] = NULL;
	return 0;
}

static int add(struct init *in, struct words *w, char *word)
{
	return words_add(w, word) ? init_fail_sys(in, ENOMEM, "too many words") : 0;
}

int op_env(struct init *in, char **arg)
{
	return add(in, &in->env, arg[0]);
}

int op_arg(struct init *in, char **arg)
{
	return add(in, &in->argv, arg[0]);
}

/* An empty environment is one too: environ must not fall back to ours. */
static void environ_set(struct init *in)
{
	static char *none[1];

	environ = in->env.at ? in->env.at : none;
}

int op_command(struct init *in, char **arg)
{
	static const char *const reasons[] = {
		[WRDE_BADCHAR] = "one of |&;<>(){} or a line end must be quoted, or run by a shell: ",
		[WRDE_BADVAL]  = "a variable is not set: ",
		[WRDE_CMDSUB]  = "no command substitution here: ",
		[WRDE_NOSPACE] = "no memory to expand: ",
		[WRDE_SYNTAX]  = "a quote or bracket is not closed: ",
	};
	wordexp_t we = { 0 };
	int r;

	if (strchr(arg[0], '$'))
		in->unexpanded = arg[0];
	environ_set(in);
	r = wordexp(arg[0], &we, WRDE_NOCMD | WRDE_UNDEF);
	if (r)
		return init_fail(in, ERR_InvalidCommand, r == WRDE_NOSPACE ? ENOMEM : 0, reasons[r], arg[0], NULL);
	for (size_t i = 0; i < we.we_wordc; i++) {
		if (add(in, &in->argv, we.we_wordv[i]))
			return -1;
	}
	return 0;
}

int op_exec(struct init *in, char **arg UNUSED)
{
	const char *path, *name, *shown;

	if (in->role == INIT_ALONE)
		return init_fail_list(in, "neither fork nor become before", "");
	if (in->new_root)
		return init_fail_list(in, "no pivot after root", "");
	if (!in->argv.count)
		return init_fail(in, ERR_InvalidCommand, 0, "the command is empty", NULL);
	if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC))
		return init_fail_sys(in, errno, "can't close descriptors");
	environ_set(in);
	path = getenv("PATH");
	name = in->argv.at[0];
	signals_reset();
	if (in->role == INIT_CHILD)
		(void)!write(in->sync_fd, "x", 1);
	else
		status_started(getpid());
	if (rights_settle(in))
		return -1;
	execvpe(name, in->argv.at, environ);
	/* Everybody may read the error, and a variable may be a secret. */
	shown = in->unexpanded ? in->unexpanded : name;
	if (strchr(name, '/') || !path)
		return init_fail(in, ERR_InvalidCommand, errno, shown, NULL);
	return init_fail(in, ERR_InvalidCommand, errno, shown, " (PATH=", path, ")", NULL);
}

int op_done(struct init *in, char **arg UNUSED)
{
	if (in->role != INIT_BECOMES)
		return init_fail_list(in, "no become before", "");
	status_started(getpid());
	_exit(EXIT_SUCCESS);
}
