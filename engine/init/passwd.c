/*
 * The lookups that wordexp(3) does for `~user`. glibc's own would load the shared NSS modules of whatever root we are
 * in, which a static program must not (the linker warns of it); /etc/passwd of the container is all we ask.
 * The assembler names are those the library calls, so its versions are not linked at all.
 */
#include <pwd.h>
#include <stdio.h>

#include "engine/init/init.h"

int passwd_by_name(const char *name, struct passwd *pw, char *buf, size_t size, struct passwd **ret)
	__asm__("__getpwnam_r");
int passwd_by_uid(uid_t uid, struct passwd *pw, char *buf, size_t size, struct passwd **ret)
	__asm__("__getpwuid_r");

/* The account of that name, or of that uid if name is NULL. 0 and *ret (NULL: none), or an errno. */
static int passwd_find(const char *name, uid_t uid, struct passwd *pw, char *buf, size_t size, struct passwd **ret)
{
	FILE *file = fopen("/etc/passwd", "re");
	int r = ENOENT;

	*ret = NULL;
	if (!file)
		return 0;
	while (!(r = fgetpwent_r(file, pw, buf, size, ret))) {
		if (name ? !strcmp(pw->pw_name, name) : pw->pw_uid == uid)
			break;
		*ret = NULL;
	}
	fclose(file);
	return r == ENOENT ? 0 : r;
}

int passwd_by_name(const char *name, struct passwd *pw, char *buf, size_t size, struct passwd **ret)
{
	return passwd_find(name, 0, pw, buf, size, ret);
}

int passwd_by_uid(uid_t uid, struct passwd *pw, char *buf, size_t size, struct passwd **ret)
{
	return passwd_find(NULL, uid, pw, buf, size, ret);
}
