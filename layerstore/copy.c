/* Programs that are run, and layers that are copied with one. */
#include <fcntl.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/spawn.h"
#include "layerstore/vol.h"

#define OUTPUT_MAX 65536

/* The last line of what a program said, without its end. */
static const char *last_line(struct text *said)
{
	char *line, *s = said->p ? text_trim(said->p) : NULL;

	if (!s || !*s)
		return "no word why";
	line = strrchr(s, '\n');
	return line ? line + 1 : s;
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run_program(const char *const argv[], const int *fds, size_t n, struct err *err)
{
	struct spawn_fd all[SPAWN_FDS_MAX];
	autotext struct text said = {};
	int ends[2], r;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, errno, "%s", argv[0]);
	autoclose int from = ends[0];
	all[0] = (struct spawn_fd){ ends[1], 1 };
	all[1] = (struct spawn_fd){ ends[1], 2 };
	for (size_t i = 0; i < n; i++)
		all[2 + i] = (struct spawn_fd){ fds[i], 3 + (int)i };
	r = spawn_program(argv, all, n + 2, &pid);
	close(ends[1]);
	if (r == -ENOENT)
		return err_set(err, ERR_NotSupported, "%s: no such program on this host", argv[0]);
	if (r < 0)
		return err_sys(err, -r, "%s", argv[0]);
	(void)fd_read_all(from, OUTPUT_MAX, &said);
	r = wait_for(pid);
	if (r < 0)
		return err_sys(err, -r, "%s", argv[0]);
	return r == 0 ? 0 : err_set(err, ERR_HelperError, "%s failed with %d: %s", argv[0], r, last_line(&said));
}

int layers_copy(struct vol *v, int to, struct err *err)
{
	static const char *const argv[] = { "cp", "-a", "--reflink=auto", "--", "/proc/self/fd/3/.", "/proc/self/fd/4/",
					    NULL };
	autofree struct layer_fds *layers = malloc(sizeof(*layers));
	struct err why = {};
	int r, fds[2] = { -1, to };

	if (!layers)
		return err_sys(err, ENOMEM, "layers");
	r = layers_open(v, layers, err);
	if (r < 0)
		return r;
	/* An overlay has two directories at least: an empty one below the last. */
	layers->fd[layers->n] = home_sub(v, "lower", err);
	if (layers->fd[layers->n] < 0) {
		r = layers->fd[layers->n];
	} else {
		layers->n++;
		r = overlay_mount(v, layers, -1, -1, err);
	}
	layers_close(v, layers);
	if (r < 0)
		return r;
	fds[0] = r;
	r = run_program(argv, fds, 2, &why);
	close(fds[0]);
	if (r < 0 && (strstr(why.text, "No space left") || strstr(why.text, "quota exceeded")))
		return err_set(err, ERR_NoSpace, "layers: larger than the volume");
	if (r < 0 && err)
		*err = why;
	return r;
}
