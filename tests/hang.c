/*
 * hang DIRECTORY: a file system on it that never answers, like one whose server is dead: whoever looks up a name there waits.
 * Until it is killed: then they get an error.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	char options[80];

	if (argc != 2 || fd < 0)
		return 2;
	snprintf(options, sizeof(options), "fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other", fd);
	if (mount("hang", argv[1], "fuse.hang", MS_NOSUID | MS_NODEV, options) < 0) {
		perror(argv[1]);
		return 1;
	}
	for (;;)
		pause();
}
