# Makefile: everything is built from here, without recursion into folders; `make help` lists the targets.
#
# Programs go to build/ (with sanitizers: build/asan/), objects below build/release, build/asan, build/fuzz, build/init.
# Dropping a file in is its registration: *.c in a folder of FOLDERS, engine/init/*.c, tests/unit/test_*.c,
# tests/fuzz/fuzz_*.c, tests/*.bats, and tests/*.c for programs that bats files use.

MAKEFLAGS += --no-builtin-rules
SHELL := /bin/sh
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PRECIOUS: build/release/%.o build/asan/%.o build/fuzz/%.o build/init/%.o

ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang
PKG_CONFIG ?= pkg-config

PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
DESTDIR ?=
BINDIR := $(PREFIX)/bin
SBINDIR := $(PREFIX)/sbin
LIBEXECDIR := $(PREFIX)/libexec/porto
DATADIR := $(PREFIX)/share
UNITDIR := $(PREFIX)/lib/systemd/system

# ---- what there is ----

FOLDERS := base engine netctl layerstore portofs
SRC := $(sort $(wildcard $(FOLDERS:=/*.c)))
STORE_SRC := $(sort $(wildcard layerstore/store/*.c))
INIT_SRC := $(sort $(wildcard engine/init/*.c))
BASE_SRC := $(sort $(wildcard base/*.c))
HELPER_SRC := $(sort $(wildcard scripts/*.c))
BENCH_SRC := $(sort $(wildcard bench/*.c))
UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
DRIVER_SRC := $(sort $(wildcard tests/*.c))
BATS := $(sort $(wildcard tests/*.bats))
ALL_C := $(SRC) $(STORE_SRC) $(INIT_SRC) $(HELPER_SRC) $(BENCH_SRC) $(DRIVER_SRC) $(sort $(wildcard tests/unit/*.c tests/fuzz/*.c))
ALL_H := $(sort $(wildcard $(FOLDERS:=/*.h) layerstore/store/*.h engine/init/*.h tests/unit/*.h tests/fuzz/*.h bench/*.h))

MAIN := portofs/main.c
LIB_SRC := $(filter-out $(MAIN),$(SRC))
STORE_MAIN := layerstore/store/main.c
STORE_LIB_SRC := $(filter-out $(STORE_MAIN),$(STORE_SRC))

# ---- how it is built ----

# An outside library is linked when a file includes its header.
includes := $(if $(SRC),$(shell sed -n 's/^\#include <\(.*\)>.*/\1/p' $(SRC) | sort -u))
uses = $(if $(filter $(1),$(includes)),$(2))
PACKAGES := fuse3 inih $(call uses,netlink/netlink.h,libnl-3.0 libnl-route-3.0) $(call uses,sys/capability.h,libcap) \
	$(call uses,seccomp.h,libseccomp) $(call uses,md5.h,libmd) $(call uses,jansson.h,jansson)
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PACKAGES) 2>/dev/null)
PKG_LIBS := $(shell $(PKG_CONFIG) --libs $(PACKAGES) 2>/dev/null)

# Those of porto-store are its own: the daemon stays small.
STORE_PACKAGES := libarchive libzstd liblzma zlib libseccomp libcap jansson nettle
STORE_LIBS := $(shell $(PKG_CONFIG) --libs $(STORE_PACKAGES) 2>/dev/null) -lbz2

CFLAGS ?= -O2 -g
LDFLAGS ?=
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
CPPFLAGS_ALL := -D_GNU_SOURCE -DFUSE_USE_VERSION=35 -I. $(PKG_CFLAGS) $(CPPFLAGS)
CFLAGS_ALL := -std=gnu17 $(WARNINGS) -pthread $(CFLAGS)
HARDEN := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fPIE
HARDEN_LD := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
# gcc warns of what cannot happen when it instruments.
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer \
	-O1 -fPIE -Wno-format-truncation -Wno-maybe-uninitialized
FUZZING := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1
# Pages of porto-init are paid by every container: small, static, without what nobody calls.
INIT_CFLAGS := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -Os -fno-pie \
	-ffunction-sections -fdata-sections
INIT_LDFLAGS := -static -no-pie -Wl,--gc-sections -Wl,-z,relro,-z,now

COMPILE = @mkdir -p $(@D) && echo '  CC    $@' && $(1) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(2) -MMD -MP -c -o $@ $<
ARCHIVE = @echo '  AR    $@' && rm -f $@ && ar rcs $@ $^
LINK = @mkdir -p $(@D) && echo '  LD    $@' && $(1) $(CFLAGS_ALL) $(2) $(LDFLAGS) -o $@ $^ $(3)

PROGRAMS := build/portod build/porto-init build/porto-terminal build/porto-mkdir build/porto-store build/porto-core
GENERATED := build/README build/porto.7 build/portod.conf
DRIVERS := $(DRIVER_SRC:tests/%.c=build/%)
UNIT := $(UNIT_SRC:%.c=build/release/%)
UNIT_ASAN := $(UNIT_SRC:%.c=build/asan/%)
FUZZ := $(FUZZ_SRC:%.c=build/fuzz/%)
BENCH := $(BENCH_SRC:%.c=build/%)

.PHONY: all help run check check-vm unit bats asan fuzz bench lint headers layers format install uninstall deps clean

all: $(PROGRAMS) $(GENERATED)

help:
	@echo 'all       portod, porto-init, porto-store, porto-terminal, generated pages, in build/'
	@echo 'run       all, install, start the daemon on /porto, run the hello container'
	@echo 'check     lint, unit tests, bats files, and the same in a virtual machine when QEMU is there'
	@echo 'check-vm  unit tests and bats files in virtual machines with cgroup v2 alone; takes VM_KERNEL=6.1 and BATS'
	@echo 'unit, bats  only these tests; bats takes BATS="tests/a.bats tests/b.bats"'
	@echo 'asan      the same unit tests and bats files with address and undefined behaviour sanitizers'
	@echo 'fuzz      every tests/fuzz/fuzz_*.c for TIME=20 seconds'
	@echo 'bench     the figures of README, against crun and libfuse in the same run'
	@echo 'lint      clang-tidy, cppcheck, shellcheck, headers alone, man pages, layers'
	@echo 'layers    which folder may include what; file and function sizes'
	@echo 'format    clang-format on every C file'
	@echo 'install   PREFIX=/usr/local SYSCONFDIR=/etc DESTDIR=; uninstall takes the same'
	@echo 'deps      installs the Debian packages that all of this needs'
	@echo 'clean     removes build/'

# ---- programs ----

build/release/%.o: %.c Makefile
	$(call COMPILE,$(CC),$(HARDEN))

build/asan/%.o: %.c Makefile
	$(call COMPILE,$(CC),$(SANITIZE))

build/fuzz/%.o: %.c Makefile
	$(call COMPILE,$(CLANG),$(FUZZING))

build/init/%.o: %.c Makefile
	$(call COMPILE,$(CC),$(INIT_CFLAGS))

build/release/libporto.a: $(LIB_SRC:%.c=build/release/%.o)
	$(ARCHIVE)

build/asan/libporto.a: $(LIB_SRC:%.c=build/asan/%.o)
	$(ARCHIVE)

build/fuzz/libporto.a: $(LIB_SRC:%.c=build/fuzz/%.o)
	$(ARCHIVE)

build/init/libbase.a: $(BASE_SRC:%.c=build/init/%.o)
	$(ARCHIVE)

build/portod: $(MAIN:%.c=build/release/%.o) build/release/libporto.a
	$(call LINK,$(CC),$(HARDEN_LD),$(PKG_LIBS))

build/asan/portod: $(MAIN:%.c=build/asan/%.o) build/asan/libporto.a
	$(call LINK,$(CC),$(SANITIZE) -pie,$(PKG_LIBS))

build/release/libstore.a: $(STORE_LIB_SRC:%.c=build/release/%.o)
	$(ARCHIVE)

build/asan/libstore.a: $(STORE_LIB_SRC:%.c=build/asan/%.o)
	$(ARCHIVE)

build/fuzz/libstore.a: $(STORE_LIB_SRC:%.c=build/fuzz/%.o)
	$(ARCHIVE)

build/porto-store: $(STORE_MAIN:%.c=build/release/%.o) build/release/libstore.a build/release/libporto.a
	$(call LINK,$(CC),$(HARDEN_LD),$(STORE_LIBS))

build/asan/porto-store: $(STORE_MAIN:%.c=build/asan/%.o) build/asan/libstore.a build/asan/libporto.a
	$(call LINK,$(CC),$(SANITIZE) -pie,$(STORE_LIBS))

build/porto-init: $(INIT_SRC:%.c=build/init/%.o) build/init/libbase.a
	$(call LINK,$(CC),$(INIT_LDFLAGS),)

# Beside the sanitized daemon, where it looks first.
ASAN_LINKS := $(patsubst build/%,build/asan/%,build/porto-init build/porto-core build/porto-terminal build/README $(DRIVERS))
$(ASAN_LINKS): build/asan/%: build/%
	@mkdir -p $(@D) && ln -sf ../$(@F) $@

$(DRIVERS): build/%: build/release/tests/%.o build/release/libporto.a
	$(call LINK,$(CC),$(HARDEN_LD),$(PKG_LIBS))

# It stands in for porto-init, and is forked for each start as that is.
build/slowinit: build/release/engine/init/seed.o build/release/engine/init/status.o

build/porto-terminal: build/release/scripts/terminal.o
	$(call LINK,$(CC),$(HARDEN_LD),)

build/porto-core: scripts/porto-core
	@mkdir -p $(@D) && install -m 755 $< $@

build/porto-mkdir: scripts/mkdir.c Makefile
	@mkdir -p $(@D) && echo '  LD    $@' && $(CC) -std=gnu17 $(WARNINGS) -Os -fno-pie -fno-stack-protector -static -nostdlib -o $@ $<

# Tests of porto-store's parts take its library too; the linker drops what a test has no use for.
build/release/tests/unit/test_%: build/release/tests/unit/test_%.o build/release/libstore.a build/release/libporto.a
	$(call LINK,$(CC),$(HARDEN_LD),$(PKG_LIBS) $(STORE_LIBS))

build/asan/tests/unit/test_%: build/asan/tests/unit/test_%.o build/asan/libstore.a build/asan/libporto.a
	$(call LINK,$(CC),$(SANITIZE) -pie -Wl$(,)--as-needed,$(PKG_LIBS) $(STORE_LIBS))

build/fuzz/tests/fuzz/fuzz_%: build/fuzz/tests/fuzz/fuzz_%.o build/fuzz/libstore.a build/fuzz/libporto.a
	$(call LINK,$(CLANG),-fsanitize=fuzzer$(,)address$(,)undefined,$(PKG_LIBS) $(STORE_LIBS))

build/bench/%: build/release/bench/%.o
	$(call LINK,$(CC),$(HARDEN_LD),$(PKG_LIBS))

, := ,

-include $(patsubst %.c,build/release/%.d,$(SRC) $(STORE_SRC) $(HELPER_SRC) $(BENCH_SRC) $(UNIT_SRC) $(DRIVER_SRC)) \
	$(patsubst %.c,build/asan/%.d,$(SRC) $(STORE_SRC) $(UNIT_SRC)) \
	$(patsubst %.c,build/fuzz/%.d,$(LIB_SRC) $(STORE_LIB_SRC) $(FUZZ_SRC)) \
	$(patsubst %.c,build/init/%.d,$(INIT_SRC) $(BASE_SRC))

# ---- pages printed from the property and option tables ----

# The line @PROPERTIES@ gives way to what the daemon prints. In porto(7) the line @TREE@ is the hand-written README, as
# it stands, its headings made sections.
FILL = build/portod help-properties $(1) >$@.properties && sed -e '/^@PROPERTIES@$$/{r $@.properties' -e 'd}'

build/README: mnt/README build/portod
	@echo '  GEN   $@' && $(call FILL,readme) $< >$@ && rm -f $@.properties

build/porto.7: docs/porto.7.in mnt/README build/portod
	@echo '  GEN   $@' && sed -e '/^PROPERTIES$$/,$$d' -e 's/\\/\\e/g' -e "s/^[.']/\\\\\&&/" \
		-e 's/^[A-Z][A-Z ]*$$/.fi\n.SH &\n.nf/' mnt/README >$@.tree && \
		$(call FILL,man) -e '/^@TREE@$$/{r $@.tree' -e 'd}' $< >$@ && rm -f $@.properties $@.tree

build/portod.conf: build/portod
	@echo '  GEN   $@' && build/portod config --help | sed -e '/^[^#[]/s/^/# /' >$@

# ---- tests ----

unit: $(UNIT)
	@tests/run $(UNIT)

bats: all $(DRIVERS)
	@tests/run $(BATS)

check: all $(UNIT) $(DRIVERS) lint
	@tests/run --vm $(UNIT) $(BATS) v1:tests/core.bats

check-vm: all $(UNIT) $(DRIVERS)
	@tests/vm/run $(UNIT) $(BATS)

asan: build/asan/portod build/asan/porto-store $(ASAN_LINKS) $(GENERATED) $(UNIT_ASAN)
	@tests/run --build build/asan $(UNIT_ASAN) $(BATS)

fuzz: $(FUZZ)
	@tests/fuzz/run $(or $(TIME),20) $(FUZZ)

bench: all $(BENCH) build/vol_driver
	@bench/run

# ---- habits ----

TIDY := $(ALL_C:%=build/lint/%.tidy)

# One stamp a file, so that a second run looks only at what changed.
build/lint/%.c.tidy: %.c .clang-tidy $(ALL_H)
	@mkdir -p $(@D) && clang-tidy --quiet $< -- -std=gnu17 $(WARNINGS) $(CPPFLAGS_ALL) >$@.log 2>&1 || \
		{ cat $@.log; exit 1; }
	@touch $@

SHELL_SCRIPTS = $(shell grep -lE '^\#!(/usr)?/bin/(env )?(ba|da)?sh' scripts/* tests/run tests/*/* bench/* .ci/* scripts/lib/* \
	2>/dev/null | sort -u) $(wildcard tests/*.bash)

# cppcheck knows no cleanup attributes (leaks are clang-tidy's) and no NULL that is a pointer.
CPPCHECK := cppcheck --quiet --std=c11 --enable=warning,portability,performance --inline-suppr --error-exitcode=1 \
	--suppress=missingIncludeSystem --suppress=memleak --suppress=varFuncNullUB -D__x86_64__ '-D__typeof__(x)=void *' -D_GNU_SOURCE \
	-DFUSE_USE_VERSION=35 -I.

lint: $(TIDY) headers layers
	@$(CPPCHECK) -j$$(nproc) $(SRC) $(STORE_SRC) $(INIT_SRC) $(HELPER_SRC) $(BENCH_SRC) $(DRIVER_SRC)
	@shellcheck --external-sources $(SHELL_SCRIPTS)
	@$(if $(BATS),shellcheck --external-sources --exclude=SC2016 --shell=bats $(BATS))
	@out=$$(for page in docs/*.8 build/porto.7; do [ ! -e $$page ] || groff -mandoc -Tutf8 -ww -z $$page 2>&1; done); \
		[ -z "$$out" ] || { echo "$$out"; exit 1; }

headers:
	@for h in $(ALL_H); do printf '#include "%s"\n' $$h | \
		$(CC) -x c -fsyntax-only $(CPPFLAGS_ALL) -std=gnu17 $(WARNINGS) - || { echo "$$h does not compile alone"; exit 1; }; done

layers:
	@tests/layers

format:
	clang-format -i $(ALL_C) $(ALL_H)

# ---- installing ----

INSTALLED = $(SBINDIR)/portod $(BINDIR)/portoctl $(LIBEXECDIR)/porto-init $(LIBEXECDIR)/porto-terminal $(LIBEXECDIR)/porto-mkdir \
	$(LIBEXECDIR)/porto-store $(LIBEXECDIR)/porto-core $(BINDIR)/download-docker-image \
	$(patsubst scripts/lib/%,$(LIBEXECDIR)/%,$(wildcard scripts/lib/*.sh)) \
	$(DATADIR)/porto/README $(DATADIR)/porto/portod.conf $(DATADIR)/man/man8/portod.8 $(DATADIR)/man/man8/portoctl.8 $(DATADIR)/man/man7/porto.7 \
	$(DATADIR)/bash-completion/completions/portoctl $(UNITDIR)/portod.service

# The sample configuration is put in place only where there is none yet.
install: all
	install -D -m 755 build/portod $(DESTDIR)$(SBINDIR)/portod
	install -D -m 755 scripts/portoctl $(DESTDIR)$(BINDIR)/portoctl
	install -D -m 755 build/porto-init $(DESTDIR)$(LIBEXECDIR)/porto-init
	install -D -m 755 build/porto-terminal $(DESTDIR)$(LIBEXECDIR)/porto-terminal
	install -D -m 755 build/porto-mkdir $(DESTDIR)$(LIBEXECDIR)/porto-mkdir
	install -D -m 755 build/porto-store $(DESTDIR)$(LIBEXECDIR)/porto-store
	install -D -m 755 scripts/porto-core $(DESTDIR)$(LIBEXECDIR)/porto-core
	install -D -m 755 scripts/download-docker-image $(DESTDIR)$(BINDIR)/download-docker-image
	install -m 644 scripts/lib/*.sh $(DESTDIR)$(LIBEXECDIR)
	install -D -m 644 build/README $(DESTDIR)$(DATADIR)/porto/README
	install -D -m 644 build/portod.conf $(DESTDIR)$(DATADIR)/porto/portod.conf
	install -D -m 644 docs/portod.8 $(DESTDIR)$(DATADIR)/man/man8/portod.8
	install -D -m 644 docs/portoctl.8 $(DESTDIR)$(DATADIR)/man/man8/portoctl.8
	install -D -m 644 build/porto.7 $(DESTDIR)$(DATADIR)/man/man7/porto.7
	install -D -m 644 packaging/portoctl.bash-completion $(DESTDIR)$(DATADIR)/bash-completion/completions/portoctl
	sed 's|@SBINDIR@|$(SBINDIR)|' packaging/portod.service >build/portod.service
	install -D -m 644 build/portod.service $(DESTDIR)$(UNITDIR)/portod.service
	[ -e $(DESTDIR)$(SYSCONFDIR)/portod.conf ] || \
		install -D -m 644 build/portod.conf $(DESTDIR)$(SYSCONFDIR)/portod.conf

# The configuration stays.
uninstall:
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))
	rmdir $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(DATADIR)/porto 2>/dev/null || :

run: all
	@scripts/up --built

deps:
	@scripts/deps

clean:
	rm -rf build
