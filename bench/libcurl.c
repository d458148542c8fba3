/* The floor of everything that goes over the network: the same requests by plain libcurl, and
 * nothing else.
 *
 *     libcurl REQUESTS CA_FILE [name=value…]
 *
 * REQUESTS has for each request its URL, its header lines, an empty line, and the body in one line.
 * The names:
 *     concurrency  how many at a time, in a multi loop (1); 0: one after another, by
 *                  curl_easy_perform on one handle whose options were set once
 *     http2        1 if the server speaks HTTP/2 (0)
 *     calls        how many: the requests over and over (each once)
 *     warm         so many before the clock starts, libcurl's initialisation among it (0)
 *     latencies    a file for the seconds of each call, a line each
 *
 * Prints the seconds until the last answer, the processor's, and the most memory (VmHWM, KiB). */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ANSWER_MAX = 16 * 1024, LINE_MAX_BYTES = 64 * 1024 };

typedef struct request {
    char *url;
    struct curl_slist *headers;
    char *body;
} request;

typedef struct settings {
    const char *ca_file;
    size_t concurrency, calls, warm, http2;
    FILE *latencies; /* NULL: not asked for */
} settings;

typedef struct slot {
    CURL *easy;
    size_t len;
    double began;
    char answer[ANSWER_MAX + 1];
} slot;

static void fail(const char *what) {
    (void)fprintf(stderr, "libcurl: %s\n", what);
    exit(1);
}

static void *must(void *pointer) {
    if (pointer == NULL) {
        fail("out of memory");
    }
    return pointer;
}

static double now(clockid_t clock) {
    struct timespec time;
    (void)clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static bool read_line(FILE *file, char *line) {
    if (fgets(line, LINE_MAX_BYTES, file) == NULL) {
        return false;
    }
    line[strcspn(line, "\n")] = '\0';
    return true;
}

static struct curl_slist *append(struct curl_slist *list, const char *line) {
    return must(curl_slist_append(list, line));
}

static bool read_request(FILE *file, request *out) {
    static char line[LINE_MAX_BYTES];
    *out = (request){0};
    if (!read_line(file, line)) {
        return false;
    }
    out->url = must(strdup(line));
    while (read_line(file, line) && line[0] != '\0') {
        out->headers = append(out->headers, line);
    }
    out->headers = append(out->headers, "Expect:");
    out->headers = append(out->headers, "Accept: application/json");
    if (!read_line(file, line)) {
        fail("a request without a body");
    }
    out->body = must(strdup(line));
    return true;
}

static request *read_requests(const char *path, size_t *count) {
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fail("no such file of requests");
    }
    size_t room = 0;
    request *requests = NULL;
    request next;
    for (*count = 0; read_request(file, &next); requests[(*count)++] = next) {
        if (*count == room) {
            room = room == 0 ? 128 : room * 2;
            requests = must(realloc(requests, room * sizeof *requests));
        }
    }
    (void)fclose(file);
    return requests;
}

static size_t on_body(char *data, size_t size, size_t count, void *context) {
    slot *s = context;
    size_t len = size * count;
    if (len > ANSWER_MAX - s->len) {
        return 0;
    }
    memcpy(s->answer + s->len, data, len);
    s->len += len;
    return len;
}

static void open_slot(slot *s, const settings *how) {
    s->easy = must(curl_easy_init());
    (void)curl_easy_setopt(s->easy, CURLOPT_PRIVATE, s);
    (void)curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, s);
    (void)curl_easy_setopt(s->easy, CURLOPT_CAINFO, how->ca_file);
    (void)curl_easy_setopt(s->easy, CURLOPT_CAPATH, NULL); /* so that the file is read once */
    (void)curl_easy_setopt(s->easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(s->easy, CURLOPT_TIMEOUT, 30L);
    (void)curl_easy_setopt(s->easy, CURLOPT_PIPEWAIT, (long)how->http2);
}

static void set_request(slot *s, const request *r) {
    (void)curl_easy_setopt(s->easy, CURLOPT_URL, r->url);
    (void)curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, r->headers);
    (void)curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE, (long)strlen(r->body));
    (void)curl_easy_setopt(s->easy, CURLOPT_POSTFIELDS, r->body);
}

static void check(slot *s, CURLcode rc, FILE *latencies) {
    long status = 0;
    (void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    s->answer[s->len] = '\0';
    if (rc != CURLE_OK) {
        fail(curl_easy_strerror(rc));
    }
    if (status != 200 || strstr(s->answer, "\"requestId\"") == NULL) {
        fail("not the answer that was expected");
    }
    if (latencies != NULL) {
        (void)fprintf(latencies, "%.7f\n", now(CLOCK_MONOTONIC) - s->began);
    }
}

/* --- one after another ------------------------------------------------------------------------ */

static void perform(slot *s, const request *requests, size_t count, size_t calls, FILE *latencies) {
    for (size_t i = 0; i < calls; i++) {
        if (i == 0 || count > 1) {
            set_request(s, &requests[i % count]);
        }
        s->len = 0;
        s->began = now(CLOCK_MONOTONIC);
        check(s, curl_easy_perform(s->easy), latencies);
    }
}

/* --- several at a time ------------------------------------------------------------------------ */

static void send_next(CURLM *multi, slot *s, const request *r) {
    s->len = 0;
    s->began = now(CLOCK_MONOTONIC);
    set_request(s, r);
    if (curl_multi_add_handle(multi, s->easy) != CURLM_OK) {
        fail("curl_multi_add_handle");
    }
}

static void send_all(CURLM *multi, slot *slots, size_t slot_count, const request *requests,
                     size_t count, size_t calls, FILE *latencies) {
    size_t sent = 0;
    size_t answered = 0;
    while (sent < slot_count && sent < calls) {
        send_next(multi, &slots[sent], &requests[sent % count]);
        sent++;
    }
    while (answered < calls) {
        int left;
        if (curl_multi_perform(multi, &left) != CURLM_OK) {
            fail("curl_multi_perform");
        }
        bool more = false; /* a request was added, which the next perform begins */
        for (CURLMsg *message; (message = curl_multi_info_read(multi, &left)) != NULL;) {
            slot *s = NULL;
            CURLcode rc = message->data.result;
            (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&s);
            (void)curl_multi_remove_handle(multi, s->easy);
            check(s, rc, latencies);
            answered++;
            if (sent < calls) {
                send_next(multi, s, &requests[sent++ % count]);
                more = true;
            }
        }
        if (!more && answered < calls) {
            (void)curl_multi_poll(multi, NULL, 0, 1000, NULL);
        }
    }
}

/* --- main ------------------------------------------------------------------------------------- */

/* The value of a `name=value` of this name; NULL: it is of another. */
static const char *value_of(const char *given, const char *name) {
    size_t len = strlen(name);
    return strncmp(given, name, len) == 0 && given[len] == '=' ? given + len + 1 : NULL;
}

static bool take_number(const char *given, const char *name, size_t *out) {
    const char *value = value_of(given, name);
    *out = value != NULL ? (size_t)strtoul(value, NULL, 10) : *out;
    return value != NULL;
}

static void parse(settings *how, const char *given) {
    const char *path = value_of(given, "latencies");
    if (path != NULL) {
        how->latencies = must(fopen(path, "w"));
    } else if (!take_number(given, "concurrency", &how->concurrency) &&
               !take_number(given, "http2", &how->http2) &&
               !take_number(given, "calls", &how->calls) &&
               !take_number(given, "warm", &how->warm)) {
        fail("usage: libcurl REQUESTS CA_FILE [name=value...]");
    }
}

static void print_most_memory(void) {
    FILE *file = must(fopen("/proc/self/status", "r"));
    char line[256];
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) {
            (void)printf("hwm_kib %ld\n", strtol(line + 6, NULL, 10));
        }
    }
    (void)fclose(file);
}

static void run(CURLM *multi, slot *slots, const settings *how, const request *requests,
                size_t count, size_t calls, FILE *latencies) {
    if (how->concurrency == 0) {
        perform(slots, requests, count, calls, latencies);
    } else {
        send_all(multi, slots, how->concurrency, requests, count, calls, latencies);
    }
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fail("usage: libcurl REQUESTS CA_FILE [name=value...]");
    }
    size_t count;
    request *requests = read_requests(argv[1], &count);
    settings how = {.ca_file = argv[2], .concurrency = 1, .calls = count};
    for (int i = 3; i < argc; i++) {
        parse(&how, argv[i]);
    }
    size_t slot_count = how.concurrency == 0 ? 1 : how.concurrency;
    slot *slots = must(calloc(slot_count, sizeof *slots));

    double began = now(CLOCK_MONOTONIC), processor = now(CLOCK_PROCESS_CPUTIME_ID);
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    CURLM *multi = must(curl_multi_init());
    for (size_t i = 0; i < slot_count; i++) {
        open_slot(&slots[i], &how);
    }
    if (how.warm > 0) {
        run(multi, slots, &how, requests, count, how.warm, NULL);
        began = now(CLOCK_MONOTONIC);
        processor = now(CLOCK_PROCESS_CPUTIME_ID);
    }
    run(multi, slots, &how, requests, count, how.calls, how.latencies);
    (void)printf("seconds %.9f\nprocessor %.9f\n", now(CLOCK_MONOTONIC) - began,
                 now(CLOCK_PROCESS_CPUTIME_ID) - processor);
    print_most_memory();

    for (size_t i = 0; i < slot_count; i++) {
        curl_easy_cleanup(slots[i].easy);
    }
    (void)curl_multi_cleanup(multi);
    for (size_t i = 0; i < count; i++) {
        free(requests[i].url);
        free(requests[i].body);
        curl_slist_free_all(requests[i].headers);
    }
    free(requests);
    free(slots);
    if (how.latencies != NULL) {
        (void)fclose(how.latencies);
    }
    return 0;
}
