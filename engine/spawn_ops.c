/* The list of operations of a new process, and the descriptors that it is given. */
#include "engine/spawn_ops.h"

#include <stdio.h>
#include <unistd.h>

#include "engine/init/proto.h"

void spawn_op(struct spawn *s, const char *name)
{
	text_addn(&s->ops, name, strlen(name) + 1);
}

void spawn_op1(struct spawn *s, const char *name, const char *arg)
{
	spawn_op(s, name);
	spawn_op(s, arg);
}

void spawn_op_num(struct spawn *s, const char *name, long n)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%ld", n);
	spawn_op1(s, name, buf);
}

void spawn_op_id(struct spawn *s, unsigned id)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%u", id);
	spawn_op(s, buf);
}

void spawn_op_mask(struct spawn *s, const char *name, uint64_t mask)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%llx", (unsigned long long)mask);
	spawn_op1(s, name, buf);
}

int spawn_pass(struct spawn *s, int fd, bool owned)
{
	if (s->b.count >= BIRTH_FDS) {
		if (owned)
			close(fd);
		return -EMFILE;
	}
	s->b.fds[s->b.count] = fd;
	s->owned[s->b.count] = owned;
	return INIT_OPS_FD + s->b.count++;
}
