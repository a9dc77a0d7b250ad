/* Profiles of system calls: whatever the type takes becomes a program; what it makes of Docker's JSON it takes again. */
#include "engine/seccomp.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *text = fuzz_string(data, size);
	union value v = {}, again = {};
	const char *kept;

	if (type_seccomp.parse(text_trim(text), &v) < 0)
		return 0;
	kept = v.s != NULL ? v.s : "";
	FUZZ_CHECK(type_seccomp.parse(kept, &again) == 0);
	FUZZ_CHECK(type_seccomp.equal(&v, &again));
	if (*kept && strcmp(kept, "none") != 0)
		(void)seccomp_program(kept, size > 0 ? data[0] : 0, NULL);
	type_seccomp.release(&again);
	type_seccomp.release(&v);
	return 0;
}
