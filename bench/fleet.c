/* What bench/fleet.py holds the module against: the same requests by a plain libcurl multi loop,
 * and nothing else.
 *
 *     fleet REQUESTS CA_FILE CONCURRENCY MULTIPLEX
 *
 * REQUESTS has for each request its URL, its header lines, an empty line, and the body in one line.
 * MULTIPLEX is 1 if the server speaks HTTP/2. Prints the seconds from before libcurl is initialised
 * to after the last answer. */
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

typedef struct slot {
    CURL *easy;
    size_t len;
    char answer[ANSWER_MAX + 1];
} slot;

static void fail(const char *what) {
    (void)fprintf(stderr, "fleet: %s\n", what);
    exit(1);
}

static void *must(void *pointer) {
    if (pointer == NULL) {
        fail("out of memory");
    }
    return pointer;
}

static double now(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
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

static void open_slot(slot *s, const char *ca_file, bool multiplex) {
    s->easy = must(curl_easy_init());
    (void)curl_easy_setopt(s->easy, CURLOPT_PRIVATE, s);
    (void)curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, s);
    (void)curl_easy_setopt(s->easy, CURLOPT_CAINFO, ca_file);
    (void)curl_easy_setopt(s->easy, CURLOPT_CAPATH, NULL); /* so that the file is read once */
    (void)curl_easy_setopt(s->easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(s->easy, CURLOPT_TIMEOUT, 30L);
    (void)curl_easy_setopt(s->easy, CURLOPT_PIPEWAIT, multiplex ? 1L : 0L);
}

static void send_next(CURLM *multi, slot *s, const request *r) {
    s->len = 0;
    (void)curl_easy_setopt(s->easy, CURLOPT_URL, r->url);
    (void)curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, r->headers);
    (void)curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE, (long)strlen(r->body));
    (void)curl_easy_setopt(s->easy, CURLOPT_POSTFIELDS, r->body);
    if (curl_multi_add_handle(multi, s->easy) != CURLM_OK) {
        fail("curl_multi_add_handle");
    }
}

static void check(slot *s, CURLcode rc) {
    long status = 0;
    (void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    s->answer[s->len] = '\0';
    if (rc != CURLE_OK) {
        fail(curl_easy_strerror(rc));
    }
    if (status != 200 || strstr(s->answer, "\"requestId\"") == NULL) {
        fail("not the answer that was expected");
    }
}

static void send_all(CURLM *multi, slot *slots, size_t slot_count, const request *requests,
                     size_t count) {
    size_t sent = 0;
    size_t answered = 0;
    while (sent < slot_count && sent < count) {
        send_next(multi, &slots[sent], &requests[sent]);
        sent++;
    }
    while (answered < count) {
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
            check(s, rc);
            answered++;
            if (sent < count) {
                send_next(multi, s, &requests[sent++]);
                more = true;
            }
        }
        if (!more && answered < count) {
            (void)curl_multi_poll(multi, NULL, 0, 1000, NULL);
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fail("usage: fleet REQUESTS CA_FILE CONCURRENCY MULTIPLEX");
    }
    size_t count;
    request *requests = read_requests(argv[1], &count);
    size_t slot_count = (size_t)strtoul(argv[3], NULL, 10);
    slot *slots = must(calloc(slot_count, sizeof *slots));

    double began = now();
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    CURLM *multi = must(curl_multi_init());
    for (size_t i = 0; i < slot_count; i++) {
        open_slot(&slots[i], argv[2], strcmp(argv[4], "1") == 0);
    }
    send_all(multi, slots, slot_count, requests, count);
    (void)printf("%.6f\n", now() - began);

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
    return 0;
}
