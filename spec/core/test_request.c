/* The bytes of a request: URL, headers, bodies. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "error.h"
#include "request.h"
#include "support.h"
#include "zenlayer.h"

#define STOP ((zl_action){ZL_LIT("StopInstances"), ZL_LIT("vm"), ZL_LIT("2026-04-01")})

/* --- the head --------------------------------------------------------------------------------- */

typedef struct header {
    const char *name, *value;
} header;

/* Exactly these headers, in any order. A value of NULL: whatever. */
static void expect_headers(const zl_request *request, const header *want, size_t count) {
    for (size_t i = 0; i < request->header_count; i++) {
        zl_view name = zl_request_header_name(request, i);
        zl_view value = zl_request_header_value(request, i);
        const char *line = zl_request_line(request, i);
        bool known = false;
        for (size_t k = 0; k < count && !known; k++) {
            known = zl_view_equal(name, zl_view_of(want[k].name));
            if (known && want[k].value != NULL) {
                assert_view(value, want[k].value);
            }
        }
        if (!known) {
            fail_with("a header that should not be: %s", line);
        }
        for (size_t k = 0; k < i; k++) {
            assert_false(zl_view_equal_nocase(name, zl_request_header_name(request, k)));
        }
        char whole[2048]; /* the line is the name, ": " and the value, and ends there */
        (void)snprintf(whole, sizeof whole, "%.*s: %.*s", (int)name.len, name.data, (int)value.len,
                       value.data);
        assert_string_equal(line, whole);
        assert_true(zl_header_safe(value));
    }
    assert_int_equal(request->header_count, count);
}

static zl_view header_value(const zl_request *request, const char *name) {
    for (size_t i = 0; i < request->header_count; i++) {
        if (zl_view_equal(zl_request_header_name(request, i), zl_view_of(name))) {
            return zl_request_header_value(request, i);
        }
    }
    fail_with("there is no header %s", name);
}

/* The Authorization that a request with these values must have. */
static void expect_signature(const zl_request *request, const zl_sender *sender, const char *host,
                             zl_view body, int64_t timestamp_s) {
    zl_sign_input in = {.host = zl_view_of(host),
                        .content_type = ZL_LIT("application/json; charset=utf-8"),
                        .body = body,
                        .timestamp_s = timestamp_s};
    char want[1024] = {0};
    assert_true(zl_signer_authorization_len(sender->signer) < sizeof want);
    assert_int_equal(zl_sign(sender->signer, &in, want), ZL_OK);
    assert_view(header_value(request, "Authorization"), want);
}

static void test_a_request_with_a_key(void **state) {
    (void)state;
    zl_sender sender;
    zl_request request = {0};
    const zl_view body = ZL_LIT("{\"instanceIds\":[\"a\"]}");
    sender_init(&sender, false);
    assert_int_equal(zl_request_build(&request, &sender, &STOP, body, 1673361177), ZL_OK);
    assert_buf(request.url, "https://api.example/api/v2/vm");
    assert_ptr_equal(request.body.data, body.data); /* signed and sent from the same memory */
    assert_int_equal(request.body.len, body.len);
    const header want[] = {
        {"Host", "api.example"},          {"Content-Type", "application/json; charset=utf-8"},
        {"User-Agent", "the tests"},      {"X-ZC-Action", "StopInstances"},
        {"X-ZC-Version", "2026-04-01"},   {"X-ZC-Service", "vm"},
        {"X-ZC-Timestamp", "1673361177"}, {"X-ZC-Signature-Method", "ZC2-HMAC-SHA256"},
        {"X-ZC-Sdk-Lang", "lua"},         {"X-ZC-Sdk-Version", ZL_VERSION},
        {"Authorization", NULL},
    };
    expect_headers(&request, want, COUNT(want));
    expect_signature(&request, &sender, "api.example", body, 1673361177);
    zl_request_free(&request);
    sender_free(&sender);
}

static void test_a_request_with_a_token(void **state) {
    (void)state;
    zl_sender sender;
    zl_request request = {0};
    sender_init(&sender, true);
    assert_int_equal(zl_request_build(&request, &sender, &STOP, ZL_LIT("{}"), 1), ZL_OK);
    const header want[] = {
        {"Host", "api.example"},
        {"Content-Type", "application/json; charset=utf-8"},
        {"User-Agent", "the tests"},
        {"X-ZC-Action", "StopInstances"},
        {"X-ZC-Version", "2026-04-01"},
        {"X-ZC-Service", "vm"},
        {"X-ZC-Timestamp", "1"},
        {"X-ZC-Sdk-Lang", "lua"},
        {"X-ZC-Sdk-Version", ZL_VERSION},
        {"Authorization", "Bearer the-token"}, /* and no signature method */
    };
    expect_headers(&request, want, COUNT(want));
    zl_request_free(&request);
    sender_free(&sender);
}

static void test_endpoints(void **state) {
    (void)state;
    static const struct {
        const char *endpoint, *url, *host;
    } rows[] = {
        {"https://console.zenlayer.com/", "https://console.zenlayer.com/api/v2/bmc",
         "console.zenlayer.com"},
        {"https://api.example:8443", "https://api.example:8443/api/v2/bmc", "api.example:8443"},
        {"https://api.example:443", "https://api.example/api/v2/bmc", "api.example"},
        {"http://127.0.0.1:80", "http://127.0.0.1/api/v2/bmc", "127.0.0.1"},
        {"http://[::1]:40443", "http://[::1]:40443/api/v2/bmc", "[::1]:40443"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        zl_sender sender;
        zl_request request = {0};
        sender_init(&sender, false);
        zl_endpoint_free(&sender.endpoint);
        assert_null(zl_endpoint_parse(&sender.endpoint, zl_view_of(rows[i].endpoint)));
        zl_action action = {ZL_LIT("X"), ZL_LIT("bmc"), ZL_LIT("v")};
        assert_int_equal(zl_request_build(&request, &sender, &action, ZL_LIT("{}"), 7), ZL_OK);
        assert_buf(request.url, rows[i].url);
        assert_view(header_value(&request, "Host"), rows[i].host);
        expect_signature(&request, &sender, rows[i].host, ZL_LIT("{}"), 7);
        zl_request_free(&request);
        sender_free(&sender);
    }
}

static void test_building_again(void **state) {
    (void)state;
    zl_sender sender;
    zl_request request = {0};
    sender_init(&sender, false);
    const zl_view body = ZL_LIT("{\"a\":1}");
    size_t blocks = 0;
    for (int64_t t = 1700000000; t < 1700000100; t += 7) {
        assert_int_equal(zl_request_build(&request, &sender, &STOP, body, t), ZL_OK);
        assert_int_equal(request.header_count, 11);
        assert_buf(request.url, "https://api.example/api/v2/vm");
        char text[32];
        (void)snprintf(text, sizeof text, "%lld", (long long)t);
        assert_view(header_value(&request, "X-ZC-Timestamp"), text);
        expect_signature(&request, &sender, "api.example", body, t);
        if (t == 1700000000) {
            blocks = alloc_count();
        }
    }
    assert_int_equal(alloc_count(), blocks); /* the memory is used again */
    zl_request_free(&request);
    sender_free(&sender);
}

/* Values that could end a header line, or the path, must not come through, whoever gives them. */
static void test_values_that_are_not_fit_for_a_header(void **state) {
    (void)state;
    const zl_view unsafe[] = {ZL_LIT("x\r\nX-Evil: 1"), ZL_LIT("x\ny"), ZL_LIT("x\r"),
                              ZL_LIT("x\0y")};
    for (size_t i = 0; i < COUNT(unsafe); i++) {
        for (int what = 0; what < 4; what++) {
            zl_sender sender;
            zl_request request = {0};
            sender_init(&sender, false);
            zl_action action = STOP;
            switch (what) {
            case 0: action.name = unsafe[i]; break;
            case 1: action.service = unsafe[i]; break;
            case 2: action.version = unsafe[i]; break;
            default: zl_buf_set(&sender.user_agent, unsafe[i]); break;
            }
            int rc = zl_request_build(&request, &sender, &action, ZL_LIT("{}"), 1);
            if (rc != ZL_ERR_ARG) {
                static const char *const names[] = {"action", "service", "version", "user agent"};
                fail_with("value %zu as %s: %d, not ZL_ERR_ARG", i, names[what], rc);
            }
            zl_request_free(&request);
            sender_free(&sender);
        }
    }
}

static void test_bounds(void **state) {
    (void)state;
    zl_sender sender;
    zl_request request = {0};
    sender_init(&sender, false);
    assert_int_equal(zl_request_build(&request, &sender, &STOP, ZL_LIT("{}"), -1), ZL_ERR_ARG);
    assert_int_equal(zl_request_build(&request, &sender, &STOP, ZL_LIT("{}"), 0), ZL_OK);
    char host[ZL_SIGN_VALUE_MAX + 2];
    memset(host, 'h', sizeof host);
    zl_buf_set(&sender.endpoint.host, (zl_view){host, ZL_SIGN_VALUE_MAX + 1});
    assert_int_equal(zl_request_build(&request, &sender, &STOP, ZL_LIT("{}"), 0), ZL_ERR_ARG);
    zl_request_free(&request);
    sender_free(&sender);
}

static void test_out_of_memory(void **state) {
    (void)state;
    zl_sender sender;
    sender_init(&sender, false);
    size_t failures = 0;
    for (size_t k = 1; k < 100; k++) {
        zl_request request = {0};
        size_t live = alloc_live();
        alloc_fail_at(k, false);
        int rc = zl_request_build(&request, &sender, &STOP, ZL_LIT("{}"), 1);
        bool failed = alloc_has_failed();
        alloc_fail_at(0, false);
        assert_int_equal(rc, failed ? ZL_ERR_NOMEM : ZL_OK);
        failures += failed;
        /* The same request is built when there is memory again. */
        assert_int_equal(zl_request_build(&request, &sender, &STOP, ZL_LIT("{}"), 1), ZL_OK);
        expect_signature(&request, &sender, "api.example", ZL_LIT("{}"), 1);
        assert_buf(request.url, "https://api.example/api/v2/vm");
        zl_request_free(&request);
        assert_int_equal(alloc_live(), live);
    }
    assert_in_range(failures, 2, 90);
    sender_free(&sender);
}

static void test_a_token_is_wiped(void **state) {
    (void)state;
    zl_sender sender;
    zl_request request = {0};
    (void)alloc_watch("Bearer the-token");
    sender_init(&sender, true);
    for (int64_t t = 0; t < 3; t++) {
        assert_int_equal(zl_request_build(&request, &sender, &STOP, ZL_LIT("{}"), t), ZL_OK);
    }
    zl_request_free(&request);
    sender_free(&sender);
    assert_int_equal(alloc_watch(NULL), 0);
}

/* --- bodies ----------------------------------------------------------------------------------- */

enum { PLACES = 250 };
static size_t places[PLACES]; /* places[i] is i: ids in the order of their list */

static int number_places(void **state) {
    (void)state;
    for (size_t i = 0; i < PLACES; i++) {
        places[i] = i;
    }
    return 0;
}

static void expect_stop(const zl_ids *ids, size_t first, size_t count, zl_tristate force,
                        const char *want) {
    zl_buf out = {0};
    zl_request_add_stop(&out, ids, places + first, count, force);
    assert_buf(out, want);
    zl_buf_free(&out);
}

static void test_the_body_of_stop_instances(void **state) {
    (void)state;
    zl_ids ids = {0};
    add_ids(&ids, "i-", 4);
    expect_stop(&ids, 0, 1, ZL_UNSET, "{\"instanceIds\":[\"i-0\"]}");
    expect_stop(&ids, 0, 2, ZL_FALSE,
                "{\"forceShutdown\":false,\"instanceIds\":[\"i-0\",\"i-1\"]}");
    expect_stop(&ids, 1, 2, ZL_TRUE, "{\"forceShutdown\":true,\"instanceIds\":[\"i-1\",\"i-2\"]}");
    expect_stop(&ids, 3, 1, ZL_FALSE, "{\"forceShutdown\":false,\"instanceIds\":[\"i-3\"]}");
    zl_ids_free(&ids);
}

static void test_the_body_of_status(void **state) {
    (void)state;
    zl_ids ids = {0};
    zl_buf out = {0};
    add_ids(&ids, "i-", 3);
    zl_request_add_status(&out, &ids, places, 3);
    assert_buf(out, "{\"instanceIds\":[\"i-0\",\"i-1\",\"i-2\"],\"pageSize\":3}");
    zl_buf_clear(&out);
    zl_request_add_status(&out, &ids, places + 2, 1);
    assert_buf(out, "{\"instanceIds\":[\"i-2\"],\"pageSize\":1}");
    zl_buf_clear(&out);
    zl_request_add_status_page(&out, 1);
    assert_buf(out, "{\"pageNum\":1,\"pageSize\":1000}");
    zl_buf_clear(&out);
    zl_request_add_status_page(&out, 12345);
    assert_buf(out, "{\"pageNum\":12345,\"pageSize\":1000}");
    zl_buf_free(&out);
    zl_ids_free(&ids);
}

static void test_ids_that_need_escapes(void **state) {
    (void)state;
    zl_ids ids = {0};
    const zl_view given[] = {ZL_LIT("a\"],\"x\":[\""), ZL_LIT("\\"), ZL_LIT("\n\x01"),
                             ZL_LIT("Z\xC3\xBCrich/1")};
    for (size_t i = 0; i < COUNT(given); i++) {
        assert_int_equal(zl_ids_add(&ids, given[i]), ZL_OK);
    }
    expect_stop(&ids, 0, 4, ZL_UNSET,
                "{\"instanceIds\":[\"a\\\"],\\\"x\\\":[\\\"\",\"\\\\\",\"\\n\\u0001\","
                "\"Z\xC3\xBCrich/1\"]}");
    zl_ids_free(&ids);
}

static void test_a_hundred_ids(void **state) {
    (void)state;
    zl_ids ids = {0};
    zl_buf out = {0};
    zl_view read[ZL_REQUEST_IDS_MAX + 1];
    add_ids(&ids, "instance-", PLACES);
    zl_request_add_stop(&out, &ids, places + 100, ZL_REQUEST_IDS_MAX, ZL_FALSE);
    assert_int_equal(ids_of_body(zl_buf_view(&out), read, COUNT(read)), ZL_REQUEST_IDS_MAX);
    for (size_t i = 0; i < ZL_REQUEST_IDS_MAX; i++) {
        assert_true(zl_view_equal(read[i], zl_ids_at(&ids, 100 + i)));
    }
    zl_buf_free(&out);
    zl_ids_free(&ids);
}

static void test_default_versions(void **state) {
    (void)state;
    assert_view(zl_request_default_version(ZL_LIT("vm")), "2026-04-01");
    assert_view(zl_request_default_version(ZL_LIT("bmc")), "2026-02-01");
    assert_view(zl_request_default_version(ZL_LIT("zec")), "2025-09-01");
    assert_int_equal(zl_request_default_version(ZL_LIT("VM")).len, 0);
    assert_int_equal(zl_request_default_version(ZL_LIT("v")).len, 0);
    assert_int_equal(zl_request_default_version((zl_view){NULL, 0}).len, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_with_a_key),
        cmocka_unit_test(test_a_request_with_a_token),
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_building_again),
        cmocka_unit_test(test_values_that_are_not_fit_for_a_header),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_a_token_is_wiped),
        cmocka_unit_test(test_the_body_of_stop_instances),
        cmocka_unit_test(test_the_body_of_status),
        cmocka_unit_test(test_ids_that_need_escapes),
        cmocka_unit_test(test_a_hundred_ids),
        cmocka_unit_test(test_default_versions),
    };
    return cmocka_run_group_tests(tests, number_places, NULL);
}
