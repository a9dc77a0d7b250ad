/* A whole archive: which images it holds is found, or refused with a sentence, and every part lies within it. */
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "layerstore/store/image_found.h"
#include "tests/fuzz/fuzz.h"

static void check_tar(const struct tar_index *tar, size_t size)
{
	for (size_t i = 0; i < tar->n; i++) {
		FUZZ_CHECK(tar->p[i].offset <= size && tar->p[i].size <= size - tar->p[i].offset);
		FUZZ_CHECK(tar->p[i].name[0] != '/' && strncmp(tar->p[i].name, "../", 3) != 0);
		FUZZ_CHECK(i == 0 || strcmp(tar->p[i - 1].name, tar->p[i].name) <= 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct image_wish wish = { .arch = "amd64", .defaults = { IMAGE_DEFAULT_REGISTRY, NULL } };
	static int fd = -1;
	autofinds struct image_finds found = {};
	struct image_source src;
	struct err err = {};
	int r;

	if (fd < 0)
		fd = memfd_create("image", MFD_CLOEXEC);
	FUZZ_CHECK(fd >= 0 && ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0 &&
		   fd_write_all(fd, data, size) == 0);
	r = image_source_tar(&src, fd, &err);
	if (r == 0) {
		check_tar(&src.tar, size);
		r = image_find(&src, &wish, &found, &err);
	}
	FUZZ_CHECK(r == 0 || (err.kind != ERR_Success && *err.text));
	FUZZ_CHECK(r < 0 || found.n > 0);
	for (size_t i = 0; r == 0 && i < found.n; i++)
		FUZZ_CHECK(image_is_hex(found.p[i].id) && found.p[i].config.diff_ids.n > 0);
	image_source_done(&src);
	return 0;
}
