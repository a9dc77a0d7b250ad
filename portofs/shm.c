#include "portofs/shm.h"

#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/proc.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u /* since 6.3; without it newer kernels grumble */
#endif

static int map(int fd, struct shm **ret)
{
	void *p = mmap(NULL, sizeof(struct shm), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	return 0;
}

int shm_create(struct shm **ret)
{
	autoclose int fd = memfd_create("porto", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
	uint16_t tag = 0;
	struct shm *shm = NULL;
	int r;

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("porto", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, sizeof(struct shm)) < 0)
		return -errno;
	r = map(fd, &shm);
	if (r < 0)
		return r;
	/* Without it two mounts in a row have the same tag, which config.fresh tells apart as well. */
	if (getrandom(&tag, sizeof(tag), GRND_NONBLOCK) < 0)
		tag = (uint16_t)clock_boot();
	shm->mount_tag = (tag & 0x7fffu) | 1;
	shm->started = clock_boot();
	shm->layout = SHM_LAYOUT;
	shm->magic = SHM_MAGIC;
	*ret = shm;
	return TAKE_FD(fd);
}

int shm_map(int fd, struct shm **ret)
{
	struct shm *shm = NULL;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (size_t)st.st_size < offsetof(struct shm, mount_tag))
		return -EINVAL;
	r = map(fd, &shm);
	if (r < 0)
		return r;
	if (shm->magic != SHM_MAGIC)
		r = -EINVAL;
	else if (shm->layout != SHM_LAYOUT || (size_t)st.st_size != sizeof(struct shm))
		r = -EPROTO;
	if (r < 0) {
		shm_unmap(shm);
		return r;
	}
	*ret = shm;
	return 0;
}

void shm_unmap(struct shm *shm)
{
	if (shm)
		munmap(shm, sizeof(*shm));
}
