/*
 * porto-terminal CONTAINER_DIRECTORY [PROPERTY...]: starts a container with a terminal of its own and relays between it
 * and the terminal on stdin. `portoctl exec` and `shell` run it; a shell can't do what is here.
 *
 * The properties (stdin_path, stdout_path, stderr_path) are set to the container's side of a new pair, the container is
 * started, and bytes go both ways until it ends. The user's terminal is raw meanwhile: Ctrl-C and Ctrl-Z reach the
 * program inside as bytes, for its own terminal to make signals of. ^X twice leaves at once.
 *
 * Exit: 0 the container has ended, 1 it could not be started (said on stderr), 2 left by ^X^X, 128+N signal N.
 * The user's terminal is as before in every case.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define CTRL_X 0x18

enum { EXIT_ENDED = 0, EXIT_REFUSED = 1, EXIT_LEFT = 2, EXIT_SIGNAL = 128 };

struct relay {
	int master;      /* our side of the pair, O_NONBLOCK */
	int slave;       /* kept open, so that master never hangs up while a program inside reopens it */
	int signals;     /* signalfd */
	int ended;       /* closed by the other side when the container has ended */
	pid_t waiter;    /* the child on that other side */
	bool typing;     /* stdin is still open */
	bool crossed;    /* the last byte typed was ^X */
	size_t pending;  /* typed, not yet taken by master */
	char input[65536];
};

static struct termios before; /* the user's settings, valid while is_raw */
static bool is_raw;

static void restore(void)
{
	if (is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
	is_raw = false;
}

static void make_raw(void)
{
	struct termios raw;

	if (!is_raw && tcgetattr(STDIN_FILENO, &before) < 0)
		return;
	raw = before;
	cfmakeraw(&raw);
	is_raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

static void copy_size(int to)
{
	struct winsize size;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
		ioctl(to, TIOCSWINSZ, &size);
}

static int write_all(int fd, const char *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, buf, len);

		if (n < 0 && errno == EAGAIN) {
			struct pollfd p = {.fd = fd, .events = POLLOUT};

			poll(&p, 1, -1); /* stdout may share the O_NONBLOCK of somebody else */
			continue;
		}
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			buf += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int write_file(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* The daemon's sentence is in `error`: "NUMBER Kind:(text)". Without one, what the kernel said has to do. */
static int refused(int dir, int no)
{
	char text[1100] = "";
	int fd = openat(dir, "error", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *kind = n > 0 ? strchr(text, ' ') : NULL;

	if (fd >= 0)
		close(fd);
	text[strcspn(text, "\n")] = '\0';
	if (kind)
		fprintf(stderr, "Cannot start container: %s\n", kind + 1);
	else
		fprintf(stderr, "Cannot start container: Unknown:(%s)\n", strerror(no));
	return EXIT_REFUSED;
}

/* A pair whose far side behaves as the user's terminal does. */
static int open_pair(struct relay *r)
{
	struct termios settings;

	r->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (r->master < 0 || unlockpt(r->master) < 0)
		return -errno;
	r->slave = ioctl(r->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (r->slave < 0)
		return -errno;
	if (tcgetattr(STDIN_FILENO, &settings) == 0)
		tcsetattr(r->slave, TCSANOW, &settings);
	copy_size(r->master);
	return 0;
}

static int open_signals(struct relay *r)
{
	static const int caught[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH, SIGCONT, SIGTSTP};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		sigaddset(&set, caught[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	r->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return r->signals < 0 ? -errno : 0;
}

/* In the waiter: returns when the container is over. A read of `wait` blocks, and gives the state. */
static void await_end(int dir)
{
	char state[32];
	ssize_t n;

	for (;;) {
		int fd = openat(dir, "wait", O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return;
		do
			n = read(fd, state, sizeof(state) - 1);
		while (n < 0 && errno == EINTR);
		close(fd);
		if (n <= 0)
			return;
		state[n] = '\0';
		if (strncmp(state, "respawning", strlen("respawning")))
			return;
		poll(NULL, 0, 100);
	}
}

/* The wait can't be polled: a child blocks in it and closes its end of a pipe afterwards. */
static int start_waiter(struct relay *r, int dir)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	r->waiter = fork();
	if (r->waiter < 0)
		return -errno;
	if (r->waiter == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		await_end(dir);
		_exit(0);
	}
	close(ends[1]);
	r->ended = ends[0];
	return 0;
}

/* From the container to the user, all there is if drain. False: nobody reads us any more. */
static bool relay_output(struct relay *r, bool drain)
{
	char buf[16384];
	ssize_t n;

	do {
		n = read(r->master, buf, sizeof(buf));
		if (n > 0 && write_all(STDOUT_FILENO, buf, (size_t)n) < 0)
			return false;
	} while (drain && (n > 0 || (n < 0 && errno == EINTR)));
	return true;
}

/* What was typed, into the buffer. True: ^X^X. */
static bool take_input(struct relay *r)
{
	char *typed = r->input + r->pending;
	ssize_t n = read(STDIN_FILENO, typed, sizeof(r->input) - r->pending);

	if (n < 0)
		r->typing = errno == EINTR || errno == EAGAIN;
	if (n == 0)
		r->typing = false;
	for (ssize_t i = 0; i < n; i++) {
		if (typed[i] == CTRL_X && r->crossed)
			return true;
		r->crossed = typed[i] == CTRL_X;
	}
	if (n > 0)
		r->pending += (size_t)n;
	return false;
}

/* From the buffer to the container, as much as it takes. */
static void relay_input(struct relay *r)
{
	ssize_t n = write(r->master, r->input, r->pending);

	if (n > 0) {
		r->pending -= (size_t)n;
		memmove(r->input, r->input + n, r->pending);
	}
}

/* The signal to leave with, or 0. */
static int take_signal(struct relay *r)
{
	struct signalfd_siginfo info;

	if (read(r->signals, &info, sizeof(info)) != sizeof(info))
		return 0;
	switch (info.ssi_signo) {
	case SIGCONT: /* a shell that had us in the background has its own settings in force */
		make_raw();
		copy_size(r->master);
		return 0;
	case SIGWINCH:
		copy_size(r->master);
		return 0;
	case SIGTSTP: /* stopping would leave the terminal raw */
		return 0;
	default:
		return (int)info.ssi_signo;
	}
}

static int relay(struct relay *r)
{
	for (;;) {
		bool room = r->typing && r->pending < sizeof(r->input);
		struct pollfd p[] = {
			{.fd = r->ended, .events = POLLIN},
			{.fd = r->signals, .events = POLLIN},
			{.fd = r->master, .events = (short)(POLLIN | (r->pending ? POLLOUT : 0))},
			{.fd = room ? STDIN_FILENO : -1, .events = POLLIN},
		};
		int sig;

		if (poll(p, sizeof(p) / sizeof(p[0]), -1) < 0) {
			if (errno == EINTR)
				continue;
			return EXIT_ENDED;
		}
		if (p[1].revents && (sig = take_signal(r)))
			return EXIT_SIGNAL + sig;
		if (p[3].revents && take_input(r))
			return EXIT_LEFT;
		if (p[2].revents & POLLOUT)
			relay_input(r);
		if ((p[2].revents & POLLIN) && !relay_output(r, false))
			return EXIT_SIGNAL + SIGPIPE;
		if (p[0].revents) {
			relay_output(r, true);
			return EXIT_ENDED;
		}
	}
}

int main(int argc, char **argv)
{
	static struct relay r = {.master = -1, .slave = -1, .signals = -1, .ended = -1, .typing = true};
	char path[32];
	int dir, no, result;

	if (argc < 2) {
		fprintf(stderr, "usage: porto-terminal CONTAINER_DIRECTORY [PROPERTY...]\n");
		return EXIT_REFUSED;
	}
	dir = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || open_pair(&r) < 0 || open_signals(&r) < 0) {
		fprintf(stderr, "Cannot start container: Unknown:(no terminal for it: %s)\n", strerror(errno));
		return EXIT_REFUSED;
	}
	snprintf(path, sizeof(path), "/dev/fd/%d\n", r.slave);
	for (int i = 2; i < argc; i++) {
		no = write_file(dir, argv[i], path);
		if (no < 0)
			return refused(dir, -no);
	}
	no = write_file(dir, "state", "start\n");
	if (no < 0)
		return refused(dir, -no);

	make_raw();
	result = start_waiter(&r, dir) < 0 ? EXIT_REFUSED : relay(&r);
	restore();
	if (r.waiter > 0) {
		kill(r.waiter, SIGKILL);
		waitpid(r.waiter, NULL, 0);
	}
	return result;
}
