/*
 * engine/init/proto.h: what the engine tells porto-init to do, and what it hears back.
 *
 * porto-init is executed (from a sealed memfd, as comm "porto-init") already inside its new pid, ipc, uts and mount
 * namespaces (the engine's clone3 made or joined them) with three descriptors:
 *     INIT_OPS_FD     a pipe (or file) with the operations, read to its end; an empty list (the engine died before it wrote one,
 *                     so nothing has been done) is the failure PortodReloaded, and the next engine starts it again
 *     INIT_REPORT_FD  the write end of a pipe; its closing wakes the engine, which then reads the status file
 *     INIT_STATUS_FD  the container's status file, STATUS_SIZE bytes already allocated (so ENOSPC can't lose a status)
 * and whatever the operations name by number. All others are closed before the command runs.
 *
 * Executed with the argument `seed` it has one descriptor, INIT_OPS_FD: a SOCK_SEQPACKET socket. For each struct seed_order
 * there, with descriptors as SCM_RIGHTS (those above in their order, then the v2 cgroup to be born in, if any), it clones
 * itself, in new namespaces as flags say, as a child of its own parent; the child has the descriptors in place and goes on as
 * if it had just been executed. The answer is a struct seed_answer with the child's pidfd. It ends when the socket does.
 * With join_flags the namespaces of a process are joined before, whose pidfd is the last descriptor: this does a process
 * of its own, which answers; one that is stopped by somebody in there is killed, and any after SEED_JOIN_MSEC.
 *
 * The operations are NUL-terminated words: the operation's name, then exactly its number of arguments. They are run in
 * order by the process, up to `fork`; after it the parent stays (reaps, writes the wait status) and the rest is run by
 * the child; with `become` instead of `fork` there is no parent: the same process goes on and becomes the command.
 * A list that ends without `exec` (a meta container) leaves porto-init alone: it reports started and reaps for ever.
 * An unknown operation or a short list is a failure of the start (EPROTO).
 *
 * name        args  does
 * tasks       fd                  writes "0" to it (joins a v1 cgroup), closes it
 * setns       fd flags            setns(2) with a pidfd or namespace descriptor, closes it
 * newnet      -                   a network namespace of its own, empty; lo is up
 * cgroupns    -                   a cgroup namespace of its own, whose root is the cgroup we are in
 * lo          -                   brings up the loopback device
 * userns      fd uid gid          a user namespace to be entered later, in which the host's uid and gid are root: what is made by the
 *                                 operations below is theirs, a root that is the host root's is mounted with mapped ids, /proc whole
 * hostname    name                sethostname(2)
 * slave       -                   makes all mounts of this namespace MS_SLAVE|MS_REC: ours never reach the host
 * root        path                path (seen from the current root, resolved without leaving it) becomes the new root to be:
 *                                 later mount operations are below it, until `pivot`. Not a directory: InvalidValue
 * plain       how                 before `root`: its files keep their owners whatever user namespace there is; how "nosuid": setuid
 *                                 programs and devices do nothing in it, nor in what is mounted below; else ""
 * attach      fd target how       a mount that hangs nowhere yet, a file mostly, goes on target, as with bind; a link at its end may lead to what
 *                                 is missing. how "must", or "try": nothing where that can't be. Closes it
 * bind        source target flags bind mount; source from the old root (before pivot), target below the new root (or the current one
 *                                 without `root`), created when missing and a root was given (file or directory as the source is);
 *                                 flags: comma words ro rw rec dev nodev suid nosuid exec noexec noatime nodiratime relatime private
 *                                 unbindable, "" for none; nodev unless dev; target resolved with openat2 RESOLVE_IN_ROOT, so
 *                                 that a hostile symlink inside can't lead out
 * proc        -                   a new /proc (nosuid nodev noexec) for the new pid namespace; in a new root with /proc/sys, sysrq-trigger, irq, bus
 *                                 read-only and kcore, keys, timer_list masked
 * dev         -                   in a new root: tmpfs on /dev with null zero full random urandom tty (bind mounts from the old /dev or mknod),
 *                                 fd stdin stdout stderr links, ptmx link, /dev/pts (new instance, max 256), /dev/shm, /dev/hugepages, console as null
 * device      source path numbers mode owner  after `dev`: a node at path (/dev/...) with numbers like "c 10:200", mode octal, owner
 *                                 "uid:gid"; where nodes can't be made, source (of the old /dev) is bound there as it is
 * no_console  -                   takes away the /dev/console that `dev` made: a system would look for a terminal behind it
 * sys         -                   /sys read-only in a new root (bind of the old one if a mount of sysfs is refused)
 * run         bytes               tmpfs on /run (of a new root, else of ours), at most that large, with the directories that were there;
 *                                 nothing where a read-only root has none
 * cgroupfs    how list            the cgroup tree on /sys/fs/cgroup, how "ro" or "rw": v2 if there is one, or for systemd before 233, and
 *                                 where there is no v2, all hierarchies with only name=systemd and v2 writable. list: those
 *                                 in which the container has a cgroup of its own, as memory,systemd,v2
 * porto       fd sub how          a detached copy of the daemon's mount, closes it: it, or the directory sub in it unless "", is mounted at
 *                                 /porto, made when missing; how "may": nothing is done where that can't be made; "must"
 * reporto     fd sub              alone, in the namespaces of a container that runs: the same at /porto if the mount there is dead; ends
 * readonly    -                   remounts the new root read-only
 * pivot       -                   pivot_root(2) into the new root, detaches the old one, chdir /
 * enter       what                joins the user namespace; what: "mounts" makes a mount namespace in it, whose mounts from outside
 *                                 are locked, "all" uts and ipc namespaces as well, "" none
 * unshare     -                   a mount namespace of the command's own
 * ioprio      class level         ioprio_set(2) of this process: what it forks has the same
 * keyring     -                   a session keyring of its own, empty, for this process and all it forks; nothing where the kernel has no keys
 * loginuid    -                   /proc/self/loginuid is unset, so that audit takes nobody's login for the container's; nothing where it can't be
 * only        mask                this process itself keeps no other capabilities
 * bound       mask                capabilities that are not in it (hexadecimal) leave the bounding set, and all the inheritable one
 * seccomp     fd                  a filter of system calls (struct sock_filter, as they lie in the file), in force right before the command is
 *                                 executed, several one after the other; the process that stays has one that leaves it nothing but to wait
 * coredump_filter mask             /proc/self/coredump_filter
 * oom_adj     n                   /proc/self/oom_score_adj
 * rlimit      type soft hard how  setrlimit; numbers or "unlimited"; how "default": clamped to the hard limit when raising is refused;
 *                                 "explicit": refused is a failure with the reason
 * umask       octal
 * sysctl      path value          writes value to path below a /proc/sys of its own: of the namespaces it is in, whatever is mounted
 * fork        -                   see above
 * become      -                   see above (job mode)
 * session     -                   setsid(2)
 * sched       policy nice         sched_setscheduler(2), setpriority(2); other, batch or idle; -20..19. Refused: Permission with the reason
 * stream      n fd                dup2(fd, n), n 0..2; made the controlling terminal if n is 0 and it is a terminal and we lead a session
 * open        n path how          opens path as descriptor n; how "r", "a" (append, created 0666) ; runs after the credentials are set when
 *                                 placed after them
 * ambient     mask                before uid: these capabilities the command has, whatever its uid
 * no_new_privs -                  prctl(PR_SET_NO_NEW_PRIVS)
 * groups      list                setgroups(2), comma separated numbers, "" for none
 * gid         n                   setresgid
 * uid         n                   setresuid; capabilities go with it
 * symlink     target path         a symbolic link, made over one that is there, relative; parents are made; target "": removed
 * env         NAME=value          adds to the command's environment (starts empty)
 * cwd         path                chdir(2)
 * command     text                expanded by wordexp(3) with WRDE_NOCMD|WRDE_UNDEF in the command's environment -> argv. Failure: InvalidCommand
 * arg         word                appends to argv as it is
 * exec        -                   closes every other descriptor, default signals, empty mask, execvpe(3) by the command's PATH.
 *                                 Failure: InvalidCommand with errno
 * done        -                   after become, in place of exec: reports started and ends
 *
 * STATUS FILE: text. The first STATUS_LINE bytes are one line, padded with blanks, newline last, always rewritten by a
 * single pwrite; the rest is the sentence of a failure, NUL- or newline-terminated.
 *     starting
 *     failed KIND ERRNO            kind number of base/err.def, errno (0: none)
 *     started PID                  PID as porto-init sees it (of the command; 0 for meta)
 *     exited PID STATUS            status as wait(2) gives it, exact: exit 130 is 33280, death by signal 2 is 2
 * `started` is written once the command has been executed (execve succeeded), for `become` just before it. Then, and
 * after `failed`, porto-init closes INIT_REPORT_FD. It never returns before having written one of the two.
 * When the command ends, porto-init writes `exited` and leaves with the same code (or 128+signal): with its own pid
 * namespace the kernel then kills the rest.
 */
#ifndef ENGINE_INIT_PROTO_H
#define ENGINE_INIT_PROTO_H

#include <stdint.h>

#define INIT_OPS_FD 3
#define INIT_REPORT_FD 4
#define INIT_STATUS_FD 5
#define INIT_FIRST_FREE_FD 6

#define SEED_FDS 34
#define SEED_JOIN_MSEC 4000 /* processors may be busy */

struct seed_order {
	uint64_t id;         /* the answer has the same */
	uint64_t flags;      /* CLONE_NEW... */
	uint64_t join_flags; /* not 0: the last descriptor is a pidfd, whose namespaces these are */
	uint32_t count;      /* descriptors, without these two */
	uint32_t cgroup;     /* 1: the one after them is it */
};

struct seed_answer {
	uint64_t id;
	int32_t no;          /* 0, or an errno, and no pidfd then */
};

#define STATUS_LINE 64
#define STATUS_SIZE 1024

#endif
