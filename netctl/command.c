/* ip WORDS: the program ip(8) in the namespace. */
#include <fcntl.h>

#include "base/fd.h"
#include "base/proc.h"
#include "base/spawn.h"
#include "netctl/up.h"
#include "netctl/words.h"

#define SAID_MAX 400

int up_command(struct up *u, const char *words, struct err *err)
{
	autostrv struct strv argv = {};
	char said[SAID_MAX] = "";
	int ends[2], back, status = 0, r;
	pid_t pid;

	if (strv_add(&argv, "ip") < 0 || net_words(words, &argv) < 0)
		return err_sys(err, ENOMEM, "ip %s", words);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, errno, "ip %s", words);
	r = ns_enter(u->req->ns_fd, &back);
	if (r == 0) {
		struct spawn_fd fds[] = { { ends[1], 1 }, { ends[1], 2 } };
		r = spawn_leader((const char *const *)argv.p, fds, ARRAY_LEN(fds), &pid);
		ns_leave(back);
	}
	close(ends[1]);
	if (r == 0) {
		struct spawn_wait how = { .cancel_fd = u->req->cancel_fd, .deadline = clock_mono() + NET_PROGRAM_TIMEOUT,
					  .out_fd = ends[0], .said = said, .size = sizeof(said) };
		r = spawn_wait(pid, &how, &status);
	}
	close(ends[0]);
	if (r == -ECANCELED || r == -ETIMEDOUT)
		return err_set_no(err, ERR_HelperError, -r, "ip %s: %s", words, r == -ECANCELED ? "given up" : "it does not end");
	if (r < 0)
		return err_sys(err, -r, "ip %s", words);
	return status == 0 ? 0 : err_set(err, ERR_HelperError, "ip %s: %s", words, *text_trim(said) ? text_trim(said) : "it failed");
}
