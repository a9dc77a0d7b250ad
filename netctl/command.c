/* ip WORDS: the program ip(8) in the namespace. */
#include <fcntl.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/spawn.h"
#include "netctl/up.h"
#include "netctl/words.h"

#define SAID_MAX 400

/* What the program wrote, to its end; the first bytes are kept. */
static void listen_to(int fd, char said[SAID_MAX])
{
	size_t len = 0;
	char rest[256];
	ssize_t r;

	do {
		r = len < SAID_MAX - 1 ? read(fd, said + len, SAID_MAX - 1 - len) : read(fd, rest, sizeof(rest));
		if (r > 0 && len < SAID_MAX - 1)
			len += (size_t)r;
	} while (r > 0 || (r < 0 && errno == EINTR));
	said[len] = 0;
}

int up_command(struct up *u, const char *words, struct err *err)
{
	autostrv struct strv argv = {};
	char said[SAID_MAX] = "";
	int ends[2], back, status, r;
	pid_t pid;

	if (strv_add(&argv, "ip") < 0 || net_words(words, &argv) < 0)
		return err_sys(err, ENOMEM, "ip %s", words);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, errno, "ip %s", words);
	r = ns_enter(u->req->ns_fd, &back);
	if (r == 0) {
		struct spawn_fd fds[] = { { ends[1], 1 }, { ends[1], 2 } };
		r = spawn_program((const char *const *)argv.p, fds, ARRAY_LEN(fds), &pid);
		ns_leave(back);
	}
	close(ends[1]);
	if (r == 0) {
		listen_to(ends[0], said);
		while (waitpid(pid, &status, 0) < 0)
			if (errno != EINTR) {
				status = 0;
				break;
			}
	}
	close(ends[0]);
	if (r < 0)
		return err_sys(err, -r, "ip %s", words);
	return status == 0 ? 0 : err_set(err, ERR_HelperError, "ip %s: %s", words, *text_trim(said) ? text_trim(said) : "it failed");
}
