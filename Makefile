# lua-zenlayer. `make help` lists the targets; every ?= can be given on the command line.

LUA        ?= lua5.4
BUILD      ?= build
PREFIX     ?= /usr/local
PKG_CONFIG ?= pkg-config
INSTALL    ?= install
WERROR     ?= 0
V          ?= 0

# ---- which Lua ---------------------------------------------------------------------------------
# LUA is an interpreter: lua5.4, a path to one, or any other name that can be asked what it is.
FLAVOURS := lua5.1 lua5.2 lua5.3 lua5.4 luajit
FLAVOUR  := $(filter $(FLAVOURS),$(notdir $(LUA)))
ifeq ($(FLAVOUR),)
FLAVOUR  := $(filter $(FLAVOURS),$(shell $(LUA) -e \
              'io.write(jit and "luajit" or (_VERSION:lower():gsub(" ", "")))' 2>/dev/null))
endif
ifeq ($(FLAVOUR)$(filter help clean,$(MAKECMDGOALS)),)
$(error LUA=$(LUA) is none of $(FLAVOURS), nor an interpreter of one of them)
endif
LUA_ABI  := $(if $(filter luajit,$(FLAVOUR)),5.1,$(FLAVOUR:lua%=%))

# Those that `make test` builds for and runs the specs on: LUA, if that was given, or all; the first
# one with the most rounds.
LUAS     ?= $(if $(filter command environment,$(firstword $(origin LUA))),$(LUA), \
              lua5.4 $(filter-out lua5.4,$(FLAVOURS)))

# Where the headers are: LUA_INCDIR or LUA_CFLAGS say so, or else pkg-config does.
ifdef LUA_INCDIR
LUA_CFLAGS ?= -I$(LUA_INCDIR)
endif
ifndef LUA_CFLAGS
LUA_PKGS   := $(if $(filter luajit,$(FLAVOUR)),luajit, \
                lua$(LUA_ABI) lua-$(LUA_ABI) lua$(subst .,,$(LUA_ABI)))
LUA_PKG    := $(firstword $(foreach p,$(LUA_PKGS), \
                $(shell $(PKG_CONFIG) --exists $(p) 2>/dev/null && echo $(p))) \
                $(if $(filter luajit,$(FLAVOUR)),,$(shell $(PKG_CONFIG) --exists \
                'lua >= $(LUA_ABI) lua < $(LUA_ABI).99' 2>/dev/null && echo lua)))
LUA_CFLAGS := $(if $(LUA_PKG),$(shell $(PKG_CONFIG) --cflags-only-I $(LUA_PKG)))
endif
# The library for programs that embed Lua, the static one if there is one; modules link none.
ifdef LUA_PKG
LUA_STATIC  = $(shell $(PKG_CONFIG) --variable=libdir $(LUA_PKG))/lib$(patsubst \
               -l%,%,$(firstword $(shell $(PKG_CONFIG) --libs-only-l $(LUA_PKG)))).a
LUA_LIBS   ?= $(or $(wildcard $(LUA_STATIC)),$(shell $(PKG_CONFIG) --libs $(LUA_PKG)))
endif

# ---- flags -------------------------------------------------------------------------------------
# CFLAGS, CPPFLAGS and LDFLAGS are left to the user; they come last, so they win.
PACKAGES    := libcurl libcrypto
DEPS_CFLAGS ?= $(shell $(PKG_CONFIG) --cflags $(PACKAGES) 2>/dev/null)
DEPS_LIBS   ?= $(shell $(PKG_CONFIG) --libs $(PACKAGES) 2>/dev/null)
CRYPTO_LIBS ?= $(shell $(PKG_CONFIG) --libs libcrypto 2>/dev/null)
DEPS_CFLAGS := $(DEPS_CFLAGS)
DEPS_LIBS   := $(DEPS_LIBS)

# Where a long has 32 bits: large files, large inode numbers, and the time after 2038.
FEATURES ?= -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64
WARNINGS ?= -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
ifdef SANITIZE
HARDEN   ?=
OPTIMIZE ?= -O1 -g -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
else
HARDEN   ?= -fstack-protector-strong $(if $(findstring _FORTIFY_SOURCE,$(CFLAGS) $(CPPFLAGS)),, \
              -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
OPTIMIZE ?= -O2 -g
endif

CORE_CPPFLAGS = -iquote . -iquote api $(FEATURES) $(DEPS_CFLAGS) $(CPPFLAGS)
LUA_CPPFLAGS  = -iquote . -iquote api $(FEATURES) $(LUA_CFLAGS) $(DEPS_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS    = -std=c11 $(OPTIMIZE) -fPIC -fvisibility=hidden -pthread $(WARNINGS) $(HARDEN) \
                $(if $(filter 1,$(WERROR)),-Werror) $(CFLAGS)

# The module is never unloaded (nodelete): libcurl's global state cannot be taken down safely.
# It leaves Lua's own symbols to the interpreter that loads it.
ifeq ($(shell uname -s),Darwin)
LIBFLAG     ?= -bundle -undefined dynamic_lookup
MODULE_LINK  = $(LIBFLAG) -Wl,-exported_symbol,_luaopen_*
EXPORT_ALL   =
else
LIBFLAG     ?= -shared
MODULE_LINK  = $(LIBFLAG) -Wl,-z,nodelete -Wl,--version-script=zenlayer.map
PROGRAM_LINK = -Wl,--as-needed -Wl,-z,relro -Wl,-z,now
EXPORT_ALL   = -Wl,-E
endif
ALL_LDFLAGS   = $(PROGRAM_LINK) $(LDFLAGS)
ALL_LIBS      = $(DEPS_LIBS) -lm $(LIBS)

# ---- files -------------------------------------------------------------------------------------
OUT      := $(BUILD)/$(FLAVOUR)
CORE     := $(BUILD)/core
MODULE   := $(OUT)/zenlayer.so
BARE     := $(OUT)/zenlayer/core.so
STATIC   := $(OUT)/libzenlayer.a
EMBED    := $(OUT)/embed
THREADS  := $(OUT)/threads
TORTURE  := $(OUT)/torture
HOSTS    := $(EMBED) $(THREADS) $(TORTURE)

CORE_SRC := $(sort $(wildcard api/*.c))
# Two objects from the same sources. The second has nothing of libcurl in it or behind it.
CURL_SRC := $(addprefix api/,explain.c sockets.c transfer.c transport.c wire.c)
BOTH_SRC := $(filter-out %/engine.c %/no_engine.c %/drive.c,$(sort $(wildcard binding/*.c)))
LUA_SRC  := lua_zenlayer.c binding/engine.c binding/drive.c $(BOTH_SRC)
BARE_SRC := lua_zenlayer_core.c binding/no_engine.c $(BOTH_SRC)
TEST_SRC := $(sort $(wildcard spec/core/test_*.c))
TEST_AID := $(filter-out $(TEST_SRC),$(sort $(wildcard spec/core/*.c)))
FUZZ_SRC := $(sort $(wildcard spec/fuzz/fuzz_*.c))
FUZZ_AID := $(filter-out $(FUZZ_SRC) %/replay.c,$(sort $(wildcard spec/fuzz/*.c)))
LIB_LUA  := $(sort $(patsubst lib/%,%,$(shell find lib -name '*.lua' 2>/dev/null)))

CORE_OBJ := $(CORE_SRC:api/%.c=$(CORE)/obj/%.o)
CHECKED  := $(CORE)/checked/sign.c $(if $(filter openresty,$(MAKECMDGOALS)),,$(CORE)/checked/transfer.h)
LUA_OBJ  := $(LUA_SRC:%.c=$(OUT)/obj/%.o)
BARE_OBJ := $(BARE_SRC:%.c=$(OUT)/obj/%.o) \
            $(patsubst api/%.c,$(CORE)/obj/%.o,$(filter-out $(CURL_SRC),$(CORE_SRC)))
FLOOR    := $(BUILD)/bench/libcurl
SIGN     := $(BUILD)/bench/sign
LEAST    := $(OUT)/bench/least.so
AID_OBJ  := $(TEST_AID:spec/core/%.c=$(CORE)/tests/%.o)
TESTS    := $(TEST_SRC:spec/core/%.c=$(CORE)/tests/%)
FUZZED   := $(OUT)/libfuzzed.a
FUZZ_OBJ := $(FUZZ_AID:%.c=$(OUT)/obj/%.o)
FUZZERS  := $(FUZZ_SRC:spec/fuzz/fuzz_%.c=$(OUT)/fuzz/%)
REPLAYS  := $(FUZZ_SRC:spec/fuzz/fuzz_%.c=$(OUT)/replay/%)

INST_LIBDIR ?= $(PREFIX)/lib/lua/$(LUA_ABI)
INST_LUADIR ?= $(PREFIX)/share/lua/$(LUA_ABI)

# A line for each step; the whole command with V=1, nothing with -s.
quiet  = $(if $(filter 1,$(V)),,@$(if $(findstring s,$(firstword -$(MAKEFLAGS))),,echo '  $(1)';) )
run    = spec/run --lua '$(LUA)'
JOBS  := $(shell nproc 2>/dev/null || echo 2)
# The specs mostly wait: one program more than there are processors.
TEST_JOBS ?= $(shell expr $(JOBS) + 1)
# Another run of this file: in parallel, unless the user said how.
remake = $(MAKE) --no-print-directory $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(JOBS))
export LUA CC PKG_CONFIG

.PHONY: all static embed hosts core core-tests install uninstall clean help test asan coverage memcheck torture tsan \
        fuzz fuzzers replays demo demo-openresty openresty benches bench bench-check bench-fleet \
        bench-gateway bench-poll \
        secrets soak wire lint format check-warnings \
        headers-alone lint-rules lua-headers deps FORCE
.SECONDARY:
.DELETE_ON_ERROR:

all: $(MODULE) $(BARE) ## the module, build/<lua>/zenlayer.so (LUA=lua5.4; or lua5.1, lua5.2, lua5.3, luajit)
static: $(STATIC)  ## the same for hosts that link it: build/<lua>/libzenlayer.a
embed: $(EMBED)    ## such a host, build/<lua>/embed (examples/embed/main.c)
core-tests: $(TESTS) ## the C tests of the core: build/core/tests/

openresty:         ## the module for OpenResty and nginx with Lua: build/luajit/zenlayer/core.so
ifeq ($(FLAVOUR),luajit)
openresty: $(BARE)
else
	+@$(remake) LUA=luajit openresty
endif

core: $(CORE_OBJ)
fuzzers: $(FUZZERS)
replays: $(REPLAYS) ## the fuzz targets with a main that gives them files: build/<lua>/replay/
hosts: $(HOSTS)
benches: $(FLOOR) $(SIGN) $(LEAST)

$(MODULE): $(LUA_OBJ) $(CORE_OBJ) zenlayer.map
	$(call quiet,LINK $@)$(CC) $(ALL_CFLAGS) $(MODULE_LINK) $(ALL_LDFLAGS) \
	    $(LUA_OBJ) $(CORE_OBJ) $(ALL_LIBS) -o $@

$(BARE): $(BARE_OBJ) zenlayer.map
	$(call quiet,LINK $@)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) $(MODULE_LINK) $(ALL_LDFLAGS) \
	    $(BARE_OBJ) $(CRYPTO_LIBS) -lm $(LIBS) -o $@

$(STATIC): $(LUA_OBJ) $(CORE_OBJ)
	$(call quiet,AR $@)rm -f $@ && $(AR) rcs $@ $^

# Programs with a Lua of their own. They export that Lua's functions, because the C modules that they
# load take them from there: lua-cjson does.
HOST_LIBS = $(EXPORT_ALL) $(LUA_LIBS) $(ALL_LIBS) -ldl
$(EMBED): $(OUT)/obj/examples/embed/main.o $(STATIC)
	$(call quiet,LINK $@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $^ $(HOST_LIBS) -o $@

$(THREADS): $(OUT)/obj/spec/support/threads.o
	$(call quiet,LINK $@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $^ $(HOST_LIBS) -o $@

# malloc and its like are alloc.c's in this program, so those of the core are. zl_sign is secrets.c's,
# which notes every signature.
$(TORTURE): $(patsubst %,$(OUT)/obj/spec/%.o,torture/torture torture/secrets torture/sources core/alloc)             $(STATIC)
	$(call quiet,LINK $@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -Wl,--wrap=zl_sign $^ $(HOST_LIBS) -o $@

# The linker puts the bench's own functions between transport and libcurl, to time each call.
TIMED := socket_action add_handle remove_handle
$(OUT)/bench-poll: $(OUT)/obj/bench/poll.o $(STATIC)
	$(call quiet,LINK $@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(TIMED:%=-Wl,--wrap=curl_multi_%) $^ \
	    $(HOST_LIBS) -o $@

# A library that is too old is told by an #error of these files. They are looked at before anything is
# compiled, because a compiler that goes on after an #error has a lot more to say.
$(CORE)/checked/%: api/% $(CORE)/flags
	@mkdir -p $(@D) && $(CC) $(CORE_CPPFLAGS) -Wfatal-errors -E $< >/dev/null && touch $@

$(CORE)/obj/%.o: api/%.c $(CORE)/flags | $(CHECKED)
	$(call quiet,CC $<)mkdir -p $(@D) && \
	    $(CC) $(CORE_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(OUT)/obj/%.o: %.c $(OUT)/flags | $(CHECKED)
	$(call quiet,CC $< [$(FLAVOUR)])mkdir -p $(@D) && \
	    $(CC) $(LUA_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(CORE)/tests/%.o: spec/core/%.c $(CORE)/flags
	$(call quiet,CC $<)mkdir -p $(@D) && \
	    $(CC) $(CORE_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(CORE)/tests/test_%: $(CORE)/tests/test_%.o $(AID_OBJ) $(CORE_OBJ)
	$(call quiet,LINK $@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $^ -lcmocka $(ALL_LIBS) -o $@

# The fuzz targets, for libFuzzer (clang), and with a main that gives them files instead. What one does
# not need of this archive stays out of it. To `operation` memory may run out.
$(FUZZED): $(BARE_OBJ) $(FUZZ_OBJ)
	$(call quiet,AR $@)rm -f $@ && $(AR) rcs $@ $^

%/operation: FUZZ_WRAP = -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc
FUZZ_LIBS = $(EXPORT_ALL) $(LUA_LIBS) $(CRYPTO_LIBS) -ljansson -lm $(LIBS) -ldl
$(FUZZERS): $(OUT)/fuzz/%: $(OUT)/obj/spec/fuzz/fuzz_%.o $(FUZZED)
	$(call quiet,LINK $@)mkdir -p $(@D) && \
	    $(CC) $(ALL_CFLAGS) -fsanitize=fuzzer $(ALL_LDFLAGS) $(FUZZ_WRAP) $^ $(FUZZ_LIBS) -o $@

$(REPLAYS): $(OUT)/replay/%: $(OUT)/obj/spec/fuzz/fuzz_%.o $(OUT)/obj/spec/fuzz/replay.o $(FUZZED)
	$(call quiet,LINK $@)mkdir -p $(@D) && \
	    $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(FUZZ_WRAP) $^ $(FUZZ_LIBS) -o $@

$(FLOOR): bench/libcurl.c $(CORE)/flags
	$(call quiet,CC $<)mkdir -p $(@D) && \
	    $(CC) $(CORE_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) $< $(ALL_LIBS) -o $@

# Of the core as it is in the module, without libcurl, so that only what is measured is loaded.
SIGN_OBJ := $(patsubst api/%.c,$(CORE)/obj/%.o,$(filter-out $(CURL_SRC),$(CORE_SRC)))
$(SIGN): bench/sign.c $(SIGN_OBJ)
	$(call quiet,CC $<)mkdir -p $(@D) && \
	    $(CC) $(CORE_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) $^ $(CRYPTO_LIBS) -lm $(LIBS) -o $@

$(LEAST): $(OUT)/obj/bench/least.o $(CORE_OBJ)
	$(call quiet,LINK $@)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -shared $(ALL_LDFLAGS) $^ $(ALL_LIBS) -o $@

# The flags that the objects of a folder were made with; when they change, the objects are remade.
same_or_write = mkdir -p $(@D); printf '%s\n' '$(subst ','\'',$(1))' >$@.new; \
                if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(CORE)/flags: FORCE
	@test -n '$(DEPS_LIBS)' || { \
	    echo 'lua-zenlayer: pkg-config does not find $(PACKAGES); install them (make deps),' >&2; \
	    echo 'or give DEPS_CFLAGS and DEPS_LIBS.' >&2; exit 1; }
	@$(call same_or_write,$(CC) $(CORE_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS))

# Are these the headers of the Lua that was asked for?
read_lua_h = { echo '\#include <lua.h>'; echo '\#if LUA_VERSION_NUM != $(subst .,0,$(LUA_ABI))'; \
               echo '\#error "lua.h is that of another Lua"'; echo '\#endif'; \
               $(if $(filter luajit,$(FLAVOUR)),echo '\#include <luajit.h>';) } | \
             $(CC) $(LUA_CPPFLAGS) -E -x c - -o /dev/null

$(OUT)/flags: $(CORE)/flags FORCE
	@$(read_lua_h) || { \
	    echo 'lua-zenlayer: no headers of $(FLAVOUR) here: LUA=$(LUA) LUA_CFLAGS=$(LUA_CFLAGS)' >&2; \
	    echo 'Install its development package, or give LUA_INCDIR=<the folder with lua.h>.' >&2; \
	    exit 1; }
	@$(call same_or_write,$(FLAVOUR): $(CC) $(LUA_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS))

-include $(wildcard $(CORE)/obj/*.d $(CORE)/tests/*.d $(OUT)/obj/*.d $(OUT)/obj/*/*.d $(OUT)/obj/*/*/*.d)

# ---- install -----------------------------------------------------------------------------------
define install_lua
	$(INSTALL) -d '$(DESTDIR)$(INST_LUADIR)/$(dir $(1))'
	$(INSTALL) -m 644 'lib/$(1)' '$(DESTDIR)$(INST_LUADIR)/$(1)'

endef

install: all ## the module under PREFIX (/usr/local), or INST_LIBDIR and INST_LUADIR; DESTDIR is honoured
	$(INSTALL) -d '$(DESTDIR)$(INST_LIBDIR)'
	$(INSTALL) -m 755 $(MODULE) '$(DESTDIR)$(INST_LIBDIR)/zenlayer.so'
	$(INSTALL) -d '$(DESTDIR)$(INST_LIBDIR)/zenlayer'
	$(INSTALL) -m 755 $(BARE) '$(DESTDIR)$(INST_LIBDIR)/zenlayer/core.so'
	$(foreach f,$(LIB_LUA),$(call install_lua,$(f)))

uninstall: ## what install put there, and the folders zenlayer/ and resty/ if nothing else is in them
	rm -f '$(DESTDIR)$(INST_LIBDIR)/zenlayer.so' '$(DESTDIR)$(INST_LIBDIR)/zenlayer/core.so' \
	    $(LIB_LUA:%='$(DESTDIR)$(INST_LUADIR)/%')
	@rmdir '$(DESTDIR)$(INST_LIBDIR)/zenlayer' 2>/dev/null || :
	@(CDPATH= cd '$(DESTDIR)$(INST_LUADIR)' && rmdir -p $(sort $(dir $(LIB_LUA)))) 2>/dev/null || :

clean: ## remove the build folder
	rm -rf $(BUILD)

# ---- run ---------------------------------------------------------------------------------------
deps: ## what building and testing need (on Debian and Ubuntu it is installed)
	@.ci/deps build test

test: ## install what is missing, build for every Lua, run every test; TESTS_ONLY="file…", LUAS="lua5.4"
	@LUAS='$(strip $(LUAS))' .ci/deps build test
	@$(remake) core-tests benches
	@$(remake) LUA='$(firstword $(LUAS))' replays
	@set -e; for lua in $(LUAS); do $(remake) LUA="$$lua" all hosts; done
	@$(remake) LUA=luajit openresty
	@spec/run --lua '$(strip $(LUAS))' --jobs $(TEST_JOBS) --build $(BUILD) $(TESTS_ONLY)

# What a Lua needs to find the module as it was built.
LUA_HERE = LUA_CPATH='$(abspath $(OUT))/?.so;;' LUA_PATH='$(abspath lib)/?.lua;;'

demo: ## install what is missing, build, show the module at work against the sandbox
	@.ci/deps build demo
	@$(remake) all
	@$(LUA_HERE) examples/demo.sh

demo-openresty: ## the same for a gateway in nginx (examples/openresty)
	@LUA=luajit .ci/deps build demo-openresty
	@$(remake) LUA=luajit openresty
	@BUILD='$(BUILD)' examples/openresty/demo.sh

bench: ## every part beside its floor, 20 minutes; BENCH_ARGS="--rows sign,require --rounds 3"
	@.ci/deps build bench memcheck
	@LUA=luajit .ci/deps build bench-gateway
	@$(remake) all benches $(OUT)/bench-poll
	@$(remake) LUA=luajit openresty
	@$(LUA_HERE) python3 bench/bench.py --lua '$(LUA)' --flavour '$(FLAVOUR)' --build '$(BUILD)' \
	    $(BENCH_ARGS)

bench-check: ## instructions without a network, at most 3 % over bench/baseline.json; BENCH_ARGS=--record
	@.ci/deps build bench-check memcheck
	@$(remake) all benches
	@$(LUA_HERE) python3 bench/check.py --lua '$(LUA)' --build '$(BUILD)' $(BENCH_ARGS)

bench-fleet: ## 10,000 ids against a plain libcurl loop; fails if the module takes over 1.05 times as long
	@.ci/deps build bench
	@$(remake) all benches
	@$(LUA_HERE) python3 bench/fleet.py --lua '$(LUA)' --floor '$(FLOOR)' --limit 1.05

bench-gateway: ## resty.zenlayer in nginx beside a bare cosocket loop; a goal that is missed fails it
	@LUA=luajit .ci/deps build bench-gateway
	@$(remake) LUA=luajit openresty
	@python3 bench/gateway.py --build '$(BUILD)' $(BENCH_ARGS)

bench-poll: ## what a frame of client:poll(0) costs beside libcurl alone; BENCH_ARGS="--frame-us 1000"
	@.ci/deps build demo
	@$(remake) $(OUT)/bench-poll
	@bench/poll.sh $(OUT)/bench-poll $(BENCH_ARGS)

secrets: ## every spec with everything told that can be, and no password, token or signature in it
	@.ci/deps build test
	@$(remake) all hosts
	@$(remake) LUA=luajit openresty
	@$(run) --build $(BUILD) --jobs $(TEST_JOBS) --secrets $(TESTS_ONLY)

wire: export ZENLAYER_TEST_LONG = 1
wire: ## connections spoiled at every byte there is, where make test takes some: some minutes
	@LUA=luajit .ci/deps build test
	@$(remake) all
	@$(remake) LUA=luajit openresty
	@$(run) --build $(BUILD) --timeout 3600 spec/20-sandbox/wire_spec.lua spec/60-gateway/wire_spec.lua

soak: ## 200,000 calls, one in a hundred with a fault: memory, descriptors, speed; BENCH_ARGS="--calls N"
	@LUA=luajit .ci/deps build bench-gateway
	@$(remake) all
	@$(LUA_HERE) python3 bench/soak.py --lua '$(LUA)' $(BENCH_ARGS)

ASAN_CC    ?= gcc
ASAN_BUILD := $(BUILD)/asan
# A folder of one file: the options for the interpreter alone. What the specs start (shells, python,
# openssl) has libasan preloaded too, and their leaks are not ours.
ASAN_OWN   := $(abspath $(ASAN_BUILD))/options
asan: export ASAN_OPTIONS = handle_segv=2:abort_on_error=0:detect_leaks=0:include_if_exists=$(ASAN_OWN)/%b
asan: export UBSAN_OPTIONS = print_stacktrace=1
asan: ## the tests of core and binding under AddressSanitizer (with leaks) and UBSan
	@.ci/deps build test
	@$(remake) BUILD=$(ASAN_BUILD) CC='$(ASAN_CC)' SANITIZE=address,undefined all core-tests hosts replays
	@$(remake) BUILD=$(ASAN_BUILD) CC='$(ASAN_CC)' SANITIZE=address,undefined LUA=luajit all
	@mkdir -p $(ASAN_OWN) && for name in $(notdir $(TESTS) $(REPLAYS) $(THREADS) $(TORTURE)) $$(basename "$$(command -v $(LUA))"); do \
	    echo detect_leaks=1 >$(ASAN_OWN)/$$name; done
	@$(run) --build $(ASAN_BUILD) --timeout 900 \
	    --preload "$$($(ASAN_CC) -print-file-name=libasan.so)" $(TESTS_ONLY)

# Branches that end in a fortified or inlined call of the compiler's own are none of ours: gcovr is
# told to leave them out. What must be covered at least is in per cent of lines and of branches; of some
# of the tests (TESTS_ONLY) something else may be asked. Processes that are forked end by exit, which
# writes what was counted (ZENLAYER_TEST_COVERAGE).
COVER_BUILD := $(BUILD)/coverage
COVER_FLAGS := CC=gcc OPTIMIZE='-O0 -g --coverage -fprofile-update=atomic' HARDEN=
GCOVR       := gcovr --root . --object-directory $(COVER_BUILD) --exclude-unreachable-branches --print-summary
COVER_API     ?= 97 90
COVER_BINDING ?= 95 85
at_least     = --fail-under-line $(firstword $(1)) --fail-under-branch $(lastword $(1))
coverage: export ZENLAYER_TEST_COVERAGE = 1
coverage: ## which lines and branches the tests reach, and whether they are enough; build/coverage/*.html
	@.ci/deps build test coverage
	@find $(COVER_BUILD) -name '*.gcda' -delete 2>/dev/null || true
	@$(remake) BUILD=$(COVER_BUILD) $(COVER_FLAGS) all core-tests hosts replays
	@$(remake) BUILD=$(COVER_BUILD) $(COVER_FLAGS) LUA=luajit all
	@$(run) --build $(COVER_BUILD) --jobs $(TEST_JOBS) --timeout 900 --no-install $(TESTS_ONLY)
	@test -n '$(TESTS_ONLY)' || spec/torture/run.sh $(COVER_BUILD)/$(FLAVOUR)/torture 60 0
	@$(GCOVR) --filter api/ --html-details $(COVER_BUILD)/api.html --json $(COVER_BUILD)/api.json \
	    $(call at_least,$(COVER_API))
	@$(GCOVR) --filter binding/ --filter lua_zenlayer --html-details $(COVER_BUILD)/binding.html \
	    --json $(COVER_BUILD)/binding.json $(call at_least,$(COVER_BINDING))
	@test -n '$(TESTS_ONLY)' || \
	    spec/uncovered.py spec/uncovered.txt $(COVER_BUILD)/api.json $(COVER_BUILD)/binding.json

FUZZ_CC    ?= clang
FUZZ_BUILD := $(BUILD)/fuzz
SECONDS    ?= 60
fuzz: ## libFuzzer on each target of spec/fuzz for SECONDS (60); FUZZ_ONLY="operation json_read"
	@CC='$(FUZZ_CC)' .ci/deps build fuzz
	@$(remake) BUILD=$(FUZZ_BUILD) CC='$(FUZZ_CC)' SANITIZE=fuzzer-no-link,address,undefined fuzzers
	@spec/fuzz/run --programs $(FUZZ_BUILD)/$(FLAVOUR)/fuzz --work $(FUZZ_BUILD) --seconds '$(SECONDS)' \
	    --jobs '$(JOBS)' $(FUZZ_ONLY)

VALGRIND ?= valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite \
            --show-leak-kinds=definite --num-callers=30
memcheck: ## the same tests under valgrind
	@.ci/deps build test memcheck
	@$(remake) all core-tests hosts replays
	@$(remake) LUA=luajit all
	@$(run) --build $(BUILD) --timeout 1800 --wrap '$(VALGRIND)' $(TESTS_ONLY)

# The interpreter of the specs stays an ordinary one; the program that they start, and the module that
# it loads, are those with ThreadSanitizer in them.
TSAN_CC    ?= gcc
TSAN_BUILD := $(BUILD)/tsan
tsan: export TSAN_OPTIONS = halt_on_error=0
tsan: ## eight threads with a Lua state each under ThreadSanitizer
	@CC='$(TSAN_CC)' .ci/deps build test tsan
	@$(remake) all
	@$(remake) BUILD=$(TSAN_BUILD) CC='$(TSAN_CC)' SANITIZE=thread all $(TSAN_BUILD)/$(FLAVOUR)/threads
	@ZENLAYER_TEST_SLOW=1 ZENLAYER_TEST_THREADS='$(abspath $(TSAN_BUILD)/$(FLAVOUR))' \
	    $(run) --build $(BUILD) spec/50-processes/threads_spec.lua

# Over TLS some 300 points for each combination: there are thousands, most of them OpenSSL's own.
torture: export UBSAN_OPTIONS = print_stacktrace=1
torture: ## every allocation fails in turn, under AddressSanitizer (half an hour); TORTURE_ARGS="-t jobs -f core"
	@.ci/deps build test
	@$(remake) BUILD=$(ASAN_BUILD) CC='$(ASAN_CC)' SANITIZE=address,undefined $(ASAN_BUILD)/$(FLAVOUR)/torture
	@spec/torture/run.sh $(ASAN_BUILD)/$(FLAVOUR)/torture 0 300 -v $(TORTURE_ARGS)
	@$(if $(TORTURE_ARGS),,spec/torture/secrets.sh $(ASAN_BUILD)/$(FLAVOUR)/torture 20 -v)

lint: ## format, static analysis, and the rules of the house
	@.ci/deps build lint
	@$(remake) all core-tests
	@$(remake) lint-rules

# In a make of its own: what deps has installed is found when make starts.
lint-rules:
	@LINT_MODULE=$(MODULE) LINT_OBJ=$(CORE)/obj LINT_CPPFLAGS='$(LUA_CPPFLAGS)' .ci/lint

format: ## clang-format in place
	clang-format -i $(wildcard *.c api/*.[ch] binding/*.[ch] spec/core/*.[ch] spec/fuzz/*.[ch] spec/support/*.c \
	    spec/torture/*.[ch] bench/*.c examples/*/*.c)

headers-alone: # each header compiles by itself
	@set -e; for h in $(wildcard api/*.h binding/*.h); do \
	    printf '#include "%s"\nextern int alone;\n' "$$h" | $(CC) $(LUA_CPPFLAGS) $(ALL_CFLAGS) -fsyntax-only -x c -; done

lua-headers: # says by its exit status whether the headers of LUA are here
	@$(read_lua_h)

check-warnings: ## everything compiles without a warning: gcc and clang, every Lua that has headers here
	@.ci/deps build warnings
	@failed=; for cc in gcc clang; do \
	    remake="$(remake) -k -s CC=$$cc WERROR=1 BUILD=$(BUILD)/check/$$cc"; \
	    $$remake core core-tests replays || { failed="$$failed $$cc/core"; continue; }; \
	    for lua in $(FLAVOURS); do \
	        if ! $(MAKE) -s LUA=$$lua lua-headers >/dev/null 2>&1; then echo "$$cc $$lua: no headers"; \
	        elif $$remake LUA=$$lua all hosts benches $(BUILD)/check/$$cc/$$lua/bench-poll headers-alone; then echo "$$cc $$lua: clean"; \
	        else failed="$$failed $$cc/$$lua"; fi; done; done; \
	    test -z "$$failed" || { echo "check-warnings: failed:$$failed" >&2; exit 1; }

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^=#]*## */\1\t/p' Makefile | awk -F'\t' '{ printf "  %-15s %s\n", $$1, $$2 }'
