/* A configuration file: refused with a sentence, or shown in a form that reads back to the same. */
#include "engine/config.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "tests/fuzz/fuzz.h"

/* The file is in memory, but has a name. */
static void put_file(int fd, const void *data, size_t size)
{
	FUZZ_CHECK(ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0 && fd_write_all(fd, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[32];
	static int fd = -1;
	autotext struct text shown = {};
	autotext struct text again = {};
	struct config c, back;
	struct err err = {};
	int r;

	if (fd < 0) {
		fd = memfd_create("portod.conf", MFD_CLOEXEC);
		FUZZ_CHECK(fd >= 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	FUZZ_CHECK(config_init(&c) == 0 && config_init(&back) == 0);
	put_file(fd, data, size);
	r = config_load(&c, path, &err);
	FUZZ_CHECK(r == 0 || (r == -EINVAL && err.kind == ERR_InvalidValue && strstr(err.text, path)));
	config_format(&c, &shown);
	put_file(fd, shown.p, shown.len);
	FUZZ_CHECK(config_load(&back, path, &err) == 0);
	config_format(&back, &again);
	FUZZ_CHECK(strcmp(text_str(&shown), text_str(&again)) == 0);
	config_done(&c);
	config_done(&back);
	return 0;
}
