/* Heads of HTTP/1.1 answers: what is read, and what is refused. */
#include <stdlib.h>
#include <string.h>

#include "http_head.h"
#include "support.h"

static void expect(const char *text, int status, int64_t length, bool chunked, bool close) {
    zl_http_head head;
    size_t len = strlen(text);
    char *own = own_bytes((zl_view){text, len});
    const char *problem = zl_http_head_parse(&head, (zl_view){own, len});
    if (problem != NULL) {
        fail_with("\"%s\" is refused: %s", text, problem);
    }
    assert_int_equal(head.status, status);
    assert_int_equal(head.length, length);
    assert_int_equal(head.chunked, chunked);
    assert_int_equal(head.close, close);
    const char *fields = strstr(text, "\r\n") + 2;
    assert_int_equal(head.fields.len, strlen(fields) - 2);
    assert_memory_equal(head.fields.data, fields, head.fields.len);
    free(own);
}

static void refuse(const char *text, size_t len, const char *problem) {
    zl_http_head head;
    char *own = own_bytes((zl_view){text, len});
    const char *got = zl_http_head_parse(&head, (zl_view){own, len});
    free(own);
    if (got == NULL || strcmp(got, problem) != 0) {
        fail_with("\"%s\": %s, not %s", text, got == NULL ? "accepted" : got, problem);
    }
}

static void test_what_is_read(void **state) {
    (void)state;
    expect("HTTP/1.1 200 OK\r\n\r\n", 200, -1, false, false);
    expect("HTTP/1.1 204\r\n\r\n", 204, -1, false, false);
    expect("HTTP/1.1 999 \r\nA: b\r\n\r\n", 999, -1, false, false);
    expect("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 200, 0, false, true);
    expect("HTTP/1.1 200 OK\r\ncONTENT-lENGTH:\t 123456789012345 \r\n\r\n", 200, 123456789012345,
           false, false);
    expect("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 007\r\n\r\n", 200, 7, false,
           false);
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", 200, -1, true, false);
    expect("HTTP/1.1 200 OK\r\nConnection: keep-alive, CLOSE\r\n\r\n", 200, -1, false, true);
    expect("HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: x\r\n\r\n", 200, -1, false, true);
    expect("HTTP/1.1 200 OK\r\nConnection: closed, not-close\r\n\r\n", 200, -1, false, false);
    expect("HTTP/1.1 200 OK\r\nX-Close: close\r\nA:\r\nB: \x80\xFF\r\n\r\n", 200, -1, false, false);
}

#define REFUSE(text, problem) refuse((text), sizeof(text) - 1, (problem))

static void test_what_is_refused(void **state) {
    (void)state;
    static const char no_http[] = "what came is no HTTP/1.1";
    static const char no_header[] = "a header that is none";
    static const char bad_length[] = "a bad Content-Length";
    static const char bad_encoding[] = "a Transfer-Encoding other than chunked";
    REFUSE("", no_http);
    REFUSE("\r\n\r\n", no_http);
    REFUSE("HTTP/2 200 OK\r\n\r\n", no_http);
    REFUSE("HTTP/1.2 200 OK\r\n\r\n", no_http);
    REFUSE("HTTP/1.1 20 OK\r\n\r\n", no_http);
    REFUSE("HTTP/1.1 2000\r\n\r\n", no_http);
    REFUSE("HTTP/1.1 099 OK\r\n\r\n", no_http);
    REFUSE("HTTP/1.1  200 OK\r\n\r\n", no_http);
    REFUSE("http/1.1 200 OK\r\n\r\n", no_http);
    REFUSE("HTTP/1.1 200 OK\n\n", no_http);
    REFUSE("HTTP/1.1 200 O\0K\r\n\r\n", no_http);
    REFUSE("SSH-2.0-OpenSSH\r\n\r\n", no_http);
    REFUSE("HTTP/1.1 200 OK\r\n: b\r\n\r\n", no_header);
    REFUSE("HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", no_header);
    REFUSE("HTTP/1.1 200 OK\r\nA : c\r\n\r\n", no_header);
    REFUSE("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", no_header);
    REFUSE("HTTP/1.1 200 OK\r\nA\r\n\r\n", no_header);
    REFUSE("HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", no_header);
    REFUSE("HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n", no_header);
    REFUSE("HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", no_header);
    REFUSE("HTTP/1.1 200 OK\r\nA: b\r\n", no_header);
    REFUSE("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", bad_length);
    REFUSE("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", bad_length);
    REFUSE("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", bad_length);
    REFUSE("HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n\r\n", bad_length);
    REFUSE("HTTP/1.1 200 OK\r\nContent-Length: 1 2\r\n\r\n", bad_length);
    REFUSE("HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n", bad_length);
    REFUSE("HTTP/1.1 200 OK\r\nContent-Length: 1234567890123456\r\n\r\n", bad_length);
    REFUSE("HTTP/1.1 200 OK\r\nContent-Length: 1\r\ncontent-length: 2\r\n\r\n", bad_length);
    REFUSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", bad_encoding);
    REFUSE("HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n", bad_encoding);
    REFUSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
           bad_encoding);
    REFUSE("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
           "both Content-Length and Transfer-Encoding");
}

/* Whatever bytes come, what is read is in its bounds, and a head that is taken is one by the plain
 * rules: lines that end in CR LF, of which each has a colon, and one blank line at the end. */
static void test_random_heads(void **state) {
    (void)state;
    static const char *const pieces[] = {"HTTP/1.1 200 OK",
                                         "\r\n",
                                         "\r\n",
                                         "\r\n",
                                         "Content-Length",
                                         "Transfer-Encoding",
                                         ": ",
                                         ":",
                                         "\r",
                                         "\n",
                                         "7",
                                         "chunked",
                                         "Connection: close",
                                         "A: b",
                                         "\xFF",
                                         " ",
                                         ",",
                                         "-",
                                         "HTTP/1.0 404 "};
    rng r = {1};
    size_t taken = 0;
    for (size_t round = 0; round < repetitions(200000); round++) {
        zl_buf text = {0};
        zl_buf_add_text(&text, rng_chance(&r, 0.9) ? "HTTP/1.1 200 OK\r\n" : "");
        for (size_t n = rng_below(&r, 10); n > 0; n--) {
            zl_buf_add_text(&text, pieces[rng_below(&r, COUNT(pieces))]);
        }
        zl_buf_add_text(&text, rng_chance(&r, 0.9) ? "\r\n\r\n" : "");
        zl_http_head head;
        char *own = own_bytes(zl_buf_view(&text));
        if (zl_http_head_parse(&head, (zl_view){own, text.len}) == NULL) {
            taken++;
            assert_true(head.fields.data > own);
            assert_true(head.fields.data + head.fields.len + 2 == own + text.len);
            assert_true(head.status >= 100 && head.status <= 999);
            assert_true(head.length < 0 || !head.chunked);
            for (size_t i = 0; i < text.len; i++) {
                bool lf_after = i + 1 < text.len && own[i + 1] == '\n';
                assert_true(own[i] != '\r' || lf_after);
                assert_true(own[i] != '\n' || (i > 0 && own[i - 1] == '\r'));
            }
        }
        free(own);
        zl_buf_free(&text);
    }
    assert_true(taken > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_read),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_random_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
