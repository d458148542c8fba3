#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t rng_next(rng *r) { /* splitmix64 */
    uint64_t z = (r->state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

size_t rng_below(rng *r, size_t bound) {
    return (size_t)(rng_next(r) % bound);
}

double rng_unit(rng *r) {
    return (double)(rng_next(r) >> 11) * 0x1p-53;
}

bool rng_chance(rng *r, double probability) {
    return rng_unit(r) < probability;
}

size_t repetitions(size_t full) {
    if (getenv("ZENLAYER_TEST_SLOW") == NULL) {
        return full;
    }
    return full < 20 ? 1 : full / 20;
}

char *own_bytes(zl_view text) {
    char *own = malloc(text.len == 0 ? 1 : text.len);
    assert_non_null(own);
    if (text.len > 0) {
        memcpy(own, text.data, text.len);
    }
    return own;
}

zl_moment moment(int64_t mono_ms, double random) {
    int64_t wall_s = WALL_AT_ZERO + (mono_ms >= 0 ? mono_ms / 1000 : -((999 - mono_ms) / 1000));
    return (zl_moment){.mono_ms = mono_ms, .wall_s = wall_s, .random = random};
}

void sender_init(zl_sender *sender, bool token) {
    *sender = (zl_sender){0};
    int rc = token ? zl_signer_new_token(&sender->signer, ZL_LIT("the-token"))
                   : zl_signer_new_key(&sender->signer, ZL_LIT("key-id"), ZL_LIT("the password"));
    assert_int_equal(rc, ZL_OK);
    assert_null(zl_endpoint_parse(&sender->endpoint, ZL_LIT("https://api.example")));
    zl_buf_add_text(&sender->user_agent, "the tests");
}

void sender_free(zl_sender *sender) {
    zl_signer_free(sender->signer);
    zl_endpoint_free(&sender->endpoint);
    zl_buf_free(&sender->user_agent);
    *sender = (zl_sender){0};
}

zl_client *new_client(void) {
    zl_client *client = zl_client_new();
    assert_non_null(client);
    sender_init(&client->sender, false);
    zl_buf_add_text(&client->service, "vm");
    zl_buf_add_text(&client->version, "2026-04-01");
    return client;
}

zl_answer answer_accepted(const char *request_id) {
    zl_answer answer;
    zl_answer_init(&answer, 200);
    answer.is_object = true;
    answer.is_well_formed = true;
    answer.request_id = zl_view_of(request_id);
    return answer;
}

zl_answer answer_api_error(int status, const char *code) {
    zl_answer answer;
    zl_answer_init(&answer, status);
    answer.is_object = true;
    answer.is_well_formed = true;
    answer.has_code = true;
    answer.code = zl_view_of(code);
    answer.message = ZL_LIT("what the server says");
    answer.request_id = ZL_LIT("T-refused");
    return answer;
}

zl_answer answer_of_no_api(int status) {
    zl_answer answer;
    zl_answer_init(&answer, status);
    answer.content_type = ZL_LIT("text/html");
    answer.body_len = 42;
    return answer;
}

void add_ids(zl_ids *ids, const char *prefix, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char id[64];
        int len = snprintf(id, sizeof id, "%s%zu", prefix, i);
        assert_int_equal(zl_ids_add(ids, (zl_view){id, (size_t)len}), ZL_OK);
    }
}

size_t ids_of_body(zl_view body, zl_view *out, size_t room) {
    static const char key[] = "\"instanceIds\":[";
    size_t count = 0, at = 0;
    while (at + sizeof key - 1 <= body.len && memcmp(body.data + at, key, sizeof key - 1) != 0) {
        at++;
    }
    if (at + sizeof key - 1 > body.len) {
        return 0;
    }
    at += sizeof key - 1;
    while (at < body.len && body.data[at] == '"' && count < room) {
        size_t start = ++at;
        while (at < body.len && body.data[at] != '"') {
            at++;
        }
        out[count++] = (zl_view){body.data + start, at - start};
        at += at + 1 < body.len && body.data[at + 1] == ',' ? 2 : 1;
    }
    return count;
}

void check_view(zl_view view, const char *text, const char *file, int line) {
    if (!zl_view_equal(view, zl_view_of(text))) {
        print_error("\"%.*s\" != \"%s\"\n", (int)view.len, view.len > 0 ? view.data : "", text);
        _fail(file, line);
    }
}

void fail_with(const char *format, ...) {
    char text[1000];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fail_msg("%s", text);
    abort(); /* not reached; for the compiler, which does not know that a failure jumps */
}
