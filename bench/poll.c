/* What a frame costs: client:poll(0) beside a bare libcurl.
 *
 *     poll --endpoint URL --ca-file PATH [--rounds N] [--frame-us N]
 *
 * A round stops 1,000 instances, ten requests of 100 ids, eight at a time, over connections of
 * which one is there already and one more may be opened a frame. First by a loop over libcurl alone
 * (poll(2), curl_multi_socket_action, requests that were signed before the round), then by the
 * module, linked statically, whose client:poll(0) is called from C once a frame. Every call of
 * libcurl's multi interface is timed too (the linker puts the functions below in between), so that
 * for each frame one can say what it cost beyond curl_multi_socket_action for the same event.
 * bench/poll.sh runs it against the sandbox. */
#include <curl/curl.h>
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/error.h"
#include "api/request.h"
#include "api/zenlayer.h"

enum { BATCHES = 10, BATCH_IDS = 100, CONCURRENCY = 8, FRAMES_MAX = 1 << 20, SOCKETS_MAX = 64 };

static void die(const char *what) {
    fprintf(stderr, "poll: %s\n", what);
    exit(1);
}

static double now_us(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* --- what libcurl does in a frame ------------------------------------------------------------- */

typedef struct frame {
    double us;        /* the whole of it */
    double action_us; /* in curl_multi_socket_action */
    double multi_us;  /* in curl_multi_add_handle and curl_multi_remove_handle */
    int actions, adds, removes;
} frame;

static frame current;

CURLMcode __real_curl_multi_socket_action(CURLM *multi, curl_socket_t fd, int mask, int *running);
CURLMcode __real_curl_multi_add_handle(CURLM *multi, CURL *easy);
CURLMcode __real_curl_multi_remove_handle(CURLM *multi, CURL *easy);
CURLMcode __wrap_curl_multi_socket_action(CURLM *multi, curl_socket_t fd, int mask, int *running);
CURLMcode __wrap_curl_multi_add_handle(CURLM *multi, CURL *easy);
CURLMcode __wrap_curl_multi_remove_handle(CURLM *multi, CURL *easy);

CURLMcode __wrap_curl_multi_socket_action(CURLM *multi, curl_socket_t fd, int mask, int *running) {
    double began_us = now_us();
    CURLMcode rc = __real_curl_multi_socket_action(multi, fd, mask, running);
    current.action_us += now_us() - began_us;
    current.actions++;
    return rc;
}

CURLMcode __wrap_curl_multi_add_handle(CURLM *multi, CURL *easy) {
    double began_us = now_us();
    CURLMcode rc = __real_curl_multi_add_handle(multi, easy);
    current.multi_us += now_us() - began_us;
    current.adds++;
    return rc;
}

CURLMcode __wrap_curl_multi_remove_handle(CURLM *multi, CURL *easy) {
    double began_us = now_us();
    CURLMcode rc = __real_curl_multi_remove_handle(multi, easy);
    current.multi_us += now_us() - began_us;
    current.removes++;
    return rc;
}

/* --- frames ----------------------------------------------------------------------------------- */

typedef struct record {
    frame *frames;
    size_t count;
} record;

typedef struct settings {
    const char *endpoint;
    const char *ca_file;
    int rounds;
    double frame_us;
} settings;

/* Call `work` once a frame, until it returns false. */
static void run_frames(record *r, double frame_us, bool (*work)(void *), void *context) {
    double due_us = now_us();
    for (bool more = true; more;) {
        current = (frame){0};
        double began_us = now_us();
        more = work(context);
        current.us = now_us() - began_us;
        if (r->count == FRAMES_MAX) {
            die("too many frames");
        }
        r->frames[r->count++] = current;
        due_us += frame_us;
        double left_us = due_us - now_us();
        if (left_us < 0) {
            due_us -= left_us;
            continue;
        }
        long ns = (long)(left_us * 1e3);
        struct timespec left = {ns / 1000000000, ns % 1000000000};
        while (nanosleep(&left, &left) != 0 && errno == EINTR) {
        }
    }
}

/* Ids that nobody has used: an instance that is stopping already is refused. */
static void next_id(char out[32]) {
    static int last = 0;
    (void)snprintf(out, 32, "bench-%08d", ++last);
}

/* --- a bare libcurl --------------------------------------------------------------------------- */

typedef struct exchange {
    CURL *easy;
    struct curl_slist *headers;
    zl_request request;
    zl_buf body;
    size_t answer_len;
} exchange;

typedef struct bare {
    CURLM *multi;
    struct pollfd polls[SOCKETS_MAX];
    nfds_t poll_count;
    int connections;
    double timer_us; /* 0: none */
    exchange exchanges[BATCHES];
    int begun, ended;
} bare;

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *unused) {
    bare *b = context;
    (void)easy;
    (void)unused;
    nfds_t i = 0;
    while (i < b->poll_count && b->polls[i].fd != fd) {
        i++;
    }
    if (what == CURL_POLL_REMOVE) {
        if (i < b->poll_count) {
            b->polls[i] = b->polls[--b->poll_count];
        }
        return 0;
    }
    if (i == SOCKETS_MAX) {
        return -1;
    }
    b->poll_count += i == b->poll_count ? 1 : 0;
    short events = what == CURL_POLL_IN    ? POLLIN
                   : what == CURL_POLL_OUT ? POLLOUT
                                           : POLLIN | POLLOUT;
    b->polls[i] = (struct pollfd){.fd = fd, .events = events};
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *context) {
    bare *b = context;
    (void)multi;
    b->timer_us = timeout_ms < 0 ? 0 : now_us() + (double)timeout_ms * 1e3;
    return 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *context) {
    (void)data;
    *(size_t *)context += size * count;
    return size * count;
}

static CURL *new_easy(const settings *s) {
    CURL *easy = curl_easy_init();
    if (easy == NULL) {
        die("out of memory");
    }
    (void)curl_easy_setopt(easy, CURLOPT_CAINFO, s->ca_file);
    (void)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    return easy;
}

static void new_exchange(exchange *x, const settings *s, const zl_sender *sender) {
    const zl_action action = {ZL_LIT("StopInstances"), ZL_LIT("vm"), ZL_LIT("2026-04-01")};
    zl_ids ids = {0};
    size_t which[BATCH_IDS];
    for (size_t i = 0; i < BATCH_IDS; i++) {
        char id[32];
        which[i] = i;
        next_id(id);
        (void)zl_ids_add(&ids, zl_view_of(id));
    }
    *x = (exchange){.easy = new_easy(s)};
    zl_request_add_stop(&x->body, &ids, which, BATCH_IDS, ZL_FALSE);
    zl_ids_free(&ids);
    if (zl_request_build(&x->request, sender, &action, zl_buf_view(&x->body), time(NULL)) !=
        ZL_OK) {
        die("a request could not be built");
    }
    for (size_t i = 0; i < x->request.header_count; i++) {
        x->headers = curl_slist_append(x->headers, zl_request_line(&x->request, i));
    }
    x->headers = curl_slist_append(x->headers, "Expect:");
    (void)curl_easy_setopt(x->easy, CURLOPT_PRIVATE, x);
    (void)curl_easy_setopt(x->easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(x->easy, CURLOPT_WRITEDATA, &x->answer_len);
    (void)curl_easy_setopt(x->easy, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(x->easy, CURLOPT_URL, x->request.url.data);
    (void)curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE, (long)x->body.len);
    (void)curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, x->body.data);
    (void)curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers);
}

static void free_exchange(exchange *x) {
    curl_easy_cleanup(x->easy);
    curl_slist_free_all(x->headers);
    zl_request_free(&x->request);
    zl_buf_free(&x->body);
}

static void take_answers(bare *b) {
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(b->multi, &left)) != NULL) {
        exchange *x = NULL;
        long status = 0;
        CURLcode rc = message->data.result;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&x);
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        (void)curl_multi_remove_handle(b->multi, x->easy);
        if (rc != CURLE_OK || status != 200 || x->answer_len == 0) {
            die("a request of the bare loop failed");
        }
        b->ended++;
    }
}

static void run_timer(bare *b) {
    int running;
    if (b->timer_us > 0 && now_us() >= b->timer_us) {
        b->timer_us = 0;
        (void)curl_multi_socket_action(b->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
}

/* One frame, and whether another is needed. */
static bool bare_frame(void *context) {
    bare *b = context;
    for (bool opened = false; b->begun < BATCHES && b->begun - b->ended < CONCURRENCY;) {
        if (b->begun - b->ended == b->connections) {
            if (opened) {
                break;
            }
            opened = true;
            b->connections++;
        }
        (void)curl_multi_add_handle(b->multi, b->exchanges[b->begun++].easy);
    }
    run_timer(b);
    if (poll(b->polls, b->poll_count, 0) > 0) {
        struct pollfd ready[SOCKETS_MAX];
        nfds_t count = b->poll_count;
        memcpy(ready, b->polls, count * sizeof *ready);
        for (nfds_t i = 0; i < count; i++) {
            int running;
            int mask = (ready[i].revents & POLLIN ? CURL_CSELECT_IN : 0) |
                       (ready[i].revents & POLLOUT ? CURL_CSELECT_OUT : 0) |
                       (ready[i].revents & (POLLERR | POLLHUP) ? CURL_CSELECT_ERR : 0);
            if (mask != 0) {
                (void)curl_multi_socket_action(b->multi, ready[i].fd, mask, &running);
            }
        }
    }
    run_timer(b);
    take_answers(b);
    return b->ended < BATCHES;
}

/* The first connection, as client:connect() makes it. */
static void bare_connect(bare *b, const settings *s) {
    CURL *easy = new_easy(s);
    (void)curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_URL, s->endpoint);
    (void)curl_multi_add_handle(b->multi, easy);
    int running = 1;
    while (running > 0) {
        (void)curl_multi_perform(b->multi, &running);
        (void)curl_multi_poll(b->multi, NULL, 0, 10, NULL);
    }
    int left;
    while (curl_multi_info_read(b->multi, &left) != NULL) {
    }
    (void)curl_multi_remove_handle(b->multi, easy);
    curl_easy_cleanup(easy);
    b->connections = 1;
}

static void bare_round(record *r, const settings *s, const zl_sender *sender) {
    static bare b;
    b = (bare){.multi = curl_multi_init()};
    (void)curl_multi_setopt(b.multi, CURLMOPT_MAXCONNECTS, (long)CONCURRENCY + 2);
    (void)curl_multi_setopt(b.multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(b.multi, CURLMOPT_SOCKETDATA, &b);
    (void)curl_multi_setopt(b.multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(b.multi, CURLMOPT_TIMERDATA, &b);
    bare_connect(&b, s);
    for (int i = 0; i < BATCHES; i++) {
        new_exchange(&b.exchanges[i], s, sender);
    }
    run_frames(r, s->frame_us, bare_frame, &b);
    for (int i = 0; i < BATCHES; i++) {
        free_exchange(&b.exchanges[i]);
    }
    (void)curl_multi_cleanup(b.multi);
}

/* --- the module ------------------------------------------------------------------------------- */

static const char begin_script[] =
    "local endpoint, ca_file, ids = ...\n"
    "local client = require 'zenlayer'.new { endpoint = endpoint, ca_file = ca_file,\n"
    "    access_key_id = 'SANDBOXKEY', access_key_password = 'sandbox-password', proxy = false }\n"
    "client:connect()\n"
    "return client, client:submit_stop_instances(ids, { force_shutdown = false }), client.poll\n";

static const char end_script[] = "local client, job = ...\n"
                                 "client:close()\n"
                                 "return #job:result()\n";

static void call(lua_State *L, int arguments, int results) {
    if (lua_pcall(L, arguments, results, 0) != 0) {
        lua_getglobal(L, "tostring");
        lua_insert(L, -2);
        lua_call(L, 1, 1);
        die(lua_tostring(L, -1));
    }
}

/* The client is at index 1, its job at 2, its method poll at 3. */
static bool module_frame(void *context) {
    lua_State *L = context;
    lua_pushvalue(L, 3);
    lua_pushvalue(L, 1);
    lua_pushinteger(L, 0);
    call(L, 2, 1);
    bool more = lua_tointeger(L, -1) > 0;
    lua_pop(L, 1);
    return more;
}

static void module_round(record *r, const settings *s, lua_State *L) {
    lua_settop(L, 0);
    (void)luaL_loadstring(L, begin_script);
    lua_pushstring(L, s->endpoint);
    lua_pushstring(L, s->ca_file);
    lua_newtable(L);
    for (int i = 1; i <= BATCHES * BATCH_IDS; i++) {
        char id[32];
        next_id(id);
        lua_pushstring(L, id);
        lua_rawseti(L, -2, i);
    }
    call(L, 3, 3);
    run_frames(r, s->frame_us, module_frame, L);
    lua_settop(L, 2);
    (void)luaL_loadstring(L, end_script);
    lua_insert(L, 1);
    call(L, 2, 1);
    if (lua_tointeger(L, -1) != BATCHES) {
        die("the module stopped too few");
    }
}

static lua_State *new_lua(void) {
    lua_State *L = luaL_newstate();
    if (L == NULL) {
        die("out of memory");
    }
    luaL_openlibs(L);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    lua_pushcfunction(L, luaopen_zenlayer);
    lua_setfield(L, -2, "zenlayer");
    return L;
}

/* --- the report ------------------------------------------------------------------------------- */

static bool is_idle(const frame *f) {
    return f->actions + f->adds + f->removes == 0;
}

static bool is_event(const frame *f) {
    return !is_idle(f);
}

static bool is_transfer(const frame *f) { /* bytes moved on; no request began or ended */
    return f->actions > 0 && f->adds + f->removes == 0;
}

static bool is_begin(const frame *f) {
    return f->adds > 0 && f->removes == 0;
}

static bool is_answer(const frame *f) {
    return f->removes > 0;
}

static double whole(const frame *f) {
    return f->us;
}

static double beyond_action(const frame *f) {
    return f->us - f->action_us;
}

static double beyond_libcurl(const frame *f) {
    return f->us - f->action_us - f->multi_us;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A line of the table, and the median. */
static double row(const char *name, const record *r, bool (*wanted)(const frame *),
                  double (*cost)(const frame *)) {
    double *values = malloc((r->count + 1) * sizeof *values);
    size_t n = 0;
    if (values == NULL) {
        die("out of memory");
    }
    for (size_t i = 0; i < r->count; i++) {
        if (wanted(&r->frames[i])) {
            values[n++] = cost(&r->frames[i]);
        }
    }
    qsort(values, n, sizeof *values, compare);
    double median = n > 0 ? values[n / 2] : 0;
    printf("  %-34s %7zu", name, n);
    if (n > 0) {
        printf(" %9.1f %9.1f %9.1f", median, values[(n - 1) * 95 / 100], values[n - 1]);
    }
    printf("\n");
    free(values);
    return median;
}

static void compare_rows(const char *title, const record *raw, const record *module,
                         bool (*wanted)(const frame *), double (*cost)(const frame *)) {
    printf("%s\n", title);
    double raw_median = row("libcurl alone", raw, wanted, cost);
    double module_median = row("client:poll(0)", module, wanted, cost);
    printf("  %-34s %7s %9.1f\n", "difference", "", module_median - raw_median);
}

static void report(const settings *s, const record *raw, const record *module) {
    printf("%d rounds of 1,000 ids, frames of %.0f us; microseconds\n\n", s->rounds, s->frame_us);
    printf("  %-34s %7s %9s %9s %9s\n", "", "frames", "median", "p95", "max");
    compare_rows("idle frames", raw, module, is_idle, whole);
    compare_rows("frames with an event", raw, module, is_event, whole);
    compare_rows("  where no request began or ended", raw, module, is_transfer, whole);
    compare_rows("  of these, beyond curl_multi_socket_action", raw, module, is_event,
                 beyond_action);
    compare_rows("    where no request began or ended", raw, module, is_transfer, beyond_action);
    compare_rows("    where one began, and none ended", raw, module, is_begin, beyond_action);
    compare_rows("      beyond all of libcurl's multi calls", raw, module, is_begin,
                 beyond_libcurl);
    compare_rows("    where one ended", raw, module, is_answer, beyond_action);
    compare_rows("      beyond all of libcurl's multi calls", raw, module, is_answer,
                 beyond_libcurl);
}

/* --- main ------------------------------------------------------------------------------------- */

static void set_sender(zl_sender *sender, const char *endpoint) {
    zl_buf_add_text(&sender->user_agent, "bench");
    if (zl_endpoint_parse(&sender->endpoint, zl_view_of(endpoint)) != NULL ||
        zl_signer_new_key(&sender->signer, ZL_LIT("SANDBOXKEY"), ZL_LIT("sandbox-password")) !=
            ZL_OK) {
        die("bad endpoint");
    }
}

static void parse(int argc, char **argv, settings *s) {
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "--endpoint") == 0) {
            s->endpoint = value;
        } else if (strcmp(argv[i], "--ca-file") == 0) {
            s->ca_file = value;
        } else if (strcmp(argv[i], "--rounds") == 0) {
            s->rounds = (int)strtol(value, NULL, 10);
        } else if (strcmp(argv[i], "--frame-us") == 0) {
            s->frame_us = strtod(value, NULL);
        }
    }
    if (s->endpoint == NULL || s->ca_file == NULL || s->rounds < 1 || s->frame_us < 1) {
        die("usage: poll --endpoint URL --ca-file PATH [--rounds N] [--frame-us N]");
    }
}

int main(int argc, char **argv) {
    settings s = {.rounds = 20, .frame_us = 1e6 / 60};
    zl_sender sender = {0};
    record raw = {calloc(FRAMES_MAX, sizeof(frame)), 0};
    record module = {calloc(FRAMES_MAX, sizeof(frame)), 0};
    parse(argc, argv, &s);
    if (raw.frames == NULL || module.frames == NULL) {
        die("out of memory");
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        die("libcurl cannot be used");
    }
    (void)signal(SIGPIPE, SIG_IGN); /* as hosts with connections do */
    set_sender(&sender, s.endpoint);
    lua_State *L = new_lua();
    bare_round(&raw, &s, &sender); /* one that does not count: memory is touched, caches fill */
    module_round(&module, &s, L);
    raw.count = module.count = 0;
    for (int i = 0; i < s.rounds; i++) {
        bare_round(&raw, &s, &sender);
        module_round(&module, &s, L);
    }
    report(&s, &raw, &module);
    lua_close(L);
    zl_signer_free(sender.signer);
    zl_buf_free(&sender.user_agent);
    zl_buf_free(&sender.endpoint.base);
    zl_buf_free(&sender.endpoint.host);
    free(raw.frames);
    free(module.frames);
    return 0;
}
